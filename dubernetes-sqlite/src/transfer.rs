//! Copies a whole state for a backup, and puts such a copy into an empty state directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{BackupError, OpenError, RestoreError};
use crate::files::{self, not_writable};
use crate::lock::{self, Lock, Role};
use crate::snapshot::Content;
use crate::{SqliteStore, keyring, open, schema, snapshot};

/// How often a copy is tried whose key is rotated meanwhile.
const ATTEMPTS: u32 = 3;
/// Directory in the state directory for files that are not in their place yet.
const PART: &str = ".restore";
/// What an empty state directory may hold: states of other instances are below that of the default
/// one, and a file system has a directory of its own.
const IGNORED: [&str; 5] = [lock::FILE, PART, "dubernetes.sock", "instances", "lost+found"];

impl SqliteStore {
    /// The files of a state that cannot be made again: the database, and the key of its secrets,
    /// which is missing where nothing is encrypted.
    pub const STATE_FILES: [&str; 2] = [open::FILE, keyring::FILE];

    /// Returns the version of the schema that this program writes, the newest that it reads.
    pub fn newest_schema() -> u32 {
        schema::newest(schema::MIGRATIONS)
    }

    /// Copies the files of the state in `state_dir` into the directory `target`, which is empty.
    /// Other processes may have the state open. Nothing is migrated. Returns the version of its
    /// schema, or `None` if there is no state.
    ///
    /// # Errors
    ///
    /// The state cannot be opened, for the reasons of [`SqliteStore::open`], or `target` cannot be
    /// written.
    pub fn copy_state(state_dir: &Path, target: &Path) -> Result<Option<u32>, BackupError> {
        if !files::state_dir_exists(state_dir)? || !Self::exists(state_dir) {
            return Ok(None);
        }
        let database = state_dir.join(open::FILE);
        let mut attempt = 1;
        loop {
            let copy = target.join(open::FILE);
            let source = open::open_read_only(&database);
            let source =
                source.map_err(|source| BackupError::Sqlite { path: database.clone(), source })?;
            snapshot::copy(&source, &copy, Content::All)?;
            copy_key(state_dir, target)?;
            match open::check(target, schema::MIGRATIONS) {
                // The key was rotated between the two copies.
                Err(OpenError::KeyMissing { .. }) if attempt < ATTEMPTS => {
                    fs::remove_file(&copy)
                        .map_err(|source| BackupError::Io { path: copy, source })?;
                    attempt += 1;
                }
                checked => return checked.map_err(BackupError::from),
            }
        }
    }
}

fn copy_key(from: &Path, to: &Path) -> Result<(), BackupError> {
    let path = to.join(keyring::FILE);
    let failed = |source| BackupError::Io { path: path.clone(), source };
    files::remove_if_exists(&path).map_err(failed)?;
    let mut key = match File::open(from.join(keyring::FILE)) {
        Ok(key) => key,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(BackupError::Io { path: from.join(keyring::FILE), source }),
    };
    let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    copy.and_then(|mut copy| io::copy(&mut key, &mut copy)).map(drop).map_err(failed)
}

/// An empty state directory that this process has locked, and files that shall be its state.
///
/// Dropping it removes these files, unless [`EmptyState::install`] has put them in place.
#[derive(Debug)]
pub struct EmptyState {
    folder: PathBuf,
    part: PathBuf,
    _lock: Lock,
}

impl EmptyState {
    /// Locks the state directory, which is created if it is missing.
    ///
    /// # Errors
    ///
    /// The directory is in use, not empty, or not writable.
    pub fn lock(state_dir: &Path) -> Result<Self, RestoreError> {
        // Before anything is written there.
        check_empty(state_dir)?;
        files::ensure_state_dir(state_dir)?;
        let lock = Lock::acquire(state_dir, Role::Command)?;
        // Another process may have created a state before this one had the lock.
        check_empty(state_dir)?;
        let part = state_dir.join(PART);
        remove_dir(&part)
            .and_then(|()| DirBuilder::new().mode(0o700).create(&part))
            .map_err(|error| not_writable(&part, error))?;
        Ok(Self { folder: state_dir.to_owned(), part, _lock: lock })
    }

