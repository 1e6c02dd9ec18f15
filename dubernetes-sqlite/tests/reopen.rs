//! State survives closing and reopening, and only one process may open a store.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dubernetes_core::app::{AppName, AppSpec, ImageRef, PodName, RevisionId};
use dubernetes_core::error::chain;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::runtime::ImageId;
use dubernetes_core::store::{
    EventQuery, PutApp, RevisionFailure, RolloutAction, RolloutCommand, RolloutUpdate, Store as _,
};
use dubernetes_sqlite::{BackupError, Holder, OpenError, Role, SqliteStore};
use jiff::Timestamp;

fn name(text: &str) -> AppName {
    AppName::parse(text).unwrap()
}

fn request(app: &str) -> PutApp {
    PutApp {
        spec: AppSpec::new(name(app), ImageRef::parse("web:1").unwrap()).validate().unwrap(),
        expected_generation: None,
        newest_seen: RevisionId::NONE,
        retry: false,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn event(message: &str) -> NewEvent {
    NewEvent {
        time: Timestamp::UNIX_EPOCH,
        kind: EventKind::Normal,
        app: None,
        pod: None,
        revision: None,
        reason: EventReason::Started,
        message: message.into(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn state_and_events_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let query = EventQuery { limit: 9, ..EventQuery::default() };
    store.put(request("web")).await.unwrap();
    store.put(request("gone")).await.unwrap();
    store.delete(&name("gone"), Timestamp::UNIX_EPOCH).await.unwrap();
    store.pin_image(&name("web"), RevisionId(1), &ImageId("sha256:a".into()), false).await.unwrap();
    store.append(&[event("a"), event("b")]).await.unwrap();
    let state = store.list().await.unwrap();
    let events = store.events(&query).await.unwrap();
    let revisions = store.revisions(&name("web")).await.unwrap();
    drop(store);

    let store = SqliteStore::open(folder.path()).unwrap();
    assert_eq!(store.list().await.unwrap(), state);
    assert_eq!(store.events(&query).await.unwrap(), events);
    assert_eq!(store.revisions(&name("web")).await.unwrap(), revisions);
    assert_eq!((state.apps.len(), state.tombstones.len(), events.len()), (1, 1, 2));
    store.append(&[event("a")]).await.unwrap();
    let newest = store.events(&query).await.unwrap().pop().unwrap();
    assert!(newest.id > events[1].id && newest.count == 2, "{newest:?}");
}

#[tokio::test]
async fn rollout_survives_kill() {
    let folder = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let web = name("web");
    let now = Timestamp::UNIX_EPOCH;
    let command =
        |action| RolloutCommand { name: web.clone(), action, newest_seen: RevisionId::NONE, now };
    let image = |tag: &str| AppSpec::new(web.clone(), ImageRef::parse(tag).unwrap());
    store.put(request("web")).await.unwrap();
    store.record_rollout(&web, RevisionId(1), &RolloutUpdate::Complete, now).await.unwrap();
    store.put(PutApp::new(image("web:2").validate().unwrap(), now)).await.unwrap();
    store
        .record_rollout(
            &web,
            RevisionId(2),
            &RolloutUpdate::PreDeployed { log: vec!["done".into()] },
            now,
        )
        .await
        .unwrap();
    store.update_rollout(command(RolloutAction::Restart)).await.unwrap();
    store.update_rollout(command(RolloutAction::Pause)).await.unwrap();
    let log = vec!["last".to_owned()];
    let failure =
        RevisionFailure { at: now, reason: "it crashes".into(), pod: None, log, call: None };
    let failed =
        RolloutUpdate::Failed { failure, roll_back_to: None, newest_seen: RevisionId::NONE };
    store.record_rollout(&web, RevisionId(3), &failed, now).await.unwrap();
    let app = store.get(&web).await.unwrap();
    let revisions = store.revisions(&web).await.unwrap();
    assert_eq!((app.fallback, app.paused, revisions.len()), (Some(RevisionId(1)), true, 3));

    // A killed process leaves only the files.
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("dubernetes.db") {
            fs::copy(entry.path(), killed.path().join(entry.file_name())).unwrap();
        }
    }
    drop(store);
    let after = SqliteStore::open(killed.path()).unwrap();
    assert_eq!(after.get(&web).await.unwrap(), app);
    assert_eq!(after.revisions(&web).await.unwrap(), revisions);
}

#[tokio::test]
async fn second_open_is_refused_with_process_id() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let refused = SqliteStore::open(folder.path()).unwrap_err();
    let OpenError::Locked { holder, .. } = &refused else { panic!("{refused:?}") };
    let pid = Some(std::process::id());
    assert_eq!(*holder, Holder { pid, role: Some(Role::Orchestrator) });
    let text = refused.to_string();
    assert!(text.contains(&folder.path().display().to_string()), "{text}");
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    store.put(request("web")).await.unwrap();

    drop(store);
    let store = SqliteStore::open(folder.path()).unwrap();
    assert_eq!(store.list().await.unwrap().apps.len(), 1);
}

#[tokio::test]
async fn equal_event_is_merged_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let store = SqliteStore::open(folder.path()).unwrap();
        store.append(&[event("repeated")]).await.unwrap();
    }
    let store = SqliteStore::open(folder.path()).unwrap();
    let query = EventQuery { limit: 9, ..EventQuery::default() };
    let events = store.events(&query).await.unwrap();
    assert_eq!((events.len(), events[0].count), (1, 3));
}

