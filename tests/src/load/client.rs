//! One client of a load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::{Failure, Shared, Tally};
use crate::http::{Connection, Request};

/// Idle time after which a client opens a new connection instead of using the kept one.
///
/// A server may close an idle connection while the next request is on its way. nginx keeps idle
/// connections for at least one second (`keepalive_min_timeout`); the remaining 200 ms are for the
/// request to arrive on a busy machine.
const MAX_IDLE: Duration = Duration::from_millis(800);
/// Time between connect and request of [`ClientKind::Preconnect`].
const PRECONNECT_DELAY: Duration = Duration::from_secs(3);
/// Time after which a load that is not stopped ends.
const MAX_DURATION: Duration = Duration::from_secs(1800);

/// How a client sends its requests. All kinds but [`Self::Idle`] alternate GET and POST, and send
/// no request twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientKind {
    /// Back to back, over a kept connection.
    Steady,
    /// Over a fresh connection for each request.
    FreshConnection,
    /// With think time, over a kept connection.
    ThinkTime,
    /// With longer pauses than nginx promises to keep a connection. Sends only GET, and repeats a
    /// request if the connection was closed just before, as browsers do.
    Idle,
    /// Over a connection opened some seconds before the request, as browsers do.
    Preconnect,
    /// With answers that take 2 s.
    SlowAnswer,
}

impl ClientKind {
    /// Returns the time between two requests of one client. For [`Self::Steady`] it depends on the
    /// request rate instead.
    pub(super) fn period(self) -> Duration {
        Duration::from_millis(match self {
            Self::Steady | Self::FreshConnection => 200,
            Self::ThinkTime => 700,
            Self::Idle => 2500,
            Self::Preconnect => 3500,
            Self::SlowAnswer => 2400,
        })
    }

    /// Returns the time for which a request asks the app to wait.
    fn requested_wait(self) -> Duration {
        Duration::from_secs(if self == Self::SlowAnswer { 2 } else { 0 })
    }

    fn keeps_connection(self) -> bool {
        self != Self::FreshConnection && self != Self::Preconnect
    }

    fn path(self) -> &'static str {
        if self == Self::SlowAnswer { "/?wait=2s" } else { "/" }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    port: u16,
    host: String,
    app: String,
    kind: ClientKind,
    start: Instant,
    connection: Option<(Connection, Instant)>,
    tally: Tally,
}

impl Client {
    pub(super) fn new(port: u16, host: &str, app: &str, kind: ClientKind, start: Instant) -> Self {
        Self {
            port,
            host: host.to_owned(),
            app: app.to_owned(),
            kind,
            start,
            connection: None,
            tally: Tally::default(),
        }
    }

    pub(super) async fn run(
        mut self,
        shared: Arc<Shared>,
        period: Duration,
        offset: Duration,
    ) -> Tally {
        let begin = tokio::time::Instant::now() + offset;
        let mut ticks = tokio::time::interval_at(begin, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !shared.stop.load(Ordering::Relaxed) && self.start.elapsed() < MAX_DURATION {
            ticks.tick().await;
            self.tally.sent += 1;
            shared.sent.fetch_add(1, Ordering::Relaxed);
            if let Err(failure) = self.request().await {
                self.connection = None;
                self.tally.record_failure(failure);
            }
        }
        self.tally
    }

    async fn request(&mut self) -> Result<(), Failure> {
        let is_get = self.tally.sent.is_multiple_of(2) || self.kind == ClientKind::Idle;
        let method = if is_get { "GET" } else { "POST" };
        let start = self.start;
        let began = start.elapsed();
        let failed = |is_cut, text| Failure { began, ended: start.elapsed(), method, is_cut, text };
        let kept = self.take_kept();
        let how = if kept.is_some() { "kept" } else { "new" };
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.open().await.map_err(|text| failed(false, text))?,
        };
        let host = self.host.clone();
        let path = self.kind.path();
        let request = match is_get {
            true => Request::get(&host, path),
            false => Request::post(&host, path, b"something to read"),
        };
        let sent_at = Instant::now();
        let mut answer = connection.send(request).await;
        if answer.is_err() && self.kind == ClientKind::Idle && how == "kept" {
            self.tally.resent += 1;
            connection = self.open().await.map_err(|text| failed(false, text))?;
            answer = connection.send(request).await;
        }
        let took = sent_at.elapsed().saturating_sub(self.kind.requested_wait());
        let answer = answer.map_err(|text| failed(true, format!("{how}: {text}")))?;
        let text = answer.text();
        let app = answer.field("App");
        if answer.status != 200 || app.as_deref() != Some(&*self.app) {
            self.tally.wrong_app += u32::from(app.is_some_and(|app| app != self.app));
            let is_cut = answer.status == 502;
            let text = format!("{how}, after {took:.0?}: {} {text}", answer.status);
            return Err(failed(is_cut, text));
        }
        if !is_get && answer.field("BodyLength").as_deref() != Some("17") {
            return Err(failed(false, format!("the body did not arrive: {text}")));
        }
        let field = |key| answer.field(key).unwrap_or_default();
        self.tally.record_answer(field("Replica"), field("Revision"), took);
        if !answer.closes_connection() && self.kind.keeps_connection() {
            self.connection = Some((connection, Instant::now()));
        }
        Ok(())
    }

    /// Takes the kept connection, if it can still be used.
    fn take_kept(&mut self) -> Option<Connection> {
        let (connection, last_used) = self.connection.take()?;
        let is_usable = match self.kind {
            ClientKind::Idle => !connection.is_closed(),
            ClientKind::Steady
            | ClientKind::ThinkTime
            | ClientKind::SlowAnswer
            | ClientKind::FreshConnection
            | ClientKind::Preconnect => last_used.elapsed() < MAX_IDLE,
        };
        is_usable.then_some(connection)
    }

    async fn open(&self) -> Result<Connection, String> {
        let connection = Connection::open(self.port).await?;
        if self.kind == ClientKind::Preconnect {
            tokio::time::sleep(PRECONNECT_DELAY).await;
        }
        Ok(connection)
    }
}
