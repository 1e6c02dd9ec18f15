//! The store: each method is one transaction on one of two threads.

mod apps;
mod events;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use dubernetes_core::app::AppName;
use dubernetes_core::error::Cause;
use dubernetes_core::event::{Event, NewEvent};
use dubernetes_core::runtime::ImageId;
use dubernetes_core::store::{
    Change, EventQuery, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, Store, StoreError,
    StoredApp, StoredState,
};
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;

use crate::error::{BackupError, Failure, OpenError};
use crate::lock::Lock;
use crate::open::{self, Opened};
use crate::worker::Worker;
use crate::{folder, schema, snapshot};

pub use self::events::KeepEvents;

/// Desired state and events in a SQLite file, open in this process alone.
///
/// Dropped, it finishes what was asked for, closes the file and frees the folder.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    changes: watch::Sender<u64>,
    keep: KeepEvents,
    // The order matters: the connection that can write closes last and tidies up the log, and the
    // lock is freed once nothing is open any more.
    reader: Worker,
    writer: Worker,
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the store in `state_dir`. Makes the folder and a new store where they are missing,
    /// and moves a store of an earlier version to the present schema, after a snapshot.
    ///
    /// # Errors
    ///
    /// The store is in use, not ours, of a later version, damaged, or cannot be written. It is
    /// left as it is then.
    pub fn open(state_dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(state_dir, schema::MIGRATIONS)
    }

    /// The same store, keeping so many events from the next one on.
    #[must_use]
    pub fn keeping(self, keep: KeepEvents) -> Self {
        Self { keep, ..self }
    }

    /// Looks whether a store in `state_dir` could be opened, and changes nothing. `None` if there
    /// is no store yet; else the version of its schema.
    ///
    /// # Errors
    ///
    /// Those of [`SqliteStore::open`], as far as a look can tell.
    pub fn look(state_dir: &Path) -> Result<Option<u32>, OpenError> {
        if !folder::exists(state_dir)? {
            return Ok(None);
        }
        open::look(state_dir, schema::MIGRATIONS)
    }

    pub(crate) fn open_with(state_dir: &Path, migrations: &[&str]) -> Result<Self, OpenError> {
        let Opened { path, writer, reader, lock } = open::open(state_dir, migrations)?;
        let start = |name, connection| {
            Worker::start(name, connection).map_err(|error| OpenError::NotWritable {
                path: path.clone(),
                source: Cause::new(error),
            })
        };
        let writer = start("store-writer", writer)?;
        let reader = start("store-reader", reader)?;
        let (changes, keep) = (watch::Sender::new(0), KeepEvents::default());
        Ok(Self { changes, keep, reader, writer, _lock: lock, path })
    }

    /// The database's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns once the store can do nothing any more, which only a bug in it brings about.
    pub async fn broken(&self) {
        // Both arms are cancel-safe: a thread that has ended stays so.
        tokio::select! {
            () = self.writer.ended() => {}
            () = self.reader.ended() => {}
        }
    }

    /// Copies the whole store, as it is at one moment, to the file `target`. Writes go on.
    ///
    /// # Errors
    ///
    /// The target exists or cannot be written, or the store cannot be read.
    pub async fn backup(&self, target: &Path) -> Result<(), BackupError> {
        let target = target.to_owned();
        let copied = self.reader.run(move |connection| snapshot::copy(connection, &target)).await;
        copied.map_err(BackupError::Store)?
    }

    /// Copies the whole store into the folder `snapshots` beside it, under a name made of `now`,
    /// and drops all but the newest 5 of these. Returns the copy's path; `None` if the newest copy
    /// has the same apps, so that good copies are not pushed out by equal ones.
    ///
    /// # Errors
    ///
    /// The copy cannot be written, or the store cannot be read.
    pub async fn snapshot(&self, now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
        let path = self.path.clone();
        let take = move |connection: &mut Connection| {
            if wanted(connection, snapshot::newest(&path))? {
                return snapshot::take(connection, &path, now).map(Some);
            }
            Ok(None)
        };
        self.reader.run(take).await.map_err(BackupError::Store)?
    }

    /// Reads at one moment.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.reader.transact(move |connection| work(&connection.transaction()?)).await
    }

    /// Changes in one transaction, and tells those who watch, if `work` says that it changed
    /// something, before the caller has the answer.
    async fn change<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<(T, bool), Failure> + Send + 'static,
    {
        let changes = self.changes.clone();
        self.writer
            .transact(move |connection| {
                // A transaction that begins by reading could not go on to write once another
                // process has written.
                let immediate = TransactionBehavior::Immediate;
                let transaction = connection.transaction_with_behavior(immediate)?;
                let (answer, changed) = work(&transaction)?;
                transaction.commit()?;
                if changed {
                    changes.send_modify(|count| *count = count.wrapping_add(1));
                }
                Ok(answer)
            })
            .await
    }
}

/// Whether a snapshot would have other apps than the newest one.
fn wanted(connection: &mut Connection, newest: Option<PathBuf>) -> Result<bool, BackupError> {
    let apps = |connection: &mut Connection| {
        let listed = connection.transaction().map_err(Failure::from).and_then(|t| apps::list(&t));
        listed.map(|state| state.apps).map_err(StoreError::from)
    };
    let present = apps(connection).map_err(BackupError::Store)?;
    let kept = match newest {
        None => Some(BTreeMap::new()),
        // One that cannot be read, or is of an older schema, is as good as none.
        Some(newest) => open::read_only(&newest).ok().and_then(|mut old| apps(&mut old).ok()),
    };
    Ok(kept.as_ref() != Some(&present))
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

    async fn update_rollout(&self, update_rollout: RolloutCommand) -> Result<Put, StoreError> {
        self.change(move |transaction| {
            let put = apps::update_rollout(transaction, &update_rollout)?;
            let changed = put.change != Change::Unchanged;
            Ok((put, changed))
        })
        .await
    }

    async fn record_rollout(
        &self,
        name: &AppName,
        revision: u64,
        update: &RolloutUpdate,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (name, update) = (name.clone(), update.clone());
        self.change(move |transaction| {
            Ok(((), apps::record_rollout(transaction, &name, revision, &update, now)?))
        })
        .await
    }

    async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError> {
        let name = name.clone();
        self.read(move |transaction| apps::live(transaction, &name)).await
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

    async fn pin_image(
        &self,
        name: &AppName,
        revision: u64,
        image: &ImageId,
        replace: bool,
    ) -> Result<(), StoreError> {
        let (name, image) = (name.clone(), image.clone());
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
        let (events, keep) = (events.to_vec(), self.keep);
        self.change(move |transaction| Ok((events::append(transaction, &events, keep)?, true)))
            .await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        let query = query.clone();
        self.read(move |transaction| events::query(transaction, &query)).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests;
