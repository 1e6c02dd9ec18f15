//! The store takes no changes: a locked database, and a full disk. Replicas and routes are kept up
//! meanwhile, and nothing that was answered or happened is lost.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, e2e, eventually, whoami};
use rusqlite::Connection;
use rustix::process::geteuid;

/// Kills a replica, and waits until another container runs in its place.
async fn replace_a_replica(s: &Scenario) {
    let before = s.running_pods("web").await;
    docker(&["kill", &before["web-1"]]).await;
    eventually("the killed replica is replaced", SOON, async || {
        let now = s.running_pods("web").await;
        ensure(now.get("web-1").is_some_and(|id| *id != before["web-1"]), now)
    })
    .await;
    s.wait_for_balance("web.test", 2).await;
}

/// Expects that an apply is refused because of `cause`, and that `status` names it.
async fn expect_refused(s: &Scenario, cause: &str) {
    let refused = s.try_apply(&whoami("web", 3).host("web.test")).await.assert_code(1);
    let text = format!("app/web was not applied: the store is {cause}");
    assert!(refused.stderr.contains(&text), "{}", refused.stderr);
    let start = Instant::now();
    let read = s.run(&["get", "apps"]).await.assert_success().stdout;
    assert!(read.contains("2/2"), "{read}");
    assert!(start.elapsed() < SOON / 4, "reads wait for the store");
    eventually("`status` says that events wait", SOON, async || {
        let status = s.run(&["status"]).await;
        let is_named = status.stdout.contains("not recorded yet: the store is");
        ensure(is_named && status.code == Some(1), status)
    })
    .await;
}

/// Expects that the store takes changes again, and that no event is missing.
async fn expect_recovery(s: &Scenario) {
    eventually("the events are recorded", SOON, async || {
        let events = s.event_messages().await;
        let exits = events.iter().filter(|(_, message)| message.contains("SIGKILL"));
        ensure(exits.count() >= 1, events)
    })
    .await;
    s.apply(&whoami("web", 3).host("web.test")).await;
    s.wait_for_balance("web.test", 3).await;
    let _ = s.run(&["status"]).await.assert_success();
}

#[test]
fn locked_database_delays_changes_and_nothing_else() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let connection = Connection::open(s.state_dir().join("dubernetes.db")).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        replace_a_replica(s).await;
        expect_refused(s, "busy: database is locked").await;
        connection.execute_batch("ROLLBACK").unwrap();
        expect_recovery(s).await;
    });
}

#[test]
fn full_disk_refuses_changes_and_loses_nothing() {
    e2e!().run(async |s| {
        let Some(disk) = SmallDisk::mount(s) else { return };
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let filler = disk.0.join("filler");
        // Fails once the disk is full.
        let _ = std::fs::write(&filler, vec![0; 1 << 23]);
        replace_a_replica(s).await;
        expect_refused(s, "full: database or disk is full").await;
        std::fs::remove_file(filler).unwrap();
        expect_recovery(s).await;
        s.kill().await;
    });
}

/// A file system of 4 MiB at the state directory. It is unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and says that the test is skipped, for a user that may not mount.
    fn mount(s: &Scenario) -> Option<Self> {
        use std::io::Write as _;
        let folder = s.state_dir();
        std::fs::create_dir_all(&folder).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(&folder).status();
        if geteuid().is_root() && mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        let line = "skipped full_disk_refuses_changes_and_loses_nothing: it may not mount\n";
        let _ = std::io::stderr().write_all(line.as_bytes());
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A process that a failed test leaves has files open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
