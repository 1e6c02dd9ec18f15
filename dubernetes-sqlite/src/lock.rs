//! One orchestrator per folder: a lock that ends with the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use dubernetes_core::error::Cause;

use crate::error::OpenError;

/// The file's name in the state folder.
const FILE: &str = "orchestrator.lock";

/// Holds the folder until it is dropped. The file stays: removing it would let a third process
/// lock a new file of that name beside the second, which waits for the old one.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at once, or says which process has it.
    pub(crate) fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        let not_writable = |source: io::Error| OpenError::NotWritable {
            path: path.clone(),
            source: Cause::new(source),
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => {
                write_pid(&mut file).map_err(not_writable)?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                Err(OpenError::Locked { folder: folder.to_owned(), pid: read_pid(&mut file) })
            }
            Err(TryLockError::Error(error)) => Err(not_writable(error)),
        }
    }
}

impl Lock {
    /// Takes the lock for a look: without a word of its own in the file. Where there is no file,
    /// nobody has ever worked in the folder.
    pub(crate) fn borrow(folder: &Path) -> Result<Option<Self>, OpenError> {
        let path = folder.join(FILE);
        let not_readable = |source: io::Error| OpenError::NotWritable {
            path: path.clone(),
            source: Cause::new(source),
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(not_readable(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => {
                Err(OpenError::Locked { folder: folder.to_owned(), pid: read_pid(&mut file) })
            }
            Err(TryLockError::Error(error)) => Err(not_readable(error)),
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
