//! Checks of revisions and their images.

use std::sync::Arc;

use super::{
    at, delete, get, image_id, list, name, pin, put, request, revisions, spec, with_image,
};
use dubernetes_core::app::{AppSpec, Generation, RevisionId};
use dubernetes_core::store::{PutApp, Store};

pub(super) async fn each_revision_is_kept_as_made(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, AppSpec { replicas: 4, ..spec("web") }).await;
    let second = PutApp { now: at(9), ..request(with_image("web", 2)) };
    store.put(second).await.expect("a change is accepted");
    let kept = revisions(store, "web").await;
    let numbers: Vec<_> = kept.iter().map(|kept| kept.revision).collect();
    assert_eq!(
        numbers,
        [1, 2].map(RevisionId),
        "revisions come oldest first, and scaling makes none"
    );
    assert_eq!(kept[0].spec, spec("web"), "a revision is kept as it was made");
    assert_eq!(kept[1].spec, with_image("web", 2), "a revision is kept as it was made");
    assert_eq!(
        (kept[0].created_at, kept[1].created_at),
        (at(0), at(9)),
        "each revision has its time"
    );
    assert!(kept.iter().all(|kept| kept.image_id.is_none()), "a new revision has no image");
}

pub(super) async fn newest_ten_revisions_are_kept(store: &Arc<dyn Store>) {
    put(store, spec("other")).await;
    for tag in 1..=13 {
        put(store, with_image("web", tag)).await;
    }
    let numbers: Vec<_> = revisions(store, "web").await.iter().map(|kept| kept.revision).collect();
    assert_eq!(numbers, (4..=13).map(RevisionId).collect::<Vec<_>>(), "the newest ten are kept");
    assert_eq!(revisions(store, "other").await.len(), 1, "the limit counts per app");
}

pub(super) async fn recreated_app_has_own_revisions(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, with_image("web", 2)).await;
    delete(store, "web").await;
    put(store, with_image("web", 3)).await;
    let kept = revisions(store, "web").await;
    let numbers: Vec<_> = kept.iter().map(|kept| kept.revision).collect();
    assert_eq!(numbers, [3].map(RevisionId), "revisions of the deleted app are gone");
}

pub(super) async fn image_is_pinned_once_unless_replaced(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    for (id, replace, stored) in [("a", false, "a"), ("b", false, "a"), ("b", true, "b")] {
        pin(store, "web", 1, id, replace).await;
        let stored = Some(image_id(stored));
        assert_eq!(get(store, "web").await.image_id, stored, "the app has its revision's image");
        assert_eq!(revisions(store, "web").await[0].image_id, stored, "the revision has the image");
        let listed = list(store).await.apps[&name("web")].image_id.clone();
        assert_eq!(listed, stored, "the list has the image");
    }
    let app = get(store, "web").await;
    assert_eq!(
        (app.generation, app.updated_at),
        (Generation(1), at(0)),
        "pinning changes no number or time"
    );
}

pub(super) async fn pinning_older_revision_leaves_the_app(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    put(store, with_image("web", 2)).await;
    pin(store, "web", 1, "a", false).await;
    assert_eq!(get(store, "web").await.image_id, None, "each revision has an image of its own");
    let images: Vec<_> = revisions(store, "web").await.into_iter().map(|r| r.image_id).collect();
    assert_eq!(images, [Some(image_id("a")), None], "each revision has an image of its own");
}

pub(super) async fn pinning_missing_revision_changes_nothing(store: &Arc<dyn Store>) {
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
    assert_eq!(get(store, "web").await.image_id, None, "an image is not inherited");
    assert_eq!(revisions(store, "web").await.len(), 1, "a revision is not inherited");
}
