//! Secrets, contents of files and keys of certificates are encrypted in every file of the state
//! directory, and readable as long as the key is there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dubernetes_core::app::{
    AppName, AppSpec, Content, ContentRef, ContentSource, EnvValue, HostName, ImageRef, Secret,
    SecretName,
};
use dubernetes_core::certificate::{Authority, Certificate, IssuedCertificate, StoredCertificate};
use dubernetes_core::error::chain;
use dubernetes_core::store::{PutApp, SetSecret, Store as _, StoreError};
use dubernetes_sqlite::{OpenError, SqliteStore};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

const CANARY: &str = "canary-4711-in-the-coal-mine";

fn web() -> AppName {
    AppName::parse("web").unwrap()
}

fn file_ref(content: &str) -> ContentRef {
    let content = Content::Known(Secret::new(content.to_owned()));
    ContentRef { source: ContentSource::File("./x".parse().unwrap()), content }
}

fn secret_ref() -> ContentRef {
    ContentRef::secret(SecretName::parse("db").unwrap())
}

/// Returns an app with the canary in each place that may hold one.
fn spec(tag: &str) -> AppSpec {
    let mut spec = AppSpec::new(web(), ImageRef::parse(&format!("web:{tag}")).unwrap());
    spec.env.insert("FILE".parse().unwrap(), EnvValue::From(file_ref(CANARY)));
    spec.env.insert("SECRET".parse().unwrap(), EnvValue::From(secret_ref()));
    spec.env_file = vec![file_ref(&format!("KEY={CANARY}\n"))];
    spec
}

async fn set(store: &SqliteStore, value: &str) {
    let (name, value) = (SecretName::parse("db").unwrap(), Secret::new(value.to_owned()));
    store.set_secret(SetSecret::new(name, value, Timestamp::now()).unwrap()).await.unwrap();
}

/// Stores a certificate, an account, and the failure of another host.
async fn certify(store: &SqliteStore) {
    let certificate = Certificate {
        chain: format!("certificate {CANARY}"),
        key: Secret::new(format!("key {CANARY}")),
        not_before: Timestamp::UNIX_EPOCH,
        not_after: Timestamp::MAX,
        renew_at: Timestamp::MAX,
    };
    let issued = Some(IssuedCertificate::new(Authority::Acme, certificate));
    let stored = StoredCertificate { issued, failure: None };
    store.set_certificate(&host("a.test"), &stored).await.unwrap();
    let none = StoredCertificate { issued: None, failure: None };
    store.set_certificate(&host("none.test"), &none).await.unwrap();
    let account = Secret::new(format!("account {CANARY}"));
    store.set_authority_account(Authority::Acme, &account).await.unwrap();
}

fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

async fn put(store: &SqliteStore, tag: &str) {
    store.put(PutApp::new(spec(tag).validate().unwrap(), Timestamp::now())).await.unwrap();
}

/// Creates a state with a secret, two revisions of an app, a certificate and an account, and a
/// snapshot.
async fn state() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    put_all(&store).await;
    store.snapshot(Timestamp::now()).await.unwrap().unwrap();
    folder
}

