//! One stream of requests, and its tally.

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

/// The time between two requests.
const EVERY: Duration = Duration::from_millis(50);
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// So many requests are under way at most.
const AT_ONCE: usize = 64;
/// For so long it is asked at least, so that an apply that changes nothing is asked as well.
const AT_LEAST: Duration = Duration::from_secs(1);

/// How long the last answers may take; what has not come by then does not count.
const LAST: Duration = Duration::from_secs(3);

/// What is asked, and where.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The ingress.
    pub(super) address: SocketAddr,
    /// The host that is meant.
    pub(super) host: String,
    /// The path.
    pub(super) path: String,
}

/// What became of the requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// So many were sent, from the first one on with a good answer.
    pub(super) requests: u64,
    /// So many of them got no answer, or one from 500 on.
    pub(super) failed: u64,
    /// The longest time that an answer took.
    pub(super) slowest: Duration,
    /// The last failure; before the first good answer whatever was the last.
    pub(super) last: String,
}

impl Tally {
    /// In words.
    pub(super) fn text(&self) -> String {
        if self.requests == 0 {
            return format!("no good answer came; the last one: {}", one_line(&self.last));
        }
        let last = match self.failed {
            0 => String::new(),
            _ => format!(" (the last one: {})", one_line(&self.last)),
        };
        let (requests, failed, slowest) = (self.requests, self.failed, self.slowest.as_millis());
        format!("{requests} requests, {failed} failed{last}, slowest {slowest}ms")
    }

    /// For programs, on one line.
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

    fn count(&mut self, answer: Answer) {
        self.requests += 1;
        self.slowest = self.slowest.max(answer.took);
        if !answer.is_answered() {
            self.failed += 1;
            self.last = answer.text();
        }
    }
}

/// A stream of requests. It ends when this is dropped.
pub(super) struct Requests {
    tally: watch::Receiver<Tally>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    begun: Instant,
}

impl Requests {
    /// Begins to ask.
    pub(super) fn start(question: Question) -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .map_err(|error| CliError::with_source("no requests can be sent", &error))?;
        let (send, tally) = watch::channel(Tally::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(ask(client, question, send, stop.clone()));
        Ok(Self { tally, stop, task: Some(task), begun: Instant::now() })
    }

    /// What became of them so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Returns once more than `budget` have failed.
    pub(super) async fn fail_more_than(&mut self, budget: u64) {
        if self.tally.wait_for(|tally| tally.failed > budget).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends once the last answers have come; what became of all.
    pub(super) async fn end(mut self) -> Tally {
        tokio::time::sleep_until(self.begun + AT_LEAST).await;
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // One that broke has told all that it knows.
            let _ = task.await;
        }
        self.tally()
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// What came of one request.
struct Answer {
    status: Result<u16, String>,
    took: Duration,
}

impl Answer {
    fn is_answered(&self) -> bool {
        self.status.as_ref().is_ok_and(|status| *status < 500)
    }

    fn is_good(&self) -> bool {
        self.status.as_ref().is_ok_and(|status| *status < 400)
    }

    fn text(self) -> String {
        self.status.map_or_else(|error| error, |status| format!("status {status}"))
    }
}

async fn ask(
    client: reqwest::Client,
    question: Question,
    tally: watch::Sender<Tally>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut in_flight = JoinSet::new();
    let mut begun = false;
    loop {
        // Every arm is cancel-safe: what was not taken is there in the next turn.
        tokio::select! {
            Some(answer) = in_flight.join_next() => take(answer.ok(), &mut begun, &tally),
            () = stop.cancelled() => break,
            _ = ticks.tick() => {
                // Until the first good answer one at a time, to tell what is counted.
                if in_flight.len() < if begun { AT_ONCE } else { 1 } {
                    in_flight.spawn(once(client.clone(), question.clone()));
                }
            }
        }
    }
    let last = async {
        while let Some(answer) = in_flight.join_next().await {
            take(answer.ok(), &mut begun, &tally);
        }
    };
    // Whoever waits in vain for the end of a command has waited long enough.
    let _ = tokio::time::timeout(LAST, last).await;
}

fn take(answer: Option<Answer>, begun: &mut bool, tally: &watch::Sender<Tally>) {
    let Some(answer) = answer else { return };
    *begun |= answer.is_good();
    tally.send_modify(|tally| {
        if *begun {
            tally.count(answer);
        } else {
            tally.last = answer.text();
        }
    });
}

async fn once(client: reqwest::Client, question: Question) -> Answer {
    let start = Instant::now();
    let Question { address, host, path } = question;
    let sent = client.get(format!("http://{address}{path}")).header(HOST, host).send();
    let status = async {
        let answer = sent.await?;
        let status = answer.status().as_u16();
        // An answer that breaks off is none.
        answer.bytes().await.map(|_| status)
    };
    let status = status.await.map_err(|error: reqwest::Error| chain(&error.without_url()));
    Answer { status, took: start.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: Result<u16, &str>, millis: u64) -> Answer {
        Answer { status: status.map_err(str::to_owned), took: Duration::from_millis(millis) }
    }

    #[test]
    fn counting_begins_with_the_first_good_answer() {
        let (send, tally) = watch::channel(Tally::default());
        let mut begun = false;
        for (status, millis) in [
            (Ok(503), 9),
            (Ok(404), 9),
            (Ok(200), 3),
            (Ok(404), 4),
            (Ok(502), 5),
            (Err("reset"), 2),
        ] {
            take(Some(answer(status, millis)), &mut begun, &send);
        }
        let text = "4 requests, 2 failed (the last one: reset), slowest 5ms";
        assert_eq!(tally.borrow().text(), text);
    }

    #[test]
    fn no_good_answer_says_what_came_instead() {
        let (send, tally) = watch::channel(Tally::default());
        take(Some(answer(Ok(404), 1)), &mut false, &send);
        assert_eq!(tally.borrow().text(), "no good answer came; the last one: status 404");
    }
}
