//! How each app and pod is: computed from what is desired and observed, never stored.

use crate::app::AppName;
use crate::plan::{
    Action, AppStatus, Cause, OperationKey, Phase, Plan, Planned, PodState, PodStatus, Wait,
    Waiting,
};
use crate::runtime::ContainerState;
use crate::state::{EngineStatus, FailureKind, ObservedReplica, Readiness};
use crate::store::{Outcome, RevisionCause, StoredApp};

use super::classify::Classified;
use super::context::Context;
use super::restart;

/// The status of one app, of which `own` is the part of the plan.
pub(super) fn of_app(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
    own: &Plan,
) -> AppStatus {
    let want = u32::from(stored.spec.replicas);
    let stay = || classified.stay();
    let ready = count(stay().filter(|r| context.is_ready(r)).count());
    let updated = count(classified.updated.iter().filter(|r| context.is_ready(r)).count());
    let inputs = StatusInputs {
        want,
        updated,
        routed: context.serves(&stored.spec.name, &own.routes.routes),
    };
    let memory = stored.spec.resources.memory.map(|limit| limit.to_string());
    let mut pods: Vec<_> =
        stay().map(|replica| pod_status_kept(context, replica, memory.as_deref(), own)).collect();
    // A failed container beside its successor is no pod of its own.
    let goes = || classified.terminating.iter().map(|(replica, _)| replica);
    let superseded = |r: &ObservedReplica| {
        let newer =
            |n: &ObservedReplica| n.pod() == r.pod() && n.labels.restarts > r.labels.restarts;
        !r.is_running() && (stay().any(|s| s.pod() == r.pod()) || goes().any(|n| newer(n)))
    };
    let leave = classified.terminating.iter().filter(|(replica, _)| !superseded(replica));
    pods.extend(leave.map(|(replica, _)| pod_status_terminating(context, replica)));
    let name = &stored.spec.name;
    let creating = context.creating(name).iter();
    let coming = creating.map(|(ordinal, revision)| pod_status_pending(name, *ordinal, *revision));
    let new: Vec<_> = coming.filter(|new| pods.iter().all(|pod| pod.name != new.name)).collect();
    pods.extend(new);
    pods.sort_by(|a, b| {
        (a.name.len(), &a.name, a.revision).cmp(&(b.name.len(), &b.name, b.revision))
    });
    let phase = phase(context, stored, classified, own, &inputs);
    let (cause, next_try) = match phase {
        Phase::Ready => (rolled_back_from(stored).unwrap_or_default(), None),
        _ => cause(context, stored, classified, own, &inputs, memory.as_deref()),
    };
    AppStatus {
        phase,
        desired: want,
        ready,
        updated,
        revision: stored.revision,
        observed_generation: stored.generation,
        message: cause.to_string(),
        cause,
        next_try,
        pods,
    }
}

struct StatusInputs {
    want: u32,
    updated: u32,
    routed: bool,
}

fn phase(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
    own: &Plan,
    inputs: &StatusInputs,
) -> Phase {
    let complete = inputs.updated == inputs.want
        && classified.outdated.is_empty()
        && classified.terminating.is_empty()
        && own.blocked.is_empty();
    if let EngineStatus::Unreachable { .. } = context.observed.engine {
        return Phase::Degraded;
    }
    if complete && inputs.routed {
        return Phase::Ready;
    }
    if !own.blocked.is_empty() || is_failed(context, stored, classified, own) {
        return Phase::Failed;
    }
    let restarted = classified.updated.iter().any(|r| r.labels.restarts > 0 || is_down(r));
    let nothing = classified.updated.is_empty() && classified.outdated.is_empty();
    if (restarted && classified.outdated.is_empty())
        || (complete && ingress_failure(context, stored).is_some())
    {
        Phase::Degraded
    } else if nothing && inputs.want > 0 && classified.terminating.is_empty() {
        Phase::Pending
    } else {
        Phase::Progressing
    }
}

