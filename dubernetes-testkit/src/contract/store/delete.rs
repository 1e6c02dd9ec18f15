//! What deleting an app promises, and what a new life of its name does.

use std::sync::Arc;

use super::{
    assert_not_found, at, delete, forget, get, list, name, pin, put, request, revisions, spec,
    with_image,
};
use dubernetes_core::app::Duration;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{Change, EventQuery, PutApp, Store, Tombstone};

pub(super) async fn a_missing_app_is_not_found(store: &Arc<dyn Store>) {
    put(store, spec("other")).await;
    let web = name("web");
    assert_not_found(store.get(&web).await, "web", "reading a missing app");
    assert_not_found(store.delete(&web, at(0)).await, "web", "deleting a missing app");
    assert_not_found(store.revisions(&web).await, "web", "the revisions of a missing app");
    assert!(list(store).await.tombstones.is_empty(), "a failed delete leaves no tombstone");
}

pub(super) async fn a_deleted_app_leaves_a_tombstone(store: &Arc<dyn Store>) {
    let web = name("web");
    let mut patient = spec("web");
    patient.stop.grace = Duration::from_secs(90);
    put(store, patient.clone()).await;
    delete(store, "web").await;
    assert_not_found(store.get(&web).await, "web", "reading a deleted app");
    assert_not_found(store.delete(&web, at(60)).await, "web", "deleting a deleted app");
    assert_not_found(store.revisions(&web).await, "web", "the revisions of a deleted app");
    let state = list(store).await;
    assert!(state.apps.is_empty(), "a deleted app is no longer desired");
    let tombstone = Tombstone { deleted_at: at(50), stop: patient.stop };
    assert_eq!(
        state.tombstones.get(&web),
        Some(&tombstone),
        "the first deletion's time is kept, and how the app wants to be stopped"
    );
}

pub(super) async fn a_new_life_inherits_nothing(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let old = put(store, with_image("web", 2)).await.app;
    pin(store, "web", 2, "a", false).await;
    delete(store, "web").await;
    let again = PutApp { now: at(99), ..request(with_image("web", 2)) };
    let again = store.put(again).await.expect("a deleted name can be used again");
    assert_eq!(again.change, Change::Created, "a new life is created");
    let new = again.app;
    assert_eq!(new.generation, old.generation + 1, "a new life goes on counting generations");
    assert_eq!(new.revision, old.revision + 1, "a new life has a revision above the old one's");
    assert_eq!(new.deleted_through, old.revision, "containers of the old life are not taken over");
    assert_eq!(new.image_id, None, "a new life resolves its image anew");
    assert_eq!((new.created_at, new.updated_at), (at(99), at(99)), "a new life begins now");
    assert!(list(store).await.tombstones.is_empty(), "a new life ends the tombstone");
    assert_eq!(get(store, "web").await, new, "`get` gives what `put` answered");
}

pub(super) async fn each_life_goes_on_counting(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let mut through = 0;
    for _ in 0..3 {
        let old = get(store, "web").await;
        delete(store, "web").await;
        let seen = PutApp { newest_seen: old.revision + 4, ..request(spec("web")) };
        let new = store.put(seen).await.expect("a deleted name can be used again").app;
        assert_eq!(new.generation, old.generation + 1, "each life goes on counting");
        assert_eq!(new.revision, old.revision + 5, "a new life is above what runs");
        assert!(new.deleted_through > through, "each life ends all before it");
        through = new.deleted_through;
    }
    let changed = put(store, with_image("web", 2)).await.app;
    assert_eq!(changed.deleted_through, through, "a change does not end a life");
}

pub(super) async fn forgetting_drops_the_tombstone_and_starts_anew(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, with_image("web", 2)).await;
    delete(store, "web").await;
    forget(store, "web").await;
    assert!(list(store).await.tombstones.is_empty(), "a forgotten app has no tombstone");
    assert_not_found(store.get(&name("web")).await, "web", "reading a forgotten app");
    let new = put(store, spec("web")).await.app;
    assert_eq!((new.generation, new.revision), (1, 1), "a forgotten name counts from 1");
    assert_eq!(new.deleted_through, 0, "a forgotten name has no earlier life");
    assert_eq!(revisions(store, "web").await.len(), 1, "forgotten revisions are gone");
}

pub(super) async fn forgetting_touches_nothing_but_tombstones(store: &Arc<dyn Store>) {
    let live = put(store, spec("web")).await.app;
    put(store, spec("other")).await;
    delete(store, "other").await;
    forget(store, "web").await;
    forget(store, "never-there").await;
    let state = list(store).await;
    assert_eq!(state.apps.get(&name("web")), Some(&live), "a live app is not forgotten");
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
    forget(store, "web").await;
    let query = EventQuery { app: Some(name("web")), limit: 9, ..EventQuery::default() };
    let events = store.events(&query).await.expect("events can be read");
    assert_eq!(events.len(), 1, "events outlive their app");
}
