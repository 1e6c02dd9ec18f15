//! From what happened to the events that are kept: each says what, and why.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use dubernetes_core::app::AppName;
use dubernetes_core::event::{EventKind, NewEvent};
use dubernetes_core::ingress::RouteTable;
use dubernetes_core::plan::{Action, Planned, Reason};
use dubernetes_core::reconcile::{exit, span};
use dubernetes_core::runtime::{ContainerId, ContainerState};
use dubernetes_core::state::{EngineStatus, ObservedReplica, ObservedState, Readiness};
use dubernetes_core::store::RolloutUpdate;

use super::probe_spec::{self, ProbeSpec};

/// An event about an app or a pod of it.
pub(super) fn event(
    time: Timestamp,
    kind: EventKind,
    app: Option<&AppName>,
    pod: Option<&str>,
    reason: &str,
    message: impl Into<String>,
) -> NewEvent {
    NewEvent {
        time,
        kind,
        app: app.cloned(),
        pod: pod.map(str::to_owned),
        revision: None,
        reason: reason.to_owned(),
        message: message.into(),
    }
}

/// The event of a successful action, if it is worth one.
pub(super) fn action_succeeded(planned: &Planned, now: Timestamp) -> Option<NewEvent> {
    let reason = planned.action.success_event()?;
    let (mut kind, mut message) = (EventKind::Normal, planned.reason.to_string());
    if let Some(update) = planned.action.rollout_update() {
        let revision = planned.revision.unwrap_or_default();
        (kind, message) = rollout_recorded(update, revision);
    } else if let Some(image) = planned.action.image() {
        message = format!("image {image} is on the engine");
    } else if let (Action::Create(replica), false) =
        (&planned.action, matches!(planned.reason, Reason::NewRevision { .. }))
    {
        message = format!("revision {}: {message}", replica.labels.revision);
    } else if planned.reason == Reason::NothingLeft {
        message = "nothing of it is left".to_owned();
    }
    Some(for_planned(planned, now, kind, reason, message))
}

fn rollout_recorded(update: &RolloutUpdate, revision: u64) -> (EventKind, String) {
    match update {
        RolloutUpdate::PreDeployed { .. } => {
            (EventKind::Normal, format!("revision {revision}: pre_deploy succeeded"))
        }
        RolloutUpdate::Complete => (EventKind::Normal, format!("revision {revision} is complete")),
        RolloutUpdate::Stable => (EventKind::Normal, format!("revision {revision} is stable")),
        RolloutUpdate::Failed { failure, roll_back_to, .. } => {
            let message = format!("revision {revision} failed: {}", failure.reason);
            let back = roll_back_to.map(|to| format!("; back to revision {to}"));
            (EventKind::Warning, message + &back.unwrap_or_default())
        }
    }
}

/// The event of a failed action.
pub(super) fn action_failed(planned: &Planned, message: &str, now: Timestamp) -> NewEvent {
    for_planned(planned, now, EventKind::Warning, planned.action.failure_event(), message)
}

fn for_planned(
    planned: &Planned,
    now: Timestamp,
    kind: EventKind,
    reason: &str,
    message: impl Into<String>,
) -> NewEvent {
    let (app, pod) = (planned.app.as_ref(), planned.pod.as_deref());
    let event = event(now, kind, app, pod, reason, message);
    NewEvent { revision: planned.revision, ..event }
}

/// What changed between two looks at the world.
pub(super) fn diff(
    before: &ObservedState,
    after: &ObservedState,
    is_expected_exit: impl Fn(&ContainerId) -> bool,
    probe_spec: impl Fn(&ObservedReplica) -> Option<ProbeSpec>,
    now: Timestamp,
) -> Vec<NewEvent> {
    let mut events = Vec::new();
    engine(before, after, now, &mut events);
    if let EngineStatus::Unreachable { .. } = after.engine {
        return events;
    }
    let old: BTreeMap<_, _> = before.replicas.iter().map(|r| (&r.id, r)).collect();
    for replica in &after.replicas {
        if let Some(was) = old.get(&replica.id).filter(|_| !is_expected_exit(&replica.id)) {
            state(was, replica, now, &mut events);
            // A replica that an earlier orchestrator routed was ready all the time.
            let table = before.ingress.table();
            let adopted = was.readiness == Readiness::Unknown
                && table.is_some_and(|table| table.holds(was.labels.address));
            match probe_spec(replica) {
                None => started(was, replica, now, &mut events),
                Some(_) if adopted => {}
                Some(asked) => readiness(was, replica, &asked, now, &mut events),
            }
        }
    }
    for was in before.replicas.iter().filter(|r| r.is_running() && !is_expected_exit(&r.id)) {
        if !after.replicas.iter().any(|r| r.id == was.id) {
            let message = "its container was removed by somebody else";
            events.push(for_replica(was, now, EventKind::Warning, "Gone", message));
        }
    }
    events
}

/// Which routes an acknowledged table changed, each by the address that a user can open.
pub(super) fn routes_changed(
    before: Option<&RouteTable>,
    after: &RouteTable,
    http_port: u16,
    now: Timestamp,
) -> Vec<NewEvent> {
    let changed = after
        .routes
        .iter()
        .filter(|route| before.is_none_or(|before| !before.routes.contains(route)));
    let text = |route: &dubernetes_core::ingress::Route| {
        let url = route.url(http_port);
        match route.endpoints.len() {
            0 => format!("{url} -> no ready replica"),
            1 => format!("{url} -> 1 replica"),
            n => format!("{url} -> {n} replicas"),
        }
    };
    changed.map(|r| event(now, EventKind::Normal, Some(&r.app), None, "Routed", text(r))).collect()
}

