//! Encrypts everything in a database that may be secret: when it is migrated from plain text, and
//! when the key is rotated.

use std::collections::BTreeSet;
use std::path::Path;

use dubernetes_core::error::{SharedError, chain};
use dubernetes_core::store::StoreError;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::error::TransactionError;
use crate::keyring::{KeyId, Keyring, Place, split_key_id};
use crate::{row, schema, snapshot};

/// Encrypts all secrets and contents with the newest key, and returns their number. Rows without
/// contents stay as they are.
pub(crate) fn seal_all(
    transaction: &Transaction<'_>,
    keys: &Keyring,
) -> Result<u64, TransactionError> {
    let mut count =
        seal_column(transaction, keys, "secrets", "name, value", |name| Place::Secret(name))?;
    if transaction.table_exists(None, "certificates")? {
        count += seal_column(transaction, keys, "certificates", "host, pem", |name| {
            Place::Certificate(name)
        })?;
        count += seal_column(transaction, keys, "authorities", "name, account", |name| {
            Place::Authority(name)
        })?;
    }
    count += seal_specs(transaction, keys, "apps", "name, 0")?;
    count += seal_specs(transaction, keys, "revisions", "app, revision")?;
    Ok(count)
}

/// Encrypts one column of a table. `columns` are its key, which its place has, and itself.
fn seal_column(
    transaction: &Transaction<'_>,
    keys: &Keyring,
    table: &str,
    columns: &str,
    place: impl Fn(&str) -> Place<'_>,
) -> Result<u64, TransactionError> {
    let value = columns.rsplit(' ').next().unwrap_or_default();
    let select = format!("SELECT rowid, {columns} FROM {table} WHERE {value} IS NOT NULL");
    let update = format!("UPDATE {table} SET {value} = ?2 WHERE rowid = ?1");
    let mut count = 0;
    let mut select = transaction.prepare(&select)?;
    let mut rows = select.query([])?;
    while let Some(found) = rows.next()? {
        let (id, name): (i64, String) = (found.get(0)?, found.get(1)?);
        let plain = keys.open(place(&name), &found.get::<_, Vec<u8>>(2)?)?;
        transaction.execute(&update, params![id, keys.seal(place(&name), &plain)?])?;
        count += 1;
    }
    Ok(count)
}

/// Encrypts the contents in one table, whose key is an app and a revision; 0 for none.
fn seal_specs(
    transaction: &Transaction<'_>,
    keys: &Keyring,
    table: &str,
    key: &str,
) -> Result<u64, TransactionError> {
    let select = format!(
        "SELECT rowid, {key}, spec, contents FROM {table} \
         WHERE contents IS NOT NULL OR {HAS_PLAIN_CONTENT}"
    );
    let update = format!("UPDATE {table} SET spec = ?2, contents = ?3 WHERE rowid = ?1");
    let mut count = 0;
    let mut select = transaction.prepare(&select)?;
    let mut rows = select.query([])?;
    while let Some(found) = rows.next()? {
        let (id, app, revision): (i64, String, u64) = (found.get(0)?, found.get(1)?, found.get(2)?);
        let place = match revision {
            0 => Place::App(&app),
            revision => Place::Revision(&app, revision),
        };
        let spec = row::parse_spec(&found.get::<_, String>(3)?)?;
        let spec = row::restore_contents(keys, place, spec, found.get(4)?)?;
        let (spec, contents) = row::format_spec(keys, place, &spec)?;
        transaction.execute(&update, params![id, spec, contents])?;
        count += 1;
    }
    Ok(count)
}

/// A condition on `spec` for specifications from before schema 7, which hold contents.
const HAS_PLAIN_CONTENT: &str = "spec LIKE '%\"content\":\"%'";

