//! Streaming calls: events, watches, logs.

use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::ingress::{AccessLogEntry, AccessLogQuery};
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::ACCEPT;

use crate::client::lines::{NDJSON, StreamEnd, lines};
use crate::client::requests::app_pair;
use crate::client::{Client, ClientError, EventsQuery};
use crate::path;
use crate::wire::{App, Event, LogItem, WatchEvent};

/// Whose logs to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// All replicas of an app.
    App(AppName),
    /// One pod.
    Pod(PodName),
}

/// Selects lines of output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Continue with new lines.
    pub follow: bool,
    /// Only the last lines, at most this many of each pod.
    pub tail: Option<u32>,
    /// Only lines at or after this time.
    pub since: Option<Timestamp>,
    /// Lines of the container that crashed before each pod's present one; excludes `follow`.
    pub previous: bool,
}

/// Items of a stream, or the error that ended it.
pub type Items<T> = BoxStream<'static, Result<T, ClientError>>;

impl Client {
    /// Follows events, starting with those that `query` selects. StreamEnd only with an error.
    pub fn follow_events(&self, query: &EventsQuery) -> Items<Event> {
        let request =
            self.request(Method::GET, path::EVENTS).query(&query.pairs()).header(ACCEPT, NDJSON);
        lines(self, request, StreamEnd::Unexpected)
    }

    /// Watches apps: yields every existing app as added, then each change. A slow reader may miss
    /// intermediate states, never the last one. StreamEnd only with an error.
    ///
    /// A deleted app is first modified to the phase `Deleting`, and deleted once all its replicas
    /// are gone.
    pub fn watch_apps(&self, app: Option<&str>) -> Items<WatchEvent<App>> {
        let request = self.request(Method::GET, path::WATCH).query(&app_pair(app));
        lines(self, request, StreamEnd::Unexpected)
    }

    /// Reads the logs of a pod, or of all replicas of an app. With `follow`, new replicas join, and
    /// the stream end once no container is left that could write.
    pub fn logs(&self, target: &LogTarget, query: &LogQuery) -> Items<LogItem> {
        let path = match target {
            LogTarget::App(app) => path::named(path::APP_LOGS, app.as_str()),
            LogTarget::Pod(pod) => path::named(path::POD_LOGS, pod.as_str()),
        };
        let mut pairs = selection(query.follow, query.tail, query.since);
        if query.previous {
            pairs.push(("previous", "true".to_owned()));
        }
        lines(self, self.request(Method::GET, &path).query(&pairs), StreamEnd::Expected)
    }

    /// Reads the requests to an app, as the ingress has logged them. With `follow` it continues
    /// with new ones, until the ingress ends.
    pub fn access_log(&self, query: &AccessLogQuery) -> Items<AccessLogEntry> {
        let path = path::named(path::APP_ACCESS_LOG, query.app.as_str());
        let mut pairs = selection(query.follow, query.tail, query.since);
        pairs.extend(query.pod.as_ref().map(|pod| ("pod", pod.to_string())));
        lines(self, self.request(Method::GET, &path).query(&pairs), StreamEnd::Expected)
    }
}

fn selection(
    follow: bool,
    tail: Option<u32>,
    since: Option<Timestamp>,
) -> Vec<(&'static str, String)> {
    let follow = follow.then(|| ("follow", "true".to_owned()));
    let tail = tail.map(|tail| ("tail", tail.to_string()));
    let since = since.map(|since| ("since", since.to_string()));
    [follow, tail, since].into_iter().flatten().collect()
}
