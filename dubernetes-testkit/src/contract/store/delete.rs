//! Checks of deletion, tombstones, and re-created apps.

use std::sync::Arc;

use super::{
    assert_not_found, at, delete, get, list, name, pin, purge, put, request, revisions, spec,
    with_image,
};
use dubernetes_core::app::{Duration, Generation, RevisionId};
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{Change, EventQuery, PutApp, Store, Tombstone};

pub(super) async fn missing_app_is_not_found(store: &Arc<dyn Store>) {
    put(store, spec("other")).await;
    let web = name("web");
    assert_not_found(store.get(&web).await, "web", "reading a missing app");
    assert_not_found(store.delete(&web, at(0)).await, "web", "deleting a missing app");
    assert_not_found(store.revisions(&web).await, "web", "reading the revisions of a missing app");
    assert!(list(store).await.tombstones.is_empty(), "a failed delete leaves no tombstone");
}

pub(super) async fn deleted_app_leaves_a_tombstone(store: &Arc<dyn Store>) {
    let web = name("web");
    let mut app = spec("web");
    app.stop.grace = Duration::from_secs(90);
    put(store, app.clone()).await;
    delete(store, "web").await;
    assert_not_found(store.get(&web).await, "web", "reading a deleted app");
    assert_not_found(store.delete(&web, at(60)).await, "web", "deleting a deleted app");
    assert_not_found(store.revisions(&web).await, "web", "reading the revisions of a deleted app");
    let state = list(store).await;
    assert!(state.apps.is_empty(), "a deleted app is no longer desired");
    let tombstone = Tombstone { deleted_at: at(50), stop: app.stop };
    assert_eq!(
        state.tombstones.get(&web),
        Some(&tombstone),
        "the time of the first deletion and the stop settings are kept"
    );
}

pub(super) async fn recreated_app_inherits_nothing(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let old = put(store, with_image("web", 2)).await.app;
    pin(store, "web", 2, "a", false).await;
    delete(store, "web").await;
    let request = PutApp { now: at(99), ..request(with_image("web", 2)) };
    let again = store.put(request).await.expect("a deleted name can be used again");
    assert_eq!(again.change, Change::Created, "a deleted app is created again");
    let new = again.app;
    assert_eq!(new.generation, old.generation.next(), "generations continue");
    assert_eq!(new.revision, old.revision.next(), "revisions continue");
    assert_eq!(new.deleted_through, old.revision, "containers of the deleted app are not adopted");
    assert_eq!(new.image_id, None, "the image is resolved again");
    assert_eq!((new.created_at, new.updated_at), (at(99), at(99)), "the app is new");
    assert!(list(store).await.tombstones.is_empty(), "the tombstone is gone");
    assert_eq!(get(store, "web").await, new, "`get` returns what `put` answered");
}

pub(super) async fn recreated_app_continues_numbers(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let mut deleted_through = RevisionId::NONE;
    for _ in 0..3 {
        let old = get(store, "web").await;
        delete(store, "web").await;
        let seen = PutApp { newest_seen: RevisionId(old.revision.0 + 4), ..request(spec("web")) };
        let new = store.put(seen).await.expect("a deleted name can be used again").app;
        assert_eq!(new.generation, old.generation.next(), "generations continue");
        assert_eq!(
            new.revision,
            RevisionId(old.revision.0 + 5),
            "a new revision is above observed ones"
        );
        assert!(new.deleted_through > deleted_through, "older containers are not adopted");
        deleted_through = new.deleted_through;
    }
    let changed = put(store, with_image("web", 2)).await.app;
    assert_eq!(changed.deleted_through, deleted_through, "an update keeps `deleted_through`");
}

pub(super) async fn purge_drops_tombstone_and_numbers(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, with_image("web", 2)).await;
    delete(store, "web").await;
    purge(store, "web").await;
    assert!(list(store).await.tombstones.is_empty(), "a purged app has no tombstone");
    assert_not_found(store.get(&name("web")).await, "web", "reading a purged app");
    let new = put(store, spec("web")).await.app;
    assert_eq!(
        (new.generation, new.revision),
        (Generation(1), RevisionId(1)),
        "a purged name counts from 1"
    );
    assert_eq!(new.deleted_through, RevisionId::NONE, "a purged name was never deleted");
    assert_eq!(revisions(store, "web").await.len(), 1, "purged revisions are gone");
}

pub(super) async fn purge_changes_only_tombstones(store: &Arc<dyn Store>) {
    let live = put(store, spec("web")).await.app;
    put(store, spec("other")).await;
    delete(store, "other").await;
    purge(store, "web").await;
    purge(store, "never-there").await;
    let state = list(store).await;
    assert_eq!(state.apps.get(&name("web")), Some(&live), "a live app is not purged");
    assert!(state.tombstones.contains_key(&name("other")), "other tombstones stay");
    assert_eq!(revisions(store, "web").await.len(), 1, "a live app keeps its revisions");
}

pub(super) async fn events_outlive_their_app(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let event = NewEvent {
        time: at(1),
        kind: EventKind::Normal,
        app: Some(name("web")),
        pod: None,
        revision: None,
        reason: EventReason::Deleted,
        message: "deleted by a user".into(),
    };
    store.append(&[event]).await.expect("events are accepted");
    delete(store, "web").await;
    purge(store, "web").await;
    let query = EventQuery { app: Some(name("web")), limit: 9, ..EventQuery::default() };
    let events = store.events(&query).await.expect("events can be read");
    assert_eq!(events.len(), 1, "events outlive their app");
}
