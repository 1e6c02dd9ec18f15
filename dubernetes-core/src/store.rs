//! The trait [`Store`]: durable storage for desired state, and its values.
//!
//! A store holds the specifications of apps, their revisions, secrets, requests of users, and
//! events. A store holds no state of containers: the engine and the labels there are the truth
//! about what runs.

mod content;
mod dedup;
mod error;
mod holder;
mod put;
mod rollout;
mod rollout_command;
mod secrets;

pub use content::{StoreContent, StoreParts};
pub use dedup::{DEDUP_WINDOW, merge, record};
pub use error::StoreError;
pub use holder::{HoldContent, StoreOperation};
pub use put::{ExistingApp, StoreDecision, decide_put};
pub use rollout::{Outcome, RevisionCause, RevisionFailure, RevisionRollout};
pub use rollout_command::{
    RolloutAction, RolloutCommand, RolloutUpdate, apply_rollout_update, decide_rollout_command,
};
pub use secrets::{
    SecretInfo, SecretPut, SetSecret, decide_secret_change, missing_secret, resolve_secrets,
};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::app::{
    AppName, AppSpec, Generation, HashedSpec, HostName, RevisionId, Secret, SecretName, Stop,
    ValidSpec,
};
use crate::certificate::{Authority, StoredCertificate};
use crate::event::{Event, EventKind, NewEvent};
use crate::runtime::{ContainerId, ImageId};

