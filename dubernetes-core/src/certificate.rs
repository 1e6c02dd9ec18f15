//! Certificates for HTTPS: their values, and the traits of those who issue and check them.

use std::fmt;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::app::{ContentHash, HostName, HostPattern, Secret, pair_hash};
use crate::call::{CallFailure, FailureKind};
use crate::error::{SharedError, chain};
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

/// A certificate and its private key. Two are equal if their hashes are.
///
/// Serializes as the hash alone: what is read back has no contents.
#[derive(Clone)]
pub struct KeyPair {
    hash: ContentHash,
    pem: Option<(Secret, Secret)>,
}

impl KeyPair {
    /// Returns the pair of a certificate, with those that lead to its authority, and a key, both as
    /// PEM.
    pub fn new(chain: Secret, key: Secret) -> Self {
        Self { hash: pair_hash(chain.hash(), key.hash()), pem: Some((chain, key)) }
    }

    /// Returns a pair of which only the hash is known.
    pub fn from_hash(hash: ContentHash) -> Self {
        Self { hash, pem: None }
    }

    /// Returns the hash.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Returns the certificate with those that lead to its authority, and the key, as PEM, if they
    /// are known.
    pub fn pem(&self) -> Option<(&[u8], &[u8])> {
        self.pem.as_ref().map(|(chain, key)| (chain.reveal(), key.reveal()))
    }
}

impl PartialEq for KeyPair {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for KeyPair {}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.hash, f)
    }
}

impl Serialize for KeyPair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.hash)
    }
}

impl<'de> Deserialize<'de> for KeyPair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ContentHash::parse(&text).map(Self::from_hash).map_err(serde::de::Error::custom)
    }
}

/// What the store keeps about the certificate of a host that an authority issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCertificate {
    /// The certificate, if one was ever issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedCertificate>,
    /// The failure of the last attempt, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<IssueFailure>,
}

/// A certificate that an authority issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// Who issued it.
    pub authority: Authority,
    /// The certificate and its key.
    pub pair: KeyPair,
    /// When it becomes valid.
    pub not_before: Timestamp,
    /// When it expires.
    pub not_after: Timestamp,
    /// When it is due to be replaced.
    pub renew_at: Timestamp,
}

impl IssuedCertificate {
    /// Returns the certificate that an authority has just issued.
    pub fn new(authority: Authority, certificate: Certificate) -> Self {
        let Certificate { chain, key, not_before, not_after, renew_at } = certificate;
        let pair = KeyPair::new(Secret::new(chain), key);
        Self { authority, pair, not_before, not_after, renew_at }
    }
}

/// Attempts in a row that have not led to a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueFailure {
    /// The authority.
    pub authority: Authority,
    /// Their number, and the error of the last one.
    #[serde(flatten)]
    pub failure: CallFailure,
    /// When the authority accepts orders again, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

impl IssueFailure {
    /// Returns what is remembered after a further failure.
    pub fn after(
        previous: Option<&Self>,
        authority: Authority,
        error: &CertificateError,
        now: Timestamp,
    ) -> Self {
        let previous = previous.filter(|previous| previous.authority == authority);
        let count = previous.map_or(0, |previous| previous.failure.count).saturating_add(1);
        let retry_at = match error {
            CertificateError::RateLimited { retry_at, .. } => *retry_at,
            _ => None,
        };
        let kind = error.failure_kind();
        let failure = CallFailure { count, at: now, message: chain(error), kind };
        Self { authority, failure, retry_at }
    }

    /// Returns when the next attempt is due. Attempts that cannot succeed before a person acts are
    /// 5 min apart at first, others 30 s; each further one waits twice as long, up to a day or an
    /// hour. An authority such as Let's Encrypt allows 5 failed validations of a host an hour.
    pub fn next_try(&self) -> Timestamp {
        let (first, longest) = match self.failure.kind {
            FailureKind::Transient => {
                (SignedDuration::from_secs(30), SignedDuration::from_hours(1))
            }
            _ => (SignedDuration::from_mins(5), SignedDuration::from_hours(24)),
        };
        let doublings = self.failure.count.saturating_sub(1).min(16);
        let wait = first.saturating_mul(1_i32 << doublings).min(longest);
        let due = self.failure.at.saturating_add(wait).unwrap_or(self.failure.at);
        self.retry_at.map_or(due, |retry_at| retry_at.max(due))
    }
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

    /// Returns whether an account of an authority can be used for orders. Another one has to be
    /// created if not: each belongs to the directory at which it was created. By default it can.
    fn knows(&self, authority: Authority, account: &Secret) -> bool {
        let _ = (authority, account);
        true
    }

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

impl CertificateError {
    /// Classifies the error, for the back-off and the status.
    pub fn failure_kind(&self) -> FailureKind {
        match self {
            Self::Unreachable(_) | Self::RateLimited { .. } | Self::Failed(_) => {
                FailureKind::Transient
            }
            Self::NotVerified { .. } | Self::Refused { .. } => FailureKind::Permanent,
            Self::Ingress(inner) => inner.failure_kind(),
        }
    }
}
