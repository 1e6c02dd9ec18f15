//! Checks of [`Store::changes`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};

use super::requests::{clear_eviction, evict};
use super::{at, delete, name, pin, purge, put, request, spec, try_put, with_image, with_route};
use dubernetes_core::app::Generation;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{PutApp, Store};

/// How long a change may take to wake a task.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes every pending item, and returns whether there was one.
pub(super) fn has_changed(changes: &mut BoxStream<'static, ()>) -> bool {
    let mut has_changed = false;
    while let Some(Some(())) = changes.next().now_or_never() {
        has_changed = true;
    }
    has_changed
}

fn event() -> NewEvent {
    NewEvent {
        time: at(0),
        kind: EventKind::Normal,
        app: None,
        pod: None,
        revision: None,
        reason: EventReason::Started,
        message: "started".into(),
    }
}

pub(super) async fn every_change_is_streamed(store: &Arc<dyn Store>) {
    let mut watch = store.changes();
    assert!(!has_changed(&mut watch), "a new stream has no items");
    let mut waiting = store.changes();
    let woken = tokio::spawn(async move { waiting.next().await.is_some() });
    put(store, spec("web")).await;
    assert!(has_changed(&mut watch), "a created app is streamed");
    let woken = tokio::time::timeout(PATIENCE, woken).await;
    assert!(matches!(woken, Ok(Ok(true))), "a change wakes a waiting task; seen: {woken:?}");
    put(store, with_image("web", 2)).await;
    assert!(has_changed(&mut watch), "a configured app is streamed");
    pin(store, "web", 2, "a", false).await;
    assert!(has_changed(&mut watch), "a pinned image is streamed");
    delete(store, "web").await;
    assert!(has_changed(&mut watch), "a deleted app is streamed");
    purge(store, "web").await;
    assert!(has_changed(&mut watch), "a purged app is streamed");
    put(store, spec("web")).await;
    evict(store, "web", "a").await;
    assert!(has_changed(&mut watch), "an eviction is streamed");
    clear_eviction(store, "web", "a").await;
    assert!(has_changed(&mut watch), "a cleared eviction is streamed");
    store.request_teardown(at(0)).await.expect("a teardown can be requested");
    assert!(has_changed(&mut watch), "a teardown is streamed");
    store.finish_teardown().await.expect("a teardown can be finished");
    assert!(has_changed(&mut watch), "a finished teardown is streamed");
    store.append(&[event()]).await.expect("events are accepted");
    assert!(has_changed(&mut watch), "a recorded event is streamed");
    store.append(&[event()]).await.expect("events are accepted");
    assert!(has_changed(&mut watch), "a counted event is streamed");
}

pub(super) async fn call_without_effect_is_not_streamed(store: &Arc<dyn Store>) {
    put(store, with_route("web", "web.local", "/")).await;
    pin(store, "web", 1, "a", false).await;
    evict(store, "web", "a").await;
    let mut watch = store.changes();
    evict(store, "web", "a").await;
    clear_eviction(store, "web", "b").await;
    store.finish_teardown().await.expect("finishing nothing never fails");
    assert!(!has_changed(&mut watch), "a request without an effect is not streamed");
    put(store, with_route("web", "web.local", "/")).await;
    assert!(!has_changed(&mut watch), "an unchanged app is not streamed");
    let stale = PutApp { expected_generation: Some(Generation::NONE), ..request(spec("web")) };
    assert!(store.put(stale).await.is_err(), "a stale put is refused");
    assert!(!has_changed(&mut watch), "a stale put is not streamed");
    assert!(
        try_put(store, with_route("x", "web.local", "/")).await.is_err(),
        "a taken route is refused"
    );
    assert!(!has_changed(&mut watch), "a refused route is not streamed");
    assert!(store.delete(&name("none"), at(0)).await.is_err(), "a missing app is not found");
    assert!(!has_changed(&mut watch), "a failed delete is not streamed");
    pin(store, "web", 1, "b", false).await;
    pin(store, "web", 9, "b", true).await;
    assert!(!has_changed(&mut watch), "a pin that changes nothing is not streamed");
    purge(store, "web").await;
    purge(store, "none").await;
    assert!(!has_changed(&mut watch), "purging nothing is not streamed");
    store.append(&[]).await.expect("no events are accepted");
    assert!(!has_changed(&mut watch), "an empty append is not streamed");
}

pub(super) async fn each_stream_gets_the_change(store: &Arc<dyn Store>) {
    let (mut one, mut other) = (store.changes(), store.changes());
    put(store, spec("web")).await;
    assert!(has_changed(&mut one), "the first stream gets the change");
    assert!(has_changed(&mut other), "the second stream gets it as well");
    let mut later = store.changes();
    assert!(!has_changed(&mut later), "a stream begins with the changes after it");
    drop(one);
    put(store, with_image("web", 2)).await;
    assert!(has_changed(&mut other), "a stream goes on when another is dropped");
    assert!(has_changed(&mut later), "a stream that was opened later gets the change");
}
