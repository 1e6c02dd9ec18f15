//! [`SqliteStore`]: each method is one transaction on one of two threads.

mod apps;
mod certificates;
mod events;
mod secrets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::app::{AppName, AppSpec, HostName, RevisionId, Secret, SecretName};
use dubernetes_core::certificate::{Authority, StoredCertificate};
use dubernetes_core::error::SharedError;
use dubernetes_core::event::{Event, NewEvent};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::{
    Change, EventQuery, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, SecretInfo,
    SecretPut, SetSecret, Store, StoreError, StoredApp, StoredState,
};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use crate::error::{BackupError, OpenError, TransactionError};
use crate::keyring::Keyring;
use crate::lock::Role;
use crate::open::{self, Locks, OpenedStore};
use crate::schema::Migration;
use crate::session::Session;
use crate::snapshot::Content;
use crate::worker::Worker;
use crate::{files, schema, seal, snapshot};

pub use self::events::EventRetention;

/// Desired state and events in a SQLite file that only this process has open.
///
/// Dropping the store finishes queued operations, closes the file and unlocks the directory.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    /// Device and inode of the file; `None` if there is no file.
    file: Option<(u64, u64)>,
    id: String,
    keys: Arc<Keyring>,
    changes: watch::Sender<()>,
    retention: EventRetention,
    // The order of drop matters: the writing connection closes last and truncates the log, and the
    // lock is released once everything is closed.
    reader: Worker,
    writer: Option<Writer>,
}

/// The thread that writes, and what allows it to.
#[derive(Debug)]
struct Writer {
    worker: Worker,
    _locks: Locks,
}

impl SqliteStore {
    /// Opens the store in `state_dir`. Creates the directory and the store if they are missing. A
    /// store of an earlier version is migrated, after a snapshot.
    ///
    /// # Errors
    ///
    /// The store is in use, foreign, of a later version, damaged, or not writable. It is left
    /// unchanged.
    pub fn open(state_dir: &Path) -> Result<Self, OpenError> {
        Self::open_as(state_dir, Role::Orchestrator)
    }

    /// Opens the store like [`SqliteStore::open`], for a process with this role.
    ///
    /// # Errors
    ///
    /// Those of [`SqliteStore::open`].
    pub fn open_as(state_dir: &Path, role: Role) -> Result<Self, OpenError> {
        Self::open_with(state_dir, role, schema::MIGRATIONS)
    }

    /// Opens the store for reading, while another process may change it; each change fails. Where
    /// there is no store, it reads as an empty one, and nothing is created. A store of an earlier
    /// version is migrated.
    ///
    /// # Errors
    ///
    /// Those of [`SqliteStore::open`]; the store is in use only if it has to be migrated.
    pub fn open_for_reading(state_dir: &Path) -> Result<Self, OpenError> {
        Self::start(open::open_for_reading(state_dir, schema::MIGRATIONS)?)
    }

    /// Sets the retention of events. Applies with the next event.
    #[must_use]
    pub fn with_event_retention(self, retention: EventRetention) -> Self {
        Self { retention, ..self }
    }

    /// Checks whether the store in `state_dir` can be opened, and changes nothing. Returns the
    /// version of its schema, or `None` if there is no store.
    ///
    /// # Errors
    ///
    /// Those of [`SqliteStore::open`] that can be found without writing.
    pub fn check(state_dir: &Path) -> Result<Option<u32>, OpenError> {
        if !files::state_dir_exists(state_dir)? {
            return Ok(None);
        }
        open::check(state_dir, schema::MIGRATIONS)
    }

    pub(crate) fn open_with(
        state_dir: &Path,
        role: Role,
        migrations: &[Migration],
    ) -> Result<Self, OpenError> {
        Self::start(open::open(state_dir, role, migrations)?)
    }

    fn start(opened: OpenedStore) -> Result<Self, OpenError> {
        let OpenedStore { path, id, keys, reader, writer } = opened;
        let file = files::find_file(&path);
        let start = |name, connection| {
            Worker::start(name, connection).map_err(|error| OpenError::NotWritable {
                path: path.clone(),
                source: SharedError::new(error),
            })
        };
        let writer = match writer {
            Some((connection, _locks)) => {
                Some(Writer { worker: start("store-writer", connection)?, _locks })
            }
            None => None,
        };
        let reader = start("store-reader", reader)?;
        Ok(Self {
            path,
            file,
            id,
            keys,
            changes: watch::Sender::new(()),
            retention: EventRetention::default(),
            reader,
            writer,
        })
    }

    /// Returns whether there is a store in `state_dir`.
    pub fn exists(state_dir: &Path) -> bool {
        files::find_file(&state_dir.join(open::FILE)).is_some()
    }

    /// Returns the random id that the store got when it was created. It goes with the file.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sets the id of the store in `state_dir`, which no process may have open, for a state that
    /// takes the place of another one.
    ///
    /// # Errors
    ///
    /// Those of [`SqliteStore::open`].
    pub fn set_id(state_dir: &Path, id: &str) -> Result<(), OpenError> {
        open::set_id(state_dir, id, schema::MIGRATIONS)
    }

