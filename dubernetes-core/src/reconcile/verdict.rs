//! What the rollout of a revision has come to: complete, stable, or failed and why.
//!
//! The only decisions that are remembered, since a revision that has failed must not be tried again after
//! a restart of ours. All else follows from what is seen.

use jiff::{SignedDuration, Timestamp};

use crate::app::OnFailure;
use crate::identity;
use crate::plan::{Action, CallKey, Plan, Planned, Reason, Verdict, Wait, Waiting};
use crate::runtime::{ContainerId, ContainerState};
use crate::state::{self, FailureKind, ObservedReplica, Readiness};
use crate::store::{Outcome, RevisionCause, StoredApp};

use super::rollout::Sorted;
use super::view::{World, is_held};
use super::{gate, job, restart};

/// A complete revision whose replicas run for so long without an exit is stable.
const STABLE_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// A registry that does not answer is asked so often: a hiccup is over by then.
const PULLS: u32 = 3;

/// Why a revision has failed, and what shows it.
struct Failure {
    reason: String,
    shown_by: Option<(String, ContainerId)>,
}

/// Adds the verdict to the app's part of the plan, or the time to look for it again.
pub(super) fn conclude(
    world: &World<'_>,
    stored: &StoredApp,
    sorted: &Sorted<'_>,
    plan: &mut Plan,
) {
    let concludes = |planned: &Planned| matches!(planned.action, Action::Conclude { .. });
    if plan.actions.iter().any(concludes) {
        // The command before it has just succeeded. That is recorded first.
        return;
    }
    let outcome = &stored.course.outcome;
    let open = matches!(outcome, Outcome::Progressing | Outcome::Complete { .. });
    if open
        && !stored.paused
        && let Some(failure) = failure(world, stored, sorted, plan)
    {
        record(world, stored, failed(world, stored, failure), plan);
        return;
    }
    if matches!(outcome, Outcome::Progressing | Outcome::Failed(_))
        && is_complete(world, stored, sorted, plan)
    {
        record(world, stored, (Verdict::Complete, "complete".to_owned()), plan);
    } else if let Outcome::Complete { at } = outcome
        && let Some(from) = stable_from(stored, sorted, *at)
    {
        if from <= world.now {
            record(world, stored, (Verdict::Stable, "stable".to_owned()), plan);
        } else {
            wait(stored, Wait::Stable, from, plan);
        }
    }
    if is_held(stored) && !sorted.outdated.is_empty() {
        let (app, paused) = (stored.spec.name.clone(), stored.paused);
        plan.waiting.push(Waiting { app, pod: None, wait: Wait::Held { paused }, until: None });
    }
}

fn failure(
    world: &World<'_>,
    stored: &StoredApp,
    sorted: &Sorted<'_>,
    plan: &mut Plan,
) -> Option<Failure> {
    if let Some(reason) = job::failure(world, stored) {
        let job = job::of(world, stored)?;
        let pod = identity::job_pod_name(&stored.spec.name);
        return Some(Failure { reason, shown_by: Some((pod, job.id.clone())) });
    }
    if let Some(reason) = lasting_failure(world, stored) {
        return Some(Failure { reason, shown_by: None });
    }
    let looping = |r: &&&ObservedReplica| {
        r.labels.revision == stored.revision && restart::is_looping(world, r, stored.course_since)
    };
    if let Some(looping) = sorted.current.iter().find(looping) {
        return Some(keeps_failing(world, stored, looping));
    }
    if stored.course.outcome != Outcome::Progressing {
        return None;
    }
    too_late(world, stored, sorted, plan)
}

/// A call for the revision that a person would have to mend: the image cannot be had, or the
/// engine refuses its containers.
fn lasting_failure(world: &World<'_>, stored: &StoredApp) -> Option<String> {
    if stored.course.outcome != Outcome::Progressing {
        return None;
    }
    // What failed before it was given another chance shows nothing.
    let since = |failure: &state::Failure| failure.at >= stored.course_since;
    let failures = world.failures_of(&stored.spec.name).iter();
    let failed = failures.filter(|(_, failure)| since(failure)).find(|(key, failure)| {
        let missing = [FailureKind::ImageMissing, FailureKind::ImageDenied];
        match key {
            CallKey::Image { revision, .. } => {
                let own = *revision == stored.revision;
                let lasts = failure.kind == FailureKind::Lasting && failure.count >= PULLS;
                own && stored.image_id.is_none() && (missing.contains(&failure.kind) || lasts)
            }
            CallKey::Create { revision, .. } => {
                *revision == stored.revision && failure.kind == FailureKind::Lasting
            }
            // Where the container is there, or is needed no more, only the answer was lost.
            CallKey::CreateJob { revision, .. } => {
                let missing = !stored.course.pre_deployed && job::of(world, stored).is_none();
                let own = *revision == stored.revision;
                own && missing && failure.kind == FailureKind::Lasting
            }
            CallKey::Network
            | CallKey::Container(_)
            | CallKey::Forget(_)
            | CallKey::Conclude { .. }
            | CallKey::Routes => false,
        }
    });
    failed.map(|(_, failure)| failure.message.clone())
}

fn keeps_failing(world: &World<'_>, stored: &StoredApp, replica: &ObservedReplica) -> Failure {
    let pod = replica.pod();
    let limit = stored.spec.resources.memory.map(|limit| limit.to_string());
    let end = restart::newest_end(world, replica, limit.as_deref());
    let cause = end.or_else(|| replica.readiness.failure().map(str::to_owned));
    let reason = match cause {
        Some(cause) => format!("{pod} keeps failing: {cause}"),
        None => format!("{pod} keeps failing"),
    };
    Failure { reason, shown_by: Some((pod, replica.id.clone())) }
}

