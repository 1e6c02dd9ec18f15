//! Why an operation on a store failed.

use thiserror::Error;

use crate::app::{AppName, Generation, InvalidSpec, RevisionId, RouteConflict, SecretName};
use crate::error::SharedError;

/// Why an operation on the store failed, classified by what the caller must do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The specification breaks rules, or lacks contents of files. Correct it.
    #[error("app `{name}` is invalid: {problems}")]
    Invalid {
        /// The name.
        name: AppName,
        /// What is wrong.
        problems: InvalidSpec,
    },
    /// The instance is torn down, so that no app can be stored. Wait until that is done.
    #[error("the instance is being torn down")]
    TearingDown,
    /// The app does not exist.
    #[error("app `{name}` not found")]
    NotFound {
        /// The name.
        name: AppName,
    },
    /// The caller's view is stale: read and decide again.
    #[error("app `{name}` has generation {present}, not {expected}")]
    StaleGeneration {
        /// The app.
        name: AppName,
        /// The generation that the caller expected.
        expected: Generation,
        /// The stored generation; 0 if the app does not exist.
        present: Generation,
    },
    /// Another app has the same host and path, or the same port of the host.
    #[error("{0}")]
    RouteTaken(RouteConflict),
    /// A revision with this content has failed. Apply another specification, or set `retry`.
    #[error("revision {revision} of app `{name}` already failed with this spec: {reason}")]
    PreviouslyFailed {
        /// The app.
        name: AppName,
        /// The revision.
        revision: RevisionId,
        /// Why it failed.
        reason: String,
    },
    /// The revision does not exist, or there is no earlier one.
    #[error("{}", no_revision(name, *revision))]
    NoRevision {
        /// The app.
        name: AppName,
        /// The requested revision.
        revision: Option<RevisionId>,
        /// The kept revisions.
        kept: Vec<RevisionId>,
    },
    /// The secret does not exist.
    #[error("secret `{name}` not found")]
    SecretNotFound {
        /// The name.
        name: SecretName,
    },
    /// Apps use the secret, so it cannot be deleted. Change or delete them first.
    #[error("secret `{name}` is used by {}", join_names(apps))]
    SecretInUse {
        /// The name.
        name: SecretName,
        /// The apps, ordered by name, at least one.
        apps: Vec<AppName>,
    },
    /// Another process holds the store. Retry.
    #[error("the store is busy")]
    Busy(#[source] SharedError),
    /// No space is left. Reads still work; a person has to act.
    #[error("the store is full")]
    Full(#[source] SharedError),
    /// The store cannot be read or written. A person has to act.
    #[error("the store failed")]
    Failed(#[source] SharedError),
}

fn join_names(apps: &[AppName]) -> String {
    apps.iter().map(|app| format!("app/{app}")).collect::<Vec<_>>().join(", ")
}

fn no_revision(name: &AppName, revision: Option<RevisionId>) -> String {
    match revision {
        Some(revision) => format!("app `{name}` has no revision {revision}"),
        None => format!("app `{name}` has no earlier revision to roll back to"),
    }
}
