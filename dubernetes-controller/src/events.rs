//! Events: what is recorded of actions, and of differences between two observations.

use std::collections::BTreeMap;

use dubernetes_core::app::{AppName, Artifact, RevisionId};
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::format::span;
use dubernetes_core::ingress::{Route, RouteTable, UrlPorts};
use dubernetes_core::plan::{Action, Block, Planned, Reason};
use dubernetes_core::runtime::{Capability, ContainerId, ContainerState};
use dubernetes_core::state::{EngineStatus, ObservedReplica, ObservedState, Readiness};
use dubernetes_core::store::RolloutUpdate;
use jiff::Timestamp;

use crate::probe_spec::ProbeSpec;

/// Returns an event of the instance.
pub(crate) fn of_instance(
    time: Timestamp,
    kind: EventKind,
    reason: EventReason,
    message: impl Into<String>,
) -> NewEvent {
    let message = message.into();
    NewEvent { time, kind, app: None, pod: None, revision: None, reason, message }
}

/// Returns an event of an app.
pub(crate) fn of_app(
    time: Timestamp,
    kind: EventKind,
    app: &AppName,
    reason: EventReason,
    message: impl Into<String>,
) -> NewEvent {
    NewEvent { app: Some(app.clone()), ..of_instance(time, kind, reason, message) }
}

fn of_replica(
    replica: &ObservedReplica,
    time: Timestamp,
    kind: EventKind,
    reason: EventReason,
    message: impl Into<String>,
) -> NewEvent {
    NewEvent {
        pod: Some(replica.pod()),
        revision: Some(replica.labels.revision),
        ..of_app(time, kind, &replica.labels.app, reason, message)
    }
}

fn of_action(
    planned: &Planned,
    time: Timestamp,
    kind: EventKind,
    reason: EventReason,
    message: impl Into<String>,
) -> NewEvent {
    NewEvent {
        app: planned.app.clone(),
        pod: planned.pod.clone(),
        revision: planned.revision,
        ..of_instance(time, kind, reason, message)
    }
}

/// Returns the event of a successful action, if the action is worth one.
pub(crate) fn action_succeeded(planned: &Planned, now: Timestamp) -> Option<NewEvent> {
    let reason = planned.action.success_event()?;
    if let Action::RecordRollout { revision, update, .. } = &planned.action {
        let (kind, message) = rollout_recorded(update, *revision);
        return Some(of_action(planned, now, kind, reason, message));
    }
    let message = match (&planned.action, &planned.reason) {
        // This reason names the revision itself.
        (Action::Create(_), Reason::NewRevision { .. }) => planned.reason.to_string(),
        (Action::Create(replica), _) => {
            format!("revision {}: {}", replica.labels.revision, planned.reason)
        }
        (_, Reason::NothingLeft) => "nothing of the app is left".to_owned(),
        _ => match planned.action.artifact() {
            Some(Artifact::Image(image)) => format!("image {image} is on the engine"),
            Some(Artifact::Program(program)) => format!("program {program} exists"),
            None => planned.reason.to_string(),
        },
    };
    Some(of_action(planned, now, EventKind::Normal, reason, message))
}

fn rollout_recorded(update: &RolloutUpdate, revision: RevisionId) -> (EventKind, String) {
    match update {
        RolloutUpdate::PreDeployed { .. } => {
            (EventKind::Normal, format!("revision {revision}: pre_deploy succeeded"))
        }
        RolloutUpdate::Complete => (EventKind::Normal, format!("revision {revision} is complete")),
        RolloutUpdate::Stable => (EventKind::Normal, format!("revision {revision} is stable")),
        RolloutUpdate::Failed { failure, roll_back_to, .. } => {
            let failed = format!("revision {revision} failed: {}", failure.reason);
            let back = roll_back_to.map(|to| format!("; rolled back to revision {to}"));
            (EventKind::Warning, failed + &back.unwrap_or_default())
        }
    }
}

/// Returns the event of a failed action.
pub(crate) fn action_failed(planned: &Planned, message: &str, now: Timestamp) -> NewEvent {
    of_action(planned, now, EventKind::Warning, planned.action.failure_event(), message)
}

