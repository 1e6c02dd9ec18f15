//! Everything that is done to an app, under a load of impatient clients: no request fails.
//!
//! `DUBERNETES_LOAD_REQUESTS=100000` goes round until so many were sent, and
//! `DUBERNETES_LOAD_RATE` is how many a second; what came of it is written to standard error.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use std::io::Write as _;
use std::time::Duration;

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::load::Load;
use dubernetes_tests::manifest::{Manifest, WHOAMI};
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, eventually, here, whoami};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// What is the number of requests, or the rate, of the test command.
const REQUESTS: u32 = 10_000;
const RATE: u32 = 300;
/// Another app beside it, so that an answer by the wrong one could be noticed.
const OTHER_RATE: u32 = 20;
const REPLICAS: u32 = 5;
/// A replica that was killed is routed to until that is noticed, and the slow answers that it owes are
/// missed at once; so long after its successor runs nobody may fail any more.
const KILL_WINDOW: Duration = Duration::from_secs(1);

/// The app, the load on it, and what was done so far.
struct Story<'a> {
    s: &'a Scenario,
    images: [String; 2],
    load: Load,
    changes: u32,
    kills: Vec<(Duration, Duration)>,
}

#[test]
fn no_request_fails_whatever_is_done_to_the_app() {
    here!().run(async |s| {
        let (requests, rate) = (setting("REQUESTS", REQUESTS), setting("RATE", RATE));
        s.serve().await;
        let images = [WHOAMI.to_owned(), s.tag(WHOAMI).await];
        s.apply(&web(&images[0], 0)).await;
        s.apply(&whoami("shop", 2).host("shop.test")).await;
        let other = Load::start(s, "shop.test", "shop", OTHER_RATE);
        let load = Load::mixed(s, "web.test", "web", rate);
        let mut story = Story { s, images, load, changes: 0, kills: Vec::new() };
        loop {
            story.round().await;
            if story.load.sent() >= requests {
                break;
            }
        }
        let Story { load, kills, changes, .. } = story;
        let (web, shop) = (load.stop().await, other.stop().await);
        let cut = web.cut_posts(&kills);
        say(&format!(
            "load of {rate}/s over {changes} image updates and as many of all else: {web}; \
             {cut} of these POSTs in a replica that was killed\nbeside it: {shop}"
        ));
        assert_eq!((web.wrong_app, shop.wrong_app), (0, 0), "{web:#?}");
        web.is_flawless_but(requests, &kills);
        shop.is_flawless(OTHER_RATE);
    });
}

impl Story<'_> {
    /// Everything once.
    async fn round(&mut self) {
        self.update().await;
        self.scale().await;
        self.kill_a_replica().await;
        self.bad_version().await;
        self.undo_with_restarts_on_the_way().await;
    }

    /// A new image replaces all replicas, one at a time.
    async fn update(&mut self) {
        let s = self.s;
        let next = self.next();
        tokio::select! {
            ran = s.apply(&next) => assert_eq!(ran.stdout, "app/web configured\n"),
            never = s.stays_between("web", 5, 6) => never,
        }
        self.done("an image update").await;
    }

    async fn scale(&self) {
        for replicas in ["1", "5"] {
            let _ = self.s.run(&["scale", "web", replicas]).await.succeeds();
            self.s.settles("web", replicas.parse().unwrap(), 2 * SOON).await;
        }
        self.done("scale 5, 1, 5").await;
    }

    async fn kill_a_replica(&mut self) {
        let running = self.s.running("web").await;
        let id = &running["web-2"];
        let from = self.load.now();
        docker(&["kill", id]).await;
        eventually("another one takes its place", 2 * SOON, async || {
            let now = self.s.running("web").await;
            expect(now.len() == 5 && now.get("web-2").is_some_and(|new| new != id), now)
        })
        .await;
        self.kills.push((from, self.load.now() + KILL_WINDOW));
        self.s.is_in("Ready", "web", 2 * SOON).await;
        self.done("a killed replica").await;
    }

    /// A version that crashes is given up, and the replicas that serve are not touched.
    async fn bad_version(&self) {
        let s = self.s;
        let before = s.ids("web").await;
        let crashes = "env: { WHOAMI_EXIT: '9' }\nrollout: { progress_deadline: 10s }";
        let ran = s.try_apply(&app("web", WHOAMI, REPLICAS).host("web.test").with(crashes)).await;
        assert_ne!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        eventually("only the replicas from before are there", 2 * SOON, async || {
            let now = s.ids("web").await;
            expect(now == before, now)
        })
        .await;
        self.done("a bad version, rolled back").await;
    }

    /// Back to the image before, while the orchestrator ends twice: once as it is told to, and once
    /// as a crash ends it.
    async fn undo_with_restarts_on_the_way(&self) {
        let s = self.s;
        let old = s.ids("web").await;
        self.undo().await;
        for (replaced, is_crash) in [(1, false), (3, true)] {
            eventually(&format!("{replaced} of 5 are replaced"), 3 * SOON, async || {
                let left = s.ids("web").await.intersection(&old).count();
                expect(left <= 5 - replaced, left)
            })
            .await;
            if is_crash {
                s.kill().await;
            } else {
                s.terminate().await;
            }
            self.load.goes_on(300).await;
            s.serve().await;
        }
        eventually("all five are new", 3 * SOON, async || {
            let now = s.ids("web").await;
            expect(now.len() == 5 && now.is_disjoint(&old), now)
        })
        .await;
        s.is_in("Ready", "web", SOON).await;
        self.done("an undo with two restarts of the orchestrator").await;
    }

    /// Wishes an undo, by the API itself.
    async fn undo(&self) {
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

    /// The app with another image than before.
    fn next(&mut self) -> Manifest {
        self.changes += 1;
        let image = &self.images[usize::from(!self.changes.is_multiple_of(2))];
        web(image, self.changes)
    }

    /// A moment of quiet, so that what an event leads to is seen as its own.
    async fn done(&self, what: &str) {
        self.load.goes_on(100).await;
        say(&format!("{:>4.0?} s, {} sent: {what}", self.load.now().as_secs(), self.load.sent()));
    }
}

fn web(image: &str, change: u32) -> Manifest {
    let change = format!("env: {{ CHANGE: '{change}' }}");
    app("web", image, REPLICAS).host("web.test").with(&change)
}

fn setting(name: &str, default: u32) -> u32 {
    let value = std::env::var(format!("DUBERNETES_LOAD_{name}"));
    value.map_or(default, |value| value.parse().unwrap())
}

/// A line beside the test's own output, which the runner does not hold back.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