/// Whether the deadline for progress is over; else the time to look again, where something
/// stands in the way.
fn too_late(
    world: &World<'_>,
    stored: &StoredApp,
    sorted: &Sorted<'_>,
    plan: &mut Plan,
) -> Option<Failure> {
    let obstacle = plan.waiting.iter().find(|waiting| stands_in_the_way(sorted, waiting))?;
    let shows = |r: &&&ObservedReplica| Some(r.pod()) == obstacle.pod;
    let replica = sorted.current.iter().find(shows);
    let deadline = stored.spec.rollout.progress_deadline;
    let until = last_progress(world, stored, sorted).saturating_add(deadline.to_signed()).ok()?;
    if until > world.now {
        wait(stored, Wait::Deadline, until, plan);
        return None;
    }
    let reason = format!("no progress within {deadline}: {}", obstacle.text());
    Some(Failure { reason, shown_by: replica.map(|r| (r.pod(), r.id.clone())) })
}

/// Whether what is waited for keeps the wanted revision from getting on.
fn stands_in_the_way(sorted: &Sorted<'_>, waiting: &Waiting) -> bool {
    let is_hard = match &waiting.wait {
        Wait::Ready { .. } | Wait::BackOff { .. } | Wait::Retry { .. } => true,
        Wait::UnderWay
        | Wait::Unrouted
        | Wait::Drained { .. }
        | Wait::SurgeLimit { .. }
        | Wait::Tombstone
        | Wait::PreDeploy
        | Wait::MinReady
        | Wait::Deadline
        | Wait::Stable
        | Wait::Held { .. } => false,
    };
    let leaving = sorted.leaving.iter().map(|(replica, _)| *replica);
    let mut old = sorted.outdated.iter().copied().chain(leaving);
    is_hard && !old.any(|r| Some(r.pod()) == waiting.pod)
}

/// When the rollout last got on: it began, a new replica was made, or one became ready for good, or
/// was so until then. The time in which nobody acted is none that it has taken.
fn last_progress(world: &World<'_>, stored: &StoredApp, sorted: &Sorted<'_>) -> Timestamp {
    let own = sorted.current.iter().filter(|r| r.labels.revision == stored.revision);
    let steps = own.flat_map(|replica| {
        let made = (replica.labels.restarts == 0).then_some(replica.created_at);
        let ready = match replica.readiness {
            Readiness::Ready { since } if world.is_available(stored, replica) => Some(since),
            _ => None,
        };
        let until = world.observed.ready_until.get(&replica.id).copied();
        [made, ready, until].into_iter().flatten()
    });
    let begin = world.observed.acting_since.into_iter().fold(stored.course_since, Timestamp::max);
    steps.fold(begin, Timestamp::max).min(world.now)
}

fn is_complete(world: &World<'_>, stored: &StoredApp, sorted: &Sorted<'_>, plan: &Plan) -> bool {
    let want = usize::from(stored.spec.replicas);
    // A first revision replaces nobody who would be missed, so being ready and routed is enough.
    let serves = |r: &ObservedReplica| {
        world.is_ready(r) && (stored.spec.access.is_none() || world.is_routed(r))
    };
    let counts = |r: &ObservedReplica| {
        world.is_available(stored, r) || (stored.fallback.is_none() && serves(r))
    };
    want > 0
        && sorted.current.len() == want
        && sorted.current.iter().all(|replica| counts(replica))
        && sorted.outdated.is_empty()
        && sorted.leaving.is_empty()
        && plan.blocked.is_empty()
}

/// From when on a complete revision counts as stable, if all goes on as it does.
fn stable_from(stored: &StoredApp, sorted: &Sorted<'_>, at: Timestamp) -> Option<Timestamp> {
    if sorted.current.len() < usize::from(stored.spec.replicas) {
        return None;
    }
    let mut from = at;
    for replica in &sorted.current {
        let ContainerState::Running { started_at } = replica.state else { return None };
        from = from.max(started_at);
    }
    from.saturating_add(STABLE_AFTER).ok()
}

fn failed(world: &World<'_>, stored: &StoredApp, failure: Failure) -> (Verdict, String) {
    let Failure { reason, shown_by } = failure;
    let of_app = world.of(&stored.spec.name).iter();
    let newest_seen = of_app.map(|replica| replica.labels.revision).max().unwrap_or(0);
    // What has just come back is not gone back to once more.
    let came_back = match stored.course.cause {
        RevisionCause::RollBack { to, .. } | RevisionCause::Undo { to } => Some(to),
        RevisionCause::Apply | RevisionCause::Retry { .. } | RevisionCause::Restart => None,
    };
    let roll_back_to = match stored.spec.rollout.on_failure {
        OnFailure::Rollback => stored.fallback.filter(|to| Some(*to) != came_back),
        OnFailure::Pause => None,
    };
    let verdict = Verdict::Failed { reason: reason.clone(), shown_by, roll_back_to, newest_seen };
    (verdict, reason)
}

fn record(
    world: &World<'_>,
    stored: &StoredApp,
    (verdict, what): (Verdict, String),
    plan: &mut Plan,
) {
    let (app, revision) = (stored.spec.name.clone(), stored.revision);
    let planned = Planned {
        app: Some(app.clone()),
        action: Action::Conclude { app: app.clone(), revision, verdict },
        reason: Reason::Concluded { revision, what },
    };
    gate::plan_or_wait(world, &app, None, planned, plan);
}

fn wait(stored: &StoredApp, wait: Wait, until: Timestamp, plan: &mut Plan) {
    let app = stored.spec.name.clone();
    plan.waiting.push(Waiting { app, pod: None, wait, until: Some(until) });
}
