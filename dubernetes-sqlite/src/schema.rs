//! The schema, as a list of migrations. The database's `user_version` counts the applied ones.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Marks a database of Dubernetes: `Dube` in ASCII.
pub(crate) const APPLICATION_ID: i32 = 0x4475_6265;

/// All migrations, in order. A released migration is never changed.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_rollouts.sql"),
    include_str!("../migrations/0003_event_revision.sql"),
    include_str!("../migrations/0004_names.sql"),
    include_str!("../migrations/0005_requests.sql"),
    include_str!("../migrations/0006_identity.sql"),
];

/// Returns the version of the schema after all migrations.
pub(crate) fn newest(migrations: &[&str]) -> u32 {
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
pub(crate) fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let applied = usize::try_from(version(connection)?).unwrap_or(usize::MAX);
    for (migration, to) in migrations.iter().zip(1_u32..).skip(applied) {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", to)?;
        transaction.commit()?;
        tracing::info!(schema = to, "schema migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_migration_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let migrations = ["CREATE TABLE a (x) ", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        assert!(migrate(&mut connection, &migrations).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        assert!(!connection.table_exists(None, "b").unwrap());
        migrate(&mut connection, &["", "CREATE TABLE b (x)"]).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
    }
}
