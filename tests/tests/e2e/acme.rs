//! Certificates by ACME, from an authority that refuses one nonce in five.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::Arc;

use dubernetes_core::app::{HostName, HostPattern};
use dubernetes_core::certificate::{
    Authority, Certificate, CertificateError, CertificateIssuer as _, ChallengeResponder,
};
use dubernetes_core::clock::SystemClock;
use dubernetes_tests::pebble::{Answers, Pebble};
use dubernetes_tls::{AcmeSettings, TlsIssuer};
use futures_util::{StreamExt as _, stream};

const HOST: &str = "shop.example.test";

/// An authority, what answers its challenges, and who orders certificates of it.
struct Fixture {
    pebble: Pebble,
    answers: Arc<Answers>,
    issuer: TlsIssuer,
}

impl Fixture {
    async fn start(test: &str) -> Option<Self> {
        let answers = Arc::new(Answers::start().await);
        let pebble = Pebble::start(test, answers.port(), &[HOST]).await?;
        let issuer = issuer(pebble.settings(), &answers);
        Some(Self { pebble, answers, issuer })
    }

    async fn order(&self, host: &str) -> Result<Certificate, CertificateError> {
        let account = self.issuer.register(Authority::Acme).await?;
        let host = HostName::parse(host).unwrap();
        self.issuer.issue(Authority::Acme, &account, &host).await
    }
}

fn issuer(settings: AcmeSettings, answers: &Arc<Answers>) -> TlsIssuer {
    let responder: Arc<dyn ChallengeResponder> = Arc::<Answers>::clone(answers);
    TlsIssuer::new("test", Arc::new(SystemClock)).with_acme(settings, responder)
}

#[tokio::test]
async fn certificate_is_issued_although_nonces_are_refused() {
    let Some(f) = Fixture::start("certificate_is_issued_although_nonces_are_refused").await else {
        return;
    };
    let account = f.issuer.register(Authority::Acme).await.unwrap();
    let host = HostName::parse(HOST).unwrap();
    // The second order uses the authority's memory that the host was checked.
    for _ in 0..2 {
        let issued = f.issuer.issue(Authority::Acme, &account, &host).await.unwrap();
        let info = f.issuer.inspect(issued.chain.as_bytes(), issued.key.reveal()).unwrap();
        assert_eq!(info.hosts, [HostPattern::parse(HOST).unwrap()]);
        assert!(info.issuer.starts_with("Pebble Intermediate CA"), "{}", info.issuer);
        assert_eq!((info.not_before, info.not_after), (issued.not_before, issued.not_after));
        assert!(issued.not_before < issued.renew_at && issued.renew_at < issued.not_after);
    }
    let (published, left) = f.answers.counts();
    assert!(published > 0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn failed_check_says_why_and_withdraws_the_answer() {
    let Some(f) = Fixture::start("failed_check_says_why_and_withdraws_the_answer").await else {
        return;
    };
    f.answers.fail();
    for (host, reason) in [(HOST, "wrong"), ("unknown.example.test", "unknown.example.test")] {
        let error = f.order(host).await.unwrap_err();
        let CertificateError::NotVerified { host: named, message } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(named.as_str(), host);
        assert!(message.contains(reason), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    let (published, left) = f.answers.counts();
    assert!(published >= 2);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn fifty_hosts_get_certificates_although_checks_are_slow() {
    let test = "fifty_hosts_get_certificates_although_checks_are_slow";
    let answers = Arc::new(Answers::start().await);
    let hosts: Vec<_> = (0..50).map(|number| format!("shop-{number}.example.test")).collect();
    let names: Vec<_> = hosts.iter().map(String::as_str).collect();
    let Some(pebble) = Pebble::start_slow(test, answers.port(), &names).await else { return };
    let issuer = issuer(pebble.settings(), &answers);
    let account = issuer.register(Authority::Acme).await.unwrap();
    let orders = stream::iter(&hosts).map(|host| {
        let host = HostName::parse(host).unwrap();
        let (issuer, account) = (&issuer, &account);
        async move { issuer.issue(Authority::Acme, account, &host).await.unwrap() }
    });
    let issued: Vec<_> = orders.buffered(25).collect().await;
    for (host, issued) in hosts.iter().zip(issued) {
        let info = issuer.inspect(issued.chain.as_bytes(), issued.key.reveal()).unwrap();
        assert_eq!(info.hosts, [HostPattern::parse(host).unwrap()]);
    }
    assert_eq!(answers.counts().1, 0);
}

#[tokio::test]
async fn authority_that_is_away_or_not_trusted_is_unreachable() {
    let test = "authority_that_is_away_or_not_trusted_is_unreachable";
    let Some(f) = Fixture::start(test).await else { return };
    let account = f.issuer.register(Authority::Acme).await.unwrap();

    let stranger = TlsIssuer::new("stranger", Arc::new(SystemClock));
    let root = stranger.register(Authority::Internal).await.unwrap();
    std::fs::write(f.pebble.root(), root.reveal()).unwrap();
    let error = f.issuer.register(Authority::Acme).await.unwrap_err();
    let shown = dubernetes_core::error::chain(&error);
    assert!(matches!(error, CertificateError::Unreachable(_)), "{error:?}");
    assert!(shown.contains("certificate"), "{shown}");

    f.pebble.stop().await;
    let host = HostName::parse(HOST).unwrap();
    let error = f.issuer.issue(Authority::Acme, &account, &host).await.unwrap_err();
    assert!(matches!(error, CertificateError::Unreachable(_)), "{error:?}");
    assert_eq!(f.answers.counts(), (0, 0));
}