fn engine(
    before: &ObservedState,
    after: &ObservedState,
    now: Timestamp,
    events: &mut Vec<NewEvent>,
) {
    match (&before.engine, &after.engine) {
        (EngineStatus::Reachable, EngineStatus::Unreachable { reason, .. }) => {
            events.push(event(now, EventKind::Warning, None, None, "EngineAway", reason.clone()));
        }
        (EngineStatus::Unreachable { since, .. }, EngineStatus::Reachable) => {
            let away = span(now.duration_since(*since));
            let message = format!("the engine answers again after {away}");
            events.push(event(now, EventKind::Normal, None, None, "EngineBack", message));
        }
        (EngineStatus::Reachable, EngineStatus::Reachable)
        | (EngineStatus::Unreachable { .. }, EngineStatus::Unreachable { .. }) => {}
    }
}

fn state(was: &ObservedReplica, is: &ObservedReplica, now: Timestamp, events: &mut Vec<NewEvent>) {
    if was.state == is.state || is_same_end(&was.state, &is.state) {
        return;
    }
    let ran =
        |from: Timestamp, to: Timestamp| span(to.duration_since(from).max(SignedDuration::ZERO));
    let (reason, message) = match &is.state {
        ContainerState::Exited { out_of_memory: true, started_at, finished_at, .. } => (
            "OOMKilled",
            format!(
                "it needed more memory than its limit, after {}",
                ran(*started_at, *finished_at)
            ),
        ),
        ContainerState::Exited { code, started_at, finished_at, .. } => {
            ("Exited", exit(*code, finished_at.duration_since(*started_at)))
        }
        ContainerState::StartFailed { error, .. } => ("StartFailed", error.clone()),
        ContainerState::Paused => ("Paused", "somebody paused its container".to_owned()),
        ContainerState::Created | ContainerState::Running { .. } | ContainerState::Removing => {
            return;
        }
    };
    events.push(for_replica(is, now, EventKind::Warning, reason, message));
}

/// Whether both are the end of one run. Its time may be told anew: by an engine whose clock was
/// ahead, or that had not written all of it down at the first look.
fn is_same_end(was: &ContainerState, is: &ContainerState) -> bool {
    let begin = |state: &ContainerState| match state {
        ContainerState::Exited { started_at, .. } => Some(*started_at),
        _ => None,
    };
    begin(was).is_some_and(|began| begin(is) == Some(began))
}

fn readiness(
    was: &ObservedReplica,
    is: &ObservedReplica,
    asked: &ProbeSpec,
    now: Timestamp,
    events: &mut Vec<NewEvent>,
) {
    match (&was.readiness, &is.readiness) {
        (Readiness::Ready { .. }, Readiness::NotReady { reason }) if is.is_running() => {
            events.push(for_replica(is, now, EventKind::Warning, "NotReady", reason.clone()));
        }
        (before, Readiness::Unhealthy { reason })
            if is.is_running() && !matches!(before, Readiness::Unhealthy { .. }) =>
        {
            events.push(for_replica(is, now, EventKind::Warning, "Unhealthy", reason.clone()));
        }
        (Readiness::Unknown | Readiness::NotReady { .. }, Readiness::Ready { .. }) => {
            events.push(for_replica(is, now, EventKind::Normal, "Ready", probe_spec::ready(asked)));
        }
        _ => {}
    }
}

/// Of an app that is not routed only the process is seen.
fn started(
    was: &ObservedReplica,
    is: &ObservedReplica,
    now: Timestamp,
    events: &mut Vec<NewEvent>,
) {
    if is.is_running() && !was.is_running() {
        events.push(for_replica(is, now, EventKind::Normal, "Started", "its process runs"));
    }
}

fn for_replica(
    replica: &ObservedReplica,
    now: Timestamp,
    kind: EventKind,
    reason: &str,
    message: impl Into<String>,
) -> NewEvent {
    let pod = replica.pod();
    let event = event(now, kind, Some(&replica.labels.app), Some(&pod), reason, message);
    NewEvent { revision: Some(replica.labels.revision), ..event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dubernetes_testkit::notation;

    fn observed(replica: &str) -> ObservedState {
        let text = format!("network\napp web replicas=1 host=a.test\n{replica}");
        notation::parse(&text).unwrap().observed
    }

    fn reasons(before: &ObservedState, after: &ObservedState) -> Vec<String> {
        let now = Timestamp::UNIX_EPOCH;
        let events = diff(before, after, |_| false, |_| None, now);
        events.into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn an_end_whose_time_is_told_anew_is_one_event() {
        let runs = observed("web-1 ready ago=9s");
        let ended = observed("web-1 exited code=137 ran=9s ago=0s");
        assert_eq!(reasons(&runs, &ended), ["Exited"]);
        let told_anew = observed("web-1 exited code=137 ran=8s ago=1s");
        assert_eq!(reasons(&ended, &told_anew), [""; 0]);
        // It was started again meanwhile, by somebody else.
        let again = observed("web-1 exited code=137 ran=2s ago=0s");
        assert_eq!(reasons(&ended, &again), ["Exited"]);
    }
}
