//! The way to an open database: lock, look, create or migrate, then two connections.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dubernetes_core::error::Cause;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;
use crate::inspect::{beside, inspect};
use crate::lock::Lock;
use crate::{folder, schema, snapshot};

/// The database's name in the state folder.
const FILE: &str = "dubernetes.db";
/// How long a transaction waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// An open database.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) writer: Connection,
    pub(crate) reader: Connection,
    pub(crate) lock: Lock,
}

/// Opens the database in `folder`, or makes a new one, with the schema of `migrations`.
pub(crate) fn open(folder: &Path, migrations: &[&str]) -> Result<Opened, OpenError> {
    folder::prepare(folder)?;
    let lock = Lock::take(folder)?;
    let path = folder.join(FILE);
    let supported = schema::newest(migrations);
    let found = inspect(&path, supported)?;
    if found.is_none() {
        create(&path, migrations)?;
    }
    let mut writer = connect_writer(&path)?;
    if found.is_some_and(|found| found < supported) {
        snapshot::take(&writer, &path, Timestamp::now()).map_err(OpenError::Snapshot)?;
        schema::migrate(&mut writer, migrations).map_err(|error| failed(&path, error))?;
    }
    let reader = read_only(&path).map_err(|error| failed(&path, error))?;
    Ok(Opened { path, writer, reader, lock })
}

/// Looks whether the database in `folder` can be trusted, and changes nothing; `None` if there is
/// none yet.
pub(crate) fn look(folder: &Path, migrations: &[&str]) -> Result<Option<u32>, OpenError> {
    let _lock = Lock::borrow(folder)?;
    inspect(&folder.join(FILE), schema::newest(migrations))
}

/// Makes the database under another name first: under its own it is never empty or half made.
fn create(path: &Path, migrations: &[&str]) -> Result<(), OpenError> {
    let not_writable = |error: io::Error| OpenError::NotWritable {
        path: path.to_owned(),
        source: Cause::new(error),
    };
    let part = beside(path, ".new");
    for left_over in [&part, &beside(&part, "-journal")] {
        match fs::remove_file(left_over) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(not_writable(error));
            }
            _ => {}
        }
    }
    snapshot::create_private(&part).map_err(not_writable)?;
    let mut connection = Connection::open(&part).map_err(|error| failed(path, error))?;
    schema::migrate(&mut connection, migrations).map_err(|error| failed(path, error))?;
    connection.close().map_err(|(_, error)| failed(path, error))?;
    fs::rename(&part, path).map_err(not_writable)?;
    path.parent().map_or(Ok(()), folder::sync).map_err(not_writable)
}

fn connect_writer(path: &Path) -> Result<Connection, OpenError> {
    let not_writable = |what: &str| {
        Err(OpenError::NotWritable { path: path.to_owned(), source: Cause::text(what) })
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        let readonly = connection.is_readonly("main")?;
        Ok((connection, readonly))
    };
    let (connection, readonly) = connect().map_err(|error| failed(path, error))?;
    if readonly {
        // SQLite opens a file that it may only read without a word.
        return not_writable("this user may only read it");
    }
    match set_up_writer(&connection).map_err(|error| failed(path, error))?.as_str() {
        "wal" => Ok(connection),
        _ => not_writable("its file system has no shared memory, which the log needs"),
    }
}

/// Sets what the writer needs, and returns the kind of log that is in use then.
fn set_up_writer(connection: &Connection) -> rusqlite::Result<String> {
    // What was answered survives a crash of the machine, not of the process alone.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Readers do not wait for the writer, and the writer not for readers.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
}

/// Opens a database to look at it.
pub(crate) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

fn failed(path: &Path, source: rusqlite::Error) -> OpenError {
    OpenError::Sqlite { path: path.to_owned(), source }
}