/// Returns the events of an acknowledged table: the routes that it changed, as URLs.
pub(crate) fn routes_changed(
    before: Option<&RouteTable>,
    after: &RouteTable,
    ports: UrlPorts,
    now: Timestamp,
) -> Vec<NewEvent> {
    let is_new = |route: &&Route| before.is_none_or(|before| !before.routes.contains(route));
    let event = |route: &Route| {
        let url = route.url(after, ports);
        let message = match route.endpoints.len() {
            0 => format!("{url} -> no ready replica"),
            1 => format!("{url} -> 1 replica"),
            n => format!("{url} -> {n} replicas"),
        };
        of_app(now, EventKind::Normal, &route.app, EventReason::Routed, message)
    };
    after.routes.iter().filter(is_new).map(event).collect()
}

/// Returns the events of the differences between two observations.
pub(crate) fn diff(
    before: &ObservedState,
    after: &ObservedState,
    is_expected_exit: impl Fn(&ContainerId) -> bool,
    probe_spec: impl Fn(&ObservedReplica) -> Option<ProbeSpec>,
    now: Timestamp,
) -> Vec<NewEvent> {
    let mut events: Vec<_> = engine_changed(before, after, now).into_iter().collect();
    if let EngineStatus::Unreachable { .. } = after.engine {
        return events;
    }
    for (id, reason) in &after.unreadable {
        if !before.unreadable.contains_key(id) {
            let block = Block::Unreadable { id: id.clone(), reason: reason.clone() };
            let message = block.to_string();
            events.push(of_instance(now, EventKind::Warning, EventReason::Foreign, message));
        }
    }
    let mut old: BTreeMap<_, _> = before.replicas.iter().map(|r| (&r.id, r)).collect();
    for replica in &after.replicas {
        let Some(was) = old.remove(&replica.id) else { continue };
        if was == replica || is_expected_exit(&replica.id) {
            continue;
        }
        events.extend(state_changed(was, replica, now));
        events.extend(limits_changed(was, replica, now));
        // A replica that the previous orchestrator routed was ready all the time.
        let table = before.ingress.table();
        let is_adopted =
            was.readiness == Readiness::Unknown && table.is_some_and(|table| was.is_in(table));
        events.extend(match probe_spec(replica) {
            None => process_started(was, replica, now),
            Some(_) if is_adopted => None,
            Some(spec) => readiness_changed(was, replica, &spec, now),
        });
    }
    let gone = before.replicas.iter().filter(|was| old.contains_key(&was.id));
    for was in gone.filter(|was| was.is_running() && !is_expected_exit(&was.id)) {
        let message = match after.lacks.contains(&Capability::SeveralHosts) {
            true => "its container was removed outside Dubernetes",
            false => "its node is down, or its container was removed outside Dubernetes",
        };
        events.push(of_replica(was, now, EventKind::Warning, EventReason::Gone, message));
    }
    events
}

fn engine_changed(
    before: &ObservedState,
    after: &ObservedState,
    now: Timestamp,
) -> Option<NewEvent> {
    match (&before.engine, &after.engine) {
        (EngineStatus::Reachable, EngineStatus::Unreachable { reason, .. }) => {
            let (kind, message) = (EventKind::Warning, reason.clone());
            Some(of_instance(now, kind, EventReason::EngineUnreachable, message))
        }
        (EngineStatus::Unreachable { since, .. }, EngineStatus::Reachable) => {
            let message =
                format!("the engine is reachable again after {}", span(now.duration_since(*since)));
            Some(of_instance(now, EventKind::Normal, EventReason::EngineReachable, message))
        }
        (EngineStatus::Reachable, EngineStatus::Reachable)
        | (EngineStatus::Unreachable { .. }, EngineStatus::Unreachable { .. }) => None,
    }
}

fn state_changed(was: &ObservedReplica, is: &ObservedReplica, now: Timestamp) -> Option<NewEvent> {
    if was.state == is.state || is_same_exit(&was.state, &is.state) {
        return None;
    }
    let (reason, message) = match &is.state {
        ContainerState::Exited(exit) if exit.out_of_memory => {
            let ran = span(exit.ran());
            (EventReason::OomKilled, format!("exceeded its memory limit after {ran}"))
        }
        ContainerState::Exited(exit) => (EventReason::Exited, exit.describe()),
        ContainerState::StartFailed { error, .. } => (EventReason::StartFailed, error.clone()),
        ContainerState::Paused => {
            (EventReason::Paused, "its container was paused outside Dubernetes".to_owned())
        }
        ContainerState::Created | ContainerState::Running { .. } | ContainerState::Removing => {
            return None;
        }
    };
    Some(of_replica(is, now, EventKind::Warning, reason, message))
}

