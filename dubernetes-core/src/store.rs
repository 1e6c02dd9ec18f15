//! What Dubernetes needs of a store for the desired state: the trait [`Store`] and its values.
//!
//! The store holds what users asked for, its revisions, and events. It holds nothing about
//! containers: the engine and its labels are the truth about what runs.

mod dedup;
mod put;
mod rollout;
mod rollout_command;

pub use dedup::{DEDUP_WINDOW, merge, record};
pub use put::{Existing, PutDecision, decide_put};
pub use rollout::{Outcome, RevisionCause, RevisionFailure, RevisionRollout};
pub use rollout_command::{
    RolloutAction, RolloutCommand, RolloutUpdate, apply_rollout_update, decide_rollout_command,
};

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::app::{AppName, AppSpec, RouteConflict, Stop};
use crate::error::Cause;
use crate::event::{Event, EventKind, NewEvent};
use crate::runtime::ImageId;

/// A store for desired apps, their revisions, and events.
///
/// # Guarantees that implementations give
///
/// - Each method is one transaction: it happens wholly or not at all, one after the other.
/// - What a changing method has answered survives a crash of the process and of the machine.
/// - A failed read is an error, never an empty answer.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Stores an app as its user wants it.
    ///
    /// - New name, or one that is being deleted: [`Change::Created`]. A new life of a name goes on
    ///   counting generations and revisions, so that nothing is inherited from the old one.
    /// - Same specification: [`Change::Unchanged`], same generation, nothing is written; but where
    ///   a newer revision was seen running, the store is an old copy, and the word of its user makes a new revision.
    /// - Else [`Change::Configured`]: the generation rises by one, and the revision as well if
    ///   anything differs but `replicas` and `access`.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleGeneration`] if `expected_generation` is given and is not the present
    /// one (0 means: must not exist); [`StoreError::RouteTaken`] if another app answers under the
    /// same host and path; [`StoreError::PreviouslyFailed`] if the specification makes up the content of
    /// a revision that has failed, and `retry` is not set.
    async fn put(&self, put: PutApp) -> Result<Put, StoreError>;

    /// Does what a user wishes for an app beside a new specification. A wish that is fulfilled
    /// already is [`Change::Unchanged`]. Missing or being deleted: [`StoreError::NotFound`]; without a revision to
    /// go back to: [`StoreError::NoRevision`].
    async fn update_rollout(&self, update_rollout: RolloutCommand) -> Result<Put, StoreError>;

    /// Records what the rollout of the present revision has come to. About a revision that is not
    /// the present one, or a missing app, nothing is recorded.
    async fn record_rollout(
        &self,
        name: &AppName,
        revision: u64,
        update: &RolloutUpdate,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// One app. Missing or being deleted: [`StoreError::NotFound`].
    async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError>;

    /// Everything that is desired, at one moment.
    async fn list(&self) -> Result<StoredState, StoreError>;

    /// Marks an app as deleted; a tombstone stays until [`Store::purge`]. Missing or already
    /// being deleted: [`StoreError::NotFound`].
    async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError>;

    /// Drops a tombstone and all rows of that app but its events. Without a tombstone of that
    /// name, nothing happens.
    async fn purge(&self, name: &AppName) -> Result<(), StoreError>;

    /// Records which image a revision runs. A revision that has one already, or that is gone,
    /// is left as it is unless `replace` is set.
    async fn pin_image(
        &self,
        name: &AppName,
        revision: u64,
        image: &ImageId,
        replace: bool,
    ) -> Result<(), StoreError>;

    /// The revisions of an app that are kept, oldest first: the newest of its present life, as many
    /// as `rollout.history` says, and the last complete one.
    /// Missing or being deleted: [`StoreError::NotFound`].
    async fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError>;

    /// Appends events in one transaction. An event equal to one of the last hour in all but its
    /// time takes that one's place: same `first_at`, `count` one higher, a new id.
    async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError>;

    /// Events in the order of their ids, the newest `limit` of those that match.
    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError>;

    /// Yields an item after apps or events have changed since the last item, or since this call.
    /// Several changes may be one item. The stream ends only when the store is closed.
    fn changes(&self) -> BoxStream<'static, ()>;
}

/// A request to store an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutApp {
    /// What is wanted.
    pub spec: AppSpec,
    /// The generation that the caller saw; 0 if the app must not exist; `None` for any.
    pub expected_generation: Option<u64>,
    /// The newest revision seen on containers of this app: a new revision is above it.
    pub newest_seen: u64,
    /// Whether a revision that has failed is tried again.
    pub retry: bool,
    /// When.
    pub now: Timestamp,
}

impl PutApp {
    /// This specification, whatever is stored and whatever runs.
    pub fn new(spec: AppSpec, now: Timestamp) -> Self {
        Self { spec, expected_generation: None, newest_seen: 0, retry: false, now }
    }
}

/// What [`Store::put`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The app as it is stored now.
    pub app: StoredApp,
    /// What changed.
    pub change: Change,
}

