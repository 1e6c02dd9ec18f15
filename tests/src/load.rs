//! A stream of requests as impatient clients send them: over kept connections, GET and POST in
//! turn, nothing repeated. Every request that is not answered by the right app is a failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::checks::{eventually, expect};
use crate::http::{Connection, Request};
use crate::scenario::Scenario;

/// So many clients share the rate: each sends often enough that its connection never idles long.
const CLIENTS: u32 = 10;
/// A server may close a connection that idles, and a request may cross with that; nginx promises
/// one second of patience, so a client that was held up for longer than this connects anew.
const STALE: Duration = Duration::from_millis(500);
/// A load that nobody stops ends by itself.
const LONGEST: Duration = Duration::from_secs(60);
/// So many failures are kept with their text.
const KEPT: usize = 20;

/// A load under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<Tally>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU32,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// So many requests were sent.
    pub sent: u32,
    /// So many of them failed.
    pub failed: u32,
    /// The first failures, with the time since the start.
    pub failures: Vec<(Duration, String)>,
    /// How often each replica answered, with its revision.
    pub by: BTreeMap<(String, String), u32>,
}

impl Load {
    /// Begins to send `rate` requests per second for `host`, which `app` should answer.
    pub fn start(scenario: &Scenario, host: &str, app: &str, rate: u32) -> Self {
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        let period = Duration::from_secs(1) * CLIENTS / rate;
        for number in 0..CLIENTS {
            let client = Client {
                port: scenario.port,
                host: host.to_owned(),
                app: app.to_owned(),
                start: Instant::now(),
                connection: None,
                tally: Tally::default(),
            };
            clients.spawn(client.run(Arc::clone(&shared), period, period * number / CLIENTS));
        }
        Self { shared, clients }
    }

    /// Waits until so many more requests were sent.
    pub async fn goes_on(&self, requests: u32) {
        let wanted = self.shared.sent.load(Ordering::Relaxed) + requests;
        eventually(&format!("{wanted} requests are sent"), LONGEST, async || {
            let sent = self.shared.sent.load(Ordering::Relaxed);
            expect(sent >= wanted, sent)
        })
        .await;
    }

    /// Ends it, and gives what came of it.
    pub async fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for tally in self.clients.join_all().await {
            sum.sent += tally.sent;
            sum.failed += tally.failed;
            sum.failures.extend(tally.failures);
            for (who, count) in tally.by {
                *sum.by.entry(who).or_default() += count;
            }
        }
        sum.failures.sort();
        sum
    }
}

impl Tally {
    /// At least so many requests were sent, and none failed.
    ///
    /// # Panics
    ///
    /// If one did.
    #[track_caller]
    pub fn is_flawless(&self, at_least: u32) {
        let Self { sent, failed, failures, by } = self;
        assert!(*failed == 0, "{failed} of {sent} requests failed: {failures:#?}\n{by:#?}");
        assert!(*sent >= at_least, "only {sent} requests were sent, not {at_least}");
    }

    /// The revisions that answered.
    pub fn revisions(&self) -> Vec<&str> {
        let mut revisions: Vec<_> = self.by.keys().map(|(_, revision)| revision.as_str()).collect();
        revisions.sort_unstable();
        revisions.dedup();
        revisions
    }
}

struct Client {
    port: u16,
    host: String,
    app: String,
    start: Instant,
    connection: Option<(Connection, Instant)>,
    tally: Tally,
}

impl Client {
    async fn run(mut self, shared: Arc<Shared>, period: Duration, offset: Duration) -> Tally {
        let begin = tokio::time::Instant::now() + offset;
        let mut ticks = tokio::time::interval_at(begin, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !shared.stop.load(Ordering::Relaxed) && self.start.elapsed() < LONGEST {
            ticks.tick().await;
            self.tally.sent += 1;
            shared.sent.fetch_add(1, Ordering::Relaxed);
            if let Err(failure) = self.request().await {
                self.connection = None;
                self.tally.failed += 1;
                if self.tally.failures.len() < KEPT {
                    self.tally.failures.push((self.start.elapsed(), failure));
                }
            }
        }
        self.tally
    }

    async fn request(&mut self) -> Result<(), String> {
        let fresh = |(connection, used): (Connection, Instant)| {
            (used.elapsed() < STALE).then_some(connection)
        };
        let kept = self.connection.take().and_then(fresh);
        let number = self.tally.sent;
        let how = if kept.is_some() { "kept" } else { "new" };
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(self.port).await?,
        };
        let request = match number % 2 {
            0 => Request::get(&self.host, "/"),
            _ => Request::post(&self.host, "/", b"something to read"),
        };
        let method = request.method;
        let answer = connection.send(request).await;
        let answer = answer.map_err(|error| format!("{method}, {how} connection: {error}"))?;
        let text = answer.text();
        if answer.status != 200 || answer.says("App").as_deref() != Some(&*self.app) {
            return Err(format!("{method}, {how} connection: {} {text}", answer.status));
        }
        if method == "POST" && answer.says("BodyLength").as_deref() != Some("17") {
            return Err(format!("{method}: the body did not arrive: {text}"));
        }
        let who = |key| answer.says(key).unwrap_or_default();
        *self.tally.by.entry((who("Replica"), who("Revision"))).or_default() += 1;
        if !answer.is_last() {
            self.connection = Some((connection, Instant::now()));
        }
        Ok(())
    }
}
