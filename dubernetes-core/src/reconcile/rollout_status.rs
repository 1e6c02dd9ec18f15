//! What the rollout of a revision has come to: complete, stable, or failed and why.
//!
//! The only decisions that are remembered, since a revision that has failed must not be tried again after
//! a restart of ours. All else follows from what is seen.

use jiff::{SignedDuration, Timestamp};

use crate::app::OnFailure;
use crate::identity;
use crate::plan::{Action, OperationKey, Plan, Planned, Reason, RolloutResult, Wait, Waiting};
use crate::runtime::{ContainerId, ContainerState};
use crate::state::{self, FailureKind, ObservedReplica, Readiness};
use crate::store::{Outcome, RevisionCause, StoredApp};

use super::classify::Classified;
use super::context::{Context, is_paused};
use super::{backoff, pre_deploy, restart};

/// A complete revision whose replicas run for so long without an exit is stable.
const STABLE_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// A registry that does not answer is asked so often: a hiccup is over by then.
const PULLS: u32 = 3;

/// Why a revision has failed, and what shows it.
struct RolloutFailure {
    reason: String,
    evidence: Option<(String, ContainerId)>,
}

/// Adds the result to the app's part of the plan, or the time to look for it again.
pub(super) fn evaluate(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
    plan: &mut Plan,
) {
    let concludes = |planned: &Planned| matches!(planned.action, Action::RecordRollout { .. });
    if plan.actions.iter().any(concludes) {
        // The command before it has just succeeded. That is recorded first.
        return;
    }
    let outcome = &stored.rollout.outcome;
    let open = matches!(outcome, Outcome::Progressing | Outcome::Complete { .. });
    if open
        && !stored.paused
        && let Some(failure) = failure(context, stored, classified, plan)
    {
        record(context, stored, failed(context, stored, failure), plan);
        return;
    }
    if matches!(outcome, Outcome::Progressing | Outcome::Failed(_))
        && is_complete(context, stored, classified, plan)
    {
        record(context, stored, (RolloutResult::Complete, "complete".to_owned()), plan);
    } else if let Outcome::Complete { at } = outcome
        && let Some(from) = stable_from(stored, classified, *at)
    {
        if from <= context.now {
            record(context, stored, (RolloutResult::Stable, "stable".to_owned()), plan);
        } else {
            wait(stored, Wait::Stable, from, plan);
        }
    }
    if is_paused(stored) && !classified.outdated.is_empty() {
        let (app, paused) = (stored.spec.name.clone(), stored.paused);
        plan.waiting.push(Waiting {
            app,
            pod: None,
            wait: Wait::Paused { by_user: paused },
            until: None,
        });
    }
}

fn failure(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
    plan: &mut Plan,
) -> Option<RolloutFailure> {
    if let Some(reason) = pre_deploy::failure(context, stored) {
        let hook = pre_deploy::of(context, stored)?;
        let pod = identity::pre_deploy_pod_name(&stored.spec.name);
        return Some(RolloutFailure { reason, evidence: Some((pod, hook.id.clone())) });
    }
    if let Some(reason) = permanent_failure(context, stored) {
        return Some(RolloutFailure { reason, evidence: None });
    }
    let looping = |r: &&&ObservedReplica| {
        r.labels.revision == stored.revision
            && restart::is_crash_looping(context, r, stored.rollout_started_at)
    };
    if let Some(looping) = classified.updated.iter().find(looping) {
        return Some(keeps_failing(context, stored, looping));
    }
    if stored.rollout.outcome != Outcome::Progressing {
        return None;
    }
    deadline_exceeded(context, stored, classified, plan)
}

/// A call for the revision that a person would have to mend: the image cannot be had, or the
/// engine refuses its containers.
fn permanent_failure(context: &Context<'_>, stored: &StoredApp) -> Option<String> {
    if stored.rollout.outcome != Outcome::Progressing {
        return None;
    }
    // What failed before it was given another chance shows nothing.
    let since = |failure: &state::CallFailure| failure.at >= stored.rollout_started_at;
    let failures = context.failures_of(&stored.spec.name).iter();
    let failed = failures.filter(|(_, failure)| since(failure)).find(|(key, failure)| {
        let missing = [FailureKind::ImageMissing, FailureKind::ImageDenied];
        match key {
            OperationKey::Image { revision, .. } => {
                let own = *revision == stored.revision;
                let lasts = failure.kind == FailureKind::Permanent && failure.count >= PULLS;
                own && stored.image_id.is_none() && (missing.contains(&failure.kind) || lasts)
            }
            OperationKey::Create { revision, .. } => {
                *revision == stored.revision && failure.kind == FailureKind::Permanent
            }
            // Where the container is there, or is needed no more, only the answer was lost.
            OperationKey::CreatePreDeploy { revision, .. } => {
                let missing =
                    !stored.rollout.pre_deployed && pre_deploy::of(context, stored).is_none();
                let own = *revision == stored.revision;
                own && missing && failure.kind == FailureKind::Permanent
            }
            OperationKey::Network
            | OperationKey::Container(_)
            | OperationKey::PurgeTombstone(_)
            | OperationKey::RecordRollout { .. }
            | OperationKey::Routes => false,
        }
    });
    failed.map(|(_, failure)| failure.message.clone())
}

fn keeps_failing(
    context: &Context<'_>,
    stored: &StoredApp,
    replica: &ObservedReplica,
) -> RolloutFailure {
    let pod = replica.pod();
    let limit = stored.spec.resources.memory.map(|limit| limit.to_string());
    let end = restart::newest_end(context, replica, limit.as_deref());
    let cause = end.or_else(|| replica.readiness.failure().map(str::to_owned));
    let reason = match cause {
        Some(cause) => format!("{pod} keeps failing: {cause}"),
        None => format!("{pod} keeps failing"),
    };
    RolloutFailure { reason, evidence: Some((pod, replica.id.clone())) }
}

