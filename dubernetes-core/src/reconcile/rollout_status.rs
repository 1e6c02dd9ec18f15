//! Whether the rollout of a revision is complete, stable, or failed, and why.
//!
//! These results are the only decisions that are stored: a failed revision must not be tried again
//! after a restart of the orchestrator. Everything else follows from what is observed.

use jiff::{SignedDuration, Timestamp};

use crate::app::{OnFailure, PodName, RevisionId};
use crate::call::{CallFailure, FailureKind, OperationKey};
use crate::plan::{Action, Planned, Reason, Wait, Waiting};
use crate::runtime::{ContainerId, ContainerState};
use crate::state::Readiness;
use crate::store::{Outcome, RevisionCause, RevisionFailure, RolloutUpdate};

use super::app::App;
use super::classify::Replicas;
use super::context::Context;
use super::limits::count;
use super::pre_deploy::Hook;
use super::replica::{Replica, Role};
use super::step::{Step, Steps};
use super::{backoff, exit, pre_deploy};

/// A complete revision whose replicas run this long without an exit is stable.
const STABLE_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// Pulls of an image before an unreachable registry fails the revision: a hiccup is over by then.
const PULLS: u32 = 3;

/// How long a first revision may crash before it fails, if `rollout.progress_deadline` is longer:
/// what it connects to, such as a database that makes its files, may still be starting.
const FIRST_REVISION_PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What is to be recorded of a rollout, or waited for.
#[derive(Debug, Default)]
pub(super) struct RolloutStatus {
    pub(super) steps: Vec<Step>,
    /// A result is recorded now, or its record is in flight.
    pub(super) is_recorded: bool,
}

/// Why a revision has failed, and the container or the call that shows it.
struct RolloutFailure {
    reason: String,
    evidence: Option<(PodName, ContainerId)>,
    call: Option<OperationKey>,
}

/// Whether the rollout makes progress.
enum Progress {
    Failed(RolloutFailure),
    /// Something blocks progress: the revision fails if that lasts until then.
    Blocked(Timestamp),
    Unblocked,
}

/// Evaluates the rollout of the wanted revision, after the steps of the other stages.
pub(super) fn evaluate(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    hook: &Hook<'_>,
    before: &Steps,
) -> RolloutStatus {
    let steps = if let Hook::Succeeded(hook) = hook {
        let update = RolloutUpdate::PreDeployed { log: Vec::new() };
        vec![record(context, app, update, Some(hook.id.clone()), "pre-deploy hook succeeded")]
    } else {
        match progress(context, app, replicas, hook, before) {
            Progress::Failed(failure) => vec![record_failure(context, app, failure)],
            Progress::Blocked(until) => {
                let deadline = Step::wait(app.name(), None, Wait::Deadline, Some(until));
                let result = completion(context, app, replicas, before);
                [Some(deadline), result, paused(app, replicas)].into_iter().flatten().collect()
            }
            Progress::Unblocked => {
                let result = completion(context, app, replicas, before);
                [result, paused(app, replicas)].into_iter().flatten().collect()
            }
        }
    };
    let is_recorded = steps.iter().any(Step::is_action) || app.observed.is_recording_rollout();
    RolloutStatus { steps, is_recorded }
}

fn progress(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    hook: &Hook<'_>,
    before: &Steps,
) -> Progress {
    let outcome = &app.stored.rollout.outcome;
    let is_open = app.is_progressing() || matches!(outcome, Outcome::Complete { .. });
    if !is_open || app.stored.paused {
        return Progress::Unblocked;
    }
    if let Hook::Failed { hook, reason } = hook {
        let evidence = (PodName::pre_deploy(app.name()), hook.id.clone());
        let reason = reason.clone();
        return Progress::Failed(RolloutFailure { reason, evidence: Some(evidence), call: None });
    }
    let failed_call = app
        .observed
        .failures
        .iter()
        .find(|(key, failure)| app.is_progressing() && is_permanent_failure(app, key, failure));
    if let Some((call, failure)) = failed_call {
        return Progress::Failed(RolloutFailure {
            reason: failure.message.clone(),
            evidence: None,
            call: Some((*call).clone()),
        });
    }
    let is_own = |r: &Replica<'_>| r.labels().revision == app.stored.revision;
    if let Some(looping) = replicas.updated().find(|r| r.crash_looping && is_own(r)) {
        let until = patience(context, app, looping);
        return match until.filter(|until| *until > context.now) {
            Some(until) => Progress::Blocked(until),
            None => Progress::Failed(keeps_failing(looping)),
        };
    }
    if !app.is_progressing() {
        return Progress::Unblocked;
    }
    deadline(context, app, replicas, before)
}

