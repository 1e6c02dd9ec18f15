//! Certificates of hosts.

use dubernetes_core::app::{AppName, HostPattern};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The certificate of a host that is served over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// Host, or several: `*.a.test`.
    #[schema(value_type = String)]
    pub host: HostPattern,
    /// App that brings the certificate.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Where it comes from.
    pub source: CertificateSource,
    /// Whether the ingress serves it.
    pub state: CertificateState,
    /// Who issued it.
    pub issuer: Option<String>,
    /// When it becomes valid.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
    /// When it expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
    /// When it is due to be replaced, if an authority issued it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub renew_at: Option<Timestamp>,
    /// Why there is no newer one, or none at all.
    pub message: String,
    /// When that is tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try: Option<Timestamp>,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// An authority that speaks ACME.
    Auto,
    /// The authority of the instance.
    Internal,
    /// The file of the app.
    Provided,
}

/// What is served of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum CertificateState {
    /// The ingress serves it.
    Served,
    /// The ingress serves it, and it has expired.
    Expired,
    /// It is being issued, or the ingress does not serve it yet.
    Pending,
    /// It could not be issued, and there is none.
    Failed,
}

impl CertificateSource {
    /// Returns the word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Internal => "internal",
            Self::Provided => "provided",
        }
    }
}

impl CertificateState {
    /// Returns the word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "Served",
            Self::Expired => "Expired",
            Self::Pending => "Pending",
            Self::Failed => "Failed",
        }
    }
}

/// The certificate that clients of the instance's own authority have to trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RootCertificate {
    /// The certificate, as PEM.
    pub pem: String,
}