/// Stores apps, their revisions, secrets, requests of users, and events.
///
/// # Guarantees that implementations give
///
/// - Each method is one transaction: atomic, also if dropped, and serialized with all others.
/// - A change survives a crash of the process and of the machine once its method has returned.
/// - A failed read is an error, never an empty answer.
/// - Contents of files and secrets survive a restart, see below.
///
/// # Writing an implementation
///
/// The rules are pure functions, shared by all stores: a method reads the rows of one app, calls a
/// function, and writes its [`StoreDecision`] in the same transaction.
///
/// | Method | Function |
/// |---|---|
/// | [`put`](Store::put) | [`resolve_secrets`], then [`decide_put`] |
/// | [`set_secret`](Store::set_secret) | [`decide_secret_change`] for each live app |
/// | [`update_rollout`](Store::update_rollout) | [`decide_rollout_command`] |
/// | [`record_rollout`](Store::record_rollout) | [`apply_rollout_update`] |
/// | [`append`](Store::append) | [`merge`] with a repeated event, else [`record`] |
///
/// A store that holds everything in memory, and writes what a method changed before it returns,
/// implements [`HoldContent`] instead: two methods.
///
/// [`AppSpec`] serializes the contents of files and secrets as hashes. A store that serializes
/// specifications takes them out by [`AppSpec::take_contents`], keeps them encrypted beside the
/// rest, and puts them back by [`AppSpec::restore_contents`]. With the plain serializer alone, an
/// app loses its files at the next start of the orchestrator.
///
/// `dubernetes_testkit::contract::store` checks every promise of this trait.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Creates or updates an app. The handle of a controller refuses invalid specifications with
    /// [`StoreError::Invalid`], so that none reaches a store.
    ///
    /// - The contents of secrets that the specification does not hold are filled in, and kept with
    ///   the app and its revision.
    /// - Unknown name, or an app that is being deleted: [`Change::Created`]. Generations and
    ///   revisions continue after those of the deleted app, so that nothing is inherited.
    /// - Same specification: [`Change::Unchanged`]; nothing is written. Unless a newer revision is
    ///   running (store restored from backup): then a new revision is made.
    /// - Otherwise [`Change::Configured`]: the generation rises by one, and so does the revision
    ///   if a field other than `replicas`, `access`, `ports`, `rollout` or `stop.drain` differs.
    ///
    /// # Errors
    ///
    /// [`StoreError::TearingDown`] during a teardown of the instance;
    /// [`StoreError::StaleGeneration`] if `expected_generation` is set and is not the current one
    /// (0 means: must not exist); [`StoreError::RouteTaken`] if another app has the same host and
    /// path, or the same port of the host; [`StoreError::PreviouslyFailed`] if a revision with this
    /// content has failed, and `retry` is not set; [`StoreError::Invalid`] if a secret is missing
    /// or cannot be used, or if the app would start after itself, by way of the `after` of other
    /// apps.
    async fn put(&self, put: PutApp) -> Result<Put, StoreError>;

    /// Pauses, resumes, restarts or undoes the rollout of an app. Without an effect:
    /// [`Change::Unchanged`].
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if the app is missing or being deleted; [`StoreError::NoRevision`]
    /// if the revision to restore does not exist.
    async fn update_rollout(&self, command: RolloutCommand) -> Result<Put, StoreError>;

    /// Records a result of the rollout of the current revision. A result about another revision,
    /// or about a missing app, is ignored.
    async fn record_rollout(
        &self,
        name: &AppName,
        revision: RevisionId,
        update: &RolloutUpdate,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Returns one app. Missing or being deleted: [`StoreError::NotFound`].
    async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError>;

    /// Returns all apps and tombstones, as of one moment.
    async fn list(&self) -> Result<StoredState, StoreError>;

    /// Replaces an app by a tombstone, which stays until [`Store::purge`]. Missing or already
    /// deleted: [`StoreError::NotFound`].
    async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError>;

    /// Drops a tombstone and the revisions of that app; its events stay. None is success.
    async fn purge(&self, name: &AppName) -> Result<(), StoreError>;

    /// Requests another replica in place of the one with this container. Without an effect if it is
    /// requested already. Missing or being deleted: [`StoreError::NotFound`].
    async fn evict(&self, name: &AppName, container: &ContainerId) -> Result<(), StoreError>;

    /// Drops a request of [`Store::evict`]. A missing request or app is ignored.
    async fn clear_eviction(
        &self,
        name: &AppName,
        container: &ContainerId,
    ) -> Result<(), StoreError>;

    /// Requests the teardown of the instance, and replaces every app by a tombstone. Until
    /// [`Store::finish_teardown`], [`Store::put`] fails with [`StoreError::TearingDown`]. A
    /// repeated request renews the time of the first one.
    async fn request_teardown(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Drops the request of a teardown. Without one, nothing happens.
    async fn finish_teardown(&self) -> Result<(), StoreError>;

    /// Records the image of a revision. A recorded image is kept unless `replace` is set. A
    /// missing revision is ignored.
    async fn pin_image(
        &self,
        name: &AppName,
        revision: RevisionId,
        image: &ImageId,
        replace: bool,
    ) -> Result<(), StoreError>;

    /// Returns the kept revisions of an app, oldest first: the newest `rollout.history` since the
    /// app was created, and the last complete one. Missing or being deleted:
    /// [`StoreError::NotFound`].
    async fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError>;

    /// Creates a secret or changes its value, and gives each app that uses it a revision with the
    /// value. With an equal value, only apps with another one change: those that rolled back.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] if an app that uses the secret cannot use the value. Then nothing
    /// changes.
    async fn set_secret(&self, set: SetSecret) -> Result<SecretPut, StoreError>;

    /// Returns all secrets without their values, ordered by name.
    async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError>;

    /// Deletes a secret. Kept revisions of apps still hold its value, for a rollback.
    ///
    /// # Errors
    ///
    /// [`StoreError::SecretNotFound`]; [`StoreError::SecretInUse`] while an app uses it.
    async fn delete_secret(&self, name: &SecretName) -> Result<(), StoreError>;

    /// Fills in the secrets of a specification as [`Store::put`] does, and stores nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`], as from [`Store::put`].
    async fn resolve_secrets(&self, spec: AppSpec) -> Result<AppSpec, StoreError>;

    /// Keeps what is known about the certificate of a host. The key survives a restart, encrypted.
    async fn set_certificate(
        &self,
        host: &HostName,
        certificate: &StoredCertificate,
    ) -> Result<(), StoreError>;

    /// Drops what is known about the certificate of a host. If there is nothing, nothing happens.
    async fn drop_certificate(&self, host: &HostName) -> Result<(), StoreError>;

    /// Keeps what all orders of an authority share. It survives a restart, encrypted.
    async fn set_authority_account(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<(), StoreError>;

    /// Returns what [`Store::set_authority_account`] keeps.
    async fn authority_account(&self, authority: Authority) -> Result<Option<Secret>, StoreError>;

    /// Encrypts everything that the store holds encrypted with a new key, and forgets the old one.
    /// Returns the number of values. A store in memory has none.
    async fn rotate_key(&self) -> Result<u64, StoreError>;

    /// Appends events. An event that differs only in time from an event of the last hour replaces
    /// it: same `first_at`, `count` plus one, a new id.
    async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError>;

    /// Returns the newest `limit` matching events, in the order of their ids.
    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError>;

    /// Streams an item after each change of apps or events from now on. Several changes may be one
    /// item. The stream ends when the store is closed.
    fn changes(&self) -> BoxStream<'static, ()>;

    /// Returns what is wrong with the place of the store, such as a directory that was moved away
    /// while the store is open. The open store still works, but another process that looks there
    /// does not find it. Does not wait.
    fn displacement(&self) -> Option<String> {
        None
    }
}

/// A request to store an app. A store takes only a valid specification; [`decide_put`] also decides
/// about one whose contents are not all known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutApp<S = ValidSpec> {
    /// The specification.
    pub spec: S,
    /// The generation that the caller read; 0 if the app must not exist; `None` for any.
    pub expected_generation: Option<Generation>,
    /// The newest revision observed on containers of this app: a new revision is above it.
    pub newest_seen: RevisionId,
    /// Whether to retry a revision that has failed.
    pub retry: bool,
    /// The time of the request.
    pub now: Timestamp,
}

impl<S> PutApp<S> {
    /// Creates a request without conditions.
    pub fn new(spec: S, now: Timestamp) -> Self {
        Self { spec, expected_generation: None, newest_seen: RevisionId::NONE, retry: false, now }
    }

    /// Returns the same request for another form of the specification.
    pub fn with_spec<T>(&self, spec: T) -> PutApp<T> {
        let Self { expected_generation, newest_seen, retry, now, .. } = *self;
        PutApp { spec, expected_generation, newest_seen, retry, now }
    }
}

/// The result of [`Store::put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The stored app.
    pub app: StoredApp,
    /// What changed.
    pub change: Change,
}

