//! One client of a load, with its habit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::{Failure, Shared, Tally};
use crate::http::{Connection, Request};

/// A server may close a connection that idles, and a request may cross with that; nginx promises
/// one second of patience, so a client that was held up for longer than this connects anew. The
/// rest of that second is for the request to arrive on a busy machine.
const STALE: Duration = Duration::from_millis(800);
/// How long a connection that was opened ahead waits for its request.
const AHEAD: Duration = Duration::from_secs(3);
/// A load that nobody stops ends by itself.
const LONGEST: Duration = Duration::from_secs(1800);

/// How a client sends its requests. All but one send GET and POST in turn and nothing twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// One after the other, over a kept connection.
    Steady,
    /// Over a fresh connection each time.
    Fresh,
    /// With time to think, over a kept connection.
    Thinks,
    /// With more time than nginx promises to keep a connection. Only GET; if the connection was closed
    /// just before the request, it is sent once more, as browsers do.
    Idles,
    /// Over a fresh connection that was opened some seconds before, as browsers do.
    OpensAhead,
    /// Each is answered after 2 s.
    Slow,
}

impl Habit {
    /// The time between two requests of one client, but for [`Habit::Steady`], where the rate says it.
    pub(super) fn period(self) -> Duration {
        Duration::from_millis(match self {
            Self::Steady | Self::Fresh => 200,
            Self::Thinks => 700,
            Self::Idles => 2500,
            Self::OpensAhead => 3500,
            Self::Slow => 2400,
        })
    }

    /// How long a request asks the app to wait.
    fn wait(self) -> Duration {
        Duration::from_secs(if self == Self::Slow { 2 } else { 0 })
    }

    fn path(self) -> &'static str {
        if self == Self::Slow { "/?wait=2s" } else { "/" }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    port: u16,
    host: String,
    app: String,
    habit: Habit,
    start: Instant,
    connection: Option<(Connection, Instant)>,
    tally: Tally,
}

impl Client {
    pub(super) fn new(port: u16, host: &str, app: &str, habit: Habit, start: Instant) -> Self {
        let (host, app) = (host.to_owned(), app.to_owned());
        Self { port, host, app, habit, start, connection: None, tally: Tally::default() }
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
        while !shared.stop.load(Ordering::Relaxed) && self.start.elapsed() < LONGEST {
            ticks.tick().await;
            self.tally.sent += 1;
            shared.sent.fetch_add(1, Ordering::Relaxed);
            if let Err(failure) = self.request().await {
                self.connection = None;
                self.tally.fail(failure);
            }
        }
        self.tally
    }

    async fn request(&mut self) -> Result<(), Failure> {
        let is_get = self.tally.sent.is_multiple_of(2) || self.habit == Habit::Idles;
        let method = if is_get { "GET" } else { "POST" };
        let failed =
            |is_cut, text, start: Instant| Failure { at: start.elapsed(), method, is_cut, text };
        let kept = self.kept();
        let how = if kept.is_some() { "kept" } else { "new" };
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.open().await.map_err(|text| failed(false, text, self.start))?,
        };
        let (host, path) = (self.host.clone(), self.habit.path());
        let request = match is_get {
            true => Request::get(&host, path),
            false => Request::post(&host, path, b"something to read"),
        };
        let begin = Instant::now();
        let mut answer = connection.send(request).await;
        if answer.is_err() && self.habit == Habit::Idles && how == "kept" {
            self.tally.asked_anew += 1;
            connection = self.open().await.map_err(|text| failed(false, text, self.start))?;
            answer = connection.send(request).await;
        }
        let took = begin.elapsed().saturating_sub(self.habit.wait());
        let answer = answer.map_err(|text| failed(true, format!("{how}: {text}"), self.start))?;
        let text = answer.text();
        let app = answer.says("App");
        if answer.status != 200 || app.as_deref() != Some(&*self.app) {
            self.tally.wrong_app += u32::from(app.is_some_and(|app| app != self.app));
            let is_cut = answer.status == 502;
            let text = format!("{how}, after {took:.0?}: {} {text}", answer.status);
            return Err(failed(is_cut, text, self.start));
        }
        if !is_get && answer.says("BodyLength").as_deref() != Some("17") {
            return Err(failed(false, format!("the body did not arrive: {text}"), self.start));
        }
        let who = |key| answer.says(key).unwrap_or_default();
        self.tally.answered(who("Replica"), who("Revision"), took);
        if !answer.is_last() && self.habit != Habit::Fresh && self.habit != Habit::OpensAhead {
            self.connection = Some((connection, Instant::now()));
        }
        Ok(())
    }

    /// The kept connection, if it can still be used.
    fn kept(&mut self) -> Option<Connection> {
        let (connection, used) = self.connection.take()?;
        let may_use = match self.habit {
            Habit::Idles => !connection.is_closed(),
            Habit::Steady | Habit::Thinks | Habit::Slow | Habit::Fresh | Habit::OpensAhead => {
                used.elapsed() < STALE
            }
        };
        may_use.then_some(connection)
    }

    async fn open(&self) -> Result<Connection, String> {
        let connection = Connection::open(self.port).await?;
        if self.habit == Habit::OpensAhead {
            tokio::time::sleep(AHEAD).await;
        }
        Ok(connection)
    }
}
