//! Which class of error a result code of SQLite is, and why a store cannot be opened or copied.

use std::io;
use std::path::PathBuf;

use dubernetes_core::error::Cause;
use dubernetes_core::store::StoreError;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use thiserror::Error;

/// Why a store was not opened. Whatever it was, the database is as it was before.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has the store open.
    #[error(
        "the folder `{}` is in use by another orchestrator{}; stop that one, or choose another \
         folder",
        .folder.display(),
        .pid.map(|pid| format!(", process {pid}")).unwrap_or_default(),
    )]
    Locked {
        /// The state folder.
        folder: PathBuf,
        /// The process, if it has written its number already.
        pid: Option<u32>,
    },
    /// The path of the state folder is something else.
    #[error("`{}` is not a folder; move it away, or choose another folder", .folder.display())]
    NotADirectory {
        /// The path.
        folder: PathBuf,
    },
    /// Other users could change the state.
    #[error(
        "the folder `{}` can be written by others (mode {mode:04o}); run `chmod go-w` on it",
        .folder.display()
    )]
    WritableByOthers {
        /// The state folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// This user cannot change the state.
    #[error(
        "`{}` cannot be written; give this user the right to write it, or choose another folder",
        .path.display()
    )]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The file is there and was never ours.
    #[error("`{}` is not a database of Dubernetes; move it away", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of Dubernetes has written the database.
    #[error(
        "`{}` has the schema {found}, and this version reads up to {supported}; use the version \
         of Dubernetes that wrote it{}",
        .path.display(),
        way_back(.path, .snapshot.as_ref()),
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema that is understood.
        supported: u32,
        /// The newest snapshot, if there is one.
        snapshot: Option<PathBuf>,
    },
    /// The database has lost some of its content.
    #[error("`{}` is damaged{}", .path.display(), way_back(.path, .snapshot.as_ref()))]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The newest snapshot, if there is one.
        snapshot: Option<PathBuf>,
        /// What is wrong.
        #[source]
        source: Cause,
    },
    /// SQLite failed.
    #[error("`{}` cannot be opened", .path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The snapshot that is due before a migration failed.
    #[error("no snapshot can be made before the schema is changed")]
    Snapshot(#[source] BackupError),
}

fn way_back(path: &std::path::Path, snapshot: Option<&PathBuf>) -> String {
    match snapshot {
        Some(snapshot) => format!(
            "; to go back to the newest snapshot, move `{0}`, `{0}-wal` and `{0}-shm` away and \
             copy `{1}` to `{0}`",
            path.display(),
            snapshot.display()
        ),
        None => String::from("; there is no snapshot to go back to"),
    }
}

/// Why a copy was not made.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Nothing is overwritten.
    #[error("`{}` exists already; choose another name", .path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The file or folder cannot be written.
    #[error("`{}` cannot be written", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// SQLite failed.
    #[error("`{}` cannot be made", .path.display())]
    Sqlite {
        /// The target.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The store answers no more.
    #[error("the store cannot be read")]
    Store(#[source] StoreError),
}

/// Why a transaction failed: SQLite, or a decision.
#[derive(Debug)]
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl Failure {
    /// A stored value that makes no sense.
    pub(crate) fn unreadable(what: impl Into<String>) -> Self {
        Self::Store(StoreError::Failed(Cause::text(what)))
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Sqlite(error) => classify(error),
        }
    }
}

/// The class of an error, by what the caller must do.
fn classify(error: rusqlite::Error) -> StoreError {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Busy(Cause::new(error))
        }
        Some(ErrorCode::DiskFull) => StoreError::Full(Cause::new(error)),
        // The shared index could not grow: only space is missing then.
        _ if extended == Some(SQLITE_IOERR_SHMSIZE) => StoreError::Full(Cause::new(error)),
        _ => StoreError::Failed(Cause::new(error)),
    }
}
