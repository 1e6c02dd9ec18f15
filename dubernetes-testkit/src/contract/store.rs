//! What every [`Store`] must do.

mod delete;
mod events;
mod put;
mod revisions;
mod rollout;
mod together;
mod watch;

use std::sync::Arc;

use jiff::Timestamp;

use dubernetes_core::app::{Access, AppName, AppSpec, HostName, ImageRef, RoutePath};
use dubernetes_core::runtime::ImageId;
use dubernetes_core::store::{Put, PutApp, Revision, Store, StoreError, StoredApp, StoredState};

/// Checks every promise, each on a fresh and empty store that `make` gives.
///
/// # Panics
///
/// At the first broken promise.
pub async fn run<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    macro_rules! check {
        ($($group:ident::$promise:ident),* $(,)?) => {
            $($group::$promise(&make().await).await;)*
        };
    }
    check! {
        put::a_new_app_is_created,
        put::the_same_specification_changes_nothing,
        put::another_specification_is_another_generation_and_revision,
        put::scaling_and_access_keep_the_revision_and_its_image,
        put::a_new_revision_is_above_what_runs,
        put::a_revision_that_nothing_can_follow_is_not_given,
        put::the_expected_generation_must_be_the_present_one,
        put::expecting_nothing_refuses_an_app_that_exists,
        put::a_deleted_app_counts_as_missing,
        put::a_taken_route_is_refused_and_nothing_is_stored,
        put::only_the_same_host_and_path_conflict,
        put::a_deleted_app_gives_its_route_free,
        put::every_field_comes_back_as_it_was_put,
        put::contents_come_back_with_every_revision,
        put::apps_are_apart,
        delete::a_missing_app_is_not_found,
        delete::a_deleted_app_leaves_a_tombstone,
        delete::a_new_life_inherits_nothing,
        delete::each_life_goes_on_counting,
        delete::forgetting_drops_the_tombstone_and_starts_anew,
        delete::forgetting_touches_nothing_but_tombstones,
        delete::events_outlive_their_app,
        revisions::each_revision_is_kept_as_it_was_made,
        revisions::the_newest_ten_are_kept,
        revisions::a_new_life_has_its_own,
        revisions::an_image_is_pinned_once_unless_replaced,
        revisions::pinning_an_older_revision_leaves_the_app,
        revisions::pinning_what_is_gone_changes_nothing,
        rollout::a_verdict_is_kept_with_the_app_and_its_revision,
        rollout::a_verdict_on_another_revision_changes_nothing,
        rollout::a_revision_that_is_overtaken_is_superseded,
        rollout::a_failed_revision_gives_way_to_the_one_before,
        rollout::what_has_failed_is_put_again_only_if_asked,
        rollout::an_undo_goes_back_to_the_last_complete_one,
        rollout::an_undo_needs_a_revision_to_go_back_to,
        rollout::a_restart_is_a_revision_with_the_same_content,
        rollout::a_pause_holds_until_it_is_resumed,
        rollout::the_history_has_its_limit_and_keeps_the_way_back,
        events::events_come_back_in_order,
        events::an_equal_event_is_counted,
        events::equal_events_of_one_call_are_counted,
        events::a_difference_in_any_field_is_another_event,
        events::after_an_hour_it_is_another_event,
        events::ids_are_never_given_twice,
        events::a_query_takes_the_newest_that_match,
        events::a_query_for_an_app_leaves_out_the_rest,
        events::a_query_for_a_time_or_kind_leaves_out_the_rest,
        watch::every_change_is_seen,
        watch::what_changes_nothing_is_not_seen,
        together::one_of_several_with_the_same_view_wins,
        together::one_of_several_gets_a_route,
        together::no_event_is_lost,
        together::a_list_is_of_one_moment,
    }
}

/// `second` seconds and some nanoseconds after a moment that means nothing.
fn at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 123_456_789).expect("a legal time")
}

fn name(text: &str) -> AppName {
    AppName::parse(text).expect("a legal name")
}

fn image(text: &str) -> ImageRef {
    ImageRef::parse(text).expect("a legal image")
}

fn spec(app: &str) -> AppSpec {
    AppSpec::new(name(app), image("web:1"))
}

fn with_image(app: &str, tag: u64) -> AppSpec {
    AppSpec { image: image(&format!("web:{tag}")), ..spec(app) }
}

fn with_route(app: &str, host: &str, path: &str) -> AppSpec {
    let hosts = vec![HostName::parse(host).expect("a legal host")];
    let path = RoutePath::parse(path).expect("a legal path");
    AppSpec { access: Some(Access { hosts, path }), ..spec(app) }
}

fn image_id(text: &str) -> ImageId {
    ImageId(format!("sha256:{text}"))
}

fn request(spec: AppSpec) -> PutApp {
    PutApp::new(spec, at(0))
}

async fn try_put(store: &Arc<dyn Store>, spec: AppSpec) -> Result<Put, StoreError> {
    store.put(request(spec)).await
}

async fn put(store: &Arc<dyn Store>, spec: AppSpec) -> Put {
    try_put(store, spec).await.expect("a legal app is stored")
}

async fn get(store: &Arc<dyn Store>, app: &str) -> StoredApp {
    store.get(&name(app)).await.expect("a stored app can be read")
}

async fn list(store: &Arc<dyn Store>) -> StoredState {
    store.list().await.expect("the state can be read")
}

async fn revisions(store: &Arc<dyn Store>, app: &str) -> Vec<Revision> {
    store.revisions(&name(app)).await.expect("the revisions of a stored app can be read")
}

async fn delete(store: &Arc<dyn Store>, app: &str) {
    store.delete(&name(app), at(50)).await.expect("a stored app can be deleted");
}

async fn forget(store: &Arc<dyn Store>, app: &str) {
    store.purge(&name(app)).await.expect("any name can be forgotten");
}

async fn pin(store: &Arc<dyn Store>, app: &str, revision: u64, id: &str, replace: bool) {
    store
        .pin_image(&name(app), revision, &image_id(id), replace)
        .await
        .expect("pinning an image succeeds, whatever is there");
}

fn assert_not_found<T: std::fmt::Debug>(got: Result<T, StoreError>, app: &str, what: &str) {
    match got {
        Err(StoreError::NotFound { name }) => {
            assert_eq!(name.as_str(), app, "{what}: the error names the app");
        }
        other => panic!("{what} is not found; got {other:?}"),
    }
}

fn assert_stale<T: std::fmt::Debug>(got: Result<T, StoreError>, of: u64, is: u64, what: &str) {
    match got {
        Err(StoreError::StaleGeneration { expected, present, .. }) => {
            assert_eq!((expected, present), (of, is), "{what}: both generations are named");
        }
        other => panic!("{what} is refused as stale; got {other:?}"),
    }
}