#[tokio::test]
async fn interrupted_creation_is_restarted() {
    let folder = tempfile::tempdir().unwrap();
    for left_over in ["dubernetes.db.new", "dubernetes.db.new-journal"] {
        fs::write(folder.path().join(left_over), "half of something").unwrap();
    }
    let store = SqliteStore::open(folder.path()).unwrap();
    store.put(request("web")).await.unwrap();
    drop(store);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no partial file is left");
    assert_eq!(SqliteStore::open(folder.path()).unwrap().list().await.unwrap().apps.len(), 1);
}

#[tokio::test]
async fn closed_store_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    store.put(request("web")).await.unwrap();
    store.list().await.unwrap();
    drop(store);
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["dubernetes.db", "orchestrator.lock"]);
}

#[tokio::test]
async fn missing_directory_is_created_and_private() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("new/state");
    let store = SqliteStore::open(&folder).unwrap();
    store.put(request("web")).await.unwrap();
    assert_eq!(mode(&folder) & 0o027, 0, "{:o}", mode(&folder));
    assert_eq!(mode(store.path()), 0o600);
    for name in ["dubernetes.db-wal", "dubernetes.db-shm", "orchestrator.lock"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
}

#[test]
fn directory_writable_by_others_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, legal) in [(0o770, false), (0o702, false), (0o1777, false), (0o755, true)] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(bits)).unwrap();
        match SqliteStore::open(folder.path()) {
            Ok(_) => assert!(legal, "{bits:o}"),
            Err(error) => {
                let shared =
                    matches!(error, OpenError::WritableByOthers { mode, .. } if mode == bits);
                assert!(shared && !legal, "{bits:o}: {error:?}");
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is created");
            }
        }
    }
}

#[test]
fn file_instead_of_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("below")] {
        let refused = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(refused, OpenError::NotADirectory { .. }), "{refused:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn unwritable_directory_is_named_in_error() {
    // No user can create a directory there, not even root.
    let refused = SqliteStore::open(Path::new("/proc/dubernetes-state")).unwrap_err();
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused:?}");
    assert!(refused.to_string().contains("`/proc/dubernetes-state`"), "{refused}");
}

#[tokio::test]
async fn backup_is_complete_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    store.put(request("web")).await.unwrap();
    let state = store.list().await.unwrap();

    let other = tempfile::tempdir().unwrap();
    let target = other.path().join("dubernetes.db");
    store.backup(&target).await.unwrap();
    store.put(request("later")).await.unwrap();
    assert_eq!(mode(&target), 0o600);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "a backup is one file");
    let bytes = fs::read(&target).unwrap();
    let existing = store.backup(&target).await.unwrap_err();
    assert!(matches!(existing, BackupError::Exists { .. }), "{existing:?}");
    assert_eq!(fs::read(&target).unwrap(), bytes);

    let nowhere = store.backup(&other.path().join("none/copy.db")).await.unwrap_err();
    assert!(matches!(nowhere, BackupError::Io { .. }), "{nowhere:?}");

    let copied = SqliteStore::open(other.path()).unwrap_err();
    assert!(matches!(copied, OpenError::Copied { .. }), "{copied:?}");
    let id = store.id().to_owned();
    drop(store);
    let restored = SqliteStore::open(other.path()).unwrap();
    assert_eq!((restored.list().await.unwrap(), restored.id()), (state, id.as_str()));
}

#[tokio::test]
async fn newest_five_snapshots_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let mut taken = Vec::new();
    for second in 0..7 {
        let now = Timestamp::from_second(second).unwrap();
        store.put(request(&format!("web-{second}"))).await.unwrap();
        taken.push(store.snapshot(now).await.unwrap().unwrap());
        // Events do not cause a snapshot.
        store.append(&[event("no change")]).await.unwrap();
        let later = Timestamp::from_second(second + 100).unwrap();
        assert_eq!(store.snapshot(later).await.unwrap(), None);
    }
    let mut kept: Vec<_> = fs::read_dir(folder.path().join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    kept.sort();
    assert_eq!(kept, taken[2..]);

    // The error of a damaged store says how to restore the newest snapshot.
    let state = store.list().await.unwrap();
    let path = store.path().to_owned();
    drop(store);
    fs::write(&path, "no database").unwrap();
    let damaged = SqliteStore::open(folder.path()).unwrap_err().to_string();
    let newest = taken[6].display();
    assert!(damaged.contains(&format!("copy `{newest}` to `{}`", path.display())), "{damaged}");
    fs::copy(&taken[6], &path).unwrap();
    let restored = SqliteStore::open(folder.path()).unwrap();
    assert_eq!(restored.list().await.unwrap(), state);
    assert_eq!(restored.snapshot(Timestamp::now()).await.unwrap(), None);
}