/// Whether it does not get on by itself: a call failed that a person has to mend, or a replica
/// of the wanted revision fails again and again. As long as a verdict on the revision is still to
/// come, that says so.
fn is_failed(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
    own: &Plan,
) -> bool {
    if stored.rollout.outcome.failure().is_some() {
        return true;
    }
    let judged = |planned: &Planned| matches!(planned.action, Action::RecordRollout { .. });
    let written = |key: &OperationKey| matches!(key, OperationKey::RecordRollout { app, .. } if *app == stored.spec.name);
    if own.actions.iter().any(judged) || context.observed.in_flight.keys().any(written) {
        return false;
    }
    // Of a revision on its way the verdict says so, as soon as it is one.
    let open = stored.rollout.outcome == Outcome::Progressing && !stored.paused;
    let lasting = !open && own.waiting.iter().any(is_permanent);
    let looping = !open
        && classified
            .updated
            .iter()
            .any(|r| restart::is_crash_looping(context, r, stored.rollout_started_at));
    let unroutable = !own.routes.is_empty()
        && ingress_failure(context, stored).is_some_and(|(_, kind)| kind != FailureKind::Transient);
    lasting || looping || unroutable
}

fn is_permanent(waiting: &Waiting) -> bool {
    matches!(&waiting.wait, Wait::Retry(failure) if failure.kind != FailureKind::Transient)
}

/// Why the ingress does not serve the app: its own routes are refused, or it serves no new table
/// at all.
fn ingress_failure<'a>(
    context: &Context<'a>,
    stored: &StoredApp,
) -> Option<(&'a str, FailureKind)> {
    let quarantined = &context.observed.quarantined;
    if !quarantined.is_empty() {
        let text = quarantined.get(&stored.spec.name)?;
        return Some((text, FailureKind::Permanent));
    }
    let failure = context.observed.failures.get(&OperationKey::Routes)?;
    Some((&failure.message, failure.kind))
}

fn is_down(replica: &ObservedReplica) -> bool {
    matches!(replica.state, ContainerState::Exited { .. } | ContainerState::StartFailed { .. })
}

/// The most important thing to say, and when the next try is.
fn cause(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
    own: &Plan,
    inputs: &StatusInputs,
    memory: Option<&str>,
) -> (Cause, Option<jiff::Timestamp>) {
    if let EngineStatus::Unreachable { reason, since } = &context.observed.engine {
        return (Cause::EngineAway { since: *since, reason: reason.clone() }, None);
    }
    if let Some(blocked) = own.blocked.first() {
        return (Cause::Blocked(blocked.block.clone()), None);
    }
    let waiting = |wanted: fn(&Wait) -> bool| own.waiting.iter().find(|w| wanted(&w.wait));
    if let Some(failure) = stored.rollout.outcome.failure() {
        let next = waiting(|w| matches!(w, Wait::Retry { .. } | Wait::BackOff { .. }));
        let (revision, reason) = (stored.revision, failure.reason.clone());
        return (Cause::RevisionFailed { revision, reason }, next.and_then(|w| w.until));
    }
    let urgent = waiting(|w| matches!(w, Wait::Retry { .. }))
        .or_else(|| waiting(|w| matches!(w, Wait::BackOff { .. })));
    if let Some(waiting) = urgent {
        return (Cause::Waits(waiting.clone()), waiting.until);
    }
    if let Some(looping) = classified
        .updated
        .iter()
        .find(|r| restart::is_crash_looping(context, r, stored.rollout_started_at))
    {
        let last = restart::newest_end(context, looping, memory);
        let (pod, restarts) = (looping.pod(), looping.labels.restarts);
        return (Cause::CrashLooping { pod, last, restarts }, None);
    }
    if let (false, Some((message, _))) = (inputs.routed, ingress_failure(context, stored)) {
        return (Cause::Ingress { message: message.to_owned() }, None);
    }
    if stored.paused && !classified.outdated.is_empty() {
        return (Cause::Paused, None);
    }
    if let Some(cause) = rolled_back_from(stored) {
        return (cause, None);
    }
    let next = waiting(|w| matches!(w, Wait::Ready { .. })).or_else(|| waiting(|w| !w.is_steady()));
    match next {
        Some(waiting) => (Cause::Waits(waiting.clone()), None),
        None if !inputs.routed => (Cause::NotRouted, None),
        None => (Cause::None, None),
    }
}

