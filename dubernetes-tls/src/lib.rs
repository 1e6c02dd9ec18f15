//! Certificates for HTTPS: from an authority of the instance's own, and from others by ACME.
//!
//! [`TlsIssuer`] is a [`CertificateIssuer`]. The authority of the instance is computed here,
//! without I/O. [`Acme`](Authority::Acme) needs a directory and a [`ChallengeResponder`], which
//! answers the authority's question about a host.

mod acme;
mod inspect;
mod internal;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::certificate::{
    Authority, Certificate, CertificateError, CertificateInfo, CertificateIssuer,
    ChallengeResponder,
};
use dubernetes_core::clock::Clock;
use jiff::Timestamp;

use crate::acme::{Acme, is_https_url};
use crate::internal::Internal;

/// How to reach an authority that speaks ACME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The URL of the authority's directory, `https://…`.
    pub directory: String,
    /// Where the authority may write to, such as `mailto:admin@example.com`.
    pub contact: Option<String>,
    /// A file with the certificates, as PEM, that the HTTPS of the authority itself leads to.
    /// Without it, the machine's own are trusted.
    pub root: Option<PathBuf>,
}

impl AcmeSettings {
    /// Reads the URL of a directory.
    ///
    /// # Errors
    ///
    /// Says what was expected.
    pub fn parse_directory(text: &str) -> Result<String, String> {
        match is_https_url(text) {
            true => Ok(text.to_owned()),
            false => Err("expected a URL such as `https://ca.example.com/directory`".to_owned()),
        }
    }
}

/// Issues and checks certificates.
#[derive(Debug)]
pub struct TlsIssuer {
    internal: Internal,
    acme: Option<Acme>,
    clock: Arc<dyn Clock>,
}

impl TlsIssuer {
    /// Creates an issuer that offers the authority of an instance.
    pub fn new(instance: &str, clock: Arc<dyn Clock>) -> Self {
        Self { internal: Internal::new(instance, Arc::clone(&clock)), acme: None, clock }
    }

    /// Offers certificates by ACME as well.
    #[must_use]
    pub fn with_acme(
        mut self,
        settings: AcmeSettings,
        responder: Arc<dyn ChallengeResponder>,
    ) -> Self {
        self.acme = Some(Acme::new(settings, responder, Arc::clone(&self.clock)));
        self
    }

    fn acme(&self) -> Result<&Acme, CertificateError> {
        let missing = || CertificateError::Refused { message: "no ACME directory is set".into() };
        self.acme.as_ref().ok_or_else(missing)
    }
}

#[async_trait]
impl CertificateIssuer for TlsIssuer {
    fn inspect(&self, chain: &[u8], key: &[u8]) -> Result<CertificateInfo, String> {
        inspect::inspect(chain, key)
    }

    fn offers(&self, authority: Authority) -> bool {
        match authority {
            Authority::Internal => true,
            Authority::Acme => self.acme.is_some(),
        }
    }

    fn knows(&self, authority: Authority, account: &Secret) -> bool {
        match authority {
            Authority::Internal => true,
            Authority::Acme => self.acme.as_ref().is_none_or(|acme| acme.knows(account)),
        }
    }

    async fn register(&self, authority: Authority) -> Result<Secret, CertificateError> {
        match authority {
            Authority::Internal => self.internal.register(),
            Authority::Acme => self.acme()?.register().await,
        }
    }

    async fn issue(
        &self,
        authority: Authority,
        account: &Secret,
        host: &HostName,
    ) -> Result<Certificate, CertificateError> {
        match authority {
            Authority::Internal => self.internal.issue(account, host),
            Authority::Acme => self.acme()?.issue(account, host).await,
        }
    }

    fn root(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<Option<String>, CertificateError> {
        match authority {
            Authority::Internal => internal::root(account).map(Some),
            Authority::Acme => Ok(None),
        }
    }
}

/// Returns when a certificate is due to be replaced: after two thirds of its time.
fn two_thirds(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let lifetime = not_after.duration_since(not_before);
    not_before.saturating_add(lifetime * 2 / 3).unwrap_or(not_after)
}

/// Wraps a failure of this machine or of a library.
fn failed(error: impl fmt::Display) -> CertificateError {
    CertificateError::Failed(dubernetes_core::error::SharedError::text(error.to_string()))
}
