//! Checks of requests that are kept until they are fulfilled: evictions, and the teardown.

use std::sync::Arc;

use super::{
    assert_not_found, at, delete, get, list, name, put, revisions, spec, try_put, with_image,
};
use dubernetes_core::runtime::ContainerId;
use dubernetes_core::store::{Store, StoreError};

pub(super) fn container(id: &str) -> ContainerId {
    ContainerId(id.into())
}

pub(super) async fn evict(store: &Arc<dyn Store>, app: &str, id: &str) {
    store.evict(&name(app), &container(id)).await.expect("a replica of an app can be evicted");
}

pub(super) async fn clear_eviction(store: &Arc<dyn Store>, app: &str, id: &str) {
    let cleared = store.clear_eviction(&name(app), &container(id)).await;
    cleared.expect("clearing an eviction never fails");
}

pub(super) async fn eviction_is_kept_until_cleared(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, spec("other")).await;
    for id in ["a", "b", "a"] {
        evict(store, "web", id).await;
    }
    let both = [container("a"), container("b")].into();
    assert_eq!(get(store, "web").await.evicted, both, "a repeated request is one");
    let updated = put(store, with_image("web", 2)).await.app;
    assert_eq!(updated.evicted, both, "an update keeps evictions");
    clear_eviction(store, "web", "a").await;
    clear_eviction(store, "web", "never-there").await;
    clear_eviction(store, "none", "a").await;
    let web = get(store, "web").await;
    assert_eq!(web.evicted, [container("b")].into(), "the other eviction stays");
    assert_eq!((web.generation.0, web.revision.0), (2, 2), "an eviction counts nothing");
    assert!(get(store, "other").await.evicted.is_empty(), "apps are separate");
}

pub(super) async fn eviction_needs_a_live_app(store: &Arc<dyn Store>) {
    let evicted = async || store.evict(&name("web"), &container("a")).await;
    assert_not_found(evicted().await, "web", "evicting a replica of a missing app");
    put(store, spec("web")).await;
    evict(store, "web", "a").await;
    delete(store, "web").await;
    assert_not_found(evicted().await, "web", "evicting a replica of a deleted app");
    let again = put(store, spec("web")).await.app;
    assert!(again.evicted.is_empty(), "a re-created app inherits no eviction");
}

pub(super) async fn teardown_deletes_every_app(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, spec("other")).await;
    put(store, spec("old")).await;
    delete(store, "old").await;
    store.request_teardown(at(60)).await.expect("a teardown can be requested");
    let state = list(store).await;
    assert_eq!(state.teardown, Some(at(60)), "the request is kept");
    assert!(state.apps.is_empty(), "no app is desired");
    let deleted: Vec<_> =
        state.tombstones.iter().map(|(name, kept)| (name.as_str(), kept.deleted_at)).collect();
    let expected = [("old", at(50)), ("other", at(60)), ("web", at(60))];
    assert_eq!(deleted, expected, "each app leaves a tombstone");
    store.request_teardown(at(70)).await.expect("a request can be repeated");
    let again = list(store).await;
    assert_eq!(again.teardown, Some(at(70)), "a repeated request renews its time");
    assert_eq!(again.tombstones, state.tombstones, "tombstones stay as they are");
}

pub(super) async fn teardown_refuses_apps_until_finished(store: &Arc<dyn Store>) {
    let empty = list(store).await;
    store.finish_teardown().await.expect("finishing nothing never fails");
    assert_eq!(list(store).await, empty, "finishing nothing changes nothing");
    store.request_teardown(at(60)).await.expect("a teardown can be requested");
    let refused = try_put(store, spec("web")).await;
    assert!(matches!(refused, Err(StoreError::TearingDown)), "no app is stored: {refused:?}");
    assert!(list(store).await.apps.is_empty(), "a refused put stores nothing");
    store.finish_teardown().await.expect("a teardown can be finished");
    assert_eq!(list(store).await.teardown, None, "the request is gone");
    put(store, spec("web")).await;
    assert_eq!(revisions(store, "web").await.len(), 1, "apps can be stored again");
}
