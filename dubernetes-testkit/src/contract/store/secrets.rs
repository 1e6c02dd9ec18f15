//! Checks of secrets.

use std::sync::Arc;

use dubernetes_core::app::{
    AppSpec, Content, ContentRef, EnvName, EnvValue, RevisionId, Secret, SecretName,
};
use dubernetes_core::certificate::Authority;
use dubernetes_core::store::{
    Change, RevisionCause, RolloutAction, RolloutCommand, SecretInfo, SecretPut, SetSecret, Store,
    StoreError,
};

use super::{at, delete, get, list, name, put, revisions, spec, try_put};

pub(super) fn secret_name(text: &str) -> SecretName {
    SecretName::parse(text).expect("a legal name")
}

fn request(secret: &str, value: &str) -> SetSecret {
    let value = Secret::new(value.to_owned());
    SetSecret::new(secret_name(secret), value, at(10)).expect("a legal value")
}

pub(super) async fn set_secret(store: &Arc<dyn Store>, secret: &str, value: &str) -> SecretPut {
    store.set_secret(request(secret, value)).await.expect("a legal secret is stored")
}

async fn secrets(store: &Arc<dyn Store>) -> Vec<SecretInfo> {
    store.secrets().await.expect("secrets can be read")
}

fn key() -> EnvName {
    EnvName::parse("KEY").expect("a legal name")
}

pub(super) fn with_secret(app: &str, secret: &str) -> AppSpec {
    let reference = ContentRef::secret(secret_name(secret));
    AppSpec { env: [(key(), EnvValue::From(reference))].into(), ..spec(app) }
}

/// Returns the value that the app has in its environment.
fn value_of(spec: &AppSpec) -> String {
    let environment = spec.environment();
    let value = environment.secret.get("KEY").map(|value| value.reveal().to_vec());
    String::from_utf8(value.unwrap_or_default()).expect("the values are text")
}

pub(super) async fn secret_is_listed_without_its_value(store: &Arc<dyn Store>) {
    assert_eq!(secrets(store).await, [], "a new store has none");
    let created = set_secret(store, "db", "canary").await;
    assert_eq!((created.change, created.apps.len()), (Change::Created, 0), "no app uses it");
    set_secret(store, "a", "other").await;
    put(store, with_secret("web", "db")).await;
    put(store, with_secret("api", "db")).await;
    put(store, with_secret("old", "db")).await;
    delete(store, "old").await;
    let found = secrets(store).await;
    let names: Vec<_> = found.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["a", "db"], "they are ordered by name");
    let expected = SecretInfo {
        name: secret_name("db"),
        hash: Secret::new("canary").hash(),
        updated_at: at(10),
        used_by: vec![name("api"), name("web")],
    };
    assert_eq!(found[1], expected, "live apps use it");
}

pub(super) async fn value_is_filled_in_by_put(store: &Arc<dyn Store>) {
    set_secret(store, "db", "canary").await;
    let stored = put(store, with_secret("web", "db")).await.app;
    assert_eq!(value_of(&stored.spec), "canary", "the answer has the value");
    assert_eq!(get(store, "web").await.spec, stored.spec, "`get` returns the value");
    assert_eq!(revisions(store, "web").await[0].spec, stored.spec, "the revision keeps it");
    let again = put(store, with_secret("web", "db")).await;
    assert_eq!(again.change, Change::Unchanged, "the same secret is no change");
}

pub(super) async fn missing_secret_is_refused_and_nothing_is_stored(store: &Arc<dyn Store>) {
    match try_put(store, with_secret("web", "db")).await {
        Err(StoreError::Invalid { name, problems }) => {
            assert_eq!(name.as_str(), "web", "the error names the app");
            assert_eq!(problems.problems[0].path, "env.KEY", "the error has the place");
        }
        other => panic!("an app with a missing secret is refused; seen: {other:?}"),
    }
    assert!(list(store).await.apps.is_empty(), "a refused put stores nothing");
}

pub(super) async fn changed_secret_makes_a_revision_of_each_user(store: &Arc<dyn Store>) {
    set_secret(store, "db", "one").await;
    set_secret(store, "mail", "one").await;
    put(store, with_secret("api", "db")).await;
    put(store, with_secret("web", "db")).await;
    let other = put(store, with_secret("other", "mail")).await.app;
    put(store, with_secret("old", "db")).await;
    delete(store, "old").await;
    let seen = [(name("web"), RevisionId(7))].into();
    let set = SetSecret { newest_seen: seen, ..request("db", "two") };
    let changed = store.set_secret(set).await.expect("a secret can be changed");
    assert_eq!(changed.change, Change::Configured, "the secret changed");
    let apps: Vec<_> =
        changed.apps.iter().map(|app| (app.spec.name.as_str(), app.revision.0)).collect();
    assert_eq!(apps, [("api", 2), ("web", 8)], "a revision is above the observed ones");
    for app in &changed.apps {
        assert_eq!(value_of(&app.spec), "two", "the app has the new value");
        let cause = RevisionCause::SecretChange { secret: secret_name("db") };
        assert_eq!(app.rollout.cause, cause, "the cause names the secret");
        assert_eq!(get(store, app.spec.name.as_str()).await, *app, "the change is stored");
    }
    let values: Vec<_> =
        revisions(store, "api").await.iter().map(|kept| value_of(&kept.spec)).collect();
    assert_eq!(values, ["one", "two"], "each revision keeps its value");
    assert_eq!(get(store, "other").await, other, "other apps stay as they are");
    assert!(!list(store).await.apps.contains_key(&name("old")), "a deleted app stays deleted");
}

