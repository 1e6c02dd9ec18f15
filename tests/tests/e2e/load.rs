//! All operations on an app under load, without a failed request.
//!
//! `DUBERNETES_LOAD_REQUESTS` sets the number of requests and `DUBERNETES_LOAD_RATE` the requests
//! per second. The test repeats the operations until all requests are sent, and prints the results
//! to standard error.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::Duration;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::load::{Load, print_line, setting};
use dubernetes_tests::manifest::{Manifest, WHOAMI};
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, e2e, eventually, whoami};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Default number of requests, and default rate.
const REQUESTS: u32 = 10_000;
const RATE: u32 = 300;
/// Rate of requests to a second app, which could receive misrouted requests.
const OTHER_RATE: u32 = 20;
const REPLICAS: u32 = 5;
/// Time after the replacement of a killed replica runs during which requests may still fail.
///
/// nginx routes to a killed replica until its death is observed, and the slow answers of that
/// replica are lost.
const KILL_WINDOW: Duration = Duration::from_secs(1);

/// App under load.
struct LoadTest<'a> {
    s: &'a Scenario,
    images: [String; 2],
    load: Load,
    /// Number of image updates so far.
    updates: u32,
    /// Periods in which a killed replica may fail requests.
    kills: Vec<(Duration, Duration)>,
}

#[test]
fn no_request_fails_during_any_operation() {
    e2e!().run(async |s| {
        let requests = setting("LOAD_REQUESTS", REQUESTS);
        let rate = setting("LOAD_RATE", RATE);
        s.serve().await;
        let images = [WHOAMI.to_owned(), s.tag(WHOAMI).await];
        s.apply(&web(&images[0], 0)).await;
        s.apply(&whoami("shop", 2).host("shop.test")).await;
        let other = Load::start(s.port, "shop.test", "shop", OTHER_RATE);
        let load = Load::start_mixed(s.port, "web.test", "web", rate);
        let mut test = LoadTest { s, images, load, updates: 0, kills: Vec::new() };
        loop {
            test.run_all_operations().await;
            if test.load.sent() >= requests {
                break;
            }
        }
        let LoadTest { load, kills, updates, .. } = test;
        let web = load.stop().await;
        let shop = other.stop().await;
        let cut = web.cut_posts(&kills);
        print_line(&format!(
            "{rate} requests/s over {updates} rounds: {web}; \
             {cut} POST requests cut off by a kill\n\
             second app: {shop}"
        ));
        assert_eq!((web.wrong_app, shop.wrong_app), (0, 0), "{web:#?}");
        web.assert_no_failures_except(requests, &kills);
        shop.assert_no_failures(OTHER_RATE);
    });
}

impl LoadTest<'_> {
    /// Runs each operation once.
    async fn run_all_operations(&mut self) {
        self.update().await;
        self.scale().await;
        self.kill_a_replica().await;
        self.apply_bad_version().await;
        self.undo_with_orchestrator_restarts().await;
    }

    /// Replaces all replicas by a new image.
    async fn update(&mut self) {
        let s = self.s;
        let next = self.next_update();
        tokio::select! {
            ran = s.apply(&next) => assert_eq!(ran.stdout, "app/web configured\n"),
            never = s.assert_always_between("web", 5, 9) => never,
        }
        self.settle("image update").await;
    }

    async fn scale(&self) {
        for replicas in ["1", "5"] {
            let _ = self.s.run(&["scale", "web", replicas]).await.assert_success();
            self.s.wait_for_replicas("web", replicas.parse().unwrap(), 2 * SOON).await;
        }
        self.settle("scale 5, 1, 5").await;
    }

    async fn kill_a_replica(&mut self) {
        let running = self.s.running_pods("web").await;
        let id = &running["web-2"];
        let from = self.load.elapsed();
        docker(&["kill", id]).await;
        eventually("the killed replica is replaced", 2 * SOON, async || {
            let now = self.s.running_pods("web").await;
            ensure(now.len() == 5 && now.get("web-2").is_some_and(|new| new != id), now)
        })
        .await;
        self.kills.push((from, self.load.elapsed() + KILL_WINDOW));
        self.s.wait_for_phase("web", "Ready", 2 * SOON).await;
        self.settle("replica killed").await;
    }

    /// Applies a crashing version, which rolls back without touching the old replicas.
    async fn apply_bad_version(&self) {
        let s = self.s;
        let before = s.container_ids("web").await;
        let crashes = "env: { WHOAMI_EXIT: '9' }\nrollout: { progress_deadline: 10s }";
        let web = app("web", WHOAMI, REPLICAS).host("web.test").with(crashes);
        let applied = s.try_apply(&web).await;
        assert_ne!(applied.code, Some(0), "{}{}", applied.stdout, applied.stderr);
        eventually("only the old replicas exist", 2 * SOON, async || {
            let now = s.container_ids("web").await;
            ensure(now == before, now)
        })
        .await;
        self.settle("bad version rolled back").await;
    }

    /// Undoes the last update, while the orchestrator is stopped once and killed once.
    async fn undo_with_orchestrator_restarts(&self) {
        let s = self.s;
        let old = s.container_ids("web").await;
        self.request_undo().await;
        for (replaced, is_crash) in [(1, false), (3, true)] {
            eventually(&format!("{replaced} of 5 replicas are replaced"), 3 * SOON, async || {
                let left = s.container_ids("web").await.intersection(&old).count();
                ensure(left <= 5 - replaced, left)
            })
            .await;
            if is_crash {
                s.kill().await;
            } else {
                s.terminate().await;
            }
            self.load.wait_for_requests(300).await;
            s.serve().await;
        }
        eventually("all five replicas are new", 3 * SOON, async || {
            let now = s.container_ids("web").await;
            ensure(now.len() == 5 && now.is_disjoint(&old), now)
        })
        .await;
        s.wait_for_phase("web", "Ready", SOON).await;
        self.settle("undo with two restarts of the orchestrator").await;
    }

    /// Requests an undo through the API, without waiting for the rollout.
    async fn request_undo(&self) {
        let body = r#"{"action":"undo"}"#;
        let request = format!(
            "POST /v1/apps/web/rollout HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let socket = self.s.state_dir().join("dubernetes.sock");
        let mut stream = UnixStream::connect(socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Returns the app with the other of the two images.
    fn next_update(&mut self) -> Manifest {
        self.updates += 1;
        let image = &self.images[usize::from(!self.updates.is_multiple_of(2))];
        web(image, self.updates)
    }

    /// Waits for 100 more requests, so that failures are attributed to the right operation, and
    /// prints the progress.
    async fn settle(&self, operation: &str) {
        self.load.wait_for_requests(100).await;
        let seconds = self.load.elapsed().as_secs();
        let sent = self.load.sent();
        print_line(&format!("{seconds:>4} s, {sent} sent: {operation}"));
    }
}

fn web(image: &str, change: u32) -> Manifest {
    let change = format!("env: {{ CHANGE: '{change}' }}");
    let access = "access: { host: web.test, keepalive: true }";
    app("web", image, REPLICAS).with(access).with(&change)
}
