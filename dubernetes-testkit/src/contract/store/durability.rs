//! Checks of durability: a store is closed and opened again, as a restart of the process does.

use std::ops::Deref;
use std::sync::Arc;

use dubernetes_core::app::{
    AppSpec, ConfigFile, Content, ContentRef, ContentSource, FileMode, FilePath, FileTarget,
    Generation, PodName, RevisionId, Secret,
};
use dubernetes_core::certificate::Authority;
use dubernetes_core::event::{Event, EventKind, EventReason, NewEvent};
use dubernetes_core::store::{
    Change, EventQuery, PutApp, Revision, RolloutAction, RolloutCommand, RolloutUpdate, SecretInfo,
    Store, StoredState,
};

use super::certificates::{self, host, issued};
use super::concurrency;
use super::requests::{clear_eviction, evict};
use super::secrets::{secret_name, set_secret, with_secret};
use super::{
    StoreSubject, assert_stale, at, delete, get, list, name, pin, purge, put, request, revisions,
    spec, try_put, with_image, with_route,
};

/// Everything that a store shows. Certificates and keys are beside the state, which has only their
/// hashes.
type Contents = (StoredState, Vec<Revision>, Vec<Event>, Vec<SecretInfo>, Vec<Option<Vec<u8>>>);

async fn contents(store: &Arc<dyn Store>) -> Contents {
    let query = EventQuery { limit: u32::MAX, ..EventQuery::default() };
    let events = store.events(&query).await.expect("events can be read");
    let secrets = store.secrets().await.expect("secrets can be read");
    let state = list(store).await;
    let issued = state.certificates.values().filter_map(|stored| stored.issued.as_ref());
    let mut private: Vec<_> =
        issued.map(|issued| issued.pair.pem().map(|(chain, key)| [chain, key].concat())).collect();
    for authority in [Authority::Acme, Authority::Internal] {
        let account = store.authority_account(authority).await.expect("accounts can be read");
        private.push(account.map(|account| account.reveal().to_vec()));
    }
    let revisions = store.revisions(&name("web")).await.unwrap_or_default();
    (state, revisions, events, secrets, private)
}

fn event(second: i64) -> NewEvent {
    NewEvent {
        time: at(second),
        kind: EventKind::Normal,
        app: Some(name("web")),
        pod: Some(PodName::replica(&name("web"), 1)),
        revision: Some(RevisionId(1)),
        reason: EventReason::Started,
        message: "started".into(),
    }
}

/// Returns an app with a file, whose content a store must not lose.
fn with_file() -> AppSpec {
    let file = FilePath::parse("./web.conf").expect("a legal path");
    let content = Content::Known(Secret::new(&b"canary-4711"[..]));
    let source = ContentRef { source: ContentSource::File(file), content };
    let target = FileTarget::parse("/etc/web.conf").expect("a legal target");
    let files = [(target, ConfigFile { source, mode: FileMode::default(), owner: None })].into();
    AppSpec { files, ..with_route("web", "web.local", "/") }
}

/// A store that is closed and opened again.
struct Durable<'a> {
    subject: &'a StoreSubject,
    store: Arc<dyn Store>,
}

impl Deref for Durable<'_> {
    type Target = Arc<dyn Store>;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl<'a> Durable<'a> {
    async fn create(subject: &'a StoreSubject) -> Self {
        Self { subject, store: subject.create().await }
    }

    async fn reopen(self) -> Self {
        Self { store: self.subject.reopen(self.store).await, ..self }
    }

    /// Reopens the store, and compares everything that it shows.
    async fn expect_same(self, operation: &str) -> Self {
        let before = contents(&self).await;
        let reopened = self.reopen().await;
        let after = contents(&reopened).await;
        assert_eq!(after, before, "the effect of `{operation}` survives a restart");
        reopened
    }
}

pub(super) async fn put_survives(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, spec("web")).await;
    let store = store.expect_same("put of a new app").await;
    put(&store, with_image("web", 2)).await;
    let store = store.expect_same("put of a new revision").await;
    put(&store, AppSpec { replicas: 4, ..with_image("web", 2) }).await;
    let store = store.expect_same("put of other replicas").await;
    let replicas = get(&store, "web").await.spec.replicas;
    assert_eq!(replicas, 4, "the app is there");
}

pub(super) async fn contents_survive(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, with_file()).await;
    let store = store.expect_same("put with a file").await;
    assert_eq!(get(&store, "web").await.spec, with_file(), "the content of the file is there");
    let again = put(&store, with_file()).await;
    assert_eq!(again.change, Change::Unchanged, "equal contents are no change");
}

pub(super) async fn image_survives(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, spec("web")).await;
    pin(&store, "web", 1, "a", false).await;
    let store = store.expect_same("pin_image").await;
    pin(&store, "web", 1, "b", true).await;
    store.expect_same("pin_image with `replace`").await;
}

pub(super) async fn rollout_survives(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, spec("web")).await;
    let web = name("web");
    let done = store.record_rollout(&web, RevisionId(1), &RolloutUpdate::Complete, at(60)).await;
    done.expect("a rollout result is recorded");
    let mut store = store.expect_same("record_rollout").await;
    for (action, is_paused) in [
        (RolloutAction::Pause, true),
        (RolloutAction::Resume, false),
        (RolloutAction::Restart, false),
    ] {
        let operation = format!("update_rollout: {action:?}");
        let (name, newest_seen) = (web.clone(), RevisionId::NONE);
        let command = RolloutCommand { name, action, newest_seen, now: at(70) };
        store.update_rollout(command).await.expect("a legal action succeeds");
        store = store.expect_same(&operation).await;
        assert_eq!(get(&store, "web").await.paused, is_paused, "after `{operation}`");
    }
}

