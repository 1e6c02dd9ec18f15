//! The schema, as a list of migrations. The database's `user_version` counts the applied ones.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, ffi};

use crate::error::TransactionError;
use crate::keyring::Keyring;
use crate::seal;

/// Marks a database of Dubernetes: `Dube` in ASCII.
pub(crate) const APPLICATION_ID: i32 = 0x4475_6265;

/// One step of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Migration {
    /// Statements, in one transaction.
    Sql(&'static str),
    /// Statements and then the encryption of contents in plain text, in one transaction.
    Encrypt(&'static str),
    /// Removes plain text that was encrypted before from free pages, the log, and the snapshots.
    Purge,
}

/// All migrations, in order. A released migration is never changed.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration::Sql(include_str!("../migrations/0001_init.sql")),
    Migration::Sql(include_str!("../migrations/0002_rollouts.sql")),
    Migration::Sql(include_str!("../migrations/0003_event_revision.sql")),
    Migration::Sql(include_str!("../migrations/0004_names.sql")),
    Migration::Sql(include_str!("../migrations/0005_requests.sql")),
    Migration::Sql(include_str!("../migrations/0006_identity.sql")),
    Migration::Encrypt(include_str!("../migrations/0007_secrets.sql")),
    Migration::Purge,
    Migration::Sql(include_str!("../migrations/0009_certificates.sql")),
];

/// Returns the version of the schema after all migrations.
pub(crate) fn newest(migrations: &[Migration]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

/// Returns the version of a database's schema.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Returns the random id that the database got when it was created.
pub(crate) fn read_id(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT id FROM identity", [], |row| row.get(0))
}

/// Applies the missing migrations, each in a transaction of its own.
pub(crate) fn migrate(
    connection: &mut Connection,
    migrations: &[Migration],
    keys: &Keyring,
) -> Result<(), TransactionError> {
    let applied = usize::try_from(version(connection)?).unwrap_or(usize::MAX);
    for (migration, to) in migrations.iter().zip(1_u32..).skip(applied) {
        if *migration == Migration::Purge {
            purge(connection)?;
            purge_snapshots(connection, keys);
        }
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        match migration {
            Migration::Sql(sql) => transaction.execute_batch(sql)?,
            Migration::Encrypt(sql) => {
                transaction.execute_batch(sql)?;
                seal::seal_all(&transaction, keys)?;
            }
            Migration::Purge => {}
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", to)?;
        transaction.commit()?;
        tracing::info!(schema = to, "schema migrated");
    }
    Ok(())
}

/// Rewrites the database, so that no free page and no log keeps what was deleted or replaced.
pub(crate) fn purge(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("VACUUM")?;
    // Without a log, nothing happens.
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    match connection.query_row(checkpoint, [], |row| row.get::<_, i64>(0))? {
        0 => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None)),
    }
}

/// Encrypts the snapshots of a database. A snapshot has none of its own.
fn purge_snapshots(connection: &Connection, keys: &Keyring) {
    if let Some(path) = connection.path().filter(|path| !path.is_empty()) {
        seal::seal_snapshots(Path::new(path), keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_migration_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let keys = Keyring::load(Path::new("/nonexistent")).unwrap();
        let migrations = ["CREATE TABLE a (x) ", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        let migrations = migrations.map(Migration::Sql);
        assert!(migrate(&mut connection, &migrations, &keys).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        assert!(!connection.table_exists(None, "b").unwrap());
        let migrations = ["", "CREATE TABLE b (x)"].map(Migration::Sql);
        migrate(&mut connection, &migrations, &keys).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
    }
}