/// Until when a crash loop does not fail the revision: there is no earlier one to go back to, so
/// nothing is lost by trying on. A process that cannot be started at all waits for nothing.
fn patience(context: &Context<'_>, app: &App<'_>, looping: &Replica<'_>) -> Option<Timestamp> {
    let cannot_start = matches!(looping.observed.state, ContainerState::StartFailed { .. });
    if app.stored.fallback.is_some() || cannot_start {
        return None;
    }
    let deadline = app.stored.spec.rollout.progress_deadline.to_signed();
    let began_at = began_at(context, app).min(context.now);
    began_at.saturating_add(deadline.min(FIRST_REVISION_PATIENCE)).ok()
}

/// Returns when the rollout began. Time without an active orchestrator does not count.
fn began_at(context: &Context<'_>, app: &App<'_>) -> Timestamp {
    let active_since = context.observed.active_since.into_iter();
    active_since.fold(app.stored.rollout_started_at, Timestamp::max)
}

/// Whether a failed call shows that the revision cannot be rolled out unless a person acts: its
/// image cannot be pulled, or the engine refuses its containers.
fn is_permanent_failure(app: &App<'_>, key: &OperationKey, failure: &CallFailure) -> bool {
    let is_permanent = failure.kind == FailureKind::Permanent;
    // What failed before the revision got another chance shows nothing.
    let is_current = |revision: RevisionId| {
        revision == app.stored.revision && failure.at >= app.stored.rollout_started_at
    };
    match key {
        OperationKey::Image { revision, .. } => {
            let is_missing =
                matches!(failure.kind, FailureKind::ImageMissing | FailureKind::ImageDenied);
            let is_given_up = is_permanent && failure.count >= PULLS;
            is_current(*revision) && app.stored.image_id.is_none() && (is_missing || is_given_up)
        }
        OperationKey::Create { revision, .. } => is_current(*revision) && is_permanent,
        // If the container exists, or is not needed any more, only the answer was lost.
        OperationKey::CreatePreDeploy { revision, .. } => {
            let is_needed = !app.stored.rollout.pre_deployed;
            let is_missing = pre_deploy::container(app).is_none();
            is_current(*revision) && is_permanent && is_needed && is_missing
        }
        OperationKey::Network
        | OperationKey::Container(_)
        | OperationKey::PurgeTombstone(_)
        | OperationKey::RecordRollout { .. }
        | OperationKey::ClearEviction { .. }
        | OperationKey::Teardown
        | OperationKey::Certificate(_)
        | OperationKey::Routes
        | OperationKey::CreateOneOff { .. }
        | OperationKey::DrainCheck(_) => false,
    }
}

fn keeps_failing(replica: &Replica<'_>) -> RolloutFailure {
    let pod = replica.pod();
    let not_ready = || replica.observed.readiness.failure().map(str::to_owned);
    let reason = match exit::last_failure(replica).or_else(not_ready) {
        Some(cause) => format!("{pod} keeps failing: {cause}"),
        None => format!("{pod} keeps failing"),
    };
    RolloutFailure { reason, evidence: Some((pod, replica.observed.id.clone())), call: None }
}

/// Checks the progress deadline, which runs while something blocks progress.
fn deadline(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    before: &Steps,
) -> Progress {
    let obstacle = before.waiting.iter().find(|waiting| blocks_progress(replicas, waiting));
    let Some(obstacle) = obstacle else { return Progress::Unblocked };
    let deadline = app.stored.spec.rollout.progress_deadline;
    let started_at = last_progress(context, app, replicas);
    let Ok(until) = started_at.saturating_add(deadline.to_signed()) else {
        return Progress::Unblocked;
    };
    if until > context.now {
        return Progress::Blocked(until);
    }
    let reason = format!("no progress within {deadline}: {}", obstacle.text());
    let shown_by = replicas.updated().find(|r| Some(r.pod()) == obstacle.pod);
    let evidence = shown_by.map(|r| (r.pod(), r.observed.id.clone()));
    Progress::Failed(RolloutFailure { reason, evidence, call: obstacle.wait.call().cloned() })
}

/// Whether a wait keeps the wanted revision from being rolled out.
fn blocks_progress(replicas: &Replicas<'_>, waiting: &Waiting) -> bool {
    let mut others = replicas.iter().filter(|replica| replica.role != Role::Updated);
    waiting.wait.row().blocks_progress && !others.any(|replica| Some(replica.pod()) == waiting.pod)
}

