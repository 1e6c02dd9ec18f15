//! Certificates of users.

use dubernetes_core::app::{Content, ContentRef, ContentSource, ProvidedTls, Secret, SecretName};
use dubernetes_core::store::{SetSecret, StoreError};
use dubernetes_testkit::build::app;

use super::*;

fn file(name: &str, text: &str) -> ContentRef {
    let content = Content::Known(Secret::new(text.to_owned()));
    ContentRef { source: ContentSource::File(name.parse().unwrap()), content }
}

fn provided(chain: &str, key: &str) -> Tls {
    let (cert, key) = (file("./a.pem", chain), file("./a.key", key));
    Tls::Provided(Box::new(ProvidedTls { cert, key }))
}

fn secret(name: &str) -> SecretName {
    SecretName::parse(name).unwrap()
}

fn from_secrets() -> Tls {
    let [cert, key] = ["chain", "key"].map(|name| ContentRef::secret(secret(name)));
    Tls::Provided(Box::new(ProvidedTls { cert, key }))
}

/// Returns a certificate that is valid from and until hours from now, and its key.
fn pair(on: &TestOrchestrator, hosts: &[&str], from: i64, until: i64) -> (String, String) {
    let at = |hours| on.clock.now().saturating_add(SignedDuration::from_hours(hours)).unwrap();
    on.issuer.provided(hosts, at(from), at(until))
}

/// Returns bad certificates with their keys, and what is said about each.
fn bad(on: &TestOrchestrator) -> Vec<(String, String, &'static str)> {
    let good = pair(on, &["a.test"], -1, 99);
    let other = pair(on, &["a.test"], -1, 99);
    let of_other_host = pair(on, &["b.test", "*.c.test"], -1, 99);
    let expired = pair(on, &["a.test"], -9, -1);
    let early = pair(on, &["a.test"], 48, 99);
    vec![
        (good.0.clone(), other.1, "the key does not belong to the certificate"),
        ("no PEM".to_owned(), good.1, "the certificate is no PEM"),
        (of_other_host.0, of_other_host.1, "not for `a.test`, but for b.test, *.c.test"),
        (expired.0, expired.1, "the certificate expired on 2025-12-31"),
        (early.0, early.1, "the certificate is valid from 2026-01-03 on"),
    ]
}

#[track_caller]
fn assert_refused(refused: &StoreError, said: &str) {
    let StoreError::Invalid { problems, .. } = refused else { panic!("{refused:?}") };
    let [problem] = &problems.problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.path, "access.tls");
    assert!(problem.message.contains(said) && problem.hint.is_some(), "{problem:?}");
}

#[tokio::test(start_paused = true)]
async fn certificate_of_a_user_is_served_and_nothing_ordered() {
    let on = start();
    let (chain, key) = pair(&on, &["*.a.test", "a.test"], -1, 99);
    on.apply(&web(&["a.test", "*.a.test", "x.a.test"], provided(&chain, &key))).await.unwrap();
    on.until_ready("web").await;
    for host in ["a.test", "*.a.test", "x.a.test"] {
        let served = served(&on, host).unwrap();
        assert_eq!(served.pem(), Some((chain.as_bytes(), key.as_bytes())), "{host}");
    }
    assert_eq!((on.issuer.registrations(), on.issuer.orders().len()), (0, 0));
    on.runtime.take_journal();
    let (chain, key) = pair(&on, &["*.a.test", "a.test"], -1, 999);
    on.apply(&web(&["a.test", "*.a.test", "x.a.test"], provided(&chain, &key))).await.unwrap();
    on.until_ready("web").await;
    let replaced = served(&on, "a.test").unwrap();
    assert_eq!(replaced.pem(), Some((chain.as_bytes(), key.as_bytes())));
    assert_eq!(on.runtime.take_journal(), NOTHING, "another certificate touches no replica");
}

#[tokio::test(start_paused = true)]
async fn certificate_that_does_not_fit_is_refused_and_nothing_changes() {
    let on = start();
    on.apply(&web(&["a.test"], INTERNAL)).await.unwrap();
    on.until_ready("web").await;
    let before = on.store.list().await.unwrap();
    for (chain, key, said) in bad(&on) {
        let refused = on.apply(&web(&["a.test"], provided(&chain, &key))).await.unwrap_err();
        assert_refused(&refused, said);
        assert_eq!(on.store.list().await.unwrap(), before, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn certificate_in_secrets_that_does_not_fit_is_refused() {
    let on = start();
    let set = async |name, text: String| {
        let set = SetSecret::new(secret(name), Secret::new(text), on.clock.now()).unwrap();
        on.handle.set_secret(set).await.unwrap();
    };
    for (chain, key, said) in bad(&on) {
        set("chain", chain).await;
        set("key", key).await;
        let refused = on.apply(&web(&["a.test"], from_secrets())).await.unwrap_err();
        assert_refused(&refused, said);
        assert!(on.store.list().await.unwrap().apps.is_empty(), "{said}");
    }
    let (chain, key) = pair(&on, &["a.test"], -1, 99);
    set("chain", chain.clone()).await;
    set("key", key.clone()).await;
    on.apply(&web(&["a.test"], from_secrets())).await.unwrap();
    on.until_ready("web").await;
    let served = served(&on, "a.test").unwrap();
    assert_eq!(served.pem(), Some((chain.as_bytes(), key.as_bytes())));
}

#[tokio::test(start_paused = true)]
async fn tls_is_refused_where_nothing_listens_for_https() {
    let on = TestOrchestrator::start();
    on.runtime.add_image("web:1", Behaviour::default());
    for tls in [AUTO, INTERNAL, provided("no PEM", "no PEM")] {
        let refused = on.apply(&web(&["a.test"], tls)).await.unwrap_err();
        assert_refused(&refused, "the orchestrator takes no requests over HTTPS");
    }
    on.apply(&app("web", "web:1", 1)).await.unwrap();
    on.until_ready("web").await;
}

#[tokio::test(start_paused = true)]
async fn app_whose_certificate_has_expired_can_be_scaled_and_not_applied() {
    let on = start();
    let (chain, key) = pair(&on, &["a.test"], -1, 1);
    let spec = AppSpec { replicas: 0, ..web(&["a.test"], provided(&chain, &key)) };
    on.apply(&spec).await.unwrap();
    tokio::time::sleep(2 * HOUR).await;
    assert_refused(&on.apply(&spec).await.unwrap_err(), "the certificate expired on 2026-01-01");
    on.handle.scale(&spec.name, 1).await.unwrap();
    until_ready_within(&on, MINUTE).await;
}
