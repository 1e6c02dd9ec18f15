//! The instance's own authority.

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::{HostName, HostPattern, Secret};
use dubernetes_core::certificate::{Authority, CertificateError, CertificateIssuer as _};
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::{authority, issue, issuer_at};

/// Verifies a chain as a client does that trusts `root`.
fn verify(chain: &str, root: &str, host: &str, now: &str) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let seconds = now.parse::<Timestamp>().unwrap().as_second();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()));
    verifier.verify_server_cert(&chain[0], &chain[1..], &host, &[], now).map(drop)
}

#[tokio::test]
async fn client_that_trusts_the_root_accepts_the_certificate() {
    let (issuer, account) = authority().await;
    let host = HostName::parse("shop.localhost").unwrap();
    let issued = issuer.issue(Authority::Internal, &account, &host).await.unwrap();
    let root = issuer.root(Authority::Internal, &account).unwrap().unwrap();
    let check = |host, now| verify(&issued.chain, &root, host, now);

    assert_eq!(check("shop.localhost", "2026-01-01T00:00:00Z"), Ok(()));
    assert_eq!(check("shop.localhost", "2025-12-31T23:30:00Z"), Ok(()), "a clock that is behind");
    assert!(check("other.localhost", "2026-01-01T00:00:00Z").is_err());
    assert!(check("shop.localhost", "2026-04-02T00:00:00Z").is_err(), "it has expired");
    let (_, stranger) = authority().await;
    let stranger = issuer.root(Authority::Internal, &stranger).unwrap().unwrap();
    assert!(verify(&issued.chain, &stranger, "shop.localhost", "2026-01-01T00:00:00Z").is_err());
    assert!(!root.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn dates_follow_from_the_clock() {
    let issued = issue("shop.localhost").await;
    assert_eq!(issued.not_before.to_string(), "2025-12-31T23:00:00Z");
    assert_eq!(issued.not_after.to_string(), "2026-04-01T00:00:00Z");
    assert_eq!(issued.renew_at.to_string(), "2026-03-01T23:40:00Z");
}

#[tokio::test]
async fn key_belongs_to_the_certificate_of_the_host() {
    let issued = issue("shop.localhost").await;
    let issuer = issuer_at("2026-01-01T00:00:00Z");
    let info = issuer.inspect(issued.chain.as_bytes(), issued.key.reveal()).unwrap();
    assert_eq!(info.hosts, [HostPattern::parse("shop.localhost").unwrap()]);
    assert_eq!(info.issuer, "Dubernetes internal authority home");
    assert_eq!((info.not_before, info.not_after), (issued.not_before, issued.not_after));
}

#[tokio::test]
async fn long_host_gets_a_certificate() {
    let host = format!("{0}.{0}.example.com", "a".repeat(60));
    let (issuer, account) = authority().await;
    let name = HostName::parse(&host).unwrap();
    let issued = issuer.issue(Authority::Internal, &account, &name).await.unwrap();
    let root = issuer.root(Authority::Internal, &account).unwrap().unwrap();
    assert_eq!(verify(&issued.chain, &root, &host, "2026-01-01T00:00:00Z"), Ok(()));
}

#[tokio::test]
async fn certificate_does_not_outlive_its_authority() {
    let (_, account) = authority().await;
    let host = HostName::parse("shop.localhost").unwrap();
    let late = issuer_at("2035-12-01T00:00:00Z");
    let issued = late.issue(Authority::Internal, &account, &host).await.unwrap();
    assert_eq!(issued.not_after.to_string(), "2036-01-01T00:00:00Z");

    let too_late = issuer_at("2036-01-01T00:00:00Z");
    let refused = too_late.issue(Authority::Internal, &account, &host).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the certificate authority refused: the instance's own authority has expired at \
         2036-01-01T00:00:00Z"
    );
}

#[tokio::test]
async fn damaged_account_is_a_failure_that_repeats_nothing() {
    let issuer = issuer_at("2026-01-01T00:00:00Z");
    let host = HostName::parse("shop.localhost").unwrap();
    for account in ["", "hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END"] {
        let account = Secret::new(account);
        let failed = issuer.issue(Authority::Internal, &account, &host).await.unwrap_err();
        assert!(matches!(failed, CertificateError::Failed(_)), "{failed:?}");
        let shown = dubernetes_core::error::chain(&failed);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(issuer.root(Authority::Internal, &account).is_err());
    }
}

#[tokio::test]
async fn acme_without_settings_is_not_offered() {
    let issuer = issuer_at("2026-01-01T00:00:00Z");
    assert!(issuer.offers(Authority::Internal));
    assert!(!issuer.offers(Authority::Acme));
    assert!(issuer.register(Authority::Acme).await.is_err());
}
