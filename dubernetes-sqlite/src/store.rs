//! [`SqliteStore`]: each method is one transaction on one of two threads.

mod apps;
mod events;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use dubernetes_core::app::{AppName, RevisionId};
use dubernetes_core::error::SharedError;
use dubernetes_core::event::{Event, NewEvent};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::{
    Change, EventQuery, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, Store, StoreError,
    StoredApp, StoredState,
};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;

use crate::error::{BackupError, OpenError, TransactionError};
use crate::lock::Lock;
use crate::open::{self, OpenedStore};
use crate::worker::Worker;
use crate::{files, schema, snapshot};

pub use self::events::EventRetention;

/// Desired state and events in a SQLite file that only this process has open.
///
/// Dropping the store finishes queued operations, closes the file and unlocks the directory.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    changes: watch::Sender<()>,
    retention: EventRetention,
    // The order of drop matters: the writing connection closes last and truncates the log, and the
    // lock is released once everything is closed.
    reader: Worker,
    writer: Worker,
    _lock: Lock,
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
        Self::open_with(state_dir, schema::MIGRATIONS)
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

    pub(crate) fn open_with(state_dir: &Path, migrations: &[&str]) -> Result<Self, OpenError> {
        let OpenedStore { path, writer, reader, lock } = open::open(state_dir, migrations)?;
        let start = |name, connection| {
            Worker::start(name, connection).map_err(|error| OpenError::NotWritable {
                path: path.clone(),
                source: SharedError::new(error),
            })
        };
        let writer = start("store-writer", writer)?;
        let reader = start("store-reader", reader)?;
        Ok(Self {
            path,
            changes: watch::Sender::new(()),
            retention: EventRetention::default(),
            reader,
            writer,
            _lock: lock,
        })
    }

    /// Returns the path of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Resolves if a worker thread panicked. The store is unusable then.
    pub async fn broken(&self) {
        // Both arms are cancel-safe: a thread that has ended stays ended.
        tokio::select! {
            () = self.writer.ended() => {}
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
        let copied = self.reader.run(move |connection| snapshot::copy(connection, &target)).await;
        copied.map_err(BackupError::Store)?
    }

    /// Copies the whole store into the directory `snapshots` beside it, under a name with the time
    /// `now`, and removes all but the newest 5 snapshots. Returns the path of the copy.
    ///
    /// Returns `None` if the newest snapshot has the same apps, so that equal snapshots do not
    /// displace older ones.
    ///
    /// # Errors
    ///
    /// The copy cannot be written, or the store cannot be read.
    pub async fn snapshot(&self, now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
        let path = self.path.clone();
        let take = move |connection: &mut Connection| {
            if has_same_apps(connection, snapshot::newest(&path))? {
                return Ok(None);
            }
            snapshot::take(connection, &path, now).map(Some)
        };
        self.reader.run(take).await.map_err(BackupError::Store)?
    }

    /// Reads in one transaction.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, TransactionError> + Send + 'static,
    {
        self.reader.transact(move |connection| work(&connection.transaction()?)).await
    }

    /// Writes in one transaction. If `work` returns true, subscribers are notified before the
    /// caller gets the answer.
    async fn change<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<(T, bool), TransactionError> + Send + 'static,
    {
        let changes = self.changes.clone();
        self.writer
            .transact(move |connection| {
                // A transaction that starts with a read cannot write once another process has
                // written.
                let immediate = TransactionBehavior::Immediate;
                let transaction = connection.transaction_with_behavior(immediate)?;
                let (answer, changed) = work(&transaction)?;
                transaction.commit()?;
                if changed {
                    changes.send_replace(());
                }
                Ok(answer)
            })
            .await
    }
}

/// Returns true if the newest snapshot has the same apps as the store.
fn has_same_apps(
    connection: &mut Connection,
    newest: Option<PathBuf>,
) -> Result<bool, BackupError> {
    let apps = |connection: &mut Connection| {
        let listed =
            connection.transaction().map_err(TransactionError::from).and_then(|t| apps::list(&t));
        listed.map(|state| state.apps).map_err(StoreError::from)
    };
    let stored = apps(connection).map_err(BackupError::Store)?;
    let kept = match newest {
        None => Some(BTreeMap::new()),
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
}

#[cfg(test)]
mod tests;