pub(super) async fn refused_value_changes_nothing(store: &Arc<dyn Store>) {
    set_secret(store, "db", "one").await;
    put(store, with_secret("web", "db")).await;
    let before = (secrets(store).await, list(store).await);
    let refused = store.set_secret(request("db", "a NUL character: \0")).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "seen: {refused:?}");
    assert_eq!((secrets(store).await, list(store).await), before, "nothing changed");
}

pub(super) async fn equal_value_changes_nothing(store: &Arc<dyn Store>) {
    set_secret(store, "db", "one").await;
    put(store, with_secret("web", "db")).await;
    let before = (secrets(store).await, list(store).await);
    let set = SetSecret { now: at(99), ..request("db", "one") };
    let same = store.set_secret(set).await.expect("an equal value is accepted");
    assert_eq!((same.change, same.apps.len()), (Change::Unchanged, 0), "nothing changed");
    assert_eq!((secrets(store).await, list(store).await), before, "nothing is written");
}

pub(super) async fn rollback_brings_the_earlier_value_back(store: &Arc<dyn Store>) {
    set_secret(store, "db", "one").await;
    put(store, with_secret("web", "db")).await;
    set_secret(store, "db", "two").await;
    let undo = RolloutCommand {
        name: name("web"),
        action: RolloutAction::Undo { to: Some(RevisionId(1)) },
        newest_seen: RevisionId::NONE,
        now: at(20),
    };
    let undone = store.update_rollout(undo).await.expect("an earlier revision can be restored");
    assert_eq!(value_of(&undone.app.spec), "one", "the revision brings its value back");
    assert_eq!(secrets(store).await[0].hash, Secret::new("two").hash(), "the secret stays");
    let scaled = AppSpec { replicas: 3, ..undone.app.spec.into_inner() };
    let scaled = put(store, scaled).await.app;
    assert_eq!(value_of(&scaled.spec), "one", "a known value is kept");
    let again = set_secret(store, "db", "two").await;
    assert_eq!(again.change, Change::Unchanged, "the secret has this value");
    assert_eq!(again.apps.len(), 1, "the app gets it again");
    assert_eq!(value_of(&get(store, "web").await.spec), "two", "the app has it");
}

pub(super) async fn used_secret_is_not_deleted(store: &Arc<dyn Store>) {
    let db = secret_name("db");
    let missing = store.delete_secret(&db).await;
    assert!(matches!(missing, Err(StoreError::SecretNotFound { .. })), "seen: {missing:?}");
    set_secret(store, "db", "one").await;
    put(store, with_secret("web", "db")).await;
    match store.delete_secret(&db).await {
        Err(StoreError::SecretInUse { apps, .. }) => assert_eq!(apps, [name("web")]),
        other => panic!("a used secret is not deleted; seen: {other:?}"),
    }
    delete(store, "web").await;
    store.delete_secret(&db).await.expect("a secret of deleted apps can be deleted");
    assert_eq!(secrets(store).await, [], "it is gone");
}

pub(super) async fn resolving_stores_nothing(store: &Arc<dyn Store>) {
    set_secret(store, "db", "one").await;
    let resolved = store.resolve_secrets(with_secret("web", "db")).await;
    let resolved = resolved.expect("the secret is there");
    let reference = resolved.env[&key()].content_ref().expect("it is a reference");
    assert_eq!(reference.content, Content::Known(Secret::new("one")), "the value is filled in");
    let missing = store.resolve_secrets(with_secret("web", "none")).await;
    assert!(matches!(missing, Err(StoreError::Invalid { .. })), "seen: {missing:?}");
    assert!(list(store).await.apps.is_empty(), "nothing is stored");
}

pub(super) async fn rotation_keeps_every_value(store: &Arc<dyn Store>) {
    store.rotate_key().await.expect("an empty store can rotate");
    set_secret(store, "db", "one").await;
    put(store, with_secret("web", "db")).await;
    set_secret(store, "db", "two").await;
    let account = Secret::new("canary account");
    let kept = store.set_authority_account(Authority::Acme, &account).await;
    kept.expect("an account is kept");
    let all = async || {
        let account = store.authority_account(Authority::Acme).await;
        let account = account.expect("an account can be read");
        (secrets(store).await, list(store).await, revisions(store, "web").await, account)
    };
    let before = all().await;
    assert_eq!(before.3, Some(account), "the account is there");
    store.rotate_key().await.expect("the key can be rotated");
    let after = all().await;
    assert_eq!(after, before, "every value can still be read");
    set_secret(store, "db", "three").await;
    assert_eq!(value_of(&get(store, "web").await.spec), "three", "and changed");
}
