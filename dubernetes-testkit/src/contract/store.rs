//! The contract of [`Store`]: the promises of its documentation, checked through the trait.

mod certificates;
mod concurrency;
mod delete;
mod durability;
mod events;
mod put;
mod requests;
mod revisions;
mod rollout;
mod secrets;
mod watch;

use std::sync::Arc;

use jiff::Timestamp;

use dubernetes_core::app::{Access, AppName, AppSpec, Generation, ImageRef, RevisionId, RoutePath};
use dubernetes_core::runtime::ImageId;
use dubernetes_core::store::{Put, PutApp, Revision, Store, StoreError, StoredApp, StoredState};

use super::report::Report;

/// Runs every check, each on a new and empty store that `create` returns. The checks of durability
/// are skipped: they need [`run_durable`].
///
/// # Panics
///
/// With the whole report, if a promise is broken.
pub async fn run<F, Fut>(create: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let mut report = run_checks(&create).await;
    for (name, promise) in DURABILITY {
        report.skip(name, promise, "no store can be reopened (`run_durable`)".to_owned());
    }
    report.assert_passed();
}

/// Runs every check, including those of durability.
///
/// # Panics
///
/// With the whole report, if a promise is broken.
pub async fn run_durable<F, Fut, R, RFut>(create: F, reopen: R)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
    R: Fn(Arc<dyn Store>) -> RFut,
    RFut: Future<Output = Arc<dyn Store>>,
{
    run_all(create, reopen).await.assert_passed();
}

/// Runs every check, also after a failure. `reopen` closes the store that `create` returned last,
/// which is its argument, and opens the same data again, as a restart of the process does.
pub async fn run_all<F, Fut, R, RFut>(create: F, reopen: R) -> Report
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
    R: Fn(Arc<dyn Store>) -> RFut,
    RFut: Future<Output = Arc<dyn Store>>,
{
    let mut report = run_checks(&create).await;
    let [(every, every_promise), (numbers, numbers_promise)] = DURABILITY;
    let check = async { durability::every_change_survives(create().await, &reopen).await };
    report.run_check(every, every_promise, check).await;
    let check = async { durability::numbers_continue(create().await, &reopen).await };
    report.run_check(numbers, numbers_promise, check).await;
    report
}

/// The checks of durability, with their promises.
const DURABILITY: [(&str, &str); 2] = [
    ("every_change_survives", "what a method has answered survives a restart"),
    ("numbers_continue", "numbers and ids continue after a restart"),
];

/// Runs checks, each on a new store.
macro_rules! check {
    ($report:ident, $create:ident; $($group:ident::$name:ident),* $(,)?) => { $({
        let check = async { $group::$name(&$create().await).await };
        $report.run_check(stringify!($name), $group::PROMISE, check).await;
    })* };
}

async fn run_checks<F, Fut>(create: &F) -> Report
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let mut report = Report::new("store");
    check! { report, create;
        put::new_app_is_created,
        put::same_specification_changes_nothing,
        put::other_specification_counts_generation_and_revision,
        put::scaling_and_access_keep_revision_and_image,
        put::new_revision_is_above_observed_ones,
        put::exhausted_revision_numbers_are_refused,
        put::stale_generation_is_refused,
        put::generation_zero_refuses_existing_app,
        put::deleted_app_counts_as_missing,
        put::taken_route_is_refused_and_nothing_is_stored,
        put::taken_port_is_refused_and_nothing_is_stored,
        put::start_cycle_is_refused_and_nothing_is_stored,
        put::only_same_host_and_path_conflict,
        put::deleted_app_frees_its_route,
        put::every_field_is_kept,
        put::contents_are_kept_with_every_revision,
        put::apps_are_separate,
        delete::missing_app_is_not_found,
        delete::deleted_app_leaves_a_tombstone,
        delete::recreated_app_inherits_nothing,
        delete::recreated_app_continues_numbers,
        delete::purge_drops_tombstone_and_numbers,
        delete::purge_changes_only_tombstones,
        delete::events_outlive_their_app,
        requests::eviction_is_kept_until_cleared,
        requests::eviction_needs_a_live_app,
        requests::teardown_deletes_every_app,
        requests::teardown_refuses_apps_until_finished,
        revisions::each_revision_is_kept_as_made,
        revisions::newest_ten_revisions_are_kept,
        revisions::recreated_app_has_own_revisions,
        revisions::image_is_pinned_once_unless_replaced,
        revisions::pinning_older_revision_leaves_the_app,
        revisions::pinning_missing_revision_changes_nothing,
        rollout::result_is_kept_with_app_and_revision,
        rollout::result_of_other_revision_changes_nothing,
        rollout::overtaken_revision_is_superseded,
        rollout::failed_revision_rolls_back,
        rollout::failed_spec_is_refused_without_retry,
        rollout::undo_restores_last_complete_revision,
        rollout::undo_keeps_the_start_order,
        rollout::undo_needs_an_earlier_revision,
        rollout::restart_is_a_revision_with_same_content,
        rollout::pause_lasts_until_resume,
        rollout::history_is_limited_and_keeps_fallback,
        events::events_come_back_in_order,
        events::repeated_event_is_counted,
        events::repeated_events_of_one_call_are_counted,
        events::difference_in_any_field_is_another_event,
        events::repeat_after_an_hour_is_another_event,
        events::event_ids_are_never_reused,
        events::query_returns_newest_matches,
        events::query_selects_by_app,
        events::query_selects_by_time_and_kind,
        watch::every_change_is_streamed,
        watch::call_without_effect_is_not_streamed,
        concurrency::one_of_several_puts_wins,
        concurrency::one_of_several_apps_gets_a_route,
        concurrency::concurrent_events_are_all_kept,
        concurrency::list_shows_one_moment,
    }
    run_secret_checks(&mut report, create).await;
    run_certificate_checks(&mut report, create).await;
    report
}

