//! The lock file that gives a state directory to one process. The lock ends with its process.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::error::OpenError;
use crate::files::not_writable;

/// Keeps a second process from working on a copy of a store, in another directory. Ends with its
/// process, and counts on this machine.
#[derive(Debug)]
pub(crate) struct IdentityLock {
    _listener: Option<UnixListener>,
}

impl IdentityLock {
    /// Acquires the lock without waiting.
    ///
    /// # Errors
    ///
    /// [`OpenError::Copied`] if another process works on a store with the same id.
    pub(crate) fn acquire(folder: &Path, id: &str) -> Result<Self, OpenError> {
        bind_name(&format!("dubernetes-store-{id}")).map(|_listener| Self { _listener }).map_err(
            |error| match error.kind() {
                io::ErrorKind::AddrInUse => OpenError::Copied { folder: folder.to_owned() },
                _ => not_writable(folder, error),
            },
        )
    }
}

/// Name of the file in the state directory.
pub(crate) const FILE: &str = "orchestrator.lock";

/// What a process does with a store that it has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Works until it is stopped.
    Orchestrator,
    /// Works for one command.
    Command,
}

impl Role {
    const ALL: [Self; 2] = [Self::Orchestrator, Self::Command];

    fn as_str(self) -> &'static str {
        match self {
            Self::Orchestrator => "orchestrator",
            Self::Command => "command",
        }
    }
}

/// The process that has a store open, as far as it has already written about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: Option<u32>,
    /// Its role.
    pub role: Option<Role>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.role {
            Some(Role::Orchestrator) => "another orchestrator",
            Some(Role::Command) => "a command that runs in its own process",
            None => "another process",
        })?;
        self.pid.map_or(Ok(()), |pid| write!(f, ", process {pid}"))
    }
}

/// Locks the state directory until it is dropped.
///
/// The file is never removed: a second process may wait for the old file while a third one locks
/// a new file of the same name.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Acquires the lock without waiting, and writes this process's id and role into the file.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] with the process that holds the lock.
    pub(crate) fn acquire(folder: &Path, role: Role) -> Result<Self, OpenError> {
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
        write_holder(&mut lock.file, role).map_err(|error| not_writable(&path, error))?;
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
                Err(OpenError::Locked { folder: folder.to_owned(), holder: read_holder(&mut file) })
            }
            Err(TryLockError::Error(error)) => Err(not_writable(&folder.join(FILE), error)),
        }
    }
}

/// Binds a name in the kernel's own namespace, which needs no file and vanishes with the process.
#[cfg(target_os = "linux")]
fn bind_name(name: &str) -> io::Result<Option<UnixListener>> {
    use std::os::linux::net::SocketAddrExt as _;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    UnixListener::bind_addr(&address).map(Some)
}

/// Other systems have no such namespace: there, copies are not noticed.
#[cfg(not(target_os = "linux"))]
fn bind_name(_: &str) -> io::Result<Option<UnixListener>> {
    Ok(None)
}

fn write_holder(file: &mut File, role: Role) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{} {}", std::process::id(), role.as_str())
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    if file.take(64).read_to_string(&mut text).is_err() {
        return Holder::default();
    }
    let mut words = text.split_whitespace();
    let pid = words.next().and_then(|word| word.parse().ok());
    // Earlier versions wrote no role.
    let role = words.next().and_then(|word| Role::ALL.into_iter().find(|r| r.as_str() == word));
    Holder { pid, role }
}
