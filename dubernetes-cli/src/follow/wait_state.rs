//! Decides whether the wait for an app is over.

use dubernetes_api::wire::{App, Failure, RolloutOutcome};
use dubernetes_core::app::{AppName, Generation, RevisionId};
use dubernetes_core::plan::Phase;

/// What to wait for: an app with the change that a command made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    /// App.
    pub(crate) app: AppName,
    /// Generation that the controller must have observed.
    pub(crate) generation: Generation,
    /// Oldest revision whose failure fails the wait.
    pub(crate) revision: RevisionId,
}

impl Goal {
    /// Returns the goal for the app as it is stored now.
    pub(crate) fn for_app(app: &App) -> Self {
        Self { app: app.name.clone(), generation: app.generation, revision: app.status.revision }
    }

    /// Returns the goals for these apps.
    pub(crate) fn for_apps(apps: &[App]) -> Vec<Self> {
        apps.iter().map(Self::for_app).collect()
    }
}

/// State of the wait for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitState {
    /// The app is still changing.
    InProgress,
    /// The app is ready and its revision is recorded as complete.
    Ready,
    /// The rollout is paused until a user resumes it.
    Paused,
    /// The revision failed. If another revision was restored, that one is ready.
    Failed,
}

/// Compares an app with its goal.
///
/// A ready app counts only once its revision is recorded as complete: a rollback goes to complete
/// revisions only, and the user may apply the next change at once.
pub(super) fn evaluate(app: &App, goal: &Goal) -> WaitState {
    let status = &app.status;
    if status.observed_generation < goal.generation.max(app.generation) {
        return WaitState::InProgress;
    }
    let is_rolled_back =
        |failure: &Failure| failure.revision >= goal.revision && failure.back_to.is_some();
    let is_recorded = status.desired == 0
        || !matches!(status.rollout, RolloutOutcome::Progressing | RolloutOutcome::Failed);
    match status.phase {
        Phase::Ready if status.failure.as_ref().is_some_and(is_rolled_back) => WaitState::Failed,
        Phase::Ready if !is_recorded => WaitState::InProgress,
        Phase::Ready => WaitState::Ready,
        Phase::Failed => WaitState::Failed,
        Phase::Pending | Phase::Progressing | Phase::Degraded if status.paused => WaitState::Paused,
        Phase::Pending | Phase::Progressing | Phase::Degraded | Phase::Deleting => {
            WaitState::InProgress
        }
    }
}