fn limits_changed(was: &ObservedReplica, is: &ObservedReplica, now: Timestamp) -> Option<NewEvent> {
    let difference = is.limits.as_ref()?.difference(was.limits.as_ref()?)?;
    let message = format!("{difference} as before: changed outside Dubernetes");
    Some(of_replica(is, now, EventKind::Warning, EventReason::LimitsChanged, message))
}

/// Returns whether both states are the exit of one run. An engine may revise the time of an exit:
/// its clock was ahead, or the first inspection came before all was written.
fn is_same_exit(was: &ContainerState, is: &ContainerState) -> bool {
    let start = |state: &ContainerState| {
        if let ContainerState::Exited(exit) = state { Some(exit.started_at) } else { None }
    };
    start(was).is_some_and(|started| start(is) == Some(started))
}

fn readiness_changed(
    was: &ObservedReplica,
    is: &ObservedReplica,
    spec: &ProbeSpec,
    now: Timestamp,
) -> Option<NewEvent> {
    let warning =
        |reason, message: &str| Some(of_replica(is, now, EventKind::Warning, reason, message));
    match (&was.readiness, &is.readiness) {
        (Readiness::Unhealthy { .. }, Readiness::Unhealthy { .. }) => None,
        (_, Readiness::Unhealthy { reason }) if is.is_running() => {
            warning(EventReason::Unhealthy, reason)
        }
        (Readiness::Ready { .. }, Readiness::NotReady { reason }) if is.is_running() => {
            warning(EventReason::NotReady, reason)
        }
        (Readiness::Unknown | Readiness::NotReady { .. }, Readiness::Ready { .. }) => {
            let message = spec.describe_ready();
            Some(of_replica(is, now, EventKind::Normal, EventReason::Ready, message))
        }
        _ => None,
    }
}

/// Of a replica that is not probed only the start of its process is seen.
fn process_started(
    was: &ObservedReplica,
    is: &ObservedReplica,
    now: Timestamp,
) -> Option<NewEvent> {
    let started = is.is_running() && !was.is_running();
    let event = || of_replica(is, now, EventKind::Normal, EventReason::Started, "its process runs");
    started.then(event)
}

#[cfg(test)]
mod tests {
    use dubernetes_testkit::notation;

    use super::*;

    fn observed(replica: &str) -> ObservedState {
        let text = format!("network\napp web replicas=1 host=a.test\n{replica}");
        notation::parse(&text).unwrap().observed
    }

    fn reasons(before: &ObservedState, after: &ObservedState) -> Vec<EventReason> {
        let now = Timestamp::UNIX_EPOCH;
        let events = diff(before, after, |_| false, |_| None, now);
        events.into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn exit_with_revised_time_emits_one_event() {
        let runs = observed("web-1 ready ago=9s");
        let exited = observed("web-1 exited code=137 ran=9s ago=0s");
        assert_eq!(reasons(&runs, &exited), [EventReason::Exited]);
        let revised = observed("web-1 exited code=137 ran=8s ago=1s");
        assert_eq!(reasons(&exited, &revised), []);
        // Meanwhile the container was started again, outside Dubernetes.
        let again = observed("web-1 exited code=137 ran=2s ago=0s");
        assert_eq!(reasons(&exited, &again), [EventReason::Exited]);
    }

    #[test]
    fn changed_limit_emits_one_event() {
        let before = observed("web-1 ready has-memory=128Mi");
        let after = observed("web-1 ready has-memory=64Mi has-cpu=500m");
        let events = diff(&before, &after, |_| false, |_| None, Timestamp::UNIX_EPOCH);
        let messages: Vec<_> = events.into_iter().map(|event| event.message).collect();
        let expected = "memory limit 64Mi, not 128Mi; CPU limit 500m, not none as before: changed \
                        outside Dubernetes";
        assert_eq!(messages, [expected]);
        assert_eq!(reasons(&after, &after), []);
        // The rounding of an engine, and a runtime that does not report limits.
        assert_eq!(reasons(&before, &observed("web-1 ready has-memory=131068Ki")), []);
        assert_eq!(reasons(&before, &observed("web-1 ready")), []);
    }
}
