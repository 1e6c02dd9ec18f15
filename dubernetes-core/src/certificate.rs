//! Certificates for HTTPS: their values, and the traits of those who issue and check them.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::app::{HostName, HostPattern, Secret};
use crate::error::SharedError;
use crate::ingress::IngressError;

/// Who issues the certificate of a host.
///
/// Displays and serializes as `internal` or `acme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// The instance's own authority, which clients have to be told to trust.
    Internal,
    /// An authority that proves the control of a host by ACME, such as Let's Encrypt.
    Acme,
}

impl Authority {
    /// Returns the name, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Acme => "acme",
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A certificate with its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate and those that lead to its authority, as PEM, the certificate first.
    pub chain: String,
    /// The private key, as PEM.
    pub key: Secret,
    /// When the certificate becomes valid.
    pub not_before: Timestamp,
    /// When the certificate expires.
    pub not_after: Timestamp,
    /// When the certificate is due to be replaced: after two thirds of its time, or when the
    /// authority says.
    pub renew_at: Timestamp,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateInfo {
    /// The hosts that the certificate is for.
    pub hosts: Vec<HostPattern>,
    /// When the certificate becomes valid.
    pub not_before: Timestamp,
    /// When the certificate expires.
    pub not_after: Timestamp,
    /// Who issued the certificate, for people.
    pub issuer: String,
}

impl CertificateInfo {
    /// Returns whether the certificate is for every host of a pattern.
    pub fn covers(&self, pattern: &HostPattern) -> bool {
        let covers = |own: &HostPattern| match (own, pattern) {
            (HostPattern::AnyLabel(_), HostPattern::Exact(name)) => own.matches(name.as_str()),
            _ => own == pattern,
        };
        self.hosts.iter().any(covers)
    }
}

/// Issues and checks certificates.
///
/// # Deadlines and cancel safety
///
/// Callers bound every call and may drop it at any await point. A dropped call may leave an unused
/// account or order with the authority, and nothing else.
#[async_trait]
pub trait CertificateIssuer: fmt::Debug + Send + Sync {
    /// Checks a certificate and its key: both can be read, and belong together. Pure.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence fragment such as `the key does not belong to the certificate`.
    /// It repeats nothing of the key.
    fn inspect(&self, chain: &[u8], key: &[u8]) -> Result<CertificateInfo, String>;

    /// Returns whether certificates of an authority are offered.
    fn offers(&self, authority: Authority) -> bool;

    /// Creates what all orders of an authority share, which the caller keeps: an account, or the
    /// authority's own certificate and key.
    ///
    /// # Errors
    ///
    /// Those of [`CertificateError`].
    async fn register(&self, authority: Authority) -> Result<Secret, CertificateError>;

    /// Obtains a certificate for a host. May take minutes.
    ///
    /// # Errors
    ///
    /// Those of [`CertificateError`].
    async fn issue(
        &self,
        authority: Authority,
        account: &Secret,
        host: &HostName,
    ) -> Result<Certificate, CertificateError>;

    /// Returns the certificate, as PEM, that clients of an authority have to trust; `None` if they
    /// do without being told.
    ///
    /// # Errors
    ///
    /// The account cannot be read.
    fn root(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<Option<String>, CertificateError>;
}

/// Shows an authority that the caller controls a host, by an answer to
/// `http://HOST/.well-known/acme-challenge/TOKEN`.
#[async_trait]
pub trait ChallengeResponder: fmt::Debug + Send + Sync {
    /// Answers requests for `token` with `answer`, at every host. Returns once it does.
    async fn publish(&self, token: &str, answer: &str) -> Result<(), IngressError>;

    /// Ends the answer. A missing one is success.
    async fn withdraw(&self, token: &str) -> Result<(), IngressError>;
}

/// Why there is no certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The authority does not answer, or not as it should. Retry later.
    #[error("the certificate authority cannot be reached")]
    Unreachable(#[source] SharedError),
    /// The authority limits how many certificates it issues. Retry later, not before `retry_at`.
    #[error("the certificate authority refuses further orders for now: {message}")]
    RateLimited {
        /// The authority's message, one line.
        message: String,
        /// When the authority accepts orders again, if it says so.
        retry_at: Option<Timestamp>,
    },
    /// The authority could not verify that the host leads here. Retry later; a person may have to
    /// act.
    #[error("the certificate authority could not verify {host}: {message}")]
    NotVerified {
        /// The host.
        host: HostName,
        /// The authority's message, one line.
        message: String,
    },
    /// The authority refuses the order or the account. A person has to act.
    #[error("the certificate authority refused: {message}")]
    Refused {
        /// The authority's message, one line.
        message: String,
    },
    /// The ingress could not answer the authority's question. Retry.
    #[error("the ingress could not answer the certificate authority")]
    Ingress(#[from] IngressError),
    /// Any other failure. Retry.
    #[error("the certificate could not be made")]
    Failed(#[source] SharedError),
}
