//! Signals to a page that it is no longer current, as server-sent events. The page then fetches
//! itself again, so there is one way to render it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Query;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use dubernetes_api::Client;
use dubernetes_api::client::{EventsQuery, LogQuery, LogTarget};
use dubernetes_core::app::AppName;
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

use crate::pages::{Failure, app_name, log_target};

/// Shortest time between two signals.
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two attempts to reach an orchestrator that does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Longest time between two signals: ages and charts change by themselves.
const AGES: Duration = Duration::from_secs(60);
/// Changes that wait for a page. One that misses some only needs to know that.
const QUEUE: usize = 64;

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

/// What is sent to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Something has changed.
    Change,
    /// The orchestrator does not answer.
    Away,
}

/// What the orchestrator reports.
#[derive(Debug, Clone)]
enum News {
    /// An app has changed, or, without one, the instance.
    Change(Option<AppName>),
    /// The orchestrator does not answer.
    Away,
}

/// Watches the orchestrator once for all open pages, and not at all without one.
#[derive(Debug)]
pub(crate) struct Hub {
    client: Client,
    news: Mutex<Option<broadcast::WeakSender<News>>>,
}

impl Hub {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, news: Mutex::new(None) }
    }

    /// Returns what happens from now on.
    fn subscribe(&self) -> broadcast::Receiver<News> {
        // A panic cannot leave the sender half changed.
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = news.as_ref().and_then(broadcast::WeakSender::upgrade) {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(QUEUE);
        *news = Some(sender.downgrade());
        let client = self.client.clone();
        tokio::spawn(async move {
            // Dropping the watch ends its streams.
            tokio::select! {
                () = watch(&client, &sender) => {}
                () = sender.closed() => {}
            }
        });
        receiver
    }
}

/// Reports what happens, also to pages that come later.
async fn watch(client: &Client, news: &broadcast::Sender<News>) {
    loop {
        let query = EventsQuery { since: Some(Timestamp::now()), ..EventsQuery::default() };
        let apps = client.watch_apps(None).map(|item| item.map(|change| Some(change.object.name)));
        let events = client.follow_events(&query).map(|item| item.map(|event| event.app));
        let mut changes = stream::select(apps.boxed(), events.boxed());
        while let Some(Ok(app)) = changes.next().await {
            // Without a page no receiver is left, and the watch ends.
            let _ = news.send(News::Change(app));
        }
        let _ = news.send(News::Away);
        tokio::time::sleep(RETRY).await;
    }
}

/// What a page follows.
#[derive(Debug)]
struct Topic {
    hub: Arc<Hub>,
    app: Option<AppName>,
    logs: Option<LogTarget>,
}

pub(crate) fn live(hub: Arc<Hub>, Query(query): Query<OfPage>) -> Result<Response, Failure> {
    let app = if query.app.is_empty() { None } else { Some(app_name(&query.app)?) };
    let logs = match &app {
        Some(app) if !query.logs.is_empty() => Some(log_target(app, &query.logs)?),
        Some(_) | None => None,
    };
    let (signals, receiver) = mpsc::channel(1);
    let topic = Topic { hub, app, logs };
    tokio::spawn(async move {
        let closed = signals.clone();
        // Dropping the streams of the topic ends them.
        tokio::select! {
            () = follow(&topic, &signals) => {}
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
async fn follow(topic: &Topic, signals: &mpsc::Sender<Signal>) {
    let mut changes = topic.changes();
    loop {
        // No news within that time is a change, too.
        let signal = timeout(AGES, changes.next()).await.unwrap_or(Some(Signal::Change));
        let Some(signal) = signal else { return };
        if signals.send(signal).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
        // News of this time are one signal.
        let mut last = None;
        while let Some(Some(signal)) = changes.next().now_or_never() {
            last = Some(signal);
        }
        if let Some(signal) = last
            && signals.send(signal).await.is_err()
        {
            return;
        }
    }
}

impl Topic {
    /// Returns a signal for each change, and at once one for what exists. Does not end.
    fn changes(&self) -> BoxStream<'static, Signal> {
        let (hub, app) = (Arc::clone(&self.hub), self.app.clone());
        let receiver = hub.subscribe();
        let news = stream::unfold((hub, receiver), move |(hub, mut receiver)| {
            let app = app.clone();
            async move {
                loop {
                    let signal = match receiver.recv().await {
                        Ok(News::Change(changed)) if app.is_some() && changed != app => continue,
                        Ok(News::Change(_)) | Err(RecvError::Lagged(_)) => Signal::Change,
                        Ok(News::Away) => Signal::Away,
                        Err(RecvError::Closed) => {
                            receiver = hub.subscribe();
                            continue;
                        }
                    };
                    return Some((signal, (hub, receiver)));
                }
            }
        });
        let mut changes = vec![stream::iter([Signal::Change]).chain(news).boxed()];
        let client = &self.hub.client;
        changes.extend(self.logs.clone().map(|target| lines(client.clone(), target)));
        stream::select_all(changes).boxed()
    }
}

/// Returns one item for each new line. What ends with the containers is requested again.
fn lines(client: Client, target: LogTarget) -> BoxStream<'static, Signal> {
    let follow = move || {
        let query = LogQuery { follow: true, tail: Some(1), ..LogQuery::default() };
        // That the orchestrator is away is noticed by the other streams.
        client.logs(&target, &query).filter_map(async |item| item.ok().map(|_| Signal::Change))
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