async fn environment(store: &SqliteStore) -> BTreeMap<String, String> {
    let spec = store.get(&web()).await.unwrap().spec;
    let text = |secret: Secret| String::from_utf8(secret.reveal().to_vec()).unwrap();
    spec.environment().secret.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// Checks that the app has the canary in all variables, and that the rest can be read.
async fn check_readable(folder: &Path) {
    let store = SqliteStore::open(folder).unwrap();
    let variables = environment(&store).await;
    assert_eq!(variables.keys().collect::<Vec<_>>(), ["FILE", "KEY", "SECRET"]);
    assert!(variables.values().all(|value| value == CANARY), "{variables:?}");
    assert_eq!(store.revisions(&web()).await.unwrap().len(), 2);
    assert_eq!(store.secrets().await.unwrap()[0].hash, Secret::new(CANARY).hash());
    let certificates = store.list().await.unwrap().certificates;
    assert_eq!(certificates[&host("none.test")].issued, None);
    let pair = &certificates[&host("a.test")].issued.as_ref().unwrap().pair;
    let (chain, key) = pair.pem().unwrap();
    assert_eq!(chain, format!("certificate {CANARY}").as_bytes());
    assert_eq!(key, format!("key {CANARY}").as_bytes());
    let account = store.authority_account(Authority::Acme).await.unwrap().unwrap();
    assert_eq!(account.reveal(), format!("account {CANARY}").as_bytes());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Checks the bytes of every file below a folder, in clear and in base64 at each offset.
fn check_no_canary(folder: &Path) {
    let mut needles = vec![CANARY.as_bytes().to_vec()];
    for offset in 0..3 {
        let encoded = STANDARD.encode(format!("{}{CANARY}", "x".repeat(offset)));
        needles.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
    }
    for path in files(folder) {
        let bytes = fs::read(&path).unwrap();
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{} holds {:?}", path.display(), String::from_utf8_lossy(needle));
        }
    }
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("secret.key")
}

/// Returns the lines of the key file that are keys.
fn keys(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(key_file(folder)).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test]
async fn no_file_of_the_state_directory_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    put_all(&store).await;
    check_no_canary(folder.path());
    store.snapshot(Timestamp::now()).await.unwrap().unwrap();
    store.backup(&folder.path().join("backup.db")).await.unwrap();
    check_no_canary(folder.path());
    drop(store);
    check_no_canary(folder.path());
    let mode = fs::metadata(key_file(folder.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    check_readable(folder.path()).await;
}

async fn put_all(store: &SqliteStore) {
    set(store, CANARY).await;
    put(store, "1").await;
    put(store, "2").await;
    certify(store).await;
}

/// Creates a database of schema 6, whose rows and free pages hold the canary in plain text.
fn plain_state() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("dubernetes.db")).unwrap();
    for sql in [
        include_str!("../migrations/0001_init.sql"),
        include_str!("../migrations/0002_rollouts.sql"),
        include_str!("../migrations/0003_event_revision.sql"),
        include_str!("../migrations/0004_names.sql"),
        include_str!("../migrations/0005_requests.sql"),
        include_str!("../migrations/0006_identity.sql"),
    ] {
        connection.execute_batch(sql).unwrap();
    }
    let content = STANDARD.encode(CANARY);
    let key = STANDARD.encode(format!("KEY={CANARY}\n"));
    let spec = format!(
        r#"{{"name":"web","image":"web:1","replicas":1,
            "env":{{"FILE":{{"file":"x","content":"{content}"}},
                    "SECRET":{{"file":"y","content":"{content}"}}}},
            "env_file":[{{"file":"z","content":"{key}"}}]}}"#
    );
    let app = "INSERT INTO apps (name, spec, generation, revision, deleted_through, created_at, \
        updated_at) VALUES ('web', ?1, 2, 2, 0, 0, 0)";
    connection.execute(app, [&spec]).unwrap();
    for revision in 1..40 {
        let insert = "INSERT INTO revisions (app, revision, spec, created_at) \
            VALUES ('web', ?1, ?2, 0)";
        connection.execute(insert, (revision, &spec)).unwrap();
    }
    connection.execute("DELETE FROM revisions WHERE revision > 2", []).unwrap();
    connection
        .execute_batch("PRAGMA application_id = 0x44756265; PRAGMA user_version = 6")
        .unwrap();
    let snapshots = folder.path().join("snapshots");
    fs::create_dir(&snapshots).unwrap();
    drop(connection);
    let old = snapshots.join("dubernetes-20260101T000000.000000Z.db");
    fs::copy(folder.path().join("dubernetes.db"), old).unwrap();
    folder
}

#[tokio::test]
async fn migration_leaves_no_plain_text() {
    let folder = plain_state();
    let store = SqliteStore::open(folder.path()).unwrap();
    let variables = environment(&store).await;
    assert!(variables.len() == 3 && variables.values().all(|v| v == CANARY), "{variables:?}");
    assert_eq!(store.revisions(&web()).await.unwrap().len(), 2);
    check_no_canary(folder.path());
    drop(store);
    check_no_canary(folder.path());
    let snapshots = files(&folder.path().join("snapshots"));
    assert_eq!(snapshots.len(), 2, "the older one, and the one before the migration");
    for snapshot in snapshots {
        let restored = restore(folder.path(), &snapshot);
        let store = SqliteStore::open(restored.path()).unwrap();
        assert_eq!(environment(&store).await, variables, "{}", snapshot.display());
    }
}

