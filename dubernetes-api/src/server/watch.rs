//! A watch of apps: first all of them, then each change.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::AppName;
use dubernetes_core::plan::{OperationKey, Phase};
use dubernetes_core::store::StoredState;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{OfApp, Params};
use crate::server::stream::{self, Items, Stop};
use crate::server::{ApiState, view};
use crate::wire::{App, Problem, WatchEvent, WatchKind};

/// First every app as `ADDED`, then each change, a line each.
///
/// A slow reader misses states in between, never the last one. A deleted app is `MODIFIED` to the
/// phase `Deleting` first, and `DELETED` once nothing of it is left.
#[utoipa::path(get, path = path::WATCH, tag = "apps", params(OfApp), responses(
    (status = 200, body = WatchEvent<App>, content_type = "application/x-ndjson"),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn watch(
    State(state): State<ApiState>,
    Params(OfApp { app }): Params<OfApp>,
    stop: Stop,
) -> Response {
    stream::ndjson(stop, changes(state, app))
}

struct Watch {
    state: ApiState,
    only: Option<AppName>,
    stored: BoxStream<'static, ()>,
    looked: watch::Receiver<Arc<Snapshot>>,
    told: BTreeMap<AppName, App>,
    queue: VecDeque<WatchEvent<App>>,
    begun: bool,
}

fn changes(state: ApiState, only: Option<AppName>) -> Items<WatchEvent<App>> {
    let watch = Watch {
        stored: state.store.changes(),
        looked: state.controller.snapshots(),
        state,
        only,
        told: BTreeMap::new(),
        queue: VecDeque::new(),
        begun: false,
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
            if self.begun {
                self.wait().await?;
            }
            self.begun = true;
            self.read().await?;
        }
    }

    /// Returns once anything may have changed.
    async fn wait(&mut self) -> Result<(), ApiError> {
        // Both arms are cancel-safe: an unseen change stays unseen.
        let still_there = tokio::select! {
            changed = self.looked.changed() => changed.is_ok(),
            changed = self.stored.next() => changed.is_some(),
        };
        if still_there { Ok(()) } else { Err(ApiError::stopping()) }
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        // Marked as seen before the read: what changes during it is a change again.
        let snapshot = Arc::clone(&self.looked.borrow_and_update());
        let stored = self.state.store.list().await?;
        let present = self.present(&stored, &snapshot);
        self.queue = differences(&self.told, &present).into();
        self.told = present;
        Ok(())
    }

    /// The apps as they are now: those that are wanted, and those known ones that are not quite
    /// gone.
    fn present(&self, stored: &StoredState, snapshot: &Snapshot) -> BTreeMap<AppName, App> {
        let about = &self.state.about;
        let wanted =
            stored.apps.iter().map(|(name, app)| (name.clone(), view::app(about, snapshot, app)));
        let going = stored.tombstones.keys().filter(|name| !is_gone(name, snapshot));
        let going = going.filter_map(|name| {
            let last = self.told.get(name)?;
            Some((name.clone(), deleting(last, snapshot)))
        });
        let all = wanted.chain(going);
        all.filter(|(name, _)| self.only.as_ref().is_none_or(|only| only == name)).collect()
    }
}

/// Whether a look after the deletion has found nothing of it. The store remembers it for longer,
/// but that is for late answers of the engine only.
fn is_gone(name: &AppName, snapshot: &Snapshot) -> bool {
    let creating = snapshot
        .observed
        .in_flight
        .iter()
        .any(|call| matches!(call, OperationKey::Create { app, .. } if app == name));
    snapshot.desired.tombstones.contains_key(name)
        && !creating
        && snapshot.plan.statuses.get(name).is_none_or(|status| status.pods.is_empty())
}

/// A deleted app as it was last, with what is left of it.
fn deleting(last: &App, snapshot: &Snapshot) -> App {
    let mut app = last.clone();
    match snapshot.plan.statuses.get(&app.name) {
        Some(looked) if looked.phase == Phase::Deleting => app.status = view::status(looked),
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