async fn run_secret_checks<F, Fut>(report: &mut Report, create: &F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    check! { report, create;
        secrets::secret_is_listed_without_its_value,
        secrets::value_is_filled_in_by_put,
        secrets::missing_secret_is_refused_and_nothing_is_stored,
        secrets::changed_secret_makes_a_revision_of_each_user,
        secrets::refused_value_changes_nothing,
        secrets::equal_value_changes_nothing,
        secrets::rollback_brings_the_earlier_value_back,
        secrets::used_secret_is_not_deleted,
        secrets::resolving_stores_nothing,
        secrets::rotation_keeps_every_value,
    }
}

async fn run_certificate_checks<F, Fut>(report: &mut Report, create: &F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    check! { report, create;
        certificates::certificate_comes_back_with_its_key,
        certificates::later_certificate_replaces_the_former,
        certificates::dropped_certificate_is_gone,
        certificates::certificate_outlives_apps,
        certificates::account_is_kept_for_each_authority,
        certificates::change_of_a_certificate_is_streamed,
    }
}

/// Returns a time `second` seconds after an arbitrary moment, with nanoseconds.
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
    let hosts = vec![host.parse().expect("a legal host")];
    let path = RoutePath::parse(path).expect("a legal path");
    AppSpec { access: vec![Access { hosts, path, ..Access::default() }], ..spec(app) }
}

fn image_id(text: &str) -> ImageId {
    ImageId(format!("sha256:{text}"))
}

fn request(spec: AppSpec) -> PutApp {
    PutApp::new(spec.validate().expect("a legal app"), at(0))
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

async fn purge(store: &Arc<dyn Store>, app: &str) {
    store.purge(&name(app)).await.expect("any name can be purged");
}

async fn pin(store: &Arc<dyn Store>, app: &str, revision: u64, id: &str, replace: bool) {
    store
        .pin_image(&name(app), RevisionId(revision), &image_id(id), replace)
        .await
        .expect("pinning an image never fails");
}

fn assert_not_found<T: std::fmt::Debug>(got: Result<T, StoreError>, app: &str, what: &str) {
    match got {
        Err(StoreError::NotFound { name }) => {
            assert_eq!(name.as_str(), app, "{what}: the error names the app");
        }
        other => panic!("{what} is `not found`; seen: {other:?}"),
    }
}

fn assert_stale<T: std::fmt::Debug>(
    got: Result<T, StoreError>,
    expected_by_caller: Generation,
    stored: Generation,
    what: &str,
) {
    match got {
        Err(StoreError::StaleGeneration { expected, present, .. }) => {
            let expectation = (expected_by_caller, stored);
            assert_eq!((expected, present), expectation, "{what}: both generations are named");
        }
        other => panic!("{what} is refused as stale; seen: {other:?}"),
    }
}
