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

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use dubernetes_core::app::{
    Access, AppName, AppSpec, Artifact, Generation, ImageRef, RevisionId, RoutePath,
};
use dubernetes_core::runtime::ImageId;
use dubernetes_core::store::{Put, PutApp, Revision, Store, StoreError, StoredApp, StoredState};

use super::check::{Check, Need, Subject, checks};

use Need::Reopening;

type Opening = BoxFuture<'static, Arc<dyn Store>>;
type Create = dyn Fn() -> Opening + Send + Sync;
type Reopen = dyn Fn(Arc<dyn Store>) -> Opening + Send + Sync;

/// Opens the stores that are checked: each check works on a new one.
pub struct StoreSubject {
    create: Box<Create>,
    reopen: Option<Box<Reopen>>,
}

impl StoreSubject {
    /// Creates a subject from a function that opens a new, empty store. The checks of durability
    /// are skipped.
    pub fn new(create: impl Fn() -> Opening + Send + Sync + 'static) -> Self {
        Self { create: Box::new(create), reopen: None }
    }

    /// Adds the checks of durability. The function closes the store that was created last, which is
    /// its argument, and opens the same data again, as a restart of the process does.
    #[must_use]
    pub fn reopened_by(
        self,
        reopen: impl Fn(Arc<dyn Store>) -> Opening + Send + Sync + 'static,
    ) -> Self {
        Self { reopen: Some(Box::new(reopen)), ..self }
    }

    async fn create(&self) -> Arc<dyn Store> {
        (self.create)().await
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.reopen {
            Some(reopen) => reopen(store).await,
            None => store,
        }
    }
}

impl fmt::Debug for StoreSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSubject").finish_non_exhaustive()
    }
}

#[async_trait]
impl Subject for StoreSubject {
    const SUITE: &'static str = "store";

    fn checks() -> Vec<Check<Self>> {
        let mut all = put_checks();
        all.extend(life_checks());
        all.extend(rollout_checks());
        all.extend(event_checks());
        all.extend(secret_checks());
        all.extend(durability_checks());
        all
    }

    fn meets(&self, need: Need) -> bool {
        need == Reopening && self.reopen.is_some()
    }

    /// Each check has a store of its own, so none leaves anything for the next one.
    async fn clean(&self) {}
}

fn put_checks() -> Vec<Check<StoreSubject>> {
    checks! { |subject| &subject.create().await;
        put::new_app_is_created [] "a new app counts from 1";
        put::same_specification_changes_nothing [] "the same specification writes nothing";
        put::other_specification_counts_generation_and_revision []
            "a change counts generation and revision";
        put::scaling_and_access_keep_revision_and_image [] "scaling makes no revision";
        put::new_revision_is_above_observed_ones []
            "a new revision is above every observed one";
        put::exhausted_revision_numbers_are_refused [] "no revision number is used twice";
        put::stale_generation_is_refused []
            "a put that expects another generation is refused, with both numbers";
        put::generation_zero_refuses_existing_app [] "generation 0 stands for a missing app";
        put::deleted_app_counts_as_missing [] "a deleted app counts as missing";
        put::taken_route_is_refused_and_nothing_is_stored []
            "at most one app has a host and path";
        put::taken_port_is_refused_and_nothing_is_stored []
            "at most one app has a port of the host";
        put::start_cycle_is_refused_and_nothing_is_stored []
            "no app starts after itself, by way of others";
        put::only_same_host_and_path_conflict [] "other hosts and paths are free";
        put::deleted_app_frees_its_route [] "a deleted app has no claim on its route";
        put::every_field_is_kept [] "every field of a specification comes back";
        put::contents_are_kept_with_every_revision []
            "contents of files come back, with each revision its own";
        put::apps_are_separate [] "a change of one app leaves the others";
    }
}

