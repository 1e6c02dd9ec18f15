//! File operations of the store: checks and creates the state directory, and creates private files
//! that survive a crash of the machine.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use dubernetes_core::error::SharedError;

use crate::error::OpenError;

/// Ensures that the state directory exists. A new one is writable by its owner and readable by
/// its group.
pub(crate) fn ensure_state_dir(folder: &Path) -> Result<(), OpenError> {
    if state_dir_exists(folder)? {
        return Ok(());
    }
    let not_writable = |source: io::Error| not_writable(folder, source);
    DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(not_writable)?;
    // A directory's name survives a crash of the machine once its parent is synced.
    folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), sync_dir)
        .map_err(not_writable)
}

/// Returns true if the state directory exists.
///
/// # Errors
///
/// The path is not a directory, or the directory must not hold the state.
pub(crate) fn state_dir_exists(folder: &Path) -> Result<bool, OpenError> {
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Err(OpenError::NotADirectory { folder: folder.to_owned() }),
        Ok(found) => refuse_shared(folder, found.permissions().mode()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(OpenError::NotADirectory { folder: folder.to_owned() })
        }
        Err(error) => Err(not_writable(folder, error)),
    }
}

/// Returns device and inode of the file at `path`, if there is one.
pub(crate) fn find_file(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Makes names that were added to a directory survive a crash of the machine.
pub(crate) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Returns the path with `suffix` appended to its name, such as `-wal`.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Creates an empty file that only its owner can read.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Removes a file. A missing one is success.
pub(crate) fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Creates the error for a file or directory that cannot be read or written.
pub(crate) fn not_writable(path: &Path, source: io::Error) -> OpenError {
    OpenError::NotWritable { path: path.to_owned(), source: SharedError::new(source) }
}

fn refuse_shared(folder: &Path, mode: u32) -> Result<(), OpenError> {
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(OpenError::WritableByOthers { folder: folder.to_owned(), mode: mode & 0o7777 })
}
