//! A write that was answered survives the end of the process at any moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dubernetes_core::app::{AppName, AppSpec, ImageRef};
use dubernetes_core::store::{PutApp, Store as _};
use dubernetes_sqlite::SqliteStore;
use jiff::Timestamp;
use rusqlite::Connection;

/// Set for the process that writes until it is killed: the store's folder.
const FOLDER: &str = "DUBERNETES_TEST_CRASH_FOLDER";
const ROUNDS: usize = 24;

#[tokio::test]
async fn an_answered_write_survives_a_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut stored = 0;
    for round in 0..ROUNDS {
        let answered = write_and_kill(folder.path(), round).max(stored);
        let store = SqliteStore::open(folder.path()).unwrap();
        let apps = store.list().await.unwrap().apps;
        stored = apps.len();
        assert!(
            (answered..=answered + 1).contains(&stored),
            "round {round}: {answered} answered, {stored} stored"
        );
        for (number, app) in apps.keys().enumerate() {
            assert_eq!(app.as_str(), app_name(number).as_str(), "round {round}: no gap");
        }
        let revisions = store.revisions(apps.keys().next_back().unwrap()).await.unwrap();
        assert_eq!(revisions.len(), 1, "round {round}: a transaction is whole");
        let check = Connection::open(store.path()).unwrap();
        let verdict: String =
            check.pragma_query_value(None, "quick_check", |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok", "round {round}");
    }
    assert!(stored >= ROUNDS, "each round stores at least one app");
}

/// Lets a process of its own write, kills it, and returns how many apps were answered in all.
fn write_and_kill(folder: &Path, round: usize) -> usize {
    let mut child = Killed(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "an_answered_write_survives_a_kill", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut answers = lines.filter_map(|line| line.strip_prefix("answered ")?.parse().ok());
    let mut last: usize = answers.next().expect("the child writes");
    // Between two answers lies about a tenth of a millisecond: each round ends at another place
    // in it.
    let moment = Instant::now() + Duration::from_micros(37 * u64::try_from(round).unwrap());
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    last = answers.last().unwrap_or(last);
    last
}

/// Kills its process also if the test fails before it does.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail if it has ended already, as it should have.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn write_until_killed(folder: &Path) {
    let store = SqliteStore::open(folder).unwrap();
    let first = store.list().await.unwrap().apps.len();
    for number in first..100_000 {
        let put = PutApp {
            spec: AppSpec::new(app_name(number), ImageRef::parse("web:1").unwrap()),
            expected_generation: Some(0),
            newest_seen: 0,
            retry: false,
            now: Timestamp::UNIX_EPOCH,
        };
        store.put(put).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "answered {}", number + 1).unwrap();
        out.flush().unwrap();
    }
}

fn app_name(number: usize) -> AppName {
    AppName::parse(&format!("app-{number:06}")).unwrap()
}
