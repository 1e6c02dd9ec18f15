//! Certificates of the instance's own authority, and what is said about those of others.
//!
//! The files in `pem` were made by OpenSSL 3.0.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "certificates/inspect.rs"]
mod inspect;
#[path = "certificates/internal.rs"]
mod internal;

use std::sync::Arc;

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::certificate::{Authority, Certificate, CertificateIssuer as _};
use dubernetes_core::clock::Clock;
use dubernetes_tls::TlsIssuer;
use jiff::Timestamp;

/// A clock that stands still.
#[derive(Debug)]
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn issuer_at(now: &str) -> TlsIssuer {
    TlsIssuer::new("home", Arc::new(Still(now.parse().unwrap())))
}

/// An issuer at the start of 2026 with its authority.
async fn authority() -> (TlsIssuer, Secret) {
    let issuer = issuer_at("2026-01-01T00:00:00Z");
    let account = issuer.register(Authority::Internal).await.unwrap();
    (issuer, account)
}

async fn issue(host: &str) -> Certificate {
    let (issuer, account) = authority().await;
    let host = HostName::parse(host).unwrap();
    issuer.issue(Authority::Internal, &account, &host).await.unwrap()
}
