//! Signals to a page that it is no longer current, as server-sent events. The page then fetches
//! itself again, so there is one way to render it.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use dubernetes_api::client::{EventsQuery, LogQuery, LogTarget};
use dubernetes_api::{Client, ClientError};
use dubernetes_core::app::AppName;
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Site;
use crate::pages::{Failure, app_name, log_target};

/// Shortest time between two signals.
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two attempts to reach an orchestrator that does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Longest time between two signals: ages and charts change by themselves.
const AGES: Duration = Duration::from_secs(60);

/// What a page shows.
#[derive(Debug, Deserialize)]
pub(crate) struct OfPage {
    /// Only this app.
    #[serde(default)]
    app: String,
    /// Output of this pod, or of the whole app.
    #[serde(default)]
    logs: String,
}

#[derive(Debug)]
struct Topic {
    app: Option<AppName>,
    logs: Option<LogTarget>,
}

/// What is sent to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Something has changed.
    Change,
    /// The orchestrator does not answer.
    Away,
}

pub(crate) async fn live(
    State(site): State<Site>,
    Query(query): Query<OfPage>,
) -> Result<Response, Failure> {
    let app = if query.app.is_empty() { None } else { Some(app_name(&query.app)?) };
    let logs = match &app {
        Some(app) if !query.logs.is_empty() => Some(log_target(app, &query.logs)?),
        Some(_) | None => None,
    };
    let (signals, receiver) = mpsc::channel(1);
    let topic = Topic { app, logs };
    tokio::spawn(async move {
        let closed = signals.clone();
        // Dropping the watch ends its streams.
        tokio::select! {
            () = watch(&site.client, &topic, &signals) => {}
            () = closed.closed() => {}
        }
    });
    let events = stream::unfold(receiver, |mut receiver| async move {
        let event = match receiver.recv().await? {
            Signal::Change => Event::default().event("change").data(""),
            Signal::Away => Event::default().event("away").data(""),
        };
        Some((Ok::<_, Infallible>(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// Sends a signal for each change, until the page is gone.
async fn watch(client: &Client, topic: &Topic, signals: &mpsc::Sender<Signal>) {
    loop {
        let mut changes = topic.changes(client);
        // No change within that time is a signal, too; no more changes are the end.
        while let Ok(Some(Ok(()))) | Err(_) = timeout(AGES, changes.next()).await {
            if signals.send(Signal::Change).await.is_err() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
            // Changes of this time are one signal.
            let mut more = false;
            while let Some(Some(Ok(()))) = changes.next().now_or_never() {
                more = true;
            }
            if more && signals.send(Signal::Change).await.is_err() {
                return;
            }
        }
        if signals.send(Signal::Away).await.is_err() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl Topic {
    /// Returns one item for each change, and at once for what exists. Ends with an error.
    fn changes(&self, client: &Client) -> BoxStream<'static, Result<(), ClientError>> {
        let apps = client.watch_apps(self.app.as_ref().map(AppName::as_str));
        let query = EventsQuery {
            app: self.app.clone(),
            since: Some(Timestamp::now()),
            ..EventsQuery::default()
        };
        let events = client.follow_events(&query);
        let mut changes = vec![
            apps.map(|item| item.map(drop)).boxed(),
            events.map(|item| item.map(drop)).boxed(),
        ];
        changes.extend(self.logs.clone().map(|target| lines(client.clone(), target)));
        stream::select_all(changes).boxed()
    }
}

/// Returns one item for each new line. What ends with the containers is requested again.
fn lines(client: Client, target: LogTarget) -> BoxStream<'static, Result<(), ClientError>> {
    let follow = move || {
        let query = LogQuery { follow: true, tail: Some(1), ..LogQuery::default() };
        // That the orchestrator is away is noticed by the other streams.
        client.logs(&target, &query).filter_map(async |item| item.ok().map(|_| Ok(())))
    };
    let first = follow().boxed();
    stream::unfold((first, follow), |(mut lines, follow)| async move {
        loop {
            if let Some(item) = lines.next().await {
                return Some((item, (lines, follow)));
            }
            tokio::time::sleep(RETRY).await;
            lines = follow().boxed();
        }
    })
    .boxed()
}
