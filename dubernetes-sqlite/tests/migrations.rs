//! Every older schema opens, and an untrusted database is refused and left unchanged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dubernetes_core::app::{AppName, Generation, RevisionId};
use dubernetes_core::error::chain;
use dubernetes_core::event::{EventReason, NewEvent};
use dubernetes_core::store::{EventQuery, Store as _};
use dubernetes_sqlite::{OpenError, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// A database of the first version. Never change it.
const SCHEMA_1: &str = include_str!("fixtures/schema_1.sql");

/// Creates a state directory with a database of this content, and returns the database's path.
fn database(sql: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dubernetes.db");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    (folder, path)
}

/// Creates a closed store with more than one page of content.
fn store() -> (TempDir, PathBuf) {
    let (folder, path) = database(SCHEMA_1);
    drop(SqliteStore::open(folder.path()).unwrap());
    // The snapshot before the migration is not part of these tests.
    fs::remove_dir_all(folder.path().join("snapshots")).unwrap();
    (folder, path)
}

/// Reads all files but the lock and the index of the log, which holds no content of its own.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_content = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        path.is_file() && name != "orchestrator.lock" && name != "dubernetes.db-shm"
    };
    entries.filter(is_content).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Checks that opening is refused with an error that names the path, and that no byte changes.
#[track_caller]
fn check_refused(folder: &Path, is_expected: fn(&OpenError) -> bool, needle: &str) {
    let before = files(folder);
    for _ in 0..2 {
        let refused = SqliteStore::open(folder).unwrap_err();
        let text = chain(&refused);
        assert!(is_expected(&refused), "{text}");
        assert!(text.contains(&folder.join("dubernetes.db").display().to_string()), "{text}");
        assert!(text.contains(needle), "{text}");
        assert_eq!(files(folder), before, "a refused store is left unchanged");
    }
}

fn is_damaged(error: &OpenError) -> bool {
    matches!(error, OpenError::Damaged { .. })
}

fn is_foreign(error: &OpenError) -> bool {
    matches!(error, OpenError::Foreign { .. })
}

#[tokio::test]
async fn store_of_schema_1_opens() {
    let (folder, _) = database(SCHEMA_1);
    let store = SqliteStore::open(folder.path()).unwrap();
    let state = store.list().await.unwrap();
    let web = &state.apps[&AppName::parse("web").unwrap()];
    assert_eq!(
        (web.generation, web.revision, web.deleted_through),
        (Generation(5), RevisionId(3), RevisionId(1))
    );
    assert_eq!(web.image_id.as_ref().unwrap().0, "sha256:b");
    assert_eq!(web.spec.access[0].hosts[0].to_string(), "web.local");
    assert!(state.tombstones.contains_key(&AppName::parse("old").unwrap()));
    assert_eq!((web.rollout.outcome.as_str(), web.paused), ("progressing", false));
    assert_eq!((web.fallback, web.rollout_started_at), (Some(RevisionId(2)), web.updated_at));
    let revisions = store.revisions(&web.spec.name).await.unwrap();
    let outcomes: Vec<_> = revisions.iter().map(|kept| kept.rollout.outcome.as_str()).collect();
    assert_eq!(outcomes, ["stable", "progressing"]);
    let query = EventQuery { limit: 9, ..EventQuery::default() };
    let events = store.events(&query).await.unwrap();
    assert_eq!((events.len(), events[0].id, events[0].count), (1, 7, 3));
    assert_eq!(events[0].revision, None, "schema 1 has no revision of an event");
    // The same event with a revision is a different one.
    let event = &events[0];
    let repeated = NewEvent {
        time: event.time,
        kind: event.kind,
        app: event.app.clone(),
        pod: event.pod.clone(),
        revision: Some(RevisionId(3)),
        reason: EventReason::Started,
        message: event.message.clone(),
    };
    store.append(&[repeated.clone(), repeated]).await.unwrap();
    let events = store.events(&query).await.unwrap();
    let counts: Vec<_> = events.iter().map(|event| (event.revision, event.count)).collect();
    assert_eq!(counts, [(None, 3), (Some(RevisionId(3)), 2)]);
}

