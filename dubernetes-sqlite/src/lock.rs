//! The lock file that gives a state directory to one orchestrator. The lock ends with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::OpenError;
use crate::files::not_writable;

/// Name of the file in the state directory.
const FILE: &str = "orchestrator.lock";

/// Locks the state directory until it is dropped.
///
/// The file is never removed: a second process may wait for the old file while a third one locks
/// a new file of the same name.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Acquires the lock without waiting, and writes this process's id into the file.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] with the process that holds the lock.
    pub(crate) fn acquire(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| not_writable(&path, error))?;
        let mut lock = Self::try_lock(folder, file)?;
        write_pid(&mut lock.file).map_err(|error| not_writable(&path, error))?;
        Ok(lock)
    }

    /// Acquires the lock for a check, and does not write to the file. Returns `None` if there is
    /// no file: then no orchestrator has ever used the directory.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] with the process that holds the lock.
    pub(crate) fn acquire_existing(folder: &Path) -> Result<Option<Self>, OpenError> {
        let path = folder.join(FILE);
        match File::open(&path) {
            Ok(file) => Self::try_lock(folder, file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(not_writable(&path, error)),
        }
    }

    fn try_lock(folder: &Path, mut file: File) -> Result<Self, OpenError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                Err(OpenError::Locked { folder: folder.to_owned(), pid: read_pid(&mut file) })
            }
            Err(TryLockError::Error(error)) => Err(not_writable(&folder.join(FILE), error)),
        }
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