/// What an apply changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The app is new.
    Created,
    /// The app was there and is different now.
    Configured,
    /// Nothing.
    Unchanged,
}

impl Change {
    /// `created`, `configured` or `unchanged`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// An app as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredApp {
    /// What is wanted.
    pub spec: AppSpec,
    /// Counts the changes of the specification, from 1.
    pub generation: u64,
    /// The revision that the specification makes up, from 1.
    pub revision: u64,
    /// The image that this revision runs, once it is resolved.
    pub image_id: Option<ImageId>,
    /// Containers of this and lower revisions belong to a life of the name that was deleted.
    pub deleted_through: u64,
    /// When this life of the name began.
    pub created_at: Timestamp,
    /// When the specification last changed.
    pub updated_at: Timestamp,
    /// How the revision came to be, and what became of it.
    pub rollout: RevisionRollout,
    /// Since when the rollout of the revision is under way: when it was made, or when it last
    /// got another chance.
    pub rollout_started_at: Timestamp,
    /// Whether no replica is to be replaced by a newer revision for now.
    pub paused: bool,
    /// The last revision before this one that was complete: the one to go back to.
    pub fallback: Option<u64>,
}

impl StoredApp {
    /// The first revision of an app, as it is stored by the first put.
    pub fn first(spec: AppSpec, now: Timestamp) -> Self {
        Self {
            spec,
            generation: 1,
            revision: 1,
            image_id: None,
            deleted_through: 0,
            created_at: now,
            updated_at: now,
            rollout: RevisionRollout::default(),
            rollout_started_at: now,
            paused: false,
            fallback: None,
        }
    }

    /// The hash of its revision, as it stands on the labels of replicas.
    pub fn content_hash(&self) -> String {
        crate::identity::content_hash(&self.spec, self.rollout.restart_nonce)
    }

    /// Whether replicas of its revision may be made: its image is resolved, and the command that
    /// goes before it has succeeded.
    pub fn is_deployable(&self) -> bool {
        self.image_id.is_some() && (self.spec.pre_deploy.is_none() || self.rollout.pre_deployed)
    }
}

/// The update that an app was deleted, kept until nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// How its replicas are stopped.
    #[serde(default)]
    pub stop: Stop,
}

/// Everything that is desired, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredState {
    /// The apps.
    pub apps: BTreeMap<AppName, StoredApp>,
    /// The apps that are being deleted.
    pub tombstones: BTreeMap<AppName, Tombstone>,
}

/// A frozen specification: what a rollout moves between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// The specification as it was when the revision was made.
    pub spec: AppSpec,
    /// The image it runs, once it is resolved.
    pub image_id: Option<ImageId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it came to be, and what became of it.
    pub rollout: RevisionRollout,
}

impl Revision {
    /// Its hash, as it stands on the labels of replicas.
    pub fn content_hash(&self) -> String {
        crate::identity::content_hash(&self.spec, self.rollout.restart_nonce)
    }
}

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only of this app.
    pub app: Option<AppName>,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only what happened then or later.
    pub since: Option<Timestamp>,
    /// Only with an id above this.
    pub after: u64,
    /// At most so many, the newest.
    pub limit: u32,
}

/// Why an operation on the store failed, by what the caller must do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no such app.
    #[error("app `{name}` not found")]
    NotFound {
        /// The name.
        name: AppName,
    },
    /// The caller's view is old: read again, decide again.
    #[error("app `{name}` has generation {present}, not {expected}")]
    StaleGeneration {
        /// The app.
        name: AppName,
        /// What the caller expected.
        expected: u64,
        /// What is stored; 0 if it does not exist.
        present: u64,
    },
    /// Another app answers under the same host and path.
    #[error("{0}")]
    RouteTaken(RouteConflict),
    /// The specification makes up the content of a revision that has failed. Apply something else,
    /// or set `retry`.
    #[error("revision {revision} of app `{name}` with just this content has failed: {reason}")]
    PreviouslyFailed {
        /// The app.
        name: AppName,
        /// The revision.
        revision: u64,
        /// Why it failed.
        reason: String,
    },
    /// There is no such revision, or none to go back to.
    #[error("{}", no_revision(name, *revision))]
    NoRevision {
        /// The app.
        name: AppName,
        /// The revision that was asked for.
        revision: Option<u64>,
        /// Those that are kept.
        kept: Vec<u64>,
    },
    /// Somebody else holds the store. Try again in a moment.
    #[error("the store is busy")]
    Busy(#[source] Cause),
    /// No space is left. Reads go on; a person has to act.
    #[error("the store is full")]
    Full(#[source] Cause),
    /// The store cannot be read or written. A person has to act.
    #[error("the store failed")]
    Failed(#[source] Cause),
}

fn no_revision(name: &AppName, revision: Option<u64>) -> String {
    match revision {
        Some(revision) => format!("app `{name}` has no revision {revision}"),
        None => format!("app `{name}` has no earlier revision to go back to"),
    }
}
