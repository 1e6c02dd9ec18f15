//! The calls whose answer goes on: events, watches, output.

use dubernetes_core::app::AppName;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::ACCEPT;

use crate::client::lines::{Ends, NDJSON, lines};
use crate::client::requests::app_pair;
use crate::client::{Client, ClientError, EventsQuery};
use crate::path;
use crate::wire::{App, Event, LogItem, WatchEvent};

/// Whose output is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// That of all replicas of an app.
    App(AppName),
    /// That of one pod.
    Pod(String),
}

/// Which output is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Go on with new lines.
    pub follow: bool,
    /// Only the last so many lines of each pod.
    pub tail: Option<u32>,
    /// Only lines written since then.
    pub since: Option<Timestamp>,
    /// Of the container that crashed before the present one of each pod; not with `follow`.
    pub previous: bool,
}

/// What an endless answer brings, or why it ended too early.
pub type Items<T> = BoxStream<'static, Result<T, ClientError>>;

impl Client {
    /// Events as they are recorded, beginning with those that `query` asks for. Ends only with an
    /// error.
    pub fn follow_events(&self, query: &EventsQuery) -> Items<Event> {
        let request =
            self.request(Method::GET, path::EVENTS).query(&query.pairs()).header(ACCEPT, NDJSON);
        lines(self, request, Ends::Never)
    }

    /// First every app that exists, as added, then each change. A slow reader misses states in
    /// between, never the last one. Ends only with an error.
    ///
    /// A deleted app is modified to the phase `Deleting` first, and deleted once nothing of it is
    /// left.
    pub fn watch_apps(&self, app: Option<&str>) -> Items<WatchEvent<App>> {
        let request = self.request(Method::GET, path::WATCH).query(&app_pair(app));
        lines(self, request, Ends::Never)
    }

    /// The output of a pod, or of all replicas of an app. With `follow`, it ends once nothing is
    /// left that could write; replicas that come later join.
    pub fn logs(&self, target: &LogTarget, query: &LogQuery) -> Items<LogItem> {
        let path = match target {
            LogTarget::App(app) => path::named(path::APP_LOGS, app.as_str()),
            LogTarget::Pod(pod) => path::named(path::POD_LOGS, pod),
        };
        let mut pairs = Vec::new();
        if query.follow {
            pairs.push(("follow", "true".to_owned()));
        }
        if query.previous {
            pairs.push(("previous", "true".to_owned()));
        }
        pairs.extend(query.tail.map(|tail| ("tail", tail.to_string())));
        pairs.extend(query.since.map(|since| ("since", since.to_string())));
        lines(self, self.request(Method::GET, &path).query(&pairs), Ends::AtItsEnd)
    }
}
