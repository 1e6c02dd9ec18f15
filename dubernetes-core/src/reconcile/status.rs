//! How each app and pod is: computed from what is desired and observed, never stored.

use crate::app::AppName;
use crate::plan::{
    Action, AppStatus, CallKey, Cause, Phase, Plan, Planned, PodState, PodStatus, Wait, Waiting,
};
use crate::runtime::ContainerState;
use crate::state::{Engine, FailureKind, ObservedReplica, Readiness};
use crate::store::{Outcome, RevisionCause, StoredApp};

use super::restart;
use super::rollout::Sorted;
use super::view::World;

/// The status of one app, of which `own` is the part of the plan.
pub(super) fn of_app(
    world: &World<'_>,
    stored: &StoredApp,
    sorted: &Sorted<'_>,
    own: &Plan,
) -> AppStatus {
    let want = u32::from(stored.spec.replicas);
    let stay = || sorted.stay();
    let ready = count(stay().filter(|r| world.is_ready(r)).count());
    let updated = count(sorted.current.iter().filter(|r| world.is_ready(r)).count());
    let facts =
        Facts { want, updated, routed: world.serves(&stored.spec.name, &own.routes.routes) };
    let memory = stored.spec.resources.memory.map(|limit| limit.to_string());
    let mut pods: Vec<_> =
        stay().map(|replica| staying(world, replica, memory.as_deref(), own)).collect();
    // A failed container beside its successor is no pod of its own.
    let goes = || sorted.leaving.iter().map(|(replica, _)| replica);
    let superseded = |r: &ObservedReplica| {
        let newer =
            |n: &ObservedReplica| n.pod() == r.pod() && n.labels.restarts > r.labels.restarts;
        !r.is_running() && (stay().any(|s| s.pod() == r.pod()) || goes().any(|n| newer(n)))
    };
    let leave = sorted.leaving.iter().filter(|(replica, _)| !superseded(replica));
    pods.extend(leave.map(|(replica, _)| leaving(world, replica)));
    let name = &stored.spec.name;
    let creating = world.creating(name).iter();
    let coming = creating.map(|(ordinal, revision)| pending(name, *ordinal, *revision));
    let new: Vec<_> = coming.filter(|new| pods.iter().all(|pod| pod.name != new.name)).collect();
    pods.extend(new);
    pods.sort_by(|a, b| {
        (a.name.len(), &a.name, a.revision).cmp(&(b.name.len(), &b.name, b.revision))
    });
    let phase = phase(world, stored, sorted, own, &facts);
    let (cause, next_try) = match phase {
        Phase::Ready => (came_back(stored).unwrap_or_default(), None),
        _ => cause(world, stored, sorted, own, &facts, memory.as_deref()),
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

struct Facts {
    want: u32,
    updated: u32,
    routed: bool,
}

fn phase(
    world: &World<'_>,
    stored: &StoredApp,
    sorted: &Sorted<'_>,
    own: &Plan,
    facts: &Facts,
) -> Phase {
    let complete = facts.updated == facts.want
        && sorted.outdated.is_empty()
        && sorted.leaving.is_empty()
        && own.blocked.is_empty();
    if let Engine::Away { .. } = world.observed.engine {
        return Phase::Degraded;
    }
    if complete && facts.routed {
        return Phase::Ready;
    }
    if !own.blocked.is_empty() || is_failed(world, stored, sorted, own) {
        return Phase::Failed;
    }
    let restarted = sorted.current.iter().any(|r| r.labels.restarts > 0 || is_down(r));
    let nothing = sorted.current.is_empty() && sorted.outdated.is_empty();
    if (restarted && sorted.outdated.is_empty())
        || (complete && ingress_failure(world, stored).is_some())
    {
        Phase::Degraded
    } else if nothing && facts.want > 0 && sorted.leaving.is_empty() {
        Phase::Pending
    } else {
        Phase::Progressing
    }
}

/// Whether it does not get on by itself: a call failed that a person has to mend, or a replica
/// of the wanted revision fails again and again. As long as a verdict on the revision is still to
/// come, that says so.
fn is_failed(world: &World<'_>, stored: &StoredApp, sorted: &Sorted<'_>, own: &Plan) -> bool {
    if stored.course.outcome.failure().is_some() {
        return true;
    }
    let judged = |planned: &Planned| matches!(planned.action, Action::Conclude { .. });
    let written =
        |key: &CallKey| matches!(key, CallKey::Conclude { app, .. } if *app == stored.spec.name);
    if own.actions.iter().any(judged) || world.observed.under_way.iter().any(written) {
        return false;
    }
    // Of a revision on its way the verdict says so, as soon as it is one.
    let open = stored.course.outcome == Outcome::Progressing && !stored.paused;
    let lasting = !open && own.waiting.iter().any(is_lasting);
    let looping =
        !open && sorted.current.iter().any(|r| restart::is_looping(world, r, stored.course_since));
    let unroutable = !own.routes.is_empty()
        && ingress_failure(world, stored).is_some_and(|(_, kind)| kind != FailureKind::Passing);
    lasting || looping || unroutable
}

fn is_lasting(waiting: &Waiting) -> bool {
    matches!(&waiting.wait, Wait::Retry(failure) if failure.kind != FailureKind::Passing)
}

/// Why the ingress does not serve the app: its own routes are refused, or it serves no new table
/// at all.
fn ingress_failure<'a>(world: &World<'a>, stored: &StoredApp) -> Option<(&'a str, FailureKind)> {
    let quarantined = &world.observed.quarantined;
    if !quarantined.is_empty() {
        let text = quarantined.get(&stored.spec.name)?;
        return Some((text, FailureKind::Lasting));
    }
    let failure = world.observed.failures.get(&CallKey::Routes)?;
    Some((&failure.message, failure.kind))
}

fn is_down(replica: &ObservedReplica) -> bool {
    matches!(replica.state, ContainerState::Exited { .. } | ContainerState::StartFailed { .. })
}

/// The most important thing to say, and when the next try is.
fn cause(
    world: &World<'_>,
    stored: &StoredApp,
    sorted: &Sorted<'_>,
    own: &Plan,
    facts: &Facts,
    memory: Option<&str>,
) -> (Cause, Option<jiff::Timestamp>) {
    if let Engine::Away { reason, since } = &world.observed.engine {
        return (Cause::EngineAway { since: *since, reason: reason.clone() }, None);
    }
    if let Some(blocked) = own.blocked.first() {
        return (Cause::Blocked(blocked.block.clone()), None);
    }
    let waiting = |wanted: fn(&Wait) -> bool| own.waiting.iter().find(|w| wanted(&w.wait));
    if let Some(failure) = stored.course.outcome.failure() {
        let next = waiting(|w| matches!(w, Wait::Retry { .. } | Wait::BackOff { .. }));
        let (revision, reason) = (stored.revision, failure.reason.clone());
        return (Cause::RevisionFailed { revision, reason }, next.and_then(|w| w.until));
    }
    let urgent = waiting(|w| matches!(w, Wait::Retry { .. }))
        .or_else(|| waiting(|w| matches!(w, Wait::BackOff { .. })));
    if let Some(waiting) = urgent {
        return (Cause::Waits(waiting.clone()), waiting.until);
    }
    if let Some(looping) =
        sorted.current.iter().find(|r| restart::is_looping(world, r, stored.course_since))
    {
        let last = restart::newest_end(world, looping, memory);
        let (pod, restarts) = (looping.pod(), looping.labels.restarts);
        return (Cause::Looping { pod, last, restarts }, None);
    }
    if let (false, Some((message, _))) = (facts.routed, ingress_failure(world, stored)) {
        return (Cause::Ingress { message: message.to_owned() }, None);
    }
    if stored.paused && !sorted.outdated.is_empty() {
        return (Cause::Paused, None);
    }
    if let Some(cause) = came_back(stored) {
        return (cause, None);
    }
    let next = waiting(|w| matches!(w, Wait::Ready { .. })).or_else(|| waiting(|w| !w.is_quiet()));
    match next {
        Some(waiting) => (Cause::Waits(waiting.clone()), None),
        None if !facts.routed => (Cause::NotRouted, None),
        None => (Cause::None, None),
    }
}

/// Which revision failed, where the present one has come back for it by itself.
fn came_back(stored: &StoredApp) -> Option<Cause> {
    let RevisionCause::RollBack { from, to, failure } = &stored.course.cause else { return None };
    Some(Cause::RolledBack { from: *from, to: *to, reason: failure.reason.clone() })
}

/// A pod that stays.
fn staying(
    world: &World<'_>,
    replica: &ObservedReplica,
    memory: Option<&str>,
    own: &Plan,
) -> PodStatus {
    let name = replica.pod();
    let wait = own.waiting.iter().find(|w| w.pod.as_deref() == Some(&name));
    let (state, message) = match &replica.state {
        ContainerState::Created => (PodState::Starting, String::new()),
        ContainerState::Running { .. } => (PodState::Running, not_ready(world, replica)),
        ContainerState::Paused => (PodState::Stopping, restart::cause(world, replica, memory)),
        ContainerState::Removing => (PodState::Stopping, String::new()),
        ContainerState::Exited { .. } | ContainerState::StartFailed { .. } => {
            let waits = wait.is_some_and(|w| matches!(w.wait, Wait::BackOff { .. }));
            let state = if waits { PodState::BackOff } else { PodState::Exited };
            (state, restart::cause(world, replica, memory))
        }
    };
    let next_try = wait.and_then(|w| w.until);
    PodStatus { next_try, ..pod(world, replica, name, state, message) }
}

/// A pod that leaves.
pub(super) fn leaving(world: &World<'_>, replica: &ObservedReplica) -> PodStatus {
    let stopping = world.is_busy(&replica.id);
    let state =
        if replica.is_running() && !stopping { PodState::Draining } else { PodState::Stopping };
    PodStatus { ready: false, ..pod(world, replica, replica.pod(), state, String::new()) }
}

/// A pod whose container is being created.
pub(super) fn pending(app: &AppName, ordinal: u32, revision: u64) -> PodStatus {
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
    world: &World<'_>,
    replica: &ObservedReplica,
    name: String,
    state: PodState,
    message: String,
) -> PodStatus {
    let away = matches!(world.observed.engine, Engine::Away { .. });
    let started_at = match replica.state {
        ContainerState::Running { started_at } => Some(started_at),
        _ => None,
    };
    PodStatus {
        name,
        app: replica.labels.app.clone(),
        revision: replica.labels.revision,
        state: if away { PodState::Unknown } else { state },
        ready: !away && world.is_ready(replica),
        restarts: replica.labels.restarts,
        address: Some(replica.labels.address),
        container_id: Some(replica.id.clone()),
        started_at,
        created_at: Some(replica.created_at),
        message,
        next_try: None,
    }
}

fn not_ready(world: &World<'_>, replica: &ObservedReplica) -> String {
    match &replica.readiness {
        _ if world.is_ready(replica) => String::new(),
        Readiness::NotReady { reason } | Readiness::Unhealthy { reason } => reason.clone(),
        Readiness::Unknown => "no probe has come back yet".to_owned(),
        Readiness::Ready { .. } => "it has only just started".to_owned(),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
