//! Decides whether a database can be trusted, without changing a byte of it.
//!
//! SQLite itself takes an empty file for a new database, and reads on in a cut one; here both
//! are damage.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use dubernetes_core::error::Cause;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::OpenError;
use crate::{schema, snapshot};

/// What every database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The size of the part before the first page's content.
const HEADER: usize = 100;

/// The schema of the database; `None` if there is no database yet.
pub(crate) fn inspect(path: &Path, supported: u32) -> Result<Option<u32>, OpenError> {
    let Some(size) = size(path)? else {
        return if has_log(path) {
            Err(damaged(path, "it is missing, and its `-wal` is there"))
        } else {
            Ok(None)
        };
    };
    check_header(path, size)?;
    let connection = look_only(path).map_err(|error| refused(path, error))?;
    let found = check_content(&connection, path, supported)?;
    Ok(Some(found))
}

/// The path of a file that SQLite keeps beside the database, such as `-wal`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn size(path: &Path) -> Result<Option<u64>, OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Err(OpenError::Foreign { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

/// Whether changes wait in the log to be moved into the database.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|found| found.len() > 0)
}

fn check_header(path: &Path, size: u64) -> Result<(), OpenError> {
    if size == 0 {
        return Err(damaged(path, "it is empty: 0 bytes"));
    }
    let mut header = Vec::with_capacity(HEADER);
    File::open(path)
        .and_then(|file| file.take(u64::try_from(HEADER).unwrap_or(0)).read_to_end(&mut header))
        .map_err(|error| unreadable(path, error))?;
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        let was_ours = has_log(path) || snapshot::newest(path).is_some();
        return Err(if was_ours {
            damaged(path, "it does not begin as a database does")
        } else {
            OpenError::Foreign { path: path.to_owned() }
        });
    }
    let written = u64::from(number(&header, 28)) * page_size(&header);
    // The count is valid if it was written along with the last change, and while a log is there,
    // the file may still be about to grow.
    if number(&header, 24) == number(&header, 92) && !has_log(path) && size < written {
        let text = format!("it is cut: {size} bytes of {written}");
        return Err(damaged(path, &text));
    }
    Ok(())
}

fn number(header: &[u8], at: usize) -> u32 {
    header.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn page_size(header: &[u8]) -> u64 {
    match u64::from(number(header, 16) >> 16) {
        // 65536 does not fit into the two bytes.
        1 => 65_536,
        size => size,
    }
}

/// Opens the database so that nothing is written: neither a page nor, if there is none, a log.
fn look_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if has_log(path) {
        Connection::open_with_flags(path, flags)?
    } else {
        Connection::open_with_flags(immutable(path), flags | OpenFlags::SQLITE_OPEN_URI)?
    };
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// The path as a URI that says that nobody writes the file: the folder is locked.
fn immutable(path: &Path) -> String {
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
    let refused = |error| refused(path, error);
    let id: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(refused)?;
    if id != schema::APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = schema::version(connection).map_err(refused)?;
    if found > supported {
        let snapshot = snapshot::newest(path);
        return Err(OpenError::Newer { path: path.to_owned(), found, supported, snapshot });
    }
    if found == 0 {
        return Err(damaged(path, "it has no schema"));
    }
    let verdict: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(refused)?;
    if verdict == "ok" { Ok(found) } else { Err(damaged(path, &verdict)) }
}

fn refused(path: &Path, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged {
            path: path.to_owned(),
            snapshot: snapshot::newest(path),
            source: Cause::new(error),
        },
        _ => OpenError::Sqlite { path: path.to_owned(), source: error },
    }
}

fn damaged(path: &Path, what: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        snapshot: snapshot::newest(path),
        source: Cause::text(what),
    }
}

fn unreadable(path: &Path, error: io::Error) -> OpenError {
    OpenError::NotWritable { path: path.to_owned(), source: Cause::new(error) }
}