pub(super) async fn events_survive(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    store.append(&[event(1)]).await.expect("events are accepted");
    let store = store.expect_same("append").await;
    store.append(&[event(2)]).await.expect("events are accepted");
    let store = store.expect_same("append of a repeated event").await;
    assert_eq!(contents(&store).await.2[0].count, 2, "the event is counted across a restart");
}

pub(super) async fn deletion_survives(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, spec("web")).await;
    delete(&store, "web").await;
    let store = store.expect_same("delete").await;
    assert!(list(&store).await.tombstones.contains_key(&name("web")), "the tombstone is there");
    purge(&store, "web").await;
    let store = store.expect_same("purge").await;
    assert!(list(&store).await.tombstones.is_empty(), "the tombstone is gone");
}

pub(super) async fn eviction_survives(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, spec("web")).await;
    evict(&store, "web", "a").await;
    let store = store.expect_same("evict").await;
    clear_eviction(&store, "web", "a").await;
    store.expect_same("clear_eviction").await;
}

pub(super) async fn secrets_survive(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    set_secret(&store, "db", "canary-1").await;
    let store = store.expect_same("set_secret").await;
    put(&store, with_secret("web", "db")).await;
    let store = store.expect_same("put with a secret").await;
    set_secret(&store, "db", "canary-2").await;
    let store = store.expect_same("set_secret of a used secret").await;
    put(&store, with_image("web", 2)).await;
    let deleted = store.delete_secret(&secret_name("db")).await;
    deleted.expect("an unused secret can be deleted");
    store.expect_same("delete_secret").await;
}

pub(super) async fn new_key_survives(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, with_file()).await;
    set_secret(&store, "db", "canary").await;
    certificates::set(&store, "a.test", &issued(1)).await;
    let before = contents(&store).await;
    store.rotate_key().await.expect("the key can be rotated");
    let store = store.expect_same("rotate_key").await;
    assert_eq!(contents(&store).await, before, "a new key changes no value");
    put(&store, with_secret("api", "db")).await;
    store.expect_same("put with a secret, after a new key").await;
}

pub(super) async fn certificates_survive(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    let account = Secret::new("canary account");
    let kept = store.set_authority_account(Authority::Acme, &account).await;
    kept.expect("an account is kept");
    let store = store.expect_same("set_authority_account").await;
    certificates::set(&store, "a.test", &issued(1)).await;
    let store = store.expect_same("set_certificate").await;
    certificates::set(&store, "b.test", &certificates::failed()).await;
    let store = store.expect_same("set_certificate of a failure").await;
    let dropped = store.drop_certificate(&host("a.test")).await;
    dropped.expect("a certificate can be dropped");
    store.expect_same("drop_certificate").await;
}

pub(super) async fn teardown_survives(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, spec("web")).await;
    store.request_teardown(at(80)).await.expect("a teardown can be requested");
    let store = store.expect_same("request_teardown").await;
    store.finish_teardown().await.expect("a teardown can be finished");
    store.expect_same("finish_teardown").await;
}

pub(super) async fn numbers_continue(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, spec("web")).await;
    store.append(&[event(1)]).await.expect("events are accepted");
    let last = contents(&store).await.2[0].id;
    delete(&store, "web").await;
    let store = store.reopen().await;
    let web = PutApp { expected_generation: Some(Generation::NONE), ..request(spec("web")) };
    store.put(web).await.expect("a deleted name can be used again");
    let app = get(&store, "web").await;
    assert_eq!(
        (app.generation, app.revision),
        (Generation(2), RevisionId(2)),
        "numbers continue after a restart"
    );
    assert_eq!(revisions(&store, "web").await.len(), 1, "old revisions stay gone");
    store.append(&[event(9_000)]).await.expect("events are accepted");
    let events = contents(&store).await.2;
    let newest = events.last().expect("the new event is kept");
    assert!(newest.id > last, "event ids rise after a restart; seen: {events:?}");
}

pub(super) async fn expectation_holds_after_restart(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, spec("web")).await;
    put(&store, with_image("web", 2)).await;
    let store = store.reopen().await;
    let stale = Some(Generation(1));
    let stale = PutApp { expected_generation: stale, ..request(with_image("web", 3)) };
    let refused = store.put(stale).await;
    assert_stale(refused, Generation(1), Generation(2), "a generation from before");
}

pub(super) async fn refused_call_leaves_nothing(subject: &StoreSubject) {
    let store = Durable::create(subject).await;
    put(&store, with_route("web", "web.local", "/")).await;
    let before = contents(&store).await;
    let refused = try_put(&store, with_route("other", "web.local", "/")).await;
    assert!(refused.is_err(), "a taken route is refused; seen: {refused:?}");
    let refused = try_put(&store, with_secret("other", "missing")).await;
    assert!(refused.is_err(), "an app with a missing secret is refused; seen: {refused:?}");
    let store = store.reopen().await;
    assert_eq!(contents(&store).await, before, "a refused call stores nothing");
}

/// Drops calls at their first await points. What is found then is found after a restart as well,
/// and an app is never there without its revision.
pub(super) async fn interrupted_call_is_whole_or_absent(subject: &StoreSubject) {
    let mut store = Durable::create(subject).await;
    for polls in 1..5 {
        let app = format!("app-{polls}");
        concurrency::poll(
            polls,
            try_put(&store, with_route(&app, "web.local", &format!("/{app}"))),
        )
        .await;
        store = store.reopen().await;
        let state = list(&store).await;
        if state.apps.contains_key(&name(&app)) {
            assert_eq!(revisions(&store, &app).await.len(), 1, "an app has its revision");
        }
        put(&store, with_route(&app, "web.local", &format!("/{app}"))).await;
        store = store.expect_same("put after an interrupted one").await;
    }
}