/// Copies a snapshot and the key into a folder of their own.
fn restore(folder: &Path, snapshot: &Path) -> TempDir {
    let restored = tempfile::tempdir().unwrap();
    fs::copy(snapshot, restored.path().join("dubernetes.db")).unwrap();
    fs::copy(key_file(folder), key_file(restored.path())).unwrap();
    restored
}

#[tokio::test]
async fn interrupted_purge_is_completed_by_the_next_start() {
    let folder = plain_state();
    drop(SqliteStore::open(folder.path()).unwrap());
    let database = folder.path().join("dubernetes.db");
    // As if the process had been killed between the encryption and the purge.
    let connection = Connection::open(&database).unwrap();
    connection.execute_batch("DROP TABLE certificates; DROP TABLE authorities").unwrap();
    connection.execute_batch("PRAGMA user_version = 7; CREATE TABLE junk (x TEXT)").unwrap();
    connection.execute("INSERT INTO junk VALUES (?1)", [CANARY.repeat(999)]).unwrap();
    connection.execute_batch("DROP TABLE junk").unwrap();
    drop(connection);
    drop(SqliteStore::open(folder.path()).unwrap());
    check_no_canary(folder.path());
}

#[tokio::test]
async fn state_without_its_key_is_refused_and_unchanged() {
    let folder = state().await;
    let key = fs::read(key_file(folder.path())).unwrap();
    fs::remove_file(key_file(folder.path())).unwrap();
    let content = || -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = files(folder.path()).into_iter();
        // A reader makes an empty log and its index.
        let paths = paths.filter(|path| path.extension().is_some_and(|e| e == "db" || e == "key"));
        paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    let before = content();
    let checked = SqliteStore::check(folder.path()).map(drop);
    let reading = SqliteStore::open_for_reading(folder.path()).map(drop);
    for refused in [checked, reading, SqliteStore::open(folder.path()).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, OpenError::KeyMissing { .. }), "{error}");
        let text = chain(&error);
        assert!(text.contains("secret.key` does not have; put that file back"), "{text}");
        assert!(text.contains("dubernetes serve --adopt"), "{text}");
    }
    assert!(content() == before, "no file changed, and no key was made");
    // Another key is no help.
    let other = state().await;
    fs::copy(key_file(other.path()), key_file(folder.path())).unwrap();
    let error = SqliteStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::KeyMissing { .. }), "{error}");
    fs::write(key_file(folder.path()), key).unwrap();
    check_readable(folder.path()).await;
}

#[tokio::test]
async fn state_without_secrets_needs_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let plain = AppSpec::new(web(), ImageRef::parse("web:1").unwrap());
    store.put(PutApp::new(plain.validate().unwrap(), Timestamp::now())).await.unwrap();
    assert_eq!(store.rotate_key().await.unwrap(), 0);
    drop(store);
    assert!(!key_file(folder.path()).exists());
    drop(SqliteStore::open(folder.path()).unwrap());
}