/// Which revision failed, where the present one has come back for it by itself.
fn rolled_back_from(stored: &StoredApp) -> Option<Cause> {
    let RevisionCause::RollBack { from, to, failure } = &stored.rollout.cause else { return None };
    Some(Cause::RolledBack { from: *from, to: *to, reason: failure.reason.clone() })
}

/// A pod that stays.
fn pod_status_kept(
    context: &Context<'_>,
    replica: &ObservedReplica,
    memory: Option<&str>,
    own: &Plan,
) -> PodStatus {
    let name = replica.pod();
    let wait = own.waiting.iter().find(|w| w.pod.as_deref() == Some(&name));
    let (state, message) = match &replica.state {
        ContainerState::Created => (PodState::Starting, String::new()),
        ContainerState::Running { .. } => (PodState::Running, not_ready(context, replica)),
        ContainerState::Paused => (PodState::Stopping, restart::cause(context, replica, memory)),
        ContainerState::Removing => (PodState::Stopping, String::new()),
        ContainerState::Exited { .. } | ContainerState::StartFailed { .. } => {
            let waits = wait.is_some_and(|w| matches!(w.wait, Wait::BackOff { .. }));
            let state = if waits { PodState::BackOff } else { PodState::Exited };
            (state, restart::cause(context, replica, memory))
        }
    };
    let next_try = wait.and_then(|w| w.until);
    PodStatus { next_try, ..pod(context, replica, name, state, message) }
}

/// A pod that leaves.
pub(super) fn pod_status_terminating(
    context: &Context<'_>,
    replica: &ObservedReplica,
) -> PodStatus {
    let stopping = context.is_busy(&replica.id);
    let state =
        if replica.is_running() && !stopping { PodState::Draining } else { PodState::Stopping };
    PodStatus { ready: false, ..pod(context, replica, replica.pod(), state, String::new()) }
}

/// A pod whose container is being created.
pub(super) fn pod_status_pending(app: &AppName, ordinal: u32, revision: u64) -> PodStatus {
    PodStatus {
        name: crate::identity::pod_name(app, ordinal),
        app: app.clone(),
        revision,
        state: PodState::Pending,
        ready: false,
        restarts: 0,
        address: None,
        container_id: None,
        started_at: None,
        created_at: None,
        message: String::new(),
        next_try: None,
    }
}

fn pod(
    context: &Context<'_>,
    replica: &ObservedReplica,
    name: String,
    state: PodState,
    message: String,
) -> PodStatus {
    let away = matches!(context.observed.engine, EngineStatus::Unreachable { .. });
    let started_at = match replica.state {
        ContainerState::Running { started_at } => Some(started_at),
        _ => None,
    };
    PodStatus {
        name,
        app: replica.labels.app.clone(),
        revision: replica.labels.revision,
        state: if away { PodState::Unknown } else { state },
        ready: !away && context.is_ready(replica),
        restarts: replica.labels.restarts,
        address: Some(replica.labels.address),
        container_id: Some(replica.id.clone()),
        started_at,
        created_at: Some(replica.created_at),
        message,
        next_try: None,
    }
}

fn not_ready(context: &Context<'_>, replica: &ObservedReplica) -> String {
    match &replica.readiness {
        _ if context.is_ready(replica) => String::new(),
        Readiness::NotReady { reason } | Readiness::Unhealthy { reason } => reason.clone(),
        Readiness::Unknown => "no probe has come back yet".to_owned(),
        Readiness::Ready { .. } => "it has only just started".to_owned(),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