/// Returns when the rollout last made progress: it began, a new replica was created or became
/// available, or a replica stopped being ready.
fn last_progress(context: &Context<'_>, app: &App<'_>, replicas: &Replicas<'_>) -> Timestamp {
    let own = replicas.updated().filter(|r| r.labels().revision == app.stored.revision);
    let steps = own.flat_map(|replica| {
        let observed = replica.observed;
        let created_at = (observed.labels.restarts == 0).then_some(observed.created_at);
        let available_since = if let Readiness::Ready { since } = observed.readiness {
            replica.available.then_some(since)
        } else {
            None
        };
        let last_ready_at = context.observed.last_ready_at.get(&observed.id).copied();
        [created_at, available_since, last_ready_at].into_iter().flatten()
    });
    steps.fold(began_at(context, app), Timestamp::max).min(context.now)
}

/// Returns the next result of a rollout that has not failed, or the wait for that.
fn completion(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    before: &Steps,
) -> Option<Step> {
    match &app.stored.rollout.outcome {
        Outcome::Progressing | Outcome::Failed(_) => {
            let is_complete = is_complete(app, replicas) && before.blocked.is_empty();
            is_complete.then(|| record(context, app, RolloutUpdate::Complete, None, "complete"))
        }
        Outcome::Complete { at } => {
            let from = stable_from(app, replicas, *at)?;
            Some(if from <= context.now {
                record(context, app, RolloutUpdate::Stable, None, "stable")
            } else {
                Step::wait(app.name(), None, Wait::Stable, Some(from))
            })
        }
        Outcome::Stable | Outcome::Superseded => None,
    }
}

fn is_complete(app: &App<'_>, replicas: &Replicas<'_>) -> bool {
    // A first revision replaces nothing, so being ready and routed is enough.
    let is_first = app.stored.fallback.is_none();
    let is_done = |replica: &Replica<'_>| {
        let serves = replica.ready && (!app.stored.spec.is_reachable() || replica.routed);
        replica.role == Role::Updated && (replica.available || is_first && serves)
    };
    app.limits.desired > 0
        && count(replicas.iter().count()) == app.limits.desired
        && replicas.iter().all(is_done)
}

/// Returns when a complete revision becomes stable if no replica exits.
fn stable_from(app: &App<'_>, replicas: &Replicas<'_>, at: Timestamp) -> Option<Timestamp> {
    if count(replicas.updated().count()) < app.limits.desired {
        return None;
    }
    let started = replicas.updated().map(|replica| replica.observed.state.started_at());
    let started: Option<Vec<_>> = started.collect();
    let from = started?.into_iter().fold(at, Timestamp::max);
    from.saturating_add(STABLE_AFTER).ok()
}

fn paused(app: &App<'_>, replicas: &Replicas<'_>) -> Option<Step> {
    let wait = Wait::Paused { by_user: app.stored.paused };
    (app.paused && replicas.has_outdated()).then(|| Step::wait(app.name(), None, wait, None))
}

fn record_failure(context: &Context<'_>, app: &App<'_>, failure: RolloutFailure) -> Step {
    let RolloutFailure { reason, evidence, call } = failure;
    let revisions = app.observed.replicas.iter().map(|replica| replica.labels.revision);
    // A rollback that fails is not rolled back to the same revision again.
    let rolled_back_from = match app.stored.rollout.cause {
        RevisionCause::RollBack { to, .. } | RevisionCause::Undo { to } => Some(to),
        RevisionCause::Apply
        | RevisionCause::Retry { .. }
        | RevisionCause::Restart
        | RevisionCause::SecretChange { .. } => None,
    };
    let roll_back_to = match app.stored.spec.rollout.on_failure {
        OnFailure::Rollback => app.stored.fallback.filter(|to| Some(*to) != rolled_back_from),
        OnFailure::Pause => None,
    };
    let (pod, log_of) = evidence.unzip();
    let failure =
        RevisionFailure { at: context.now, reason: reason.clone(), pod, log: Vec::new(), call };
    let newest_seen = revisions.max().unwrap_or(RevisionId::NONE);
    let update = RolloutUpdate::Failed { failure, roll_back_to, newest_seen };
    record(context, app, update, log_of, &reason)
}

fn record(
    context: &Context<'_>,
    app: &App<'_>,
    update: RolloutUpdate,
    log_of: Option<ContainerId>,
    what: &str,
) -> Step {
    let name = app.name();
    let revision = app.stored.revision;
    let action = Action::RecordRollout { app: name.clone(), revision, update, log_of };
    let reason = Reason::RolloutRecorded { revision, what: what.to_owned() };
    let planned = Planned::for_revision(name, revision, action, reason);
    backoff::attempt(context, name, planned)
}
