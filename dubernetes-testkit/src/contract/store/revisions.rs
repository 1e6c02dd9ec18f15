//! What revisions and their images promise.

use std::sync::Arc;

use super::{
    at, delete, get, image_id, list, name, pin, put, request, revisions, spec, with_image,
};
use dubernetes_core::app::AppSpec;
use dubernetes_core::store::{PutApp, Store};

pub(super) async fn each_revision_is_kept_as_it_was_made(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, AppSpec { replicas: 4, ..spec("web") }).await;
    let second = PutApp { now: at(9), ..request(with_image("web", 2)) };
    store.put(second).await.expect("a change is accepted");
    let kept = revisions(store, "web").await;
    let numbers: Vec<_> = kept.iter().map(|kept| kept.revision).collect();
    assert_eq!(numbers, [1, 2], "revisions come oldest first, and scaling makes none");
    assert_eq!(kept[0].spec, spec("web"), "a revision is kept as it was made");
    assert_eq!(kept[1].spec, with_image("web", 2), "a revision is kept as it was made");
    assert_eq!((kept[0].created_at, kept[1].created_at), (at(0), at(9)), "each has its time");
    assert!(kept.iter().all(|kept| kept.image_id.is_none()), "no image is made up");
}

pub(super) async fn the_newest_ten_are_kept(store: &Arc<dyn Store>) {
    put(store, spec("other")).await;
    for tag in 1..=13 {
        put(store, with_image("web", tag)).await;
    }
    let numbers: Vec<_> = revisions(store, "web").await.iter().map(|kept| kept.revision).collect();
    assert_eq!(numbers, (4..=13).collect::<Vec<_>>(), "the newest ten are kept");
    assert_eq!(revisions(store, "other").await.len(), 1, "each app has its own ten");
}

pub(super) async fn a_new_life_has_its_own(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, with_image("web", 2)).await;
    delete(store, "web").await;
    put(store, with_image("web", 3)).await;
    let kept = revisions(store, "web").await;
    let numbers: Vec<_> = kept.iter().map(|kept| kept.revision).collect();
    assert_eq!(numbers, [3], "a new life does not show the old one's revisions");
}

pub(super) async fn an_image_is_pinned_once_unless_replaced(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    for (id, replace, stored) in [("a", false, "a"), ("b", false, "a"), ("b", true, "b")] {
        pin(store, "web", 1, id, replace).await;
        let stored = Some(image_id(stored));
        assert_eq!(get(store, "web").await.image_id, stored, "the app has its revision's image");
        assert_eq!(revisions(store, "web").await[0].image_id, stored, "so has the revision");
        let listed = list(store).await.apps[&name("web")].image_id.clone();
        assert_eq!(listed, stored, "so has the list");
    }
    let app = get(store, "web").await;
    assert_eq!((app.generation, app.updated_at), (1, at(0)), "pinning is no change of the app");
}

pub(super) async fn pinning_an_older_revision_leaves_the_app(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, with_image("web", 2)).await;
    pin(store, "web", 1, "a", false).await;
    assert_eq!(get(store, "web").await.image_id, None, "each revision has an image of its own");
    let images: Vec<_> = revisions(store, "web").await.into_iter().map(|r| r.image_id).collect();
    assert_eq!(images, [Some(image_id("a")), None], "each revision has an image of its own");
}

pub(super) async fn pinning_what_is_gone_changes_nothing(store: &Arc<dyn Store>) {
    pin(store, "web", 1, "a", true).await;
    assert!(list(store).await.apps.is_empty(), "pinning creates no app");
    put(store, spec("web")).await;
    for revision in [0, 2, u64::MAX] {
        pin(store, "web", revision, "a", true).await;
    }
    assert_eq!(revisions(store, "web").await.len(), 1, "pinning creates no revision");
    delete(store, "web").await;
    pin(store, "web", 1, "a", true).await;
    put(store, spec("web")).await;
    pin(store, "web", 1, "a", true).await;
    assert_eq!(get(store, "web").await.image_id, None, "an old life's image is not inherited");
    assert_eq!(revisions(store, "web").await.len(), 1, "an old life's revision stays gone");
}