/// Returns whether a database from before schema 7 holds contents in plain text.
pub(crate) fn has_plain_contents(connection: &Connection) -> rusqlite::Result<bool> {
    let select = format!(
        "SELECT EXISTS (SELECT 1 FROM apps WHERE {HAS_PLAIN_CONTENT}) \
         OR EXISTS (SELECT 1 FROM revisions WHERE {HAS_PLAIN_CONTENT})"
    );
    connection.query_row(&select, [], |found| found.get(0))
}

/// Returns the ids of all keys that a database needs.
pub(crate) fn keys_in_use(connection: &Connection) -> rusqlite::Result<BTreeSet<KeyId>> {
    if !connection.table_exists(None, "secrets")? {
        return Ok(BTreeSet::new());
    }
    // The version and the id of the key are the first five bytes.
    let mut select = "SELECT substr(value, 1, 5) FROM secrets \
        UNION SELECT substr(contents, 1, 5) FROM apps WHERE contents IS NOT NULL \
        UNION SELECT substr(contents, 1, 5) FROM revisions WHERE contents IS NOT NULL"
        .to_owned();
    if connection.table_exists(None, "certificates")? {
        select += " UNION SELECT substr(pem, 1, 5) FROM certificates WHERE pem IS NOT NULL \
            UNION SELECT substr(account, 1, 5) FROM authorities";
    }
    let mut select = connection.prepare(&select)?;
    let starts = select.query_map([], |found| found.get::<_, Vec<u8>>(0))?;
    let starts = starts.collect::<rusqlite::Result<Vec<_>>>()?;
    // A value without a key id is damaged, which reading it reports.
    Ok(starts.iter().filter_map(|start| Some(split_key_id(start)?.0)).collect())
}

/// Encrypts the whole database and its snapshots with a new key, and forgets the old one. Returns
/// the number of values in the database. Before the first value, there is no key to rotate.
///
/// After a crash at any step, [`finish_rotation`] completes the rotation: both keys are in the file
/// until no value needs the old one.
pub(crate) fn rotate(
    connection: &mut Connection,
    database: &Path,
    keys: &Keyring,
) -> Result<u64, TransactionError> {
    if !keys.has_any() {
        return Ok(0);
    }
    keys.add().map_err(|error| key_file(keys, &error))?;
    finish_rotation(connection, database, keys)
}

/// Completes a rotation whose new key exists.
pub(crate) fn finish_rotation(
    connection: &mut Connection,
    database: &Path,
    keys: &Keyring,
) -> Result<u64, TransactionError> {
    let immediate = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(immediate)?;
    let count = seal_all(&transaction, keys)?;
    transaction.commit()?;
    schema::purge(connection)?;
    seal_snapshots(database, keys);
    keys.drop_old().map_err(|error| key_file(keys, &error))?;
    tracing::info!(values = count, "key rotated");
    Ok(count)
}

/// Encrypts the contents of all snapshots with the newest key. One that cannot be changed is
/// reported and left: it may be damaged.
pub(crate) fn seal_snapshots(database: &Path, keys: &Keyring) {
    for path in snapshot::list(database) {
        if let Err(error) = seal_snapshot(&path, keys) {
            let (path, error) = (path.display(), chain(&StoreError::from(error)));
            tracing::warn!(%path, error, "the snapshot cannot be encrypted with the present key");
        }
    }
}

fn seal_snapshot(path: &Path, keys: &Keyring) -> Result<(), TransactionError> {
    let mut connection = Connection::open(path)?;
    let connection = &mut connection;
    if connection.table_exists(None, "secrets")? {
        let transaction = connection.transaction()?;
        seal_all(&transaction, keys)?;
        transaction.commit()?;
    } else if has_plain_contents(connection)? {
        schema::migrate(connection, schema::MIGRATIONS, keys)?;
    }
    Ok(schema::purge(connection)?)
}

fn key_file(keys: &Keyring, error: &std::io::Error) -> TransactionError {
    let path = keys.path().display();
    let cause = SharedError::text(format!("`{path}` cannot be written: {error}"));
    TransactionError::Store(StoreError::Failed(cause))
}
