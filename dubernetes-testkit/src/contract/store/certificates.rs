//! Checks of certificates, and of the accounts with their authorities.

use std::sync::Arc;

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::certificate::{
    Authority, Certificate, CertificateError, IssueFailure, IssuedCertificate, StoredCertificate,
};
use dubernetes_core::store::Store;
use jiff::SignedDuration;

use super::watch::has_changed;
use super::{at, delete, list, put, spec};

pub(super) fn host(text: &str) -> HostName {
    HostName::parse(text).expect("a legal host")
}

/// Returns a certificate whose parts contain `number`.
pub(super) fn issued(number: u32) -> StoredCertificate {
    let certificate = Certificate {
        chain: format!("canary certificate {number}"),
        key: Secret::new(format!("canary key {number}")),
        not_before: at(0),
        not_after: at(1_000),
        renew_at: at(i64::from(number)),
    };
    let issued = Some(IssuedCertificate::new(Authority::Acme, certificate));
    StoredCertificate { issued, failure: None }
}

/// Returns a failure that says when the authority accepts orders again.
pub(super) fn failed() -> StoredCertificate {
    let retry_at = at(60).saturating_add(SignedDuration::from_hours(1)).ok();
    let error = CertificateError::RateLimited { message: "too many".to_owned(), retry_at };
    let failure = Some(IssueFailure::after(None, Authority::Acme, &error, at(60)));
    StoredCertificate { issued: None, failure }
}

pub(super) async fn set(store: &Arc<dyn Store>, name: &str, certificate: &StoredCertificate) {
    store.set_certificate(&host(name), certificate).await.expect("a certificate is kept");
}

/// Returns what is kept about a host, with certificate and key as text: two pairs are equal if
/// their hashes are.
async fn kept(store: &Arc<dyn Store>, name: &str) -> Option<(StoredCertificate, Option<String>)> {
    let stored = list(store).await.certificates.remove(&host(name))?;
    let pem = stored.issued.as_ref().map(|issued| {
        let (chain, key) = issued.pair.pem().expect("certificate and key are known");
        format!("{}, {}", String::from_utf8_lossy(chain), String::from_utf8_lossy(key))
    });
    Some((stored, pem))
}

pub(super) async fn certificate_comes_back_with_its_key(store: &Arc<dyn Store>) {
    assert_eq!(kept(store, "a.test").await, None, "a new store has none");
    set(store, "a.test", &issued(1)).await;
    set(store, "b.test", &failed()).await;
    let pem = Some("canary certificate 1, canary key 1".to_owned());
    assert_eq!(kept(store, "a.test").await, Some((issued(1), pem)), "`list` has it");
    assert_eq!(kept(store, "b.test").await, Some((failed(), None)), "a failure is kept alone");
}

pub(super) async fn later_certificate_replaces_the_former(store: &Arc<dyn Store>) {
    set(store, "a.test", &issued(1)).await;
    set(store, "other.test", &issued(7)).await;
    let both = StoredCertificate { failure: failed().failure, ..issued(1) };
    set(store, "a.test", &both).await;
    let pem = Some("canary certificate 1, canary key 1".to_owned());
    assert_eq!(kept(store, "a.test").await, Some((both, pem)), "a failure keeps the certificate");
    set(store, "a.test", &issued(2)).await;
    let pem = Some("canary certificate 2, canary key 2".to_owned());
    assert_eq!(kept(store, "a.test").await, Some((issued(2), pem)), "the failure is over");
    let other = kept(store, "other.test").await.map(|(stored, _)| stored);
    assert_eq!(other, Some(issued(7)), "another host keeps its own");
}

pub(super) async fn dropped_certificate_is_gone(store: &Arc<dyn Store>) {
    set(store, "a.test", &issued(1)).await;
    set(store, "b.test", &failed()).await;
    for name in ["a.test", "a.test", "never.test"] {
        store.drop_certificate(&host(name)).await.expect("a missing one is no error");
    }
    let left: Vec<_> = list(store).await.certificates.into_keys().collect();
    assert_eq!(left, [host("b.test")], "only the dropped one is gone");
}

pub(super) async fn certificate_outlives_apps(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    set(store, "a.test", &issued(1)).await;
    delete(store, "web").await;
    let found = kept(store, "a.test").await.map(|(stored, _)| stored);
    assert_eq!(found, Some(issued(1)), "it is kept until it is dropped");
}

pub(super) async fn account_is_kept_for_each_authority(store: &Arc<dyn Store>) {
    let account = async |authority| {
        let found = store.authority_account(authority).await.expect("an account can be read");
        found.map(|account| String::from_utf8_lossy(account.reveal()).into_owned())
    };
    let keep = async |authority, text: &str| {
        let kept = store.set_authority_account(authority, &Secret::new(text.to_owned())).await;
        kept.expect("an account is kept");
    };
    assert_eq!(account(Authority::Acme).await, None, "a new store has none");
    keep(Authority::Acme, "first").await;
    assert_eq!(account(Authority::Internal).await, None, "each authority has its own");
    keep(Authority::Internal, "own").await;
    keep(Authority::Acme, "second").await;
    assert_eq!(account(Authority::Acme).await.as_deref(), Some("second"), "the later one counts");
    assert_eq!(account(Authority::Internal).await.as_deref(), Some("own"));
}

pub(super) async fn change_of_a_certificate_is_streamed(store: &Arc<dyn Store>) {
    let mut watch = store.changes();
    set(store, "a.test", &issued(1)).await;
    assert!(has_changed(&mut watch), "a certificate is streamed");
    store.drop_certificate(&host("a.test")).await.expect("a certificate can be dropped");
    assert!(has_changed(&mut watch), "a dropped certificate is streamed");
    store.drop_certificate(&host("a.test")).await.expect("a missing one is no error");
    assert!(!has_changed(&mut watch), "dropping nothing is not streamed");
}
