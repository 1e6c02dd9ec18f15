//! A stream of requests as impatient clients send them: GET and POST, over kept connections and
//! fresh ones, with and without time to think, some with slow answers. Every request that is not
//! answered by the right app is a failure.

mod client;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::checks::{SOON, eventually, expect};
use crate::scenario::Scenario;

use client::{Client, Habit};
pub use tally::{Failure, Tally};

/// So many clients share the rate of the steady ones: each sends often enough that its connection
/// never idles long.
const CLIENTS: u32 = 10;
/// The clients of [`Load::mixed`] beside the steady ones.
const OTHERS: [(Habit, u32); 5] = [
    (Habit::Fresh, 12),
    (Habit::Thinks, 12),
    (Habit::Idles, 6),
    (Habit::OpensAhead, 6),
    (Habit::Slow, 24),
];

/// A load under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    start: Instant,
    clients: JoinSet<Tally>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU32,
}

impl Load {
    /// Begins to send `rate` requests per second for `host`, which `app` should answer: GET and POST
    /// in turn, over connections that are kept.
    pub fn start(scenario: &Scenario, host: &str, app: &str, rate: u32) -> Self {
        let mut load = Self::idle();
        load.add(
            scenario,
            host,
            app,
            Habit::Steady,
            CLIENTS,
            Duration::from_secs(1) * CLIENTS / rate,
        );
        load
    }

    /// The same rate from clients of all kinds.
    pub fn mixed(scenario: &Scenario, host: &str, app: &str, rate: u32) -> Self {
        let mut load = Self::idle();
        let mut left = f64::from(rate);
        for (habit, count) in OTHERS {
            let period = habit.period();
            load.add(scenario, host, app, habit, count, period);
            left -= f64::from(count) / period.as_secs_f64();
        }
        let period = Duration::from_secs_f64(f64::from(CLIENTS) / left.max(1.0));
        load.add(scenario, host, app, Habit::Steady, CLIENTS, period);
        load
    }

    fn idle() -> Self {
        Self { shared: Arc::default(), start: Instant::now(), clients: JoinSet::new() }
    }

    fn add(
        &mut self,
        scenario: &Scenario,
        host: &str,
        app: &str,
        habit: Habit,
        count: u32,
        period: Duration,
    ) {
        for number in 0..count {
            let client = Client::new(scenario.port, host, app, habit, self.start);
            let offset = period * number / count;
            self.clients.spawn(client.run(Arc::clone(&self.shared), period, offset));
        }
    }

    /// The time since the load began, by which its failures are dated.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// How many requests were sent so far.
    pub fn sent(&self) -> u32 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were sent.
    pub async fn goes_on(&self, requests: u32) {
        let wanted = self.sent() + requests;
        eventually(&format!("{wanted} requests are sent"), 3 * SOON, async || {
            let sent = self.sent();
            expect(sent >= wanted, sent)
        })
        .await;
    }

    /// Ends it when the requests under way are answered, and gives what came of it.
    pub async fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for tally in self.clients.join_all().await {
            sum.add(tally);
        }
        sum.finish();
        sum
    }
}
