//! Watch of apps: first all of them, then each change.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::AppName;
use dubernetes_core::call::OperationKey;
use dubernetes_core::plan::Phase;
use dubernetes_core::store::StoredState;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{AppQuery, Params};
use crate::server::stream::{self, Items, Stop};
use crate::server::{ApiState, view};
use crate::wire::{App, WatchEvent, WatchKind};

/// Watch apps: every app as `ADDED` first, then each change, one per line.
///
/// A slow reader may miss intermediate states, never the last one. A deleted app is first
/// `MODIFIED` to the phase `Deleting`, and `DELETED` once all its replicas are gone.
#[utoipa::path(get, path = path::WATCH, operation_id = "watch_apps",
    tag = "apps", params(AppQuery), responses(
    (status = 200, body = WatchEvent<App>, content_type = "application/x-ndjson"),
))]
pub(super) async fn watch(
    State(state): State<ApiState>,
    Params(AppQuery { app }): Params<AppQuery>,
    stop: Stop,
) -> Response {
    stream::ndjson(stop, changes(state, app))
}

struct Watch {
    state: ApiState,
    only: Option<AppName>,
    changes: BoxStream<'static, ()>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    sent: BTreeMap<AppName, App>,
    queue: VecDeque<WatchEvent<App>>,
    started: bool,
}

fn changes(state: ApiState, only: Option<AppName>) -> Items<WatchEvent<App>> {
    let watch = Watch {
        changes: state.store.changes(),
        snapshots: state.controller.snapshots(),
        state,
        only,
        sent: BTreeMap::new(),
        queue: VecDeque::new(),
        started: false,
    };
    stream::from_fn(watch, |mut watch| async move {
        let item = watch.next().await;
        Some((item, watch))
    })
}

impl Watch {
    async fn next(&mut self) -> Result<WatchEvent<App>, ApiError> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            if self.started {
                self.wait().await?;
            }
            self.started = true;
            self.read().await?;
        }
    }

    /// Returns once anything may have changed.
    async fn wait(&mut self) -> Result<(), ApiError> {
        // Both arms are cancel-safe: an unseen change stays unseen.
        let is_open = tokio::select! {
            changed = self.snapshots.changed() => changed.is_ok(),
            changed = self.changes.next() => changed.is_some(),
        };
        if is_open { Ok(()) } else { Err(ApiError::stopping()) }
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        // Marked as seen before the read, so that a change during the read triggers another one.
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let stored = self.state.store.list().await?;
        let current = self.current_apps(&stored, &snapshot);
        self.queue = differences(&self.sent, &current).into();
        self.sent = current;
        Ok(())
    }

    /// Returns the apps as of now: the desired ones, and known deleted ones that still have
    /// replicas.
    fn current_apps(&self, stored: &StoredState, snapshot: &Snapshot) -> BTreeMap<AppName, App> {
        let info = &self.state.info;
        let desired =
            stored.apps.iter().map(|(name, app)| (name.clone(), view::app(info, snapshot, app)));
        let deleted = stored.tombstones.keys().filter(|name| !is_gone(name, snapshot));
        let deleted = deleted.filter_map(|name| {
            let last = self.sent.get(name)?;
            Some((name.clone(), deleting(last, snapshot)))
        });
        let all = desired.chain(deleted);
        all.filter(|(name, _)| self.only.as_ref().is_none_or(|only| only == name)).collect()
    }
}

/// Returns whether a pass after the deletion found no replica. The store keeps the tombstone
/// longer, for late results of the engine only.
fn is_gone(name: &AppName, snapshot: &Snapshot) -> bool {
    let creating = snapshot
        .observed
        .in_flight
        .keys()
        .any(|call| matches!(call, OperationKey::Create { app, .. } if app == name));
    snapshot.desired.tombstones.contains_key(name)
        && !creating
        && snapshot.plan.statuses.get(name).is_none_or(|status| status.pods.is_empty())
}

/// Returns the last state of a deleted app, updated to its remaining replicas.
fn deleting(last: &App, snapshot: &Snapshot) -> App {
    let mut app = last.clone();
    match snapshot.plan.statuses.get(&app.name) {
        Some(observed) if observed.phase == Phase::Deleting => {
            app.status = view::with_observed(app.status, observed);
        }
        Some(_) | None => {
            app.status.phase = Phase::Deleting;
            app.status.desired = 0;
        }
    }
    app
}

fn differences(old: &BTreeMap<AppName, App>, new: &BTreeMap<AppName, App>) -> Vec<WatchEvent<App>> {
    let gone = old.iter().filter(|(name, _)| !new.contains_key(*name));
    let gone = gone.map(|(_, app)| (WatchKind::Deleted, app));
    let changed = new.iter().filter_map(|(name, app)| match old.get(name) {
        None => Some((WatchKind::Added, app)),
        Some(before) if before != app => Some((WatchKind::Modified, app)),
        Some(_) => None,
    });
    let all = gone.chain(changed);
    all.map(|(kind, app)| WatchEvent { kind, object: app.clone() }).collect()
}
