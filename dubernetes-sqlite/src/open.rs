//! Opens the database: locks the state directory, inspects the file, creates or migrates it, and
//! connects twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::error::SharedError;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use crate::error::{OpenError, TransactionError};
use crate::files::{self, not_writable, sibling};
use crate::inspect::{Access, inspect_database};
use crate::keyring::Keyring;
use crate::lock::{IdentityLock, Lock, Role};
use crate::schema::Migration;
use crate::snapshot::Content;
use crate::{schema, seal, snapshot};

/// Name of the database in the state directory.
pub(crate) const FILE: &str = "dubernetes.db";
/// How long a transaction waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Size of the write-ahead log that causes a checkpoint, in pages.
const LOG_PAGES: u32 = 64;
/// SQLite's default size of a page.
const PAGE_SIZE: u32 = 4096;

/// An open database.
#[derive(Debug)]
pub(crate) struct OpenedStore {
    pub(crate) path: PathBuf,
    pub(crate) id: String,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) reader: Connection,
    /// `None` if the database is open for reading only.
    pub(crate) writer: Option<(Connection, Locks)>,
}

/// What allows a process to change the database, until it is dropped.
pub(crate) type Locks = (Lock, IdentityLock);

/// Opens the database in `folder`, or creates it, with the schema of `migrations`.
pub(crate) fn open(
    folder: &Path,
    role: Role,
    migrations: &[Migration],
) -> Result<OpenedStore, OpenError> {
    files::ensure_state_dir(folder)?;
    let lock = Lock::acquire(folder, role)?;
    let path = folder.join(FILE);
    let supported = schema::newest(migrations);
    let keys = Keyring::load(folder)?;
    let found = inspect_database(&path, supported, Access::Locked, &keys)?;
    if found.is_none() {
        create(&path, migrations, &keys)?;
    }
    let mut writer = connect_writer(&path)?;
    if found.is_some_and(|found| found < supported) {
        snapshot::take(&writer, &path, Content::All, Timestamp::now())
            .map_err(OpenError::Snapshot)?;
        schema::migrate(&mut writer, migrations, &keys).map_err(|error| refused(&path, error))?;
    }
    if keys.has_old_keys() {
        seal::finish_rotation(&mut writer, &path, &keys).map_err(|error| refused(&path, error))?;
    }
    let reader = open_read_only(&path).map_err(|error| failed(&path, error))?;
    let id = schema::read_id(&writer).map_err(|error| failed(&path, error))?;
    let identity = IdentityLock::acquire(folder, &id)?;
    let keys = Arc::new(keys);
    Ok(OpenedStore { path, id, keys, reader, writer: Some((writer, (lock, identity))) })
}

/// Opens the database in `folder` for reading, beside the process that has the lock. A database of
/// an earlier version is migrated first, under the lock. Where there is none, an empty one in
/// memory takes its place, and nothing is written.
pub(crate) fn open_for_reading(
    folder: &Path,
    migrations: &[Migration],
) -> Result<OpenedStore, OpenError> {
    let path = folder.join(FILE);
    let supported = schema::newest(migrations);
    let exists = files::state_dir_exists(folder)?;
    let keys = Keyring::load(folder)?;
    let found = match exists {
        true => inspect_database(&path, supported, Access::Shared, &keys)?,
        false => None,
    };
    let reader = match found {
        None => create_in_memory(migrations, &keys).map_err(|error| refused(&path, error))?,
        Some(found) => {
            if found < supported {
                open(folder, Role::Command, migrations)?;
            }
            open_read_only(&path).map_err(|error| failed(&path, error))?
        }
    };
    let id = schema::read_id(&reader).map_err(|error| failed(&path, error))?;
    Ok(OpenedStore { path, id, keys: Arc::new(keys), reader, writer: None })
}

fn create_in_memory(
    migrations: &[Migration],
    keys: &Keyring,
) -> Result<Connection, TransactionError> {
    let mut connection = Connection::open_in_memory()?;
    schema::migrate(&mut connection, migrations, keys)?;
    Ok(connection)
}

/// Sets the id of the database in `folder`.
pub(crate) fn set_id(folder: &Path, id: &str, migrations: &[Migration]) -> Result<(), OpenError> {
    let OpenedStore { path, writer, .. } = open(folder, Role::Command, migrations)?;
    let Some((connection, _locks)) = writer else { return Ok(()) };
    let set = connection.execute("UPDATE identity SET id = ?1", [id]);
    set.map(drop).map_err(|error| failed(&path, error))
}

/// Checks whether the database in `folder` can be opened, and changes nothing. Returns the version
/// of its schema, or `None` if there is no database.
pub(crate) fn check(folder: &Path, migrations: &[Migration]) -> Result<Option<u32>, OpenError> {
    let _lock = Lock::acquire_existing(folder)?;
    let (keys, supported) = (Keyring::load(folder)?, schema::newest(migrations));
    inspect_database(&folder.join(FILE), supported, Access::Locked, &keys)
}

/// Opens a database for reading.
pub(crate) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Creates the database under a temporary name, so that it is never seen empty or half written.
fn create(path: &Path, migrations: &[Migration], keys: &Keyring) -> Result<(), OpenError> {
    let not_writable = |error| not_writable(path, error);
    let part = sibling(path, ".new");
    for left_over in [&part, &sibling(&part, "-journal")] {
        files::remove_if_exists(left_over).map_err(not_writable)?;
    }
    files::create_private(&part).map_err(not_writable)?;
    let mut connection = Connection::open(&part).map_err(|error| failed(path, error))?;
    schema::migrate(&mut connection, migrations, keys).map_err(|error| refused(path, error))?;
    connection.close().map_err(|(_, error)| failed(path, error))?;
    fs::rename(&part, path).map_err(not_writable)?;
    path.parent().map_or(Ok(()), files::sync_dir).map_err(not_writable)
}

fn connect_writer(path: &Path) -> Result<Connection, OpenError> {
    let not_writable = |why: &str| {
        Err(OpenError::NotWritable { path: path.to_owned(), source: SharedError::text(why) })
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let is_read_only = connection.is_readonly("main")?;
        Ok((connection, is_read_only))
    };
    let (connection, is_read_only) = connect().map_err(|error| failed(path, error))?;
    if is_read_only {
        // SQLite silently opens a file read-only if this user may not write it.
        return not_writable("this user may only read it");
    }
    match set_up_writer(&connection).map_err(|error| failed(path, error))?.as_str() {
        "wal" => Ok(connection),
        _ => not_writable("its file system has no shared memory, which the log needs"),
    }
}

/// Applies the writer's settings, and returns the journal mode that is in effect.
fn set_up_writer(connection: &Connection) -> rusqlite::Result<String> {
    // An acknowledged write survives a crash of the machine, not only of the process.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Each checkpoint copies the log into the database, and the next write truncates it.
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_PAGES * PAGE_SIZE)?;
    // Readers and the writer do not wait for each other.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
}

fn refused(path: &Path, error: TransactionError) -> OpenError {
    match error {
        TransactionError::Sqlite(source) => failed(path, source),
        TransactionError::Store(source) => OpenError::Migration { path: path.to_owned(), source },
    }
}

fn failed(path: &Path, source: rusqlite::Error) -> OpenError {
    OpenError::Sqlite { path: path.to_owned(), source }
}
