//! What a certificate says of itself, and whether a key belongs to it.

use dubernetes_core::app::HostPattern;
use dubernetes_core::certificate::{Authority, CertificateInfo, CertificateIssuer as _};

use super::{authority, issue, issuer_at};

/// A certificate and its key by OpenSSL.
macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../pem/", $name)).as_slice()
    };
}

fn inspect(chain: &[u8], key: &[u8]) -> Result<CertificateInfo, String> {
    issuer_at("2026-01-01T00:00:00Z").inspect(chain, key)
}

#[test]
fn usual_kinds_of_keys_are_read() {
    let pairs = [
        (pem!("rsa.crt"), pem!("rsa.key")),
        (pem!("rsa.crt"), pem!("rsa-pkcs1.key")),
        (pem!("p384.crt"), pem!("p384.key")),
        (pem!("ed25519.crt"), pem!("ed25519.key")),
    ];
    for (chain, key) in pairs {
        let info = inspect(chain, key).unwrap();
        // An address, and a name that no app can have, are left out.
        let hosts = ["shop.example.com", "*.shop.example.com"];
        assert_eq!(info.hosts, hosts.map(|host| HostPattern::parse(host).unwrap()));
        assert_eq!(info.issuer, "Example Authority");
        assert!(info.not_before < info.not_after);
    }
}

#[test]
fn key_of_another_certificate_is_refused() {
    let keys = [pem!("rsa.key"), pem!("p384.key"), pem!("ed25519.key")];
    for key in keys.into_iter().skip(1) {
        let refused = inspect(pem!("rsa.crt"), key).unwrap_err();
        assert_eq!(refused, "the key does not belong to the certificate");
    }
}

#[tokio::test]
async fn key_of_the_same_kind_is_refused() {
    let (one, other) = (issue("one.localhost").await, issue("one.localhost").await);
    assert!(inspect(one.chain.as_bytes(), one.key.reveal()).is_ok());
    let refused = inspect(one.chain.as_bytes(), other.key.reveal()).unwrap_err();
    assert_eq!(refused, "the key does not belong to the certificate");
}

#[tokio::test]
async fn chain_in_the_wrong_order_is_refused() {
    let issued = issue("shop.localhost").await;
    let end = "-----END CERTIFICATE-----\n";
    let (first, second) = issued.chain.split_once(end).unwrap();
    let swapped = format!("{second}{first}{end}");
    let refused = inspect(swapped.as_bytes(), issued.key.reveal()).unwrap_err();
    assert_eq!(refused, "the first certificate is an authority's; put the server's first");
}

#[tokio::test]
async fn self_signed_certificate_of_an_authority_may_be_a_server_s() {
    let (_, account) = authority().await;
    let info = inspect(account.reveal(), account.reveal()).unwrap();
    assert_eq!(info.issuer, "Dubernetes internal authority home");
}

#[test]
fn unusable_files_are_refused_with_the_reason() {
    let (chain, key) = (pem!("rsa.crt"), pem!("rsa.key"));
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".as_slice();
    let not_x509 = b"-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n".as_slice();
    let not_key = b"-----BEGIN PRIVATE KEY-----\naGk=\n-----END PRIVATE KEY-----\n".as_slice();
    let cut = &key[..key.len() / 2];
    let unknown = "the key cannot be read; RSA of 2048 to 4096 bits, ECDSA of P-256 or P-384, and \
                   Ed25519 are possible";
    let encrypted = "the key is encrypted; decrypt it first";
    let cases = [
        (b"".as_slice(), key, "the file has no certificate"),
        (b"\xff\x00garbage", key, "the file has no certificate"),
        (key, chain, "the file has no certificate"),
        (broken, key, "the certificate is damaged: it is no valid PEM"),
        (not_x509, key, "the certificate is damaged: it is no valid X.509"),
        (chain, b"", "the file has no private key"),
        (chain, chain, "the file has no private key"),
        (chain, cut, "the key is damaged: it is no valid PEM"),
        (chain, not_key, unknown),
        (chain, pem!("encrypted.key"), encrypted),
        (chain, pem!("encrypted-pkcs1.key"), encrypted),
    ];
    for (chain, key, expected) in cases {
        assert_eq!(inspect(chain, key).unwrap_err(), expected);
    }
}

#[tokio::test]
async fn root_of_acme_is_trusted_already() {
    let (issuer, account) = authority().await;
    assert_eq!(issuer.root(Authority::Acme, &account).unwrap(), None);
}
