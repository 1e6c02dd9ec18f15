//! Sends requests at a fixed rate and counts the results.

use std::net::SocketAddr;
use std::time::Duration;

use dubernetes_core::app::AppName;
use dubernetes_core::error::{chain, one_line};
use reqwest::header::HOST;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::report::{CliError, Result};

/// Time between two requests.
const INTERVAL: Duration = Duration::from_millis(50);
/// Timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests in flight at most.
const MAX_IN_FLIGHT: usize = 64;
/// Minimum duration of the loop, so that an apply that changes nothing is verified, too.
const MIN_DURATION: Duration = Duration::from_secs(1);
/// How long to wait for the last responses; later ones do not count.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct RequestTarget {
    /// Address of the ingress.
    pub(super) address: SocketAddr,
    /// Value of the `Host` header.
    pub(super) host: String,
    /// Path.
    pub(super) path: String,
}

/// Counts of requests and failures. Counting starts with the first success.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Counted requests.
    pub(super) requests: u64,
    /// Counted requests without a response, or with a status of 500 or above.
    pub(super) failed: u64,
    /// Longest response time.
    pub(super) slowest: Duration,
    /// Last failure; before the first success, the last result.
    pub(super) last: String,
}

impl Tally {
    /// Returns the counts as text.
    pub(super) fn text(&self) -> String {
        if self.requests == 0 {
            return format!("no request succeeded; last result: {}", one_line(&self.last));
        }
        let last = match self.failed {
            0 => String::new(),
            _ => format!(" (last: {})", one_line(&self.last)),
        };
        let slowest = self.slowest.as_millis();
        format!("{} requests, {} failed{last}, slowest {slowest}ms", self.requests, self.failed)
    }

    /// Returns the counts as one line of JSON.
    pub(super) fn json(&self, app: &AppName) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            verify: &'a str,
            requests: u64,
            failed: u64,
            slowest_ms: u128,
            last_failure: Option<&'a str>,
        }
        let last_failure = (self.failed > 0 || self.requests == 0).then_some(self.last.as_str());
        let Self { requests, failed, .. } = *self;
        let slowest_ms = self.slowest.as_millis();
        let line = Line { verify: app.as_str(), requests, failed, slowest_ms, last_failure };
        serde_json::to_string(&line).unwrap_or_default()
    }

    fn count(&mut self, sample: Sample) {
        self.requests += 1;
        self.slowest = self.slowest.max(sample.took);
        if sample.is_failure() {
            self.failed += 1;
            self.last = sample.text();
        }
    }
}

/// A running loop of requests. Dropping it stops the loop.
pub(super) struct RequestLoop {
    tally: watch::Receiver<Tally>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    started: Instant,
}

impl RequestLoop {
    /// Starts to send requests.
    pub(super) fn start(target: RequestTarget) -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| CliError::with_source("cannot send requests", &error))?;
        let (sender, tally) = watch::channel(Tally::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(send_requests(client, target, sender, stop.clone()));
        Ok(Self { tally, stop, task: Some(task), started: Instant::now() })
    }

    /// Returns the counts so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Resolves when more than `budget` requests have failed.
    pub(super) async fn exceed_budget(&mut self, budget: u64) {
        if self.tally.wait_for(|tally| tally.failed > budget).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Stops the loop, waits for the last responses, and returns the final counts.
    pub(super) async fn finish(mut self) -> Tally {
        tokio::time::sleep_until(self.started + MIN_DURATION).await;
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // The counts stay valid if the task panicked.
            let _ = task.await;
        }
        self.tally()
    }
}

impl Drop for RequestLoop {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Result of one request.
struct Sample {
    status: Result<u16, String>,
    took: Duration,
}

impl Sample {
    fn is_failure(&self) -> bool {
        !self.status.as_ref().is_ok_and(|status| *status < 500)
    }

    fn is_success(&self) -> bool {
        self.status.as_ref().is_ok_and(|status| *status < 400)
    }

    fn text(self) -> String {
        self.status.map_or_else(|error| error, |status| format!("status {status}"))
    }
}

async fn send_requests(
    client: reqwest::Client,
    target: RequestTarget,
    tally: watch::Sender<Tally>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut in_flight = JoinSet::new();
    let mut counting = false;
    loop {
        // Every arm is cancel-safe: a finished task stays in the set, and ticks are not lost.
        tokio::select! {
            Some(sample) = in_flight.join_next() => record(sample.ok(), &mut counting, &tally),
            () = stop.cancelled() => break,
            _ = ticks.tick() => {
                // One at a time until the first success, so that it is clear which ones count.
                if in_flight.len() < if counting { MAX_IN_FLIGHT } else { 1 } {
                    in_flight.spawn(send_request(client.clone(), target.clone()));
                }
            }
        }
    }
    let drain = async {
        while let Some(sample) = in_flight.join_next().await {
            record(sample.ok(), &mut counting, &tally);
        }
    };
    // A hanging app must not delay the end of the command any longer.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain).await;
}

fn record(sample: Option<Sample>, counting: &mut bool, tally: &watch::Sender<Tally>) {
    let Some(sample) = sample else { return };
    *counting |= sample.is_success();
    tally.send_modify(|tally| {
        if *counting {
            tally.count(sample);
        } else {
            tally.last = sample.text();
        }
    });
}

async fn send_request(client: reqwest::Client, target: RequestTarget) -> Sample {
    let start = Instant::now();
    let RequestTarget { address, host, path } = target;
    let sent = client.get(format!("http://{address}{path}")).header(HOST, host).send();
    let status = async {
        let response = sent.await?;
        let status = response.status().as_u16();
        // A body that breaks off is a failure.
        response.bytes().await.map(|_| status)
    };
    let status = status.await.map_err(|error: reqwest::Error| chain(&error.without_url()));
    Sample { status, took: start.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(status: Result<u16, &str>, millis: u64) -> Sample {
        Sample { status: status.map_err(str::to_owned), took: Duration::from_millis(millis) }
    }

    #[test]
    fn counting_starts_with_first_success() {
        let (sender, tally) = watch::channel(Tally::default());
        let mut counting = false;
        for (status, millis) in [
            (Ok(503), 9),
            (Ok(404), 9),
            (Ok(200), 3),
            (Ok(404), 4),
            (Ok(502), 5),
            (Err("reset"), 2),
        ] {
            record(Some(sample(status, millis)), &mut counting, &sender);
        }
        let text = "4 requests, 2 failed (last: reset), slowest 5ms";
        assert_eq!(tally.borrow().text(), text);
    }

    #[test]
    fn text_without_success_shows_last_result() {
        let (sender, tally) = watch::channel(Tally::default());
        record(Some(sample(Ok(404), 1)), &mut false, &sender);
        assert_eq!(tally.borrow().text(), "no request succeeded; last result: status 404");
    }
}