    /// Returns the path of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Resolves if a worker thread panicked. The store is unusable then.
    pub async fn broken(&self) {
        let Some(writer) = &self.writer else { return self.reader.ended().await };
        // Both arms are cancel-safe: a thread that has ended stays ended.
        tokio::select! {
            () = writer.worker.ended() => {}
            () = self.reader.ended() => {}
        }
    }

    /// Copies the whole store, in a consistent state, to the file `target`. Does not block writes.
    ///
    /// # Errors
    ///
    /// The target exists or cannot be written, or the store cannot be read.
    pub async fn backup(&self, target: &Path) -> Result<(), BackupError> {
        let target = target.to_owned();
        let copied = self
            .reader
            .run(move |connection| snapshot::copy(connection, &target, Content::All))
            .await;
        copied.map_err(BackupError::Store)?
    }

    /// Copies the store without its events into the directory `snapshots` beside it, under a name
    /// with the time `now`, and removes all but the newest 5 snapshots, and the last one before a
    /// migration. Returns the path of the copy.
    ///
    /// Returns `None` if the newest snapshot has the same apps, so that equal snapshots do not
    /// displace older ones.
    ///
    /// # Errors
    ///
    /// The copy cannot be written, or the store cannot be read.
    pub async fn snapshot(&self, now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
        let (path, keys) = (self.path.clone(), Arc::clone(&self.keys));
        let take = move |connection: &mut Connection| {
            if has_same_apps(connection, snapshot::newest(&path), &keys)? {
                return Ok(None);
            }
            snapshot::take(connection, &path, Content::WithoutEvents, now).map(Some)
        };
        self.reader.run(take).await.map_err(BackupError::Store)?
    }

    fn writer(&self) -> Result<&Worker, StoreError> {
        let read_only =
            || StoreError::Failed(SharedError::text("the store is open for reading only"));
        self.writer.as_ref().map(|writer| &writer.worker).ok_or_else(read_only)
    }

    /// Reads in one transaction.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Session<'_>) -> Result<T, TransactionError> + Send + 'static,
    {
        let keys = Arc::clone(&self.keys);
        let read = move |connection: &mut Connection| {
            work(&Session { transaction: connection.transaction()?, keys: &keys })
        };
        self.reader.transact(read).await
    }

    /// Writes in one transaction. If `work` returns true, subscribers are notified before the
    /// caller gets the answer.
    async fn change<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Session<'_>) -> Result<(T, bool), TransactionError> + Send + 'static,
    {
        let (changes, keys) = (self.changes.clone(), Arc::clone(&self.keys));
        self.writer()?
            .transact(move |connection| {
                // A transaction that starts with a read cannot write once another process has
                // written.
                let immediate = TransactionBehavior::Immediate;
                let transaction = connection.transaction_with_behavior(immediate)?;
                let session = Session { transaction, keys: &keys };
                let (answer, changed) = work(&session)?;
                session.transaction.commit()?;
                if changed {
                    changes.send_replace(());
                }
                Ok(answer)
            })
            .await
    }
}

/// Returns true if the newest snapshot has the same apps, secrets and certificates as the store.
fn has_same_apps(
    connection: &mut Connection,
    newest: Option<PathBuf>,
    keys: &Keyring,
) -> Result<bool, BackupError> {
    let apps = |connection: &mut Connection| {
        let session = Session { transaction: connection.transaction()?, keys };
        let secrets = secrets::list(&session)?.into_iter().map(|found| (found.name, found.hash));
        let StoredState { apps, certificates, .. } = apps::list(&session)?;
        let issued = certificates.into_iter();
        let issued = issued.filter_map(|(host, stored)| stored.issued.map(|found| (host, found)));
        Ok((apps, secrets.collect::<Vec<_>>(), issued.collect::<Vec<_>>()))
    };
    let stored =
        apps(connection).map_err(|error: TransactionError| BackupError::Store(error.into()))?;
    let kept = match newest {
        None => Some((BTreeMap::new(), Vec::new(), Vec::new())),
        // A snapshot that cannot be read, or has an older schema, counts as different.
        Some(newest) => open::open_read_only(&newest).ok().and_then(|mut old| apps(&mut old).ok()),
    };
    Ok(kept.as_ref() == Some(&stored))
}

#[async_trait]
impl Store for SqliteStore {
    async fn put(&self, put: PutApp) -> Result<Put, StoreError> {
        self.change(move |transaction| {
            let put = apps::put(transaction, &put)?;
            let changed = put.change != Change::Unchanged;
            Ok((put, changed))
        })
        .await
    }

    async fn update_rollout(&self, command: RolloutCommand) -> Result<Put, StoreError> {
        self.change(move |transaction| {
            let put = apps::update_rollout(transaction, &command)?;
            let changed = put.change != Change::Unchanged;
            Ok((put, changed))
        })
        .await
    }