#[tokio::test]
async fn check_finds_errors_of_open_and_changes_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("state");
    assert_eq!(SqliteStore::check(&folder).unwrap(), None);
    assert!(!folder.exists());
    let store = SqliteStore::open(&folder).unwrap();
    store.put(request("web")).await.unwrap();
    let error = SqliteStore::check(&folder).unwrap_err();
    let me = Some(std::process::id());
    assert!(matches!(&error, OpenError::Locked { holder, .. } if holder.pid == me), "{error}");
    drop(store);
    let content = || {
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = content();
    assert_eq!(SqliteStore::check(&folder).unwrap(), Some(9));
    assert_eq!(content(), before);
    fs::write(folder.join("dubernetes.db"), "").unwrap();
    let error = SqliteStore::check(&folder).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let error = SqliteStore::check(&folder).unwrap_err();
    assert!(matches!(error, OpenError::WritableByOthers { mode: 0o777, .. }), "{error}");
}

#[tokio::test]
async fn reader_needs_no_lock_and_sees_changes() {
    let folder = tempfile::tempdir().unwrap();
    let reader = SqliteStore::open_for_reading(folder.path()).unwrap();
    assert_eq!(reader.list().await.unwrap().apps.len(), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a reader creates nothing");
    drop(reader);
    drop(SqliteStore::open(folder.path()).unwrap());

    // Before and while another process writes.
    let early = SqliteStore::open_for_reading(folder.path()).unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    store.put(request("web")).await.unwrap();
    let late = SqliteStore::open_for_reading(folder.path()).unwrap();
    for reader in [early, late] {
        assert_eq!(reader.list().await.unwrap().apps.len(), 1);
        assert_eq!(reader.id(), store.id());
        let refused = reader.put(request("api")).await.unwrap_err();
        assert!(chain(&refused).contains("for reading only"), "{refused:?}");
    }
    drop(store);
    let reader = SqliteStore::open_for_reading(folder.path()).unwrap();
    assert_eq!(reader.list().await.unwrap().apps.len(), 1);
}

#[test]
fn id_is_random_and_goes_with_the_file() {
    let outer = tempfile::tempdir().unwrap();
    let (one, two) = (outer.path().join("one"), outer.path().join("two"));
    let id = |folder: &Path| SqliteStore::open(folder).unwrap().id().to_owned();
    let first = id(&one);
    assert_ne!(id(&two), first);
    fs::remove_dir_all(&two).unwrap();
    fs::rename(&one, &two).unwrap();
    assert!(!SqliteStore::exists(&one) && SqliteStore::exists(&two));
    assert_eq!(id(&two), first);
    SqliteStore::set_id(&two, "adopted").unwrap();
    assert_eq!(id(&two), "adopted");
}

#[test]
fn moved_store_says_so() {
    let outer = tempfile::tempdir().unwrap();
    let (one, two) = (outer.path().join("one"), outer.path().join("two"));
    let store = SqliteStore::open(&one).unwrap();
    assert_eq!(store.displacement(), None);
    fs::rename(&one, &two).unwrap();
    let text = store.displacement().unwrap();
    assert!(text.contains("/one/dubernetes.db` was moved or removed"), "{text}");
    // A new store in the old place is not this one.
    drop(SqliteStore::open(&one).unwrap());
    assert!(store.displacement().is_some());
}

#[tokio::test]
async fn state_dir_is_small_after_a_day_of_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let mut longest_log = 0;
    for change in 0..150_u32 {
        let image = ImageRef::parse(&format!("registry.example.org/web:{change}")).unwrap();
        let now = Timestamp::from_second(i64::from(change)).unwrap();
        store
            .put(PutApp::new(AppSpec::new(name("web"), image).validate().unwrap(), now))
            .await
            .unwrap();
        let events = (0..30).map(|number| NewEvent {
            app: Some(name("web")),
            pod: Some(PodName::replica(&name("web"), number)),
            revision: Some(RevisionId::FIRST),
            ..event(&format!("revision {change}: {number} of 10, surge 1, image web:{change}"))
        });
        store.append(&events.collect::<Vec<_>>()).await.unwrap();
        if change % 6 == 0 {
            store.snapshot(now).await.unwrap();
        }
        longest_log = longest_log.max(size(&folder.path().join("dubernetes.db-wal")));
    }
    assert!(longest_log < 512 << 10, "the write-ahead log has {longest_log} bytes");
    let snapshots = fs::read_dir(folder.path().join("snapshots")).unwrap();
    let snapshots = snapshots.map(|entry| size(&entry.unwrap().path())).sum::<u64>();
    let total = size(store.path()) + longest_log + snapshots;
    // The journal of decisions has 1 MB beside this.
    assert!(total < 3 << 20, "{total} bytes, {snapshots} of them snapshots");
}