fn life_checks() -> Vec<Check<StoreSubject>> {
    checks! { |subject| &subject.create().await;
        delete::missing_app_is_not_found [] "a missing app is `not found`";
        delete::deleted_app_leaves_a_tombstone []
            "a deleted app leaves a tombstone with its stop settings";
        delete::recreated_app_inherits_nothing [] "a re-created app inherits nothing";
        delete::recreated_app_continues_numbers []
            "generations and revisions continue after a deletion";
        delete::purge_drops_tombstone_and_numbers []
            "a purge drops the tombstone and all revisions";
        delete::purge_changes_only_tombstones [] "a purge changes no live app";
        delete::events_outlive_their_app [] "the events of a purged app stay";
        requests::eviction_is_kept_until_cleared [] "an eviction is kept until it is cleared";
        requests::eviction_needs_a_live_app [] "only replicas of live apps are evicted";
        requests::teardown_deletes_every_app []
            "a teardown replaces every app by a tombstone";
        requests::teardown_refuses_apps_until_finished []
            "no app is stored during a teardown";
        revisions::each_revision_is_kept_as_made [] "a revision is kept as it was made";
        revisions::newest_ten_revisions_are_kept []
            "the newest ten revisions are kept by default";
        revisions::recreated_app_has_own_revisions []
            "the revisions of a deleted app are gone";
        revisions::image_is_pinned_once_unless_replaced []
            "a recorded image is kept unless it is replaced";
        revisions::pinning_older_revision_leaves_the_app []
            "each revision has an image of its own";
        revisions::pinning_missing_revision_changes_nothing []
            "an image for a missing revision is ignored";
        concurrency::one_of_several_puts_wins []
            "of several puts that expect one generation, one succeeds";
        concurrency::one_of_several_apps_gets_a_route []
            "of several apps that want one route, one gets it";
        concurrency::concurrent_changes_are_all_counted []
            "no change of several writers is lost";
        concurrency::concurrent_events_are_all_kept []
            "no event of several writers is lost";
        concurrency::list_shows_one_moment [] "a list shows one moment";
        concurrency::dropped_put_is_whole_or_absent []
            "a put whose caller has gone away happens as a whole, or not at all";
    }
}

fn rollout_checks() -> Vec<Check<StoreSubject>> {
    checks! { |subject| &subject.create().await;
        rollout::result_is_kept_with_app_and_revision []
            "the result of a rollout is kept with app and revision";
        rollout::result_of_other_revision_changes_nothing []
            "a result of another revision is ignored";
        rollout::overtaken_revision_is_superseded []
            "an unfinished revision is superseded by the next one";
        rollout::failed_revision_rolls_back []
            "a rollback is a new revision with the content of an earlier one";
        rollout::failed_spec_is_refused_without_retry []
            "content that has failed is refused without a retry";
        rollout::undo_restores_last_complete_revision []
            "an undo restores the last complete revision, or the given one";
        rollout::undo_keeps_the_start_order [] "an undo leaves the start order";
        rollout::undo_needs_an_earlier_revision []
            "an undo without an earlier revision is refused";
        rollout::restart_is_a_revision_with_same_content []
            "a restart is a new revision with the same content";
        rollout::pause_lasts_until_resume [] "a rollout is paused until it is resumed";
        rollout::history_is_limited_and_keeps_fallback []
            "the history has its length, and the last complete revision";
    }
}

fn event_checks() -> Vec<Check<StoreSubject>> {
    checks! { |subject| &subject.create().await;
        events::events_come_back_in_order [] "events come back in the order of recording";
        events::repeated_event_is_counted [] "an event that repeats is counted";
        events::repeated_events_of_one_call_are_counted []
            "events that repeat in one call are counted";
        events::difference_in_any_field_is_another_event []
            "an event that differs in any field is another one";
        events::repeat_after_an_hour_is_another_event []
            "an event that repeats after an hour is another one";
        events::event_ids_are_never_reused [] "an id of an event is never used again";
        events::query_returns_newest_matches [] "a limit keeps the newest events";
        events::query_selects_by_app [] "events are selected by app";
        events::query_selects_by_time_and_kind [] "events are selected by time and kind";
        watch::every_change_is_streamed [] "every change is streamed once its method returns";
        watch::call_without_effect_is_not_streamed [] "a call without an effect is not streamed";
        watch::each_stream_gets_the_change [] "every stream gets every change";
    }
}

