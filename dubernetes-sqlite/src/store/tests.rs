//! Tests that need private access: a full disk, a second writer, a new schema.

use std::fs;
use std::time::Duration;

use dubernetes_core::app::{AppSpec, ImageRef, RevisionId, Volume, VolumeSource};
use dubernetes_core::event::{EventKind, EventReason};
use futures_util::FutureExt as _;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    (folder, store)
}

fn request(app: &str) -> PutApp {
    PutApp {
        spec: AppSpec::new(AppName::parse(app).unwrap(), ImageRef::parse("web:1").unwrap())
            .validate()
            .unwrap(),
        expected_generation: None,
        newest_seen: RevisionId::NONE,
        retry: false,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn event(time: Timestamp, message: String) -> NewEvent {
    NewEvent {
        time,
        kind: EventKind::Normal,
        app: None,
        pod: None,
        revision: None,
        reason: EventReason::Started,
        message,
    }
}

async fn all_events(store: &SqliteStore) -> Vec<Event> {
    store.events(&EventQuery { limit: u32::MAX, ..EventQuery::default() }).await.unwrap()
}

#[tokio::test]
async fn full_disk_stores_nothing_and_reads_continue() {
    let (_folder, store) = store();
    store.put(request("web")).await.unwrap();
    let before = store.list().await.unwrap();
    let limit = |pages: u32| {
        store.writer().unwrap().transact(move |connection| {
            let set = connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
            Ok(set?)
        })
    };
    // SQLite raises the limit to the current size.
    limit(1).await.unwrap();
    let mut spec = request("large").spec.into_inner();
    spec.args = vec!["x".repeat(100_000)];
    let large = PutApp::new(spec.validate().unwrap(), Timestamp::UNIX_EPOCH);
    let refused = store.put(large.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    assert_eq!(store.list().await.unwrap(), before);
    limit(100_000).await.unwrap();
    store.put(large).await.unwrap();
}

#[tokio::test]
async fn second_writer_makes_writes_busy_and_reads_continue() {
    let (_folder, store) = store();
    store.put(request("web")).await.unwrap();
    let other = Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let shorter = |connection: &mut Connection| {
        connection.busy_timeout(Duration::from_millis(10))?;
        Ok(())
    };
    store.writer().unwrap().transact(shorter).await.unwrap();
    let refused = store.put(request("new")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Busy(_)), "{refused:?}");
    assert_eq!(store.list().await.unwrap().apps.len(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    store.put(request("new")).await.unwrap();
}

#[tokio::test]
async fn durability_settings_are_on() {
    let (_folder, store) = store();
    let settings = |connection: &mut Connection| {
        let one = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        Ok((mode, one("synchronous")?, one("foreign_keys")?, one("busy_timeout")?))
    };
    let settings = store.writer().unwrap().transact(settings).await.unwrap();
    assert_eq!(settings, ("wal".to_owned(), 2, 1, 5_000));
}

#[tokio::test]
async fn unreadable_row_is_an_error_and_not_an_empty_result() {
    let (_folder, store) = store();
    store.put(request("web")).await.unwrap();
    let spoil = "UPDATE apps SET spec = '{}'";
    store
        .writer()
        .unwrap()
        .transact(|connection| Ok(connection.execute(spoil, [])?))
        .await
        .unwrap();
    for failed in [store.list().await.map(drop), store.put(request("web")).await.map(drop)] {
        assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    }
}

#[tokio::test]
async fn panicking_job_ends_writer_with_error() {
    let (_folder, store) = store();
    store.put(request("web")).await.unwrap();
    let ended = store.writer().unwrap().transact::<(), _>(|_| panic!("on purpose")).await;
    assert!(matches!(ended, Err(StoreError::Failed(_))), "{ended:?}");
    let after = store.put(request("new")).await;
    assert!(matches!(after, Err(StoreError::Failed(_))), "{after:?}");
    tokio::time::timeout(Duration::from_secs(10), store.broken()).await.unwrap();
    assert_eq!(store.list().await.unwrap().apps.len(), 1);
}

#[tokio::test]
async fn events_expire_after_thirty_days() {
    let (_folder, store) = store();
    let day = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
    for (time, message) in [(day(0), "a"), (day(1), "b"), (day(30), "c")] {
        store.append(&[event(time, message.into())]).await.unwrap();
    }
    assert_eq!(all_events(&store).await.len(), 3, "events of thirty days are kept");
    store.append(&[event(day(31), "d".into())]).await.unwrap();
    let messages: Vec<_> = all_events(&store).await.into_iter().map(|e| e.message).collect();
    assert_eq!(messages, ["b", "c", "d"]);
}

#[tokio::test]
async fn wrong_clock_for_a_moment_keeps_history() {
    let (_folder, store) = store();
    let minute = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
    let all: Vec<_> = (0..1000).map(|n| event(minute(n), n.to_string())).collect();
    store.append(&all).await.unwrap();
    store.append(&[event(minute(600_000), "a year ahead".into())]).await.unwrap();
    store.append(&[event(minute(1001), "right again".into())]).await.unwrap();
    assert!(all_events(&store).await.len() > 990);
}

#[tokio::test]
async fn newest_events_are_kept_with_periodic_counts() {
    let (_folder, store) = store();
    let store =
        store.with_event_retention(EventRetention { count: 100, ..EventRetention::default() });
    let mut most = 0;
    for n in 0..160 {
        store.append(&[event(Timestamp::UNIX_EPOCH, n.to_string())]).await.unwrap();
        most = most.max(all_events(&store).await.len());
    }
    assert_eq!(most, 109, "up to nine more, until the next count");
    let kept = all_events(&store).await;
    assert_eq!((kept.len(), kept[0].message.as_str()), (100, "60"));
    let many: Vec<_> = (200..320).map(|n| event(Timestamp::UNIX_EPOCH, n.to_string())).collect();
    store.append(&many).await.unwrap();
    let kept = all_events(&store).await;
    assert_eq!((kept.len(), kept[0].message.as_str()), (100, "220"));
}

#[tokio::test]
async fn events_expire_after_configured_age() {
    let (_folder, store) = store();
    let age = dubernetes_core::app::Duration::from_secs(60);
    let store = store.with_event_retention(EventRetention { age, ..EventRetention::default() });
    for second in [0, 60, 61] {
        let time = Timestamp::from_second(second).unwrap();
        store.append(&[event(time, second.to_string())]).await.unwrap();
    }
    let messages: Vec<_> = all_events(&store).await.into_iter().map(|e| e.message).collect();
    assert_eq!(messages, ["60", "61"]);
}

#[tokio::test]
async fn equal_event_is_found_by_index() {
    let (_folder, store) = store();
    let explain = |connection: &mut Connection| {
        let plan = format!("EXPLAIN QUERY PLAN {}", events::select_duplicate());
        let mut plan = connection.prepare(&plan)?;
        let lines = plan.query_map([1, 2, 3, 4, 5, 6, 7, 8], |row| row.get::<_, String>(3))?;
        Ok(lines.collect::<Result<Vec<_>, _>>()?.join("; "))
    };
    let plan = store.writer().unwrap().transact(explain).await.unwrap();
    assert!(plan.contains("USING INDEX events_alike (message=? AND reason=? AND time>?"), "{plan}");
}

#[tokio::test]
async fn spec_that_cannot_be_read_back_is_not_stored() {
    let (_folder, store) = store();
    let mut spec = request("web").spec.into_inner();
    spec.volumes = vec![Volume {
        source: VolumeSource::Bind("not absolute".into()),
        target: "/data".into(),
        read_only: false,
        relabel: None,
    }];
    let odd = PutApp::new(spec.validate().unwrap(), Timestamp::UNIX_EPOCH);
    let refused = store.put(odd).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert_eq!(store.list().await.unwrap(), StoredState::default());
}

#[tokio::test]
async fn migration_takes_snapshot_and_keeps_state() {
    let (folder, store) = store();
    store.put(request("web")).await.unwrap();
    let before = store.list().await.unwrap();
    drop(store);
    let newest = schema::newest(schema::MIGRATIONS);
    let note = Migration::Sql("ALTER TABLE apps ADD COLUMN note TEXT");
    let later = [schema::MIGRATIONS, &[note]].concat();
    let store = SqliteStore::open_with(folder.path(), Role::Command, &later).unwrap();
    assert_eq!(store.list().await.unwrap(), before);
    // Later snapshots do not displace that of the earlier schema.
    for second in 1..=9 {
        store.put(request(&format!("web{second}"))).await.unwrap();
        let later = Timestamp::now() + Duration::from_secs(second);
        assert!(store.snapshot(later).await.unwrap().is_some());
    }
    assert_eq!(snapshot::list(store.path()).len(), 6);
    drop(store);

    let refused = SqliteStore::open(folder.path()).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("restore a backup") && text.contains("snapshots/"), "{text}");
    let OpenError::Newer { found, supported, snapshot: Some(snapshot), .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((found, supported), (newest + 1, newest));
    let old = tempfile::tempdir().unwrap();
    fs::copy(snapshot, old.path().join("dubernetes.db")).unwrap();
    assert_eq!(SqliteStore::open(old.path()).unwrap().list().await.unwrap(), before);
}

#[tokio::test]
async fn failed_migration_keeps_old_schema() {
    let (folder, store) = store();
    store.put(request("web")).await.unwrap();
    drop(store);
    let wrong = Migration::Sql("CREATE TABLE extra (x); CREATE TABLE apps (x)");
    let wrong = [schema::MIGRATIONS, &[wrong]].concat();
    let failed = SqliteStore::open_with(folder.path(), Role::Command, &wrong).unwrap_err();
    assert!(matches!(failed, OpenError::Sqlite { .. }), "{failed:?}");
    let store = SqliteStore::open(folder.path()).unwrap();
    assert_eq!(store.list().await.unwrap().apps.len(), 1);
}

#[tokio::test]
async fn changes_yields_after_later_changes_and_ends_with_the_store() {
    let (_folder, store) = store();
    store.put(request("before")).await.unwrap();
    let mut changes = store.changes();
    assert_eq!(changes.next().now_or_never(), None, "nothing changed since the call");
    store.put(request("web")).await.unwrap();
    store.put(request("api")).await.unwrap();
    assert_eq!(changes.next().await, Some(()));
    assert_eq!(changes.next().now_or_never(), None, "several changes may be one item");
    store.put(request("web")).await.unwrap();
    assert_eq!(changes.next().now_or_never(), None, "an unchanged put is no change");
    drop(store);
    assert_eq!(changes.next().await, None);
}
