//! Decides what rollout commands and rollout results do to an app and its revisions: undo,
//! restart, pause, resume; complete, stable, failed. Pure, like [`super::decide_put`].

use jiff::Timestamp;
use serde::Serialize;

use crate::app::{AppName, RevisionId};
use crate::identity;

use super::put::{self, NextRevision, StoreDecision};
use super::{
    Change, Outcome, Put, Revision, RevisionCause, RevisionFailure, RevisionRollout, StoreError,
    StoredApp,
};

/// A user's request that changes an app's rollout without a new specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutCommand {
    /// The app.
    pub name: AppName,
    /// What to do.
    pub action: RolloutAction,
    /// The newest revision observed on containers of this app: a new revision is above it.
    pub newest_seen: RevisionId,
    /// The time of the request.
    pub now: Timestamp,
}

/// What a rollout command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutAction {
    /// Restores the content of an earlier revision.
    Undo {
        /// The revision; the last complete one if `None`.
        to: Option<RevisionId>,
    },
    /// Replaces all replicas, and resolves the image again.
    Restart,
    /// Replaces no more replicas until the rollout is resumed.
    Pause,
    /// Continues a paused rollout, or gives a failed one another attempt.
    Resume,
}

/// A result of the rollout of the current revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RolloutUpdate {
    /// The pre-deploy hook succeeded.
    PreDeployed {
        /// The last lines of its output.
        log: Vec<String>,
    },
    /// All desired replicas are ready, and no older one is left.
    Complete,
    /// A complete revision ran for a minute without an exit.
    Stable,
    /// The revision failed.
    Failed {
        /// Why.
        failure: RevisionFailure,
        /// The revision to restore, if any.
        roll_back_to: Option<RevisionId>,
        /// The newest revision observed on containers of this app.
        newest_seen: RevisionId,
    },
}

impl RolloutUpdate {
    /// Adds the last lines of the container that shows the result.
    #[must_use]
    pub fn with_log(mut self, lines: Vec<String>) -> Self {
        match &mut self {
            Self::PreDeployed { log } => *log = lines,
            Self::Failed { failure, .. } => failure.log = lines,
            Self::Complete | Self::Stable => {}
        }
        self
    }
}

/// Decides what a rollout command does to a live app with these revisions.
///
/// # Errors
///
/// [`StoreError::NoRevision`] if the revision to restore does not exist; [`StoreError::Failed`] if
/// revision numbers are used up.
pub fn decide_rollout_command(
    app: &StoredApp,
    revisions: &[Revision],
    command: &RolloutCommand,
) -> Result<StoreDecision, StoreError> {
    match command.action {
        RolloutAction::Undo { to } => {
            let target = undo_target(app, revisions, to)?;
            if is_current(app, target, command.newest_seen) {
                return Ok(StoreDecision::unchanged(app));
            }
            let cause = RevisionCause::Undo { to: target.revision };
            restore(app, revisions, target, cause, command.newest_seen, command.now)
        }
        RolloutAction::Restart => {
            let rollout = RevisionRollout {
                cause: RevisionCause::Restart,
                restart_nonce: put::next_restart_nonce(app, revisions),
                ..RevisionRollout::default()
            };
            let next = NextRevision { spec: app.spec.clone(), image_id: None, rollout };
            put::supersede(app, revisions, next, command.newest_seen, command.now)
        }
        RolloutAction::Pause => Ok(pause(app)),
        RolloutAction::Resume => Ok(resume(app, revisions, command.now)),
    }
}

fn pause(app: &StoredApp) -> StoreDecision {
    if app.paused {
        return StoreDecision::unchanged(app);
    }
    let app = StoredApp { paused: true, ..app.clone() };
    let put = Put { app, change: Change::Configured };
    StoreDecision { put, written: Vec::new(), dropped: Vec::new() }
}

fn resume(app: &StoredApp, revisions: &[Revision], now: Timestamp) -> StoreDecision {
    let has_failed = app.rollout.outcome.failure().is_some();
    if !app.paused && !has_failed {
        return StoreDecision::unchanged(app);
    }
    // Time spent paused does not count towards the progress deadline.
    let mut app = StoredApp { paused: false, rollout_started_at: now, ..app.clone() };
    let mut written = Vec::new();
    if has_failed {
        app.rollout.outcome = Outcome::Progressing;
        app.rollout.attempts = app.rollout.attempts.saturating_add(1);
        written.extend(put::current_revision(&app, revisions));
    }
    let put = Put { app, change: Change::Configured };
    StoreDecision { put, written, dropped: Vec::new() }
}