#[tokio::test]
async fn rotation_replaces_the_key_everywhere() {
    let folder = state().await;
    let old = keys(folder.path());
    let store = SqliteStore::open(folder.path()).unwrap();
    let reader = SqliteStore::open_for_reading(folder.path()).unwrap();
    let count = store.rotate_key().await.unwrap();
    assert_eq!(count, 6, "a secret, an app, two revisions, a certificate and an account");
    let new = keys(folder.path());
    assert_eq!((old.len(), new.len()), (1, 1));
    assert_ne!(old, new);
    assert_eq!(environment(&reader).await.len(), 3, "an open reader goes on");
    put(&store, "3").await;
    drop((store, reader));
    let snapshot = files(&folder.path().join("snapshots")).pop().unwrap();
    check_readable(restore(folder.path(), &snapshot).path()).await;
    check_no_canary(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_beside_rotations_has_the_key_of_its_values() {
    let folder = state().await;
    let path = folder.path().to_owned();
    let store = SqliteStore::open(&path).unwrap();
    let copies = tokio::task::spawn_blocking(move || {
        let copy = |_| {
            let target = tempfile::tempdir().unwrap();
            let copied = SqliteStore::copy_state(&path, target.path()).unwrap();
            assert_eq!(copied, Some(SqliteStore::newest_schema()));
            target
        };
        (0..20).map(copy).collect::<Vec<_>>()
    });
    while !copies.is_finished() {
        store.rotate_key().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(store);
    for copy in copies.await.unwrap() {
        check_readable(copy.path()).await;
    }
}

#[tokio::test]
async fn interrupted_rotation_is_completed_by_the_next_start() {
    let folder = state().await;
    let old = keys(folder.path());
    // As if the process had been killed before the values were encrypted again, and after that.
    for is_encrypted in [false, true] {
        let other = state().await;
        let (first, second) = match is_encrypted {
            false => (keys(folder.path()), keys(other.path())),
            true => (keys(other.path()), keys(folder.path())),
        };
        let text = format!("{}\n{}\n", first[0], second[0]);
        fs::write(key_file(folder.path()), text).unwrap();
        check_readable(folder.path()).await;
        assert_eq!(keys(folder.path()), second, "only the new key is left");
    }
    assert_ne!(keys(folder.path()), old);
}

#[tokio::test]
async fn values_cannot_be_swapped() {
    let folder = state().await;
    let connection = Connection::open(folder.path().join("dubernetes.db")).unwrap();
    let swap = "UPDATE apps SET contents = (SELECT contents FROM revisions WHERE revision = 1)";
    connection.execute(swap, []).unwrap();
    connection.execute("UPDATE secrets SET name = 'other'", []).unwrap();
    drop(connection);
    let store = SqliteStore::open(folder.path()).unwrap();
    for failed in [store.list().await.map(drop), store.secrets().await.map(drop)] {
        let Err(StoreError::Failed(cause)) = failed else { panic!("{failed:?}") };
        assert!(chain(&cause).contains("is damaged"), "{cause}");
    }
}

#[tokio::test]
async fn certificate_and_account_cannot_be_swapped_or_cut() {
    let swap_hosts = "UPDATE certificates SET host = 'b.test' WHERE host = 'a.test'";
    let cut_pem = "UPDATE certificates SET pem = substr(pem, 1, length(pem) - 1) \
                   WHERE pem IS NOT NULL";
    for change in [swap_hosts, cut_pem] {
        let (_folder, store) = damaged(change).await;
        let error = store.list().await.map(drop).unwrap_err();
        assert!(chain(&error).contains("is damaged"), "{change}: {}", chain(&error));
    }
    let of_other = "UPDATE authorities SET name = 'internal'";
    let (_folder, store) = damaged(of_other).await;
    let error = store.authority_account(Authority::Internal).await.unwrap_err();
    assert!(chain(&error).contains("is damaged"), "{}", chain(&error));
    let (_folder, store) = damaged("UPDATE certificates SET info = 'no JSON'").await;
    assert!(store.list().await.is_err());
}

/// Opens a state in which a statement has changed something.
async fn damaged(change: &str) -> (TempDir, SqliteStore) {
    let folder = state().await;
    let connection = Connection::open(folder.path().join("dubernetes.db")).unwrap();
    assert!(connection.execute(change, []).unwrap() > 0, "{change}");
    drop(connection);
    let store = SqliteStore::open(folder.path()).unwrap();
    (folder, store)
}

#[tokio::test]
async fn certificate_alone_needs_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    certify(&store).await;
    drop(store);
    fs::remove_file(key_file(folder.path())).unwrap();
    let error = SqliteStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::KeyMissing { .. }), "{error}");
}

#[tokio::test]
async fn snapshot_is_taken_when_a_certificate_is_issued_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    put_all(&store).await;
    let at = |second| Timestamp::from_second(second).unwrap();
    assert!(store.snapshot(at(1)).await.unwrap().is_some());
    let failed = StoredCertificate { issued: None, failure: None };
    store.set_certificate(&host("new.test"), &failed).await.unwrap();
    assert_eq!(store.snapshot(at(2)).await.unwrap(), None, "a failure is no reason");
    let mut renewed = store.list().await.unwrap().certificates.remove(&host("a.test")).unwrap();
    renewed.issued.as_mut().unwrap().renew_at = at(9);
    store.set_certificate(&host("new.test"), &renewed).await.unwrap();
    let taken = store.snapshot(at(3)).await.unwrap().unwrap();
    drop(store);
    check_readable(restore(folder.path(), &taken).path()).await;
}
