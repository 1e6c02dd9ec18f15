//! Load generator with different kinds of clients: GET and POST, over kept and fresh connections,
//! with and without think time, some with slow answers. A request fails unless the expected app
//! answers it.

mod client;
mod tally;

use std::fmt::Debug;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::checks::{SOON, ensure, eventually};

use client::{Client, ClientKind};
pub use tally::{Failure, Tally};

/// Number of steady clients that share the request rate. Few enough that no connection stays idle
/// for long.
const STEADY_CLIENTS: u32 = 10;
/// Clients of [`Load::start_mixed`] besides the steady ones, with their number.
const OTHER_CLIENTS: [(ClientKind, u32); 5] = [
    (ClientKind::FreshConnection, 12),
    (ClientKind::ThinkTime, 12),
    (ClientKind::Idle, 6),
    (ClientKind::Preconnect, 6),
    (ClientKind::SlowAnswer, 24),
];

/// A running load.
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
    /// Sends `rate` requests per second for `host` to the ingress at `port`, and expects answers
    /// from `app`. GET and POST
    /// alternate, over kept connections.
    pub fn start(port: u16, host: &str, app: &str, rate: u32) -> Self {
        let mut load = Self::without_clients();
        let period = Duration::from_secs(1) * STEADY_CLIENTS / rate;
        load.add_clients(port, host, app, ClientKind::Steady, STEADY_CLIENTS, period);
        load
    }

    /// Sends `rate` requests per second from clients of all kinds.
    pub fn start_mixed(port: u16, host: &str, app: &str, rate: u32) -> Self {
        let mut load = Self::without_clients();
        let mut left = f64::from(rate);
        for (kind, count) in OTHER_CLIENTS {
            let period = kind.period();
            load.add_clients(port, host, app, kind, count, period);
            left -= f64::from(count) / period.as_secs_f64();
        }
        let period = Duration::from_secs_f64(f64::from(STEADY_CLIENTS) / left.max(1.0));
        load.add_clients(port, host, app, ClientKind::Steady, STEADY_CLIENTS, period);
        load
    }

    fn without_clients() -> Self {
        Self { shared: Arc::default(), start: Instant::now(), clients: JoinSet::new() }
    }

    fn add_clients(
        &mut self,
        port: u16,
        host: &str,
        app: &str,
        kind: ClientKind,
        count: u32,
        period: Duration,
    ) {
        for number in 0..count {
            let client = Client::new(port, host, app, kind, self.start);
            let offset = period * number / count;
            self.clients.spawn(client.run(Arc::clone(&self.shared), period, offset));
        }
    }

    /// Returns the time since the start of the load, the time base of [`Failure::began`].
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the number of requests sent so far.
    pub fn sent(&self) -> u32 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Waits until `requests` more requests are sent.
    pub async fn wait_for_requests(&self, requests: u32) {
        let target = self.sent() + requests;
        eventually(&format!("{target} requests are sent"), 3 * SOON, async || {
            let sent = self.sent();
            ensure(sent >= target, sent)
        })
        .await;
    }

    /// Stops the load, waits for the requests in flight and returns the results.
    pub async fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for tally in self.clients.join_all().await {
            sum.merge(tally);
        }
        sum.sort();
        sum
    }
}

/// Returns the setting `DUBERNETES_name` of a long run, or its default.
///
/// # Panics
///
/// If the variable is set and does not parse.
pub fn setting<T: FromStr<Err: Debug>>(name: &str, default: T) -> T {
    let value = std::env::var(format!("DUBERNETES_{name}"));
    value.map_or(default, |value| value.parse().unwrap())
}

/// Prints a line to standard error, past the output capture of the test runner.
pub fn print_line(line: &str) {
    // A line that cannot be written changes no result.
    let _ = writeln!(std::io::stderr(), "{line}");
}
