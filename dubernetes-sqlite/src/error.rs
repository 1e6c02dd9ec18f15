//! The errors of opening and copying a store, and the classification of SQLite errors.

use std::io;
use std::path::{Path, PathBuf};

use dubernetes_core::error::SharedError;
use dubernetes_core::store::StoreError;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use thiserror::Error;

use crate::lock::Holder;

/// Why a store was not opened. The database is left unchanged in every case.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has the store open.
    #[error("the folder `{}` is in use by {holder}", .folder.display())]
    Locked {
        /// The state directory.
        folder: PathBuf,
        /// The process that has it open.
        holder: Holder,
    },
    /// Another process works on a copy of the store, or on its original.
    #[error(
        "`{}` is a copy of a state that another process has open; stop that one, or use its folder",
        .folder.display()
    )]
    Copied {
        /// The state directory.
        folder: PathBuf,
    },
    /// The path of the state directory is not a directory.
    #[error("`{}` is not a folder; move it away, or choose another folder", .folder.display())]
    NotADirectory {
        /// The path.
        folder: PathBuf,
    },
    /// Other users may change the state.
    #[error(
        "the folder `{}` can be written by others (mode {mode:04o}); run `chmod go-w` on it",
        .folder.display()
    )]
    WritableByOthers {
        /// The state directory.
        folder: PathBuf,
        /// The directory's permission bits.
        mode: u32,
    },
    /// This user cannot read or change the state.
    #[error(
        "`{}` is not writable; give this user write permission, or choose another folder",
        .path.display()
    )]
    NotWritable {
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: SharedError,
    },
    /// The file exists, and was never a database of Dubernetes.
    #[error("`{}` is not a database of Dubernetes; move it away", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of Dubernetes wrote the database.
    #[error(
        "`{}` has the schema {found}, but this version reads up to {supported}; use the version \
         of Dubernetes that wrote it, or restore a backup of this version into an empty folder{}",
        .path.display(),
        restore_hint(.path, .snapshot.as_ref()),
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The version of its schema.
        found: u32,
        /// The newest version that is supported.
        supported: u32,
        /// The newest snapshot with a version that is supported, if there is one.
        snapshot: Option<PathBuf>,
    },
    /// The database is corrupt or truncated.
    #[error("`{}` is damaged{}", .path.display(), restore_hint(.path, .snapshot.as_ref()))]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The newest snapshot, if there is one.
        snapshot: Option<PathBuf>,
        /// The cause.
        #[source]
        source: SharedError,
    },
    /// The key file cannot be used.
    #[error("`{}` {why}", .path.display())]
    KeyFile {
        /// The key file.
        path: PathBuf,
        /// Why not, as a predicate.
        why: String,
    },
    /// The database has values that are encrypted with a key that is not there.
    #[error(
        "`{0}` is encrypted with the key {id}, which `{1}` does not have; put that file back from \
         a backup. If it is lost, so are the secrets: move `{0}`, `{0}-wal` and `{0}-shm` away, \
         run `dubernetes serve --adopt`, set the secrets and apply the files again",
        .path.display(),
        .key_file.display()
    )]
    KeyMissing {
        /// The database.
        path: PathBuf,
        /// The key file, which may be missing.
        key_file: PathBuf,
        /// The id of the key.
        id: String,
    },
    /// A stored value cannot be migrated.
    #[error("`{}` cannot be migrated", .path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// SQLite failed.
    #[error("`{}` cannot be opened", .path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// The snapshot before a migration failed.
    #[error("the snapshot before the schema migration failed")]
    Snapshot(#[source] BackupError),
}

fn restore_hint(path: &Path, snapshot: Option<&PathBuf>) -> String {
    match snapshot {
        Some(snapshot) => format!(
            "; to restore the newest snapshot, move `{0}`, `{0}-wal` and `{0}-shm` away and \
             copy `{1}` to `{0}`",
            path.display(),
            snapshot.display()
        ),
        None => String::from("; there is no snapshot to restore"),
    }
}

/// Why a copy was not made.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The target exists. A copy never overwrites a file.
    #[error("`{}` already exists; choose another name", .path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The file or directory cannot be written.
    #[error("`{}` cannot be written", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// SQLite failed.
    #[error("`{}` cannot be created", .path.display())]
    Sqlite {
        /// The target.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// The store does not answer.
    #[error("the store cannot be read")]
    Store(#[source] StoreError),
    /// The state cannot be opened.
    #[error(transparent)]
    State(Box<OpenError>),
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        Self::State(Box::new(error))
    }
}

/// Why a copy of a state was not put in place.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The state directory has content.
    #[error(
        "the folder `{}` is not empty: it has `{found}`; move it away, or choose another folder",
        .folder.display()
    )]
    NotEmpty {
        /// The state directory.
        folder: PathBuf,
        /// The first name of its content.
        found: String,
    },
    /// The copy has no database.
    #[error("the copy has no database")]
    Incomplete,
    /// The state directory or the copy is refused.
    #[error(transparent)]
    State(#[from] OpenError),
}

/// Why a transaction failed: SQLite failed, or the store refused the operation.
#[derive(Debug)]
pub(crate) enum TransactionError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl TransactionError {
    /// Creates the error for a stored value that cannot be read.
    pub(crate) fn unreadable(why: impl Into<String>) -> Self {
        Self::Store(StoreError::Failed(SharedError::text(why)))
    }
}

impl From<rusqlite::Error> for TransactionError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for TransactionError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<TransactionError> for StoreError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Store(error) => error,
            TransactionError::Sqlite(error) => classify(error),
        }
    }
}

/// Classifies an error by what the caller must do.
fn classify(error: rusqlite::Error) -> StoreError {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Busy(SharedError::new(error))
        }
        Some(ErrorCode::DiskFull) => StoreError::Full(SharedError::new(error)),
        // The shared index could not grow, which happens only without space.
        _ if extended == Some(SQLITE_IOERR_SHMSIZE) => StoreError::Full(SharedError::new(error)),
        _ => StoreError::Failed(SharedError::new(error)),
    }
}
