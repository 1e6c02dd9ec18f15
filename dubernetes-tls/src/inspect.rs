//! What a certificate says of itself, and whether a key belongs to it. Pure.
//!
//! Errors repeat nothing of the key: neither PEM's errors nor those of the key's parser are shown.

use dubernetes_core::app::HostPattern;
use dubernetes_core::certificate::CertificateInfo;
use dubernetes_core::error::one_line;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

/// Reads a chain of certificates, the server's first, and checks that the key is the server's.
pub(crate) fn inspect(chain: &[u8], key: &[u8]) -> Result<CertificateInfo, String> {
    let chain = read_chain(chain)?;
    let certificates = chain.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let [first, others @ ..] = certificates.as_slice() else {
        return Err(NO_CERTIFICATE.into());
    };
    let public_key = read_public_key(key)?;
    let belongs = |certificate: &X509Certificate<'_>| *certificate.public_key().raw == public_key;
    // A self-signed certificate may be an authority's and the server's at once.
    if !belongs(first) {
        let is_order_wrong = first.is_ca() || others.iter().any(belongs);
        return Err(if is_order_wrong {
            "the first certificate is an authority's; put the server's first"
        } else {
            "the key does not belong to the certificate"
        }
        .into());
    }
    info(first)
}

/// Returns the first certificate of a PEM text.
pub(crate) fn first_certificate(chain: &[u8]) -> Result<CertificateDer<'static>, String> {
    read_chain(chain)?.into_iter().next().ok_or_else(|| NO_CERTIFICATE.into())
}

/// Returns from when until when the first certificate of a PEM text is valid.
pub(crate) fn validity(chain: &[u8]) -> Result<(Timestamp, Timestamp), String> {
    let info = info(&parse(&first_certificate(chain)?)?)?;
    Ok((info.not_before, info.not_after))
}

const NO_CERTIFICATE: &str = "the file has no certificate";

fn read_chain(chain: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|_| "the certificate is damaged: it is no valid PEM")?;
    if chain.is_empty() {
        return Err(NO_CERTIFICATE.into());
    }
    Ok(chain)
}

fn parse<'a>(certificate: &'a CertificateDer<'static>) -> Result<X509Certificate<'a>, String> {
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|_| "the certificate is damaged: it is no valid X.509")?;
    Ok(certificate)
}

/// Returns the public half of a private key, as in a certificate (SubjectPublicKeyInfo, DER).
fn read_public_key(key: &[u8]) -> Result<Vec<u8>, String> {
    let marker = b"ENCRYPTED";
    if key.windows(marker.len()).any(|window| window == marker) {
        return Err("the key is encrypted; decrypt it first".into());
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(key);
    let key = keys.next().ok_or("the file has no private key")?;
    let key = key.map_err(|_| "the key is damaged: it is no valid PEM")?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| {
        "the key cannot be read; RSA of 2048 to 4096 bits, ECDSA of P-256 or P-384, and Ed25519 \
         are possible"
    })?;
    let public = key.public_key().ok_or("the key has no public half")?;
    Ok(public.to_vec())
}

fn info(certificate: &X509Certificate<'_>) -> Result<CertificateInfo, String> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| "the names of the certificate cannot be read")?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => HostPattern::parse(&name.to_ascii_lowercase()).ok(),
        _ => None,
    });
    let validity = certificate.validity();
    let time = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp())
            .map_err(|_| "the dates of the certificate cannot be read".to_owned())
    };
    Ok(CertificateInfo {
        hosts: hosts.collect(),
        not_before: time(validity.not_before)?,
        not_after: time(validity.not_after)?,
        issuer: describe(certificate.issuer()),
    })
}

/// Returns the name of an authority for people: its common name, its organization, or all of it.
fn describe(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    let chosen = common.or_else(|| name.iter_organization().next());
    let text = chosen.and_then(|part| part.as_str().ok()).map(str::to_owned);
    one_line(&text.unwrap_or_else(|| name.to_string()))
}