/// Decides what a rollout result does to a live app. Returns `None` if the result is about another
/// revision or already recorded.
///
/// # Errors
///
/// [`StoreError::Failed`] if revision numbers are used up.
pub fn apply_rollout_update(
    app: &StoredApp,
    revisions: &[Revision],
    revision: RevisionId,
    update: &RolloutUpdate,
    now: Timestamp,
) -> Result<Option<StoreDecision>, StoreError> {
    if app.revision != revision {
        return Ok(None);
    }
    let mut updated = app.clone();
    let rollout = &mut updated.rollout;
    match update {
        RolloutUpdate::PreDeployed { log } => {
            rollout.pre_deployed = true;
            rollout.pre_deploy_log.clone_from(log);
            updated.rollout_started_at = now;
        }
        RolloutUpdate::Complete if rollout.outcome.was_complete() => return Ok(None),
        RolloutUpdate::Complete => rollout.outcome = Outcome::Complete { at: now },
        RolloutUpdate::Stable => rollout.outcome = Outcome::Stable,
        RolloutUpdate::Failed { failure, .. } => {
            rollout.outcome = Outcome::Failed(Box::new(failure.clone()));
        }
    }
    if updated == *app {
        return Ok(None);
    }
    let recorded = put::current_revision(&updated, revisions);
    // A target with the content that failed would fail again, and roll back again, without end.
    let differs = |kept: &&Revision| kept.content_hash() != app.content_hash();
    if let RolloutUpdate::Failed { failure, roll_back_to: Some(to), newest_seen } = update
        && let Some(target) = revisions.iter().find(|kept| kept.revision == *to).filter(differs)
    {
        let failure = Box::new(failure.clone());
        let cause = RevisionCause::RollBack { from: revision, to: *to, failure };
        let mut decision = restore(&updated, revisions, target, cause, *newest_seen, now)?;
        // The new revision may have pushed the failed one out of the history.
        let recorded = recorded.filter(|kept| !decision.dropped.contains(&kept.revision));
        decision.written.retain(|kept| kept.revision != revision);
        decision.written.extend(recorded);
        return Ok(Some(decision));
    }
    let put = Put { app: updated, change: Change::Configured };
    let written = recorded.into_iter().collect();
    Ok(Some(StoreDecision { put, written, dropped: Vec::new() }))
}

/// Returns whether the app already is what a revision was, and has not failed as such.
fn is_current(app: &StoredApp, target: &Revision, newest_seen: RevisionId) -> bool {
    target.content_hash() == app.content_hash()
        && target.image_id == app.image_id
        && app.rollout.outcome.failure().is_none()
        && newest_seen <= app.revision
}

/// Returns the revision that an undo restores.
fn undo_target<'a>(
    app: &StoredApp,
    revisions: &'a [Revision],
    to: Option<RevisionId>,
) -> Result<&'a Revision, StoreError> {
    let missing = || StoreError::NoRevision {
        name: app.spec.name.clone(),
        revision: to,
        kept: revisions.iter().map(|kept| kept.revision).collect(),
    };
    if let Some(number) = to {
        return revisions.iter().find(|kept| kept.revision == number).ok_or_else(missing);
    }
    let current = app.content_hash();
    let others = || revisions.iter().rev().filter(|kept| kept.content_hash() != current);
    // Without a complete revision, the newest that has not failed is used.
    let complete = others().find(|kept| kept.rollout.outcome.was_complete());
    let unfailed = || others().find(|kept| kept.rollout.outcome.failure().is_none());
    complete.or_else(unfailed).ok_or_else(missing)
}

/// Creates a revision with the content and image of an earlier one. Fields that are not part of a
/// revision keep their values.
fn restore(
    app: &StoredApp,
    revisions: &[Revision],
    target: &Revision,
    cause: RevisionCause,
    newest_seen: RevisionId,
    now: Timestamp,
) -> Result<StoreDecision, StoreError> {
    let mut spec = target.spec.clone();
    spec.update(|spec| identity::copy_mutable_fields(spec, &app.spec));
    // The pre-deploy hook runs again only if it never succeeded for this content.
    let RevisionRollout { pre_deployed, restart_nonce, .. } = target.rollout;
    let rollout =
        RevisionRollout { cause, pre_deployed, restart_nonce, ..RevisionRollout::default() };
    let next = NextRevision { spec, image_id: target.image_id.clone(), rollout };
    put::supersede(app, revisions, next, newest_seen, now)
}
