//! Opens the database: locks the state directory, inspects the file, creates or migrates it, and
//! connects twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dubernetes_core::error::SharedError;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;
use crate::files::{self, not_writable, sibling};
use crate::inspect::inspect_database;
use crate::lock::Lock;
use crate::{schema, snapshot};

/// Name of the database in the state directory.
const FILE: &str = "dubernetes.db";
/// How long a transaction waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An open database.
#[derive(Debug)]
pub(crate) struct OpenedStore {
    pub(crate) path: PathBuf,
    pub(crate) writer: Connection,
    pub(crate) reader: Connection,
    pub(crate) lock: Lock,
}

/// Opens the database in `folder`, or creates it, with the schema of `migrations`.
pub(crate) fn open(folder: &Path, migrations: &[&str]) -> Result<OpenedStore, OpenError> {
    files::ensure_state_dir(folder)?;
    let lock = Lock::acquire(folder)?;
    let path = folder.join(FILE);
    let supported = schema::newest(migrations);
    let found = inspect_database(&path, supported)?;
    if found.is_none() {
        create(&path, migrations)?;
    }
    let mut writer = connect_writer(&path)?;
    if found.is_some_and(|found| found < supported) {
        snapshot::take(&writer, &path, Timestamp::now()).map_err(OpenError::Snapshot)?;
        schema::migrate(&mut writer, migrations).map_err(|error| failed(&path, error))?;
    }
    let reader = open_read_only(&path).map_err(|error| failed(&path, error))?;
    Ok(OpenedStore { path, writer, reader, lock })
}

/// Checks whether the database in `folder` can be opened, and changes nothing. Returns the version
/// of its schema, or `None` if there is no database.
pub(crate) fn check(folder: &Path, migrations: &[&str]) -> Result<Option<u32>, OpenError> {
    let _lock = Lock::acquire_existing(folder)?;
    inspect_database(&folder.join(FILE), schema::newest(migrations))
}

/// Opens a database for reading.
pub(crate) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Creates the database under a temporary name, so that it is never seen empty or half written.
fn create(path: &Path, migrations: &[&str]) -> Result<(), OpenError> {
    let not_writable = |error| not_writable(path, error);
    let part = sibling(path, ".new");
    for left_over in [&part, &sibling(&part, "-journal")] {
        files::remove_if_exists(left_over).map_err(not_writable)?;
    }
    files::create_private(&part).map_err(not_writable)?;
    let mut connection = Connection::open(&part).map_err(|error| failed(path, error))?;
    schema::migrate(&mut connection, migrations).map_err(|error| failed(path, error))?;
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
    // Readers and the writer do not wait for each other.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
}

fn failed(path: &Path, source: rusqlite::Error) -> OpenError {
    OpenError::Sqlite { path: path.to_owned(), source }
}
