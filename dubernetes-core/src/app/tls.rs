//! Where the certificate of a route comes from.

use serde::{Deserialize, Serialize};

use super::text::word_enum;
use super::{ContentHash, ContentRef, Secret};
use crate::certificate::{Authority, KeyPair};

/// Where the certificate of a route comes from.
///
/// Serializes as `auto`, `internal` or `none`, or as a mapping of `cert` and `key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tls {
    /// An authority issues it.
    Issued(IssuedTls),
    /// The user has it.
    Provided(Box<ProvidedTls>),
}

word_enum!(
    /// Which authority issues a certificate, if one does.
    IssuedTls of "access.tls" {
        /// A public authority, or another that speaks ACME.
        Auto = "auto",
        /// The authority of the instance.
        Internal = "internal",
        /// None: the hosts are served over HTTP alone, whatever the default of the orchestrator is.
        None = "none",
    }
);

/// The certificate of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvidedTls {
    /// The certificate and those that lead to its authority, as PEM, the certificate first.
    pub cert: ContentRef,
    /// Its private key, as PEM.
    pub key: ContentRef,
}

impl Tls {
    /// Returns the authority that issues the certificate, unless the user has it.
    pub fn authority(&self) -> Option<Authority> {
        match self {
            Self::Issued(IssuedTls::Auto) => Some(Authority::Acme),
            Self::Issued(IssuedTls::Internal) => Some(Authority::Internal),
            Self::Issued(IssuedTls::None) | Self::Provided(_) => None,
        }
    }

    /// Returns `auto`, `internal`, `none`, or `provided` for the certificate of a user.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Issued(IssuedTls::Auto) => "auto",
            Self::Issued(IssuedTls::Internal) => "internal",
            Self::Issued(IssuedTls::None) => "none",
            Self::Provided(_) => "provided",
        }
    }

    /// Returns whether hosts with it are served over HTTPS.
    pub fn is_on(&self) -> bool {
        *self != Self::Issued(IssuedTls::None)
    }

    /// Returns the references to contents, each with its key.
    pub fn content_refs(&self) -> impl Iterator<Item = (&'static str, &ContentRef)> {
        let provided = if let Self::Provided(provided) = self { Some(provided) } else { None };
        provided.into_iter().flat_map(|provided| [("cert", &provided.cert), ("key", &provided.key)])
    }

    pub(crate) fn content_refs_mut(
        &mut self,
    ) -> impl Iterator<Item = (&'static str, &mut ContentRef)> {
        let provided = if let Self::Provided(provided) = self { Some(provided) } else { None };
        provided
            .into_iter()
            .flat_map(|provided| [("cert", &mut provided.cert), ("key", &mut provided.key)])
    }
}

impl ProvidedTls {
    /// Returns certificate and key, as far as they are known: at least by their hashes.
    pub fn pair(&self) -> Option<KeyPair> {
        if let (Some(cert), Some(key)) = (self.cert.known_content(), self.key.known_content()) {
            return Some(KeyPair::new(cert.clone(), key.clone()));
        }
        let hashes = (self.cert.hash()?, self.key.hash()?);
        Some(KeyPair::from_hash(pair_hash(hashes.0, hashes.1)))
    }
}

/// Returns one hash for certificate and key.
pub(crate) fn pair_hash(cert: ContentHash, key: ContentHash) -> ContentHash {
    Secret::new(format!("{cert} {key}")).hash()
}
