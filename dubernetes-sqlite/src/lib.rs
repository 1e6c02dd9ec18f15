//! Stores desired state, revisions and events in one SQLite file.
//!
//! [`SqliteStore`] implements [`dubernetes_core::store::Store`]. Its state directory holds:
//!
//! - `dubernetes.db`, with `-wal` and `-shm` beside it while the store is open. Acknowledged
//!   writes are in `-wal` first, so a copy of the main file alone loses them: use
//!   [`SqliteStore::backup`].
//! - `orchestrator.lock`, locked by the process that may change the store, with its process id
//!   and its role. Processes that only read need no lock.
//! - `secret.key`, the key that encrypts secrets and contents of files in the database. It is made
//!   when the first one is stored. Without it they cannot be read, so back it up.
//! - `snapshots/`, copies made before a migration and by [`SqliteStore::snapshot`].
//!
//! [`SqliteStore::copy_state`] copies what cannot be made again, and [`EmptyState`] puts it back.
//!
//! # Invariants
//!
//! - A store that cannot be trusted is refused and left unchanged. An empty or truncated file
//!   never passes for a store without apps: *empty* would mean *remove all containers*.
//! - One thread makes all changes, on one connection, each in one immediate transaction.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dubernetes_core::app::{AppName, AppSpec, ImageRef};
//! use dubernetes_core::store::{PutApp, Store as _};
//! use dubernetes_sqlite::SqliteStore;
//!
//! # let directory = tempfile::tempdir()?;
//! # let state_dir = directory.path();
//! let store = SqliteStore::open(state_dir)?;
//! let spec = AppSpec::new(AppName::parse("web")?, ImageRef::parse("nginx:1")?);
//! store.put(PutApp::new(spec.validate()?, jiff::Timestamp::now())).await?;
//! drop(store);
//!
//! let reopened = SqliteStore::open(state_dir)?;
//! assert_eq!(reopened.list().await?.apps.len(), 1);
//! # Ok(())
//! # }
//! ```

mod error;
mod files;
mod inspect;
mod keyring;
mod lock;
mod open;
mod row;
mod schema;
mod seal;
mod session;
mod snapshot;
mod store;
mod transfer;
mod worker;

pub use error::{BackupError, OpenError, RestoreError};
pub use lock::{Holder, Role};
pub use store::{EventRetention, SqliteStore};
pub use transfer::EmptyState;
