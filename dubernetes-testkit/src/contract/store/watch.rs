//! What watching a store promises: a change is seen once it is answered, and nothing else is.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};

use super::{at, delete, forget, name, pin, put, request, spec, try_put, with_image, with_route};
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{PutApp, Store};

/// Takes every notification that is there, and returns whether there was one.
pub(super) fn seen(changes: &mut BoxStream<'static, ()>) -> bool {
    let mut seen = false;
    while let Some(Some(())) = changes.next().now_or_never() {
        seen = true;
    }
    seen
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

pub(super) async fn every_change_is_seen(store: &Arc<dyn Store>) {
    let mut watch = store.changes();
    assert!(!seen(&mut watch), "a new watch has seen all that was before");
    let mut waiting = store.changes();
    let woken = tokio::spawn(async move { waiting.next().await.is_some() });
    put(store, spec("web")).await;
    assert!(seen(&mut watch), "a created app is seen");
    assert!(woken.await.expect("the task ends"), "a change wakes who waits for one");
    put(store, with_image("web", 2)).await;
    assert!(seen(&mut watch), "a configured app is seen");
    pin(store, "web", 2, "a", false).await;
    assert!(seen(&mut watch), "a pinned image is seen");
    delete(store, "web").await;
    assert!(seen(&mut watch), "a deleted app is seen");
    forget(store, "web").await;
    assert!(seen(&mut watch), "a forgotten app is seen");
    store.append(&[event()]).await.expect("events are accepted");
    assert!(seen(&mut watch), "a recorded event is seen");
    store.append(&[event()]).await.expect("events are accepted");
    assert!(seen(&mut watch), "a counted event is seen");
}

pub(super) async fn what_changes_nothing_is_not_seen(store: &Arc<dyn Store>) {
    put(store, with_route("web", "web.local", "/")).await;
    pin(store, "web", 1, "a", false).await;
    let mut watch = store.changes();
    put(store, with_route("web", "web.local", "/")).await;
    assert!(!seen(&mut watch), "an unchanged app is not seen");
    let stale = PutApp { expected_generation: Some(0), ..request(spec("web")) };
    assert!(store.put(stale).await.is_err(), "a stale put is refused");
    assert!(!seen(&mut watch), "a stale put is not seen");
    assert!(try_put(store, with_route("x", "web.local", "/")).await.is_err(), "a taken route");
    assert!(!seen(&mut watch), "a refused route is not seen");
    assert!(store.delete(&name("none"), at(0)).await.is_err(), "a missing app is not found");
    assert!(!seen(&mut watch), "a failed delete is not seen");
    pin(store, "web", 1, "b", false).await;
    pin(store, "web", 9, "b", true).await;
    assert!(!seen(&mut watch), "a pin that changes nothing is not seen");
    forget(store, "web").await;
    forget(store, "none").await;
    assert!(!seen(&mut watch), "forgetting nothing is not seen");
    store.append(&[]).await.expect("no events are accepted");
    assert!(!seen(&mut watch), "no events are not seen");
}
