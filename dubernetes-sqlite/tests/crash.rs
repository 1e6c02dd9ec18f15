//! An acknowledged write survives a kill of the process at any moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dubernetes_core::app::{AppName, AppSpec, Generation, ImageRef, RevisionId};
use dubernetes_core::store::{PutApp, Store as _};
use dubernetes_sqlite::SqliteStore;
use jiff::Timestamp;
use rusqlite::Connection;

/// Set for the child process that writes until it is killed: the state directory.
const FOLDER: &str = "DUBERNETES_TEST_CRASH_FOLDER";
const ROUNDS: usize = 24;

#[tokio::test]
async fn acknowledged_write_survives_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut stored = 0;
    for round in 0..ROUNDS {
        let acknowledged = write_and_kill(folder.path(), round).max(stored);
        let store = SqliteStore::open(folder.path()).unwrap();
        let apps = store.list().await.unwrap().apps;
        stored = apps.len();
        assert!(
            (acknowledged..=acknowledged + 1).contains(&stored),
            "round {round}: {acknowledged} acknowledged, {stored} stored"
        );
        for (number, app) in apps.keys().enumerate() {
            assert_eq!(app.as_str(), app_name(number).as_str(), "round {round}: no gap");
        }
        let revisions = store.revisions(apps.keys().next_back().unwrap()).await.unwrap();
        assert_eq!(revisions.len(), 1, "round {round}: a transaction is atomic");
        let check = Connection::open(store.path()).unwrap();
        let result: String =
            check.pragma_query_value(None, "quick_check", |row| row.get(0)).unwrap();
        assert_eq!(result, "ok", "round {round}");
    }
    assert!(stored >= ROUNDS, "each round stores at least one app");
}

/// Starts a child process that writes, kills it, and returns the number of acknowledged apps.
fn write_and_kill(folder: &Path, round: usize) -> usize {
    let mut child = Killed(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "acknowledged_write_survives_kill", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged =
        lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    let mut last: usize = acknowledged.next().expect("the child writes");
    // A write takes about 0.1 ms, so each round kills at another point of a write.
    let moment = Instant::now() + Duration::from_micros(37 * u64::try_from(round).unwrap());
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    last = acknowledged.last().unwrap_or(last);
    last
}

/// Kills the child process when dropped, so also if the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail if the process has already ended, as it should have.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn write_until_killed(folder: &Path) {
    let store = SqliteStore::open(folder).unwrap();
    let first = store.list().await.unwrap().apps.len();
    for number in first..100_000 {
        let put = PutApp {
            spec: AppSpec::new(app_name(number), ImageRef::parse("web:1").unwrap())
                .validate()
                .unwrap(),
            expected_generation: Some(Generation::NONE),
            newest_seen: RevisionId::NONE,
            retry: false,
            now: Timestamp::UNIX_EPOCH,
        };
        store.put(put).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {}", number + 1).unwrap();
        out.flush().unwrap();
    }
}

fn app_name(number: usize) -> AppName {
    AppName::parse(&format!("app-{number:06}")).unwrap()
}