fn secret_checks() -> Vec<Check<StoreSubject>> {
    checks! { |subject| &subject.create().await;
        secrets::secret_is_listed_without_its_value []
            "secrets are listed by name, with their users and without their values";
        secrets::value_is_filled_in_by_put [] "a put fills in the values of secrets";
        secrets::missing_secret_is_refused_and_nothing_is_stored []
            "an app with a missing secret is refused";
        secrets::changed_secret_makes_a_revision_of_each_user []
            "a changed secret makes a revision of each app that uses it";
        secrets::refused_value_changes_nothing []
            "a value that an app cannot use changes nothing";
        secrets::equal_value_changes_nothing [] "an equal value changes nothing";
        secrets::rollback_brings_the_earlier_value_back []
            "a revision keeps the value that it was made with";
        secrets::used_secret_is_not_deleted [] "a secret in use is not deleted";
        secrets::resolving_stores_nothing [] "resolving fills in values, and stores nothing";
        secrets::rotation_keeps_every_value [] "every value can be read after a new key";
        certificates::certificate_comes_back_with_its_key []
            "a certificate comes back with its key";
        certificates::later_certificate_replaces_the_former []
            "the last certificate of a host counts";
        certificates::dropped_certificate_is_gone [] "a dropped certificate is gone";
        certificates::certificate_outlives_apps [] "a certificate is kept until it is dropped";
        certificates::account_is_kept_for_each_authority []
            "each authority has an account of its own";
        certificates::change_of_a_certificate_is_streamed []
            "a change of a certificate is streamed";
    }
}

fn durability_checks() -> Vec<Check<StoreSubject>> {
    checks! { |subject| subject;
        durability::put_survives [Reopening] "an app survives a restart";
        durability::contents_survive [Reopening] "contents of files survive a restart";
        durability::image_survives [Reopening] "a recorded image survives a restart";
        durability::rollout_survives [Reopening]
            "results and commands of rollouts survive a restart";
        durability::events_survive [Reopening] "events and their counts survive a restart";
        durability::deletion_survives [Reopening] "deletions and purges survive a restart";
        durability::eviction_survives [Reopening] "evictions survive a restart";
        durability::secrets_survive [Reopening] "secrets and their values survive a restart";
        durability::new_key_survives [Reopening]
            "everything can be read after a new key and a restart";
        durability::certificates_survive [Reopening]
            "certificates, keys and accounts survive a restart";
        durability::teardown_survives [Reopening] "a teardown survives a restart";
        durability::numbers_continue [Reopening] "numbers and ids continue after a restart";
        durability::expectation_holds_after_restart [Reopening]
            "a put that expects an earlier generation is refused after a restart";
        durability::refused_call_leaves_nothing [Reopening]
            "of a refused call nothing is there after a restart";
        durability::interrupted_call_is_whole_or_absent [Reopening]
            "a call that a restart interrupts has happened as a whole, or not at all";
    }
}

/// Returns a time `second` seconds after an arbitrary moment, with nanoseconds.
fn at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 123_456_789).expect("a legal time")
}

fn name(text: &str) -> AppName {
    AppName::parse(text).expect("a legal name")
}

fn image(text: &str) -> Artifact {
    ImageRef::parse(text).expect("a legal image").into()
}

fn spec(app: &str) -> AppSpec {
    AppSpec::of_artifact(name(app), image("web:1"))
}

fn with_image(app: &str, tag: u64) -> AppSpec {
    AppSpec { artifact: image(&format!("web:{tag}")), ..spec(app) }
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