    async fn record_rollout(
        &self,
        name: &AppName,
        revision: RevisionId,
        update: &RolloutUpdate,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let name = name.clone();
        let update = update.clone();
        self.change(move |transaction| {
            Ok(((), apps::record_rollout(transaction, &name, revision, &update, now)?))
        })
        .await
    }

    async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError> {
        let name = name.clone();
        self.read(move |transaction| apps::get(transaction, &name)).await
    }

    async fn list(&self) -> Result<StoredState, StoreError> {
        self.read(apps::list).await
    }

    async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError> {
        let name = name.clone();
        self.change(move |transaction| Ok((apps::delete(transaction, &name, now)?, true))).await
    }

    async fn purge(&self, name: &AppName) -> Result<(), StoreError> {
        let name = name.clone();
        self.change(move |transaction| Ok(((), apps::purge(transaction, &name)?))).await
    }

    async fn evict(&self, name: &AppName, container: &ContainerId) -> Result<(), StoreError> {
        let (name, container) = (name.clone(), container.clone());
        self.change(move |transaction| Ok(((), apps::evict(transaction, &name, container)?))).await
    }

    async fn clear_eviction(
        &self,
        name: &AppName,
        container: &ContainerId,
    ) -> Result<(), StoreError> {
        let (name, container) = (name.clone(), container.clone());
        self.change(move |transaction| {
            Ok(((), apps::clear_eviction(transaction, &name, &container)?))
        })
        .await
    }

    async fn request_teardown(&self, now: Timestamp) -> Result<(), StoreError> {
        self.change(move |transaction| Ok((apps::request_teardown(transaction, now)?, true))).await
    }

    async fn finish_teardown(&self) -> Result<(), StoreError> {
        self.change(|transaction| Ok(((), apps::finish_teardown(transaction)?))).await
    }

    async fn pin_image(
        &self,
        name: &AppName,
        revision: RevisionId,
        image: &ImageId,
        replace: bool,
    ) -> Result<(), StoreError> {
        let name = name.clone();
        let image = image.clone();
        self.change(move |transaction| {
            Ok(((), apps::pin_image(transaction, &name, revision, &image, replace)?))
        })
        .await
    }

    async fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError> {
        let name = name.clone();
        self.read(move |transaction| apps::revisions(transaction, &name)).await
    }

    async fn set_secret(&self, set: SetSecret) -> Result<SecretPut, StoreError> {
        self.change(move |session| {
            let put = secrets::set(session, &set)?;
            let changed = !put.apps.is_empty();
            Ok((put, changed))
        })
        .await
    }

    async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        self.read(secrets::list).await
    }

    async fn delete_secret(&self, name: &SecretName) -> Result<(), StoreError> {
        let name = name.clone();
        self.change(move |session| Ok((secrets::delete(session, &name)?, false))).await
    }

    async fn resolve_secrets(&self, mut spec: AppSpec) -> Result<AppSpec, StoreError> {
        self.read(move |session| {
            secrets::resolve(session, &mut spec)?;
            Ok(spec)
        })
        .await
    }

    async fn set_certificate(
        &self,
        host: &HostName,
        certificate: &StoredCertificate,
    ) -> Result<(), StoreError> {
        let (host, certificate) = (host.clone(), certificate.clone());
        self.change(move |session| Ok((certificates::set(session, &host, &certificate)?, true)))
            .await
    }

    async fn drop_certificate(&self, host: &HostName) -> Result<(), StoreError> {
        let host = host.clone();
        self.change(move |session| Ok(((), certificates::delete(session, &host)?))).await
    }

    async fn set_authority_account(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<(), StoreError> {
        let account = account.clone();
        self.change(move |session| {
            Ok((certificates::set_account(session, authority, &account)?, false))
        })
        .await
    }

    async fn authority_account(&self, authority: Authority) -> Result<Option<Secret>, StoreError> {
        self.read(move |session| certificates::account(session, authority)).await
    }

    async fn rotate_key(&self) -> Result<u64, StoreError> {
        let (path, keys) = (self.path.clone(), Arc::clone(&self.keys));
        self.writer()?.transact(move |connection| seal::rotate(connection, &path, &keys)).await
    }

    async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let events = events.to_vec();
        let retention = self.retention;
        self.change(move |transaction| Ok((events::append(transaction, &events, retention)?, true)))
            .await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        let query = query.clone();
        self.read(move |transaction| events::query(transaction, &query)).await
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let next = |mut changes: watch::Receiver<()>| async move {
            changes.changed().await.ok().map(|()| ((), changes))
        };
        stream::unfold(self.changes.subscribe(), next).boxed()
    }

    fn displacement(&self) -> Option<String> {
        let is_moved = self.file.is_some() && files::find_file(&self.path) != self.file;
        is_moved.then(|| {
            format!(
                "`{}` was moved or removed while this process has it open; start the process \
                 again with the folder's new path",
                self.path.display()
            )
        })
    }
}

#[cfg(test)]
mod tests;