#[test]
fn new_store_has_same_schema_as_migrated_store() {
    let (old, fixture) = database(SCHEMA_1);
    drop(SqliteStore::open(old.path()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let new = SqliteStore::open(folder.path()).unwrap().path().to_owned();
    let schema = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        let mut select = connection
            .prepare(
                "SELECT m.name, c.name, c.type, c.\"notnull\", c.pk FROM sqlite_schema AS m, \
                      pragma_table_xinfo(m.name) AS c ORDER BY 1, c.cid",
            )
            .unwrap();
        let rows = select.query_map([], |row| {
            let text: (String, Option<String>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((text, row.get::<_, u32>(3)?, row.get::<_, u32>(4)?))
        });
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    assert!(schema(&new).len() > 20);
    assert_eq!(schema(&new), schema(&fixture));
}

#[test]
fn newer_schema_is_refused() {
    let (folder, path) = store();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = |error: &OpenError| matches!(error, OpenError::Newer { found: 99, .. });
    check_refused(folder.path(), newer, "schema 99");
}

#[test]
fn newer_schema_only_in_the_log_is_refused() {
    let (source, path) = store();
    let open = Connection::open(&path).unwrap();
    open.pragma_update(None, "user_version", 99).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in ["dubernetes.db", "dubernetes.db-wal"] {
        fs::copy(source.path().join(file), folder.path().join(file)).unwrap();
    }
    drop(open);
    let newer = |error: &OpenError| matches!(error, OpenError::Newer { found: 99, .. });
    check_refused(folder.path(), newer, "schema 99");
}

#[test]
fn foreign_file_is_refused() {
    let (folder, _path) = database("CREATE TABLE songs (title TEXT); PRAGMA user_version = 1");
    check_refused(folder.path(), is_foreign, "is not a database of Dubernetes");
    for content in [&b"some text"[..], &[0x5a; 9_000]] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("dubernetes.db"), content).unwrap();
        check_refused(folder.path(), is_foreign, "move it away");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("dubernetes.db")).unwrap();
    check_refused(folder.path(), is_foreign, "is not a database of Dubernetes");
}

#[test]
fn empty_file_is_refused_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dubernetes.db"), "").unwrap();
    check_refused(folder.path(), is_damaged, "0 bytes");
}

#[test]
fn log_without_database_is_refused_as_damaged() {
    let (source, path) = store();
    let open = Connection::open(&path).unwrap();
    open.execute("DELETE FROM events", []).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = "dubernetes.db-wal";
    fs::copy(source.path().join(log), folder.path().join(log)).unwrap();
    check_refused(folder.path(), is_damaged, "it is missing");
}

#[test]
fn truncated_file_is_refused_at_any_length() {
    let (folder, path) = store();
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 4 * 4096);
    for length in [1, 99, 100, 4096, 4097, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        if length < 100 {
            // Less than the header does not identify a database.
            check_refused(folder.path(), is_foreign, "is not a database of Dubernetes");
        } else {
            check_refused(folder.path(), is_damaged, "is damaged");
        }
    }
}

#[test]
fn truncated_file_with_matching_header_is_refused() {
    let (folder, path) = store();
    let mut bytes = fs::read(&path).unwrap();
    let pages = u32::try_from(bytes.len() / 4096).unwrap() - 1;
    bytes.truncate(bytes.len() - 4096);
    bytes[28..32].copy_from_slice(&pages.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    check_refused(folder.path(), is_damaged, "is damaged");
}

#[test]
fn page_of_garbage_is_refused() {
    let (folder, path) = store();
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..8192].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    check_refused(folder.path(), is_damaged, "there is no snapshot to restore");
}

#[test]
fn damaged_header_is_refused_with_newest_snapshot() {
    let (folder, path) = store();
    let snapshots = folder.path().join("snapshots");
    fs::create_dir(&snapshots).unwrap();
    for day in ["01", "02"] {
        let name = format!("dubernetes-202611{day}T000000.000000Z.db");
        fs::copy(&path, snapshots.join(name)).unwrap();
    }
    let mut bytes = fs::read(&path).unwrap();
    bytes[..64].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    check_refused(folder.path(), is_damaged, "snapshots/dubernetes-20261102T000000.000000Z.db");
}