    /// Returns the directory for the files. It is on the file system of the state directory.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Checks the files, and puts them in place, the database last: a process that opens the state
    /// meanwhile, or after a crash, finds all of it or none. Returns the version of its schema.
    ///
    /// # Errors
    ///
    /// The database is missing, or refused for the reasons of [`SqliteStore::open`]; the state
    /// directory stays empty then. Or a file cannot be moved.
    pub fn install(self) -> Result<u32, RestoreError> {
        let Some(found) = open::check(&self.part, schema::MIGRATIONS)? else {
            return Err(RestoreError::Incomplete);
        };
        let failed = |error| RestoreError::from(not_writable(&self.folder, error));
        let entries = fs::read_dir(&self.part).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut names: Vec<_> =
            entries.map_err(failed)?.into_iter().map(|entry| entry.file_name()).collect();
        names.sort_by_key(|name| name == open::FILE);
        for name in &names {
            File::open(self.part.join(name)).and_then(|file| file.sync_all()).map_err(failed)?;
        }
        for name in &names {
            fs::rename(self.part.join(name), self.folder.join(name)).map_err(failed)?;
        }
        files::sync_dir(&self.folder).map_err(failed)?;
        Ok(found)
    }
}

impl Drop for EmptyState {
    fn drop(&mut self) {
        // What is left is removed by the next restore.
        let _ = remove_dir(&self.part);
    }
}

fn check_empty(folder: &Path) -> Result<(), RestoreError> {
    if !files::state_dir_exists(folder)? {
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(|error| not_writable(folder, error))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    match names.filter(|name| !IGNORED.iter().any(|ignored| name == ignored)).min() {
        None => Ok(()),
        // The process that uses the directory is the better reason.
        Some(found) => match Lock::acquire_existing(folder) {
            Err(error @ OpenError::Locked { .. }) => Err(error.into()),
            Ok(_) | Err(_) => {
                let found = found.to_string_lossy().into_owned();
                Err(RestoreError::NotEmpty { folder: folder.to_owned(), found })
            }
        },
    }
}

fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_files_are_a_state_and_others_are_removed() {
        let outer = tempfile::tempdir().unwrap();
        let [from, copy, to] = ["from", "copy", "to"].map(|name| outer.path().join(name));
        fs::create_dir(&copy).unwrap();
        assert_eq!(SqliteStore::copy_state(&from, &copy).unwrap(), None);
        let store = SqliteStore::open(&from).unwrap();
        let schema = SqliteStore::newest_schema();
        assert_eq!(SqliteStore::copy_state(&from, &copy).unwrap(), Some(schema));

        let empty = EmptyState::lock(&to).unwrap();
        let locked = EmptyState::lock(&to).unwrap_err();
        let is_locked = matches!(&locked, RestoreError::State(OpenError::Locked { .. }));
        assert!(is_locked, "{locked}");
        let incomplete = empty.install().unwrap_err();
        assert!(matches!(incomplete, RestoreError::Incomplete), "{incomplete}");
        assert!(!to.join(PART).exists() && !SqliteStore::exists(&to));

        let empty = EmptyState::lock(&to).unwrap();
        fs::copy(copy.join(open::FILE), empty.part().join(open::FILE)).unwrap();
        assert_eq!(empty.install().unwrap(), schema);
        let id = store.id().to_owned();
        drop(store);
        assert_eq!(SqliteStore::open(&to).unwrap().id(), id);
        let taken = EmptyState::lock(&to).unwrap_err();
        assert!(matches!(&taken, RestoreError::NotEmpty { .. }), "{taken}");
        assert!(taken.to_string().contains("`dubernetes.db`"), "{taken}");
    }

    #[test]
    fn state_of_a_later_version_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        drop(SqliteStore::open(&from).unwrap());
        let empty = EmptyState::lock(&to).unwrap();
        let database = empty.part().join(open::FILE);
        fs::copy(from.join(open::FILE), &database).unwrap();
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let refused = empty.install().unwrap_err();
        assert!(matches!(refused, RestoreError::State(OpenError::Newer { .. })), "{refused}");
        assert!(!SqliteStore::exists(&to));
    }
}
