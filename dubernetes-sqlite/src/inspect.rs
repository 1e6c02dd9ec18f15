//! Decides whether a database can be trusted, and never changes it.
//!
//! SQLite takes an empty file for a new database, and reads on in a truncated one. Here, both
//! count as damage.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use dubernetes_core::error::SharedError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::OpenError;
use crate::files::{not_writable, sibling};
use crate::keyring::{self, Keyring};
use crate::{open, schema, seal, snapshot};

/// The first bytes of every database.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Size of the header before the content of the first page.
const HEADER: usize = 100;

/// Whether other processes may change the database during the inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The state directory is locked, so the database does not change.
    Locked,
    /// Another process may change the database.
    Shared,
}

/// Returns the version of the database's schema, or `None` if there is no database. `keys` must
/// have every key that the database needs.
pub(crate) fn inspect_database(
    path: &Path,
    supported: u32,
    access: Access,
    keys: &Keyring,
) -> Result<Option<u32>, OpenError> {
    let Some(size) = file_size(path)? else {
        return if has_log(path) {
            Err(damaged(path, "it is missing, but its `-wal` exists"))
        } else {
            Ok(None)
        };
    };
    check_header(path, size)?;
    let connection = match access {
        Access::Locked => open_unchanged(path),
        Access::Shared => open::open_read_only(path),
    };
    let connection = connection.map_err(|error| classify(path, error))?;
    let found = check_content(&connection, path, supported)?;
    check_keys(&connection, path, keys)?;
    Ok(Some(found))
}

fn check_keys(connection: &Connection, path: &Path, keys: &Keyring) -> Result<(), OpenError> {
    let needed = seal::keys_in_use(connection).map_err(|error| classify(path, error))?;
    let lacks = || needed.iter().find(|id| !keys.has(**id));
    if lacks().is_some() {
        // Another process may have rotated the key since it was read.
        keys.reload()?;
    }
    match lacks() {
        None => Ok(()),
        Some(id) => Err(OpenError::KeyMissing {
            path: path.to_owned(),
            key_file: keys.path().to_owned(),
            id: keyring::show(*id),
        }),
    }
}

fn file_size(path: &Path) -> Result<Option<u64>, OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Err(OpenError::Foreign { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(not_writable(path, error)),
    }
}

/// Returns true if the write-ahead log holds changes that are not in the database yet.
fn has_log(path: &Path) -> bool {
    fs::metadata(sibling(path, "-wal")).is_ok_and(|found| found.len() > 0)
}

fn check_header(path: &Path, size: u64) -> Result<(), OpenError> {
    if size == 0 {
        return Err(damaged(path, "it is empty: 0 bytes"));
    }
    let mut header = Vec::with_capacity(HEADER);
    File::open(path)
        .and_then(|file| file.take(u64::try_from(HEADER).unwrap_or(0)).read_to_end(&mut header))
        .map_err(|error| not_writable(path, error))?;
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        let was_ours = has_log(path) || snapshot::newest(path).is_some();
        return Err(if was_ours {
            damaged(path, "it does not start with a database header")
        } else {
            OpenError::Foreign { path: path.to_owned() }
        });
    }
    let written = u64::from(header_number(&header, 28)) * page_size(&header);
    // The page count is valid only if it was written together with the last change. While there
    // is a log, the file may still grow.
    let is_count_valid = header_number(&header, 24) == header_number(&header, 92);
    if is_count_valid && !has_log(path) && size < written {
        return Err(damaged(path, &format!("it is truncated: {size} bytes of {written}")));
    }
    Ok(())
}

fn header_number(header: &[u8], at: usize) -> u32 {
    header.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn page_size(header: &[u8]) -> u64 {
    match u64::from(header_number(header, 16) >> 16) {
        // 65536 does not fit into the field of two bytes.
        1 => 65_536,
        size => size,
    }
}

/// Opens the database without writing anything: neither a page nor a log.
fn open_unchanged(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if has_log(path) {
        Connection::open_with_flags(path, flags)?
    } else {
        Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)?
    };
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Returns a URI that promises that the file does not change: the state directory is locked.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    uri.push_str("?immutable=1");
    uri
}

fn check_content(connection: &Connection, path: &Path, supported: u32) -> Result<u32, OpenError> {
    let classify = |error| classify(path, error);
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(classify)?;
    if id != schema::APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = schema::version(connection).map_err(classify)?;
    if found > supported {
        let snapshot = snapshot::newest_up_to(path, supported);
        return Err(OpenError::Newer { path: path.to_owned(), found, supported, snapshot });
    }
    if found == 0 {
        return Err(damaged(path, "it has no schema"));
    }
    let result: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(classify)?;
    if result == "ok" { Ok(found) } else { Err(damaged(path, &result)) }
}

fn classify(path: &Path, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged {
            path: path.to_owned(),
            snapshot: snapshot::newest(path),
            source: SharedError::new(error),
        },
        _ => OpenError::Sqlite { path: path.to_owned(), source: error },
    }
}

fn damaged(path: &Path, why: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        snapshot: snapshot::newest(path),
        source: SharedError::text(why),
    }
}