/// Whether the deadline for progress is over; else the time to look again, where something
/// stands in the way.
fn deadline_exceeded(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
    plan: &mut Plan,
) -> Option<RolloutFailure> {
    let obstacle = plan.waiting.iter().find(|waiting| blocks_progress(classified, waiting))?;
    let shows = |r: &&&ObservedReplica| Some(r.pod()) == obstacle.pod;
    let replica = classified.updated.iter().find(shows);
    let deadline = stored.spec.rollout.progress_deadline;
    let until =
        last_progress(context, stored, classified).saturating_add(deadline.to_signed()).ok()?;
    if until > context.now {
        wait(stored, Wait::Deadline, until, plan);
        return None;
    }
    let reason = format!("no progress within {deadline}: {}", obstacle.text());
    Some(RolloutFailure { reason, evidence: replica.map(|r| (r.pod(), r.id.clone())) })
}

/// Whether what is waited for keeps the wanted revision from getting on.
fn blocks_progress(classified: &Classified<'_>, waiting: &Waiting) -> bool {
    let is_hard = match &waiting.wait {
        Wait::Ready { .. } | Wait::BackOff { .. } | Wait::Retry { .. } => true,
        Wait::InProgress
        | Wait::AwaitingUnroute
        | Wait::Drained { .. }
        | Wait::SurgeLimit { .. }
        | Wait::Tombstone
        | Wait::PreDeploy
        | Wait::MinReady
        | Wait::Deadline
        | Wait::Stable
        | Wait::Paused { .. } => false,
    };
    let leaving = classified.terminating.iter().map(|(replica, _)| *replica);
    let mut old = classified.outdated.iter().copied().chain(leaving);
    is_hard && !old.any(|r| Some(r.pod()) == waiting.pod)
}

/// When the rollout last got on: it began, a new replica was made, or one became ready for good, or
/// was so until then. The time in which nobody acted is none that it has taken.
fn last_progress(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
) -> Timestamp {
    let own = classified.updated.iter().filter(|r| r.labels.revision == stored.revision);
    let steps = own.flat_map(|replica| {
        let made = (replica.labels.restarts == 0).then_some(replica.created_at);
        let ready = match replica.readiness {
            Readiness::Ready { since } if context.is_available(stored, replica) => Some(since),
            _ => None,
        };
        let until = context.observed.last_ready_at.get(&replica.id).copied();
        [made, ready, until].into_iter().flatten()
    });
    let begin =
        context.observed.active_since.into_iter().fold(stored.rollout_started_at, Timestamp::max);
    steps.fold(begin, Timestamp::max).min(context.now)
}

fn is_complete(
    context: &Context<'_>,
    stored: &StoredApp,
    classified: &Classified<'_>,
    plan: &Plan,
) -> bool {
    let want = usize::from(stored.spec.replicas);
    // A first revision replaces nobody who would be missed, so being ready and routed is enough.
    let serves = |r: &ObservedReplica| {
        context.is_ready(r) && (stored.spec.access.is_none() || context.is_routed(r))
    };
    let counts = |r: &ObservedReplica| {
        context.is_available(stored, r) || (stored.fallback.is_none() && serves(r))
    };
    want > 0
        && classified.updated.len() == want
        && classified.updated.iter().all(|replica| counts(replica))
        && classified.outdated.is_empty()
        && classified.terminating.is_empty()
        && plan.blocked.is_empty()
}

/// From when on a complete revision counts as stable, if all goes on as it does.
fn stable_from(
    stored: &StoredApp,
    classified: &Classified<'_>,
    at: Timestamp,
) -> Option<Timestamp> {
    if classified.updated.len() < usize::from(stored.spec.replicas) {
        return None;
    }
    let mut from = at;
    for replica in &classified.updated {
        let ContainerState::Running { started_at } = replica.state else { return None };
        from = from.max(started_at);
    }
    from.saturating_add(STABLE_AFTER).ok()
}

fn failed(
    context: &Context<'_>,
    stored: &StoredApp,
    failure: RolloutFailure,
) -> (RolloutResult, String) {
    let RolloutFailure { reason, evidence } = failure;
    let of_app = context.of(&stored.spec.name).iter();
    let newest_seen = of_app.map(|replica| replica.labels.revision).max().unwrap_or(0);
    // What has just come back is not gone back to once more.
    let rolled_back_from = match stored.rollout.cause {
        RevisionCause::RollBack { to, .. } | RevisionCause::Undo { to } => Some(to),
        RevisionCause::Apply | RevisionCause::Retry { .. } | RevisionCause::Restart => None,
    };
    let roll_back_to = match stored.spec.rollout.on_failure {
        OnFailure::Rollback => stored.fallback.filter(|to| Some(*to) != rolled_back_from),
        OnFailure::Pause => None,
    };
    let result =
        RolloutResult::Failed { reason: reason.clone(), evidence, roll_back_to, newest_seen };
    (result, reason)
}

fn record(
    context: &Context<'_>,
    stored: &StoredApp,
    (result, what): (RolloutResult, String),
    plan: &mut Plan,
) {
    let (app, revision) = (stored.spec.name.clone(), stored.revision);
    let planned = Planned {
        app: Some(app.clone()),
        action: Action::RecordRollout { app: app.clone(), revision, result },
        reason: Reason::RolloutRecorded { revision, what },
    };
    backoff::plan_or_wait(context, &app, None, planned, plan);
}

fn wait(stored: &StoredApp, wait: Wait, until: Timestamp, plan: &mut Plan) {
    let app = stored.spec.name.clone();
    plan.waiting.push(Waiting { app, pod: None, wait, until: Some(until) });
}
