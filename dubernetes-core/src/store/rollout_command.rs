//! Decides what becomes of an app and its revisions where no new specification is put: going
//! back, restarting, pausing, and the verdicts of the rollout. Pure, as [`super::decide_put`].

use jiff::Timestamp;
use serde::Serialize;

use crate::app::{AppName, AppSpec};
use crate::identity;

use super::put::{self, Next, PutDecision};
use super::{
    Change, Outcome, Put, Revision, RevisionCause, RevisionFailure, RevisionRollout, StoreError,
    StoredApp,
};

/// A user's wish for an app that is no new specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutCommand {
    /// The app.
    pub name: AppName,
    /// What is wished.
    pub action: RolloutAction,
    /// The newest revision seen on containers of this app: a new revision is above it.
    pub newest_seen: u64,
    /// When.
    pub now: Timestamp,
}

/// What a user may wish for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutAction {
    /// The content of an earlier revision; of the last complete one unless given.
    Undo {
        /// Which.
        to: Option<u64>,
    },
    /// All replicas replaced, with the image resolved anew.
    Restart,
    /// No replica replaced by a newer revision until resumed.
    Pause,
    /// The rollout goes on.
    Resume,
}

/// What the rollout of the present revision has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutUpdate {
    /// The command before it succeeded.
    PreDeployed {
        /// Its last lines.
        log: Vec<String>,
    },
    /// All wanted replicas are ready, and no older one is left.
    Complete,
    /// It ran for a minute without an exit.
    Stable,
    /// It failed.
    Failed {
        /// Why.
        failure: RevisionFailure,
        /// The revision that takes its place again, if one does.
        roll_back_to: Option<u64>,
        /// The newest revision seen on containers.
        newest_seen: u64,
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

/// What a wish makes of a live app with these revisions.
///
/// # Errors
///
/// [`StoreError::NoRevision`] if there is none to go back to.
pub fn decide_rollout_command(
    app: &StoredApp,
    revisions: &[Revision],
    update_rollout: &RolloutCommand,
) -> Result<PutDecision, StoreError> {
    match update_rollout.action {
        RolloutAction::Undo { to } => {
            let target = undo_target(app, revisions, to)?;
            if is_present(app, target, update_rollout.newest_seen) {
                return Ok(PutDecision::unchanged(app));
            }
            let cause = RevisionCause::Undo { to: target.revision };
            go_back(app, revisions, target, cause, update_rollout.newest_seen, update_rollout.now)
        }
        RolloutAction::Restart => {
            let rollout = RevisionRollout {
                cause: RevisionCause::Restart,
                restart_nonce: put::next_restart_nonce(app, revisions),
                ..RevisionRollout::default()
            };
            let next = Next { spec: app.spec.clone(), image_id: None, rollout };
            put::succeed(app, revisions, next, update_rollout.newest_seen, update_rollout.now)
        }
        RolloutAction::Pause | RolloutAction::Resume => {
            let paused = update_rollout.action == RolloutAction::Pause;
            let failed = app.rollout.outcome.failure().is_some();
            if app.paused == paused && (paused || !failed) {
                return Ok(PutDecision::unchanged(app));
            }
            let mut app = StoredApp { paused, ..app.clone() };
            let mut written = Vec::new();
            if !paused && failed {
                // Whoever lets a failed rollout go on gives it another chance.
                app.rollout.outcome = Outcome::Progressing;
                app.rollout.attempts = app.rollout.attempts.saturating_add(1);
                written = put::present(&app, revisions).into_iter().collect();
            }
            if !paused {
                // The time that it was held is no time that it has taken.
                app.rollout_started_at = update_rollout.now;
            }
            Ok(PutDecision {
                put: Put { app, change: Change::Configured },
                written,
                dropped: vec![],
            })
        }
    }
}

/// What a verdict makes of a live app; `None` if it is about another revision, or says nothing
/// new.
///
/// # Errors
///
/// [`StoreError::Failed`] if there is no higher revision.
pub fn apply_rollout_update(
    app: &StoredApp,
    revisions: &[Revision],
    revision: u64,
    update: &RolloutUpdate,
    now: Timestamp,
) -> Result<Option<PutDecision>, StoreError> {
    if app.revision != revision {
        return Ok(None);
    }
    let mut marked = app.clone();
    let rollout = &mut marked.rollout;
    match update {
        RolloutUpdate::PreDeployed { log } => {
            rollout.pre_deployed = true;
            rollout.pre_deploy_log.clone_from(log);
            marked.rollout_started_at = now;
        }
        RolloutUpdate::Complete if rollout.outcome.was_complete() => return Ok(None),
        RolloutUpdate::Complete => rollout.outcome = Outcome::Complete { at: now },
        RolloutUpdate::Stable => rollout.outcome = Outcome::Stable,
        RolloutUpdate::Failed { failure, .. } => {
            rollout.outcome = Outcome::Failed(Box::new(failure.clone()));
        }
    }
    if marked == *app {
        return Ok(None);
    }
    let failed = put::present(&marked, revisions);
    // What has just this content would fail again, and so on for ever.
    let other = |kept: &&Revision| kept.content_hash() != app.content_hash();
    if let RolloutUpdate::Failed { failure, roll_back_to: Some(to), newest_seen } = update
        && let Some(target) = revisions.iter().find(|kept| kept.revision == *to).filter(other)
    {
        let failure = Box::new(failure.clone());
        let cause = RevisionCause::RollBack { from: revision, to: *to, failure };
        let mut decided = go_back(&marked, revisions, target, cause, *newest_seen, now)?;
        // The failed one may have been dropped from the history by the one that follows it.
        let failed = failed.filter(|failed| !decided.dropped.contains(&failed.revision));
        decided.written.retain(|kept| kept.revision != revision);
        decided.written.extend(failed);
        return Ok(Some(decided));
    }
    let put = Put { app: marked, change: Change::Configured };
    Ok(Some(PutDecision { put, written: failed.into_iter().collect(), dropped: Vec::new() }))
}

/// Whether an app is what a revision was already, and has not failed with it.
fn is_present(app: &StoredApp, target: &Revision, newest_seen: u64) -> bool {
    target.content_hash() == app.content_hash()
        && target.image_id == app.image_id
        && app.rollout.outcome.failure().is_none()
        && newest_seen <= app.revision
}

/// The revision that an undo goes back to.
fn undo_target<'a>(
    app: &StoredApp,
    revisions: &'a [Revision],
    to: Option<u64>,
) -> Result<&'a Revision, StoreError> {
    let none = || StoreError::NoRevision {
        name: app.spec.name.clone(),
        revision: to,
        kept: revisions.iter().map(|kept| kept.revision).collect(),
    };
    if let Some(number) = to {
        return revisions.iter().find(|kept| kept.revision == number).ok_or_else(none);
    }
    let present = app.content_hash();
    let others = || revisions.iter().rev().filter(|kept| kept.content_hash() != present);
    // Without one that was ever complete, the one before has to do, unless it has failed.
    let complete = others().find(|kept| kept.rollout.outcome.was_complete());
    let open = || others().find(|kept| kept.rollout.outcome.failure().is_none());
    complete.or_else(open).ok_or_else(none)
}

/// A new revision with the content and the image of an earlier one. What is no part of a revision
/// stays as it is.
fn go_back(
    app: &StoredApp,
    revisions: &[Revision],
    target: &Revision,
    cause: RevisionCause,
    newest_seen: u64,
    now: Timestamp,
) -> Result<PutDecision, StoreError> {
    let mut spec: AppSpec = target.spec.clone();
    identity::copy_mutable_fields(&mut spec, &app.spec);
    // The command before it is not run twice, but it has to have succeeded once.
    let RevisionRollout { pre_deployed, restart_nonce, .. } = target.rollout;
    let rollout =
        RevisionRollout { cause, pre_deployed, restart_nonce, ..RevisionRollout::default() };
    let next = Next { spec, image_id: target.image_id.clone(), rollout };
    put::succeed(app, revisions, next, newest_seen, now)
}
