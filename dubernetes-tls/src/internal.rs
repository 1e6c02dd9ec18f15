//! The instance's own authority: a certificate that signs those of hosts. Without I/O.

use std::sync::Arc;

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::certificate::{Certificate, CertificateError};
use dubernetes_core::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::inspect::{first_certificate, validity};
use crate::{failed, two_thirds};

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How long the authority's own certificate is valid. To replace it, people have to act.
const AUTHORITY_DAYS: i32 = 3652;
/// How long the certificate of a host is valid.
const HOST_DAYS: i32 = 90;
/// How far a client's clock may be behind.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);
/// Longest common name that X.509 allows.
const MAX_COMMON_NAME: usize = 64;

/// The instance's own authority.
#[derive(Debug)]
pub(crate) struct Internal {
    name: String,
    clock: Arc<dyn Clock>,
}

impl Internal {
    pub(crate) fn new(instance: &str, clock: Arc<dyn Clock>) -> Self {
        let name = format!("Dubernetes internal authority {instance}");
        Self { name: name.trim_end().chars().take(MAX_COMMON_NAME).collect(), clock }
    }

    /// Makes the authority's certificate and key, both as PEM in one text.
    pub(crate) fn register(&self) -> Result<Secret, CertificateError> {
        let now = self.clock.now();
        let mut params = params(&self.name, now, add(now, DAY * AUTHORITY_DAYS)?)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Secret::new(certificate.pem() + &key.serialize_pem()))
    }

    /// Makes a certificate for a host.
    pub(crate) fn issue(
        &self,
        account: &Secret,
        host: &HostName,
    ) -> Result<Certificate, CertificateError> {
        let (root, authority_key) = split(account)?;
        let authority_key = KeyPair::from_pem(authority_key).map_err(unreadable)?;
        let issuer = Issuer::from_ca_cert_pem(root, authority_key).map_err(unreadable)?;
        let (_, authority_ends) = validity(root.as_bytes()).map_err(unreadable)?;

        let now = self.clock.now();
        if now >= authority_ends {
            let message = format!("the instance's own authority has expired at {authority_ends}");
            return Err(CertificateError::Refused { message });
        }
        let not_after = add(now, DAY * HOST_DAYS)?.min(authority_ends);
        let name = if host.as_str().len() <= MAX_COMMON_NAME { host.as_str() } else { "" };
        let mut params = params(name, now, not_after)?;
        let san = host.as_str().try_into().map_err(failed)?;
        params.subject_alt_names = vec![rcgen::SanType::DnsName(san)];
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let leaf = params.signed_by(&key, &issuer).map_err(failed)?;

        let chain = leaf.pem() + root;
        let (not_before, not_after) = validity(chain.as_bytes()).map_err(failed)?;
        let renew_at = two_thirds(not_before, not_after);
        let key = Secret::new(key.serialize_pem());
        Ok(Certificate { chain, key, not_before, not_after, renew_at })
    }
}

/// Returns the authority's certificate, out of what [`Internal::register`] has returned.
pub(crate) fn root(account: &Secret) -> Result<String, CertificateError> {
    let (root, _) = split(account)?;
    Ok(root.to_owned())
}

/// Returns what both kinds of certificates have in common. The serial number follows from the key,
/// which is random.
fn params(
    name: &str,
    now: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.not_before = to_time(add(now, -CLOCK_SKEW)?)?;
    params.not_after = to_time(not_after)?;
    Ok(params)
}

/// Splits what [`Internal::register`] has returned into certificate and key.
fn split(account: &Secret) -> Result<(&str, &str), CertificateError> {
    let text = std::str::from_utf8(account.reveal()).map_err(|_| unreadable("not a text"))?;
    let start = text.find("-----BEGIN PRIVATE KEY-----");
    let (root, key) = text.split_at(start.ok_or_else(|| unreadable("no key"))?);
    first_certificate(root.as_bytes()).map_err(unreadable)?;
    Ok((root, key))
}

fn unreadable(error: impl std::fmt::Display) -> CertificateError {
    failed(format!("the instance's own authority cannot be read: {error}"))
}

fn add(time: Timestamp, duration: SignedDuration) -> Result<Timestamp, CertificateError> {
    time.checked_add(duration).map_err(failed)
}

fn to_time(timestamp: Timestamp) -> Result<OffsetDateTime, CertificateError> {
    OffsetDateTime::from_unix_timestamp(timestamp.as_second()).map_err(failed)
}
