//! Checks of durability: a store is closed and opened again, as a restart of the process does.

use std::sync::Arc;

use dubernetes_core::app::{
    AppSpec, ConfigFile, Content, ContentRef, ContentSource, FileMode, FilePath, FileTarget,
    Generation, PodName, RevisionId, Secret,
};
use dubernetes_core::certificate::Authority;
use dubernetes_core::event::{Event, EventKind, EventReason, NewEvent};
use dubernetes_core::store::{
    EventQuery, PutApp, Revision, RolloutAction, RolloutCommand, RolloutUpdate, SecretInfo, Store,
    StoredState,
};

use super::certificates::{self, host, issued};
use super::requests::{clear_eviction, evict};
use super::secrets::{secret_name, set_secret, with_secret};
use super::{
    at, delete, get, list, name, pin, purge, put, request, revisions, spec, with_image, with_route,
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

/// Reopens the store after each change, and compares everything that it shows.
pub(super) async fn every_change_survives<R, Fut>(mut store: Arc<dyn Store>, reopen: &R)
where
    R: Fn(Arc<dyn Store>) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    for (step, name) in STEPS.into_iter().enumerate() {
        change(&store, step).await;
        let before = contents(&store).await;
        store = reopen(store).await;
        let after = contents(&store).await;
        assert_eq!(after, before, "the effect of `{name}` survives a restart");
    }
}

const STEPS: [&str; 24] = [
    "put with a file",
    "pin_image",
    "record_rollout",
    "append",
    "append of a repeated event",
    "put of a new revision",
    "update_rollout",
    "put of another app",
    "delete",
    "purge",
    "evict",
    "clear_eviction",
    "set_secret",
    "put with a secret",
    "set_secret of a used secret",
    "rotate_key",
    "delete_secret",
    "set_authority_account",
    "set_certificate",
    "set_certificate of a failure",
    "rotate_key with a certificate",
    "drop_certificate",
    "request_teardown",
    "finish_teardown",
];

async fn change(store: &Arc<dyn Store>, step: usize) {
    let web = name("web");
    match step {
        0 => drop(put(store, with_file()).await),
        1 => pin(store, "web", 1, "a", false).await,
        2 => {
            let recorded =
                store.record_rollout(&web, RevisionId(1), &RolloutUpdate::Complete, at(60)).await;
            recorded.expect("a rollout result is recorded");
        }
        3 => store.append(&[event(1)]).await.expect("events are accepted"),
        4 => store.append(&[event(2)]).await.expect("events are accepted"),
        5 => drop(put(store, with_image("web", 2)).await),
        6 => {
            let action = RolloutAction::Pause;
            let command =
                RolloutCommand { name: web, action, newest_seen: RevisionId::NONE, now: at(70) };
            store.update_rollout(command).await.expect("a rollout can be paused");
        }
        7 => drop(put(store, spec("other")).await),
        8 => delete(store, "other").await,
        9 => purge(store, "other").await,
        10 => evict(store, "web", "a").await,
        11 => clear_eviction(store, "web", "a").await,
        12 => drop(set_secret(store, "db", "canary-1").await),
        13 => drop(put(store, with_secret("web", "db")).await),
        14 => drop(set_secret(store, "db", "canary-2").await),
        15 => drop(store.rotate_key().await.expect("the key can be rotated")),
        16 => {
            put(store, with_image("web", 2)).await;
            let deleted = store.delete_secret(&secret_name("db")).await;
            deleted.expect("an unused secret can be deleted");
        }
        _ => change_certificates(store, step).await,
    }
}

async fn change_certificates(store: &Arc<dyn Store>, step: usize) {
    match step {
        17 => {
            let account = Secret::new("canary account");
            let kept = store.set_authority_account(Authority::Acme, &account).await;
            kept.expect("an account is kept");
        }
        18 => certificates::set(store, "a.test", &issued(1)).await,
        19 => certificates::set(store, "b.test", &certificates::failed()).await,
        20 => drop(store.rotate_key().await.expect("the key can be rotated")),
        21 => {
            let dropped = store.drop_certificate(&host("a.test")).await;
            dropped.expect("a certificate can be dropped");
        }
        22 => store.request_teardown(at(80)).await.expect("a teardown can be requested"),
        _ => store.finish_teardown().await.expect("a teardown can be finished"),
    }
}

pub(super) async fn numbers_continue<R, Fut>(store: Arc<dyn Store>, reopen: &R)
where
    R: Fn(Arc<dyn Store>) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    put(&store, spec("web")).await;
    store.append(&[event(1)]).await.expect("events are accepted");
    let last = contents(&store).await.2[0].id;
    delete(&store, "web").await;
    let store = reopen(store).await;
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
