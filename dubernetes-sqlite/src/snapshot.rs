//! Copies the database, and keeps the newest copies.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use crate::error::BackupError;
use crate::files;

/// Directory beside the database.
const FOLDER: &str = "snapshots";
/// Number of snapshots that are kept, the newest. The last one with an earlier schema stays, too.
const KEPT: usize = 5;
/// Where the header of a database has its `user_version`.
const SCHEMA_OFFSET: u64 = 60;

/// What a copy contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    All,
    /// What cannot be made again: events would be most of each copy.
    WithoutEvents,
}

/// Copies the database to `target`, which must not exist. The copy is a consistent state in one
/// file, and has its name only once it is complete and on disk.
pub(crate) fn copy(
    source: &Connection,
    target: &Path,
    content: Content,
) -> Result<(), BackupError> {
    if target.try_exists().map_err(|source| failed(target, source))? {
        return Err(BackupError::Exists { path: target.to_owned() });
    }
    let part = files::sibling(target, ".part");
    let copied = copy_part(source, &part, content).and_then(|()| {
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::rename(&part, target)
            .and_then(|()| files::sync_dir(parent.unwrap_or(Path::new("."))))
            .map_err(|source| failed(target, source))
    });
    if copied.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&part);
    }
    copied
}

/// Copies the database into its directory of snapshots, removes the oldest snapshots, and returns
/// the path of the copy.
pub(crate) fn take(
    source: &Connection,
    database: &Path,
    content: Content,
    now: Timestamp,
) -> Result<PathBuf, BackupError> {
    let folder = snapshot_dir(database);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|source| failed(&folder, source))?;
    let target = folder.join(format!("dubernetes-{}.db", now.strftime("%Y%m%dT%H%M%S.%6fZ")));
    copy(source, &target, content)?;
    let schema = read_schema(&target).unwrap_or(0);
    // The way back from an upgrade, however long ago that was.
    let kept = schema.checked_sub(1).and_then(|before| newest_up_to(database, before));
    for old in list(database).iter().rev().skip(KEPT).filter(|old| kept.as_ref() != Some(old)) {
        fs::remove_file(old).map_err(|source| failed(old, source))?;
    }
    Ok(target)
}

/// Returns the newest snapshot of the database, by name.
pub(crate) fn newest(database: &Path) -> Option<PathBuf> {
    list(database).pop()
}

/// Returns the newest snapshot whose schema is not newer than `schema`.
pub(crate) fn newest_up_to(database: &Path, schema: u32) -> Option<PathBuf> {
    let is_old = |path: &PathBuf| read_schema(path).is_some_and(|found| found <= schema);
    list(database).into_iter().rev().find(is_old)
}

/// Reads the version of the schema from the header of a snapshot, which has no log.
fn read_schema(path: &Path) -> Option<u32> {
    let mut bytes = [0; 4];
    File::open(path).ok()?.read_exact_at(&mut bytes, SCHEMA_OFFSET).ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// Returns all snapshots of the database, oldest first.
pub(crate) fn list(database: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(snapshot_dir(database)).into_iter().flatten().flatten();
    let is_snapshot = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("dubernetes-") && name.ends_with(".db")
    };
    let mut found: Vec<_> = entries.map(|entry| entry.path()).filter(is_snapshot).collect();
    found.sort();
    found
}

fn snapshot_dir(database: &Path) -> PathBuf {
    database.with_file_name(FOLDER)
}

fn copy_part(source: &Connection, part: &Path, content: Content) -> Result<(), BackupError> {
    let sqlite = |source| BackupError::Sqlite { path: part.to_owned(), source };
    // An interrupted copy may have left a file.
    files::remove_if_exists(part)
        .and_then(|()| files::create_private(part))
        .map_err(|source| failed(part, source))?;
    let mut copy = Connection::open(part).map_err(sqlite)?;
    {
        // All pages in one step: the copy is consistent, and writers do not wait for it.
        let backup = Backup::new(source, &mut copy).map_err(sqlite)?;
        backup.run_to_completion(i32::MAX, Duration::from_millis(50), None).map_err(sqlite)?;
    }
    // Without a log, the copy is one file.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(sqlite)?;
    match content {
        Content::All => {}
        Content::WithoutEvents => {
            copy.execute_batch("DELETE FROM events; VACUUM").map_err(sqlite)?;
        }
    }
    copy.close().map_err(|(_, error)| sqlite(error))?;
    File::open(part).and_then(|file| file.sync_all()).map_err(|source| failed(part, source))
}

fn failed(path: &Path, source: io::Error) -> BackupError {
    BackupError::Io { path: path.to_owned(), source }
}