/// What a request changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The app is new.
    Created,
    /// The app existed and differs now.
    Configured,
    /// Nothing.
    Unchanged,
}

impl Change {
    /// Returns `created`, `configured` or `unchanged`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A stored app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredApp {
    /// The specification.
    pub spec: HashedSpec,
    /// Counts the changes of the specification, from 1.
    pub generation: Generation,
    /// The current revision, from 1.
    pub revision: RevisionId,
    /// The resolved image of the current revision.
    pub image_id: Option<ImageId>,
    /// Containers of this and lower revisions belong to a deleted app of the same name.
    pub deleted_through: RevisionId,
    /// When the app was created.
    pub created_at: Timestamp,
    /// When the specification last changed.
    pub updated_at: Timestamp,
    /// The rollout of the current revision.
    pub rollout: RevisionRollout,
    /// The start of the rollout: when the revision was created, or when its last attempt began.
    pub rollout_started_at: Timestamp,
    /// Whether the rollout is paused.
    pub paused: bool,
    /// The last complete revision before this one, restored by a rollback.
    pub fallback: Option<RevisionId>,
    /// Containers of replicas that a user asked to replace. A restart of the replica fulfils the
    /// request: its new container is another one.
    #[serde(default)]
    pub evicted: BTreeSet<ContainerId>,
}

impl StoredApp {
    /// Creates the app that the first put of a name stores.
    pub fn first(spec: impl Into<HashedSpec>, now: Timestamp) -> Self {
        Self {
            spec: spec.into(),
            generation: Generation::FIRST,
            revision: RevisionId::FIRST,
            image_id: None,
            deleted_through: RevisionId::NONE,
            created_at: now,
            updated_at: now,
            rollout: RevisionRollout::default(),
            rollout_started_at: now,
            paused: false,
            fallback: None,
            evicted: BTreeSet::new(),
        }
    }

    /// Returns the hash of the current revision, a label of its replicas.
    pub fn content_hash(&self) -> SmolStr {
        crate::identity::content_hash(&self.spec, self.rollout.restart_nonce)
    }

    /// Returns whether replicas of the current revision may be created: its image is resolved and
    /// its pre-deploy hook, if any, has succeeded.
    pub fn is_deployable(&self) -> bool {
        self.image_id.is_some() && (self.spec.pre_deploy.is_none() || self.rollout.pre_deployed)
    }
}

/// Marks a deleted app until all its containers are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// When the app was deleted.
    pub deleted_at: Timestamp,
    /// How its replicas are terminated.
    #[serde(default)]
    pub stop: Stop,
}

/// All apps and tombstones, as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredState {
    /// The apps.
    pub apps: BTreeMap<AppName, StoredApp>,
    /// The apps that are being deleted.
    pub tombstones: BTreeMap<AppName, Tombstone>,
    /// When the teardown of the instance was last requested, until it is finished.
    pub teardown: Option<Timestamp>,
    /// The certificates that authorities issued, and their failures, by host.
    pub certificates: BTreeMap<HostName, StoredCertificate>,
}

/// A frozen specification. A rollout replaces the replicas of one revision by those of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The number, from 1.
    pub revision: RevisionId,
    /// The specification at the time of the revision.
    pub spec: HashedSpec,
    /// The resolved image.
    pub image_id: Option<ImageId>,
    /// When the revision was created.
    pub created_at: Timestamp,
    /// The rollout of the revision.
    pub rollout: RevisionRollout,
}

impl Revision {
    /// Returns the hash of the revision, a label of its replicas.
    pub fn content_hash(&self) -> SmolStr {
        crate::identity::content_hash(&self.spec, self.rollout.restart_nonce)
    }
}

/// Selects events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only events of this app.
    pub app: Option<AppName>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only events at or after this time.
    pub since: Option<Timestamp>,
    /// Only events with an id above this.
    pub after: u64,
    /// At most this number of events, the newest.
    pub limit: u32,
}
