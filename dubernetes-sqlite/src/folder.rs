//! Decides whether a folder may hold the state, and makes it if it is missing.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use dubernetes_core::error::Cause;

use crate::error::OpenError;

/// Makes the folder if it is missing, for its owner to write and its group to read.
pub(crate) fn prepare(folder: &Path) -> Result<(), OpenError> {
    if exists(folder)? {
        return Ok(());
    }
    let not_writable = |source: io::Error| not_writable(folder, source);
    DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(not_writable)?;
    // The name of a folder survives a crash of the machine once its parent is synced.
    folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), sync)
        .map_err(not_writable)
}

/// Whether the folder is there; an error if it may not hold the state.
pub(crate) fn exists(folder: &Path) -> Result<bool, OpenError> {
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

fn not_writable(folder: &Path, source: io::Error) -> OpenError {
    OpenError::NotWritable { path: folder.to_owned(), source: Cause::new(source) }
}

/// Makes names that were added to the folder survive a crash of the machine.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn refuse_shared(folder: &Path, mode: u32) -> Result<(), OpenError> {
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(OpenError::WritableByOthers { folder: folder.to_owned(), mode: mode & 0o7777 })
}
