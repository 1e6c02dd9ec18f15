//! Keeps what users asked for, its revisions, and events in one SQLite file.
//!
//! [`SqliteStore`] implements [`dubernetes_core::store::Store`]. Its folder holds:
//!
//! - `dubernetes.db`, with `-wal` and `-shm` beside it while it is open. What was answered is in
//!   `-wal` first, so a copy of the main file alone loses it: use [`SqliteStore::backup`].
//! - `orchestrator.lock`, locked by the one process that has the store open; it holds its number.
//! - `snapshots/`, copies made before a migration and by [`SqliteStore::snapshot`].
//!
//! # Invariants
//!
//! - A store that cannot be trusted is refused and left as it is. An empty or cut file never
//!   passes for a store without apps: *empty* would mean *remove all containers*.
//! - All changes are made by one thread, on one connection, each in one immediate transaction.

mod error;
mod folder;
mod inspect;
mod lock;
mod open;
mod row;
mod schema;
mod snapshot;
mod store;
mod worker;

pub use error::{BackupError, OpenError};
pub use store::{KeepEvents, SqliteStore};
