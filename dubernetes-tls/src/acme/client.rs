//! The HTTPS client of the authority. Unlike that of `instant-acme` it bounds each request, and
//! sees the state of an answer and when to try again.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dubernetes_core::certificate::CertificateError;
use dubernetes_core::clock::Clock;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpsClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::failed;

/// Time limit for one request.
const LIMIT: Duration = Duration::from_secs(30);

/// The client.
pub(super) struct Client {
    inner: HttpsClient<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    seen: Seen,
    clock: Arc<dyn Clock>,
}

/// When the authority accepts requests again, as its last refusal said.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Option<Timestamp>>>);

impl Seen {
    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, retry_at: Option<Timestamp>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = retry_at;
    }
}

/// What a server says that is no ACME server, or has none behind it.
#[derive(Debug, thiserror::Error)]
#[error("the answer is {0}")]
struct ServerError(StatusCode);

/// The authority did not answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", LIMIT.as_secs())]
struct NoAnswer;

impl Client {
    /// Creates a client that trusts the certificates in `root`, or those that the machine trusts.
    /// The latter are the administrator's to change, and up to date without a new program. A
    /// machine that pulls images has them.
    pub(super) async fn new(
        root: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CertificateError> {
        let config = tokio::task::spawn_blocking(move || tls_config(root));
        let config = config.await.map_err(failed)??;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1();
        let inner = HttpsClient::builder(TokioExecutor::new()).build(connector.build());
        Ok(Self { inner, seen: Seen::default(), clock })
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.clone()
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = tokio::time::timeout(LIMIT, self.inner.request(request));
        let (seen, clock) = (self.seen(), Arc::clone(&self.clock));
        Box::pin(async move {
            let answer = answer.await.map_err(|_| Error::Other(Box::new(NoAnswer)))?;
            let answer = answer.map_err(|error| Error::Other(Box::new(error)))?;
            let (status, headers) = (answer.status(), answer.headers());
            if status.is_server_error() && !is_problem(headers) {
                return Err(Error::Other(Box::new(ServerError(status))));
            }
            let is_refusal = status.is_client_error() || status.is_server_error();
            seen.set(is_refusal.then(|| retry_at(headers, clock.now())).flatten());
            Ok(BytesResponse::from(answer))
        })
    }
}

/// Checks the URL of a directory. `instant-acme` does not expect a bad one.
pub(super) fn check_url(directory: &str) -> Result<(), CertificateError> {
    match is_https_url(directory) {
        true => Ok(()),
        false => Err(failed(format!("the ACME directory `{directory}` is no URL of https"))),
    }
}

pub(crate) fn is_https_url(text: &str) -> bool {
    let uri = text.parse::<Uri>().ok();
    uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some())
}

fn tls_config(root: Option<PathBuf>) -> Result<ClientConfig, CertificateError> {
    // The provider is named: another crate of the program may bring a second one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match root {
        Some(path) => {
            let read = || -> io::Result<RootCertStore> { parse_roots(&std::fs::read(&path)?) };
            let unreadable = |error| {
                failed(format!("cannot read certificates from {}: {error}", path.display()))
            };
            builder.with_root_certificates(read().map_err(unreadable)?)
        }
        None => builder.with_native_roots().map_err(|_| {
            failed("this machine trusts no certificates; install the package ca-certificates")
        })?,
    };
    Ok(builder.with_no_client_auth())
}

fn parse_roots(pem: &[u8]) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("there are none"));
    }
    Ok(roots)
}

/// Whether the body is a problem document of ACME, as opposed to the page of a proxy.
fn is_problem(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/problem+json"))
}

/// Reads `Retry-After`: seconds or a date.
fn retry_at(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => now.checked_add(SignedDuration::from_secs(seconds)).ok(),
        Err(_) => jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_must_be_an_url_of_https() {
        assert!(check_url("https://acme-v02.api.letsencrypt.org/directory").is_ok());
        for bad in ["", "directory", "http://ca.test/dir", "https://", "https://a b/"] {
            let failed = check_url(bad).unwrap_err();
            assert!(matches!(failed, CertificateError::Failed(_)), "{bad}");
        }
    }

    #[test]
    fn time_of_the_next_try_is_seconds_or_a_date() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_at(&headers, now).map(|time| time.to_string())
        };
        assert_eq!(read("3600").as_deref(), Some("2026-01-01T01:00:00Z"));
        assert_eq!(read("Fri, 02 Jan 2026 10:00:00 GMT").as_deref(), Some("2026-01-02T10:00:00Z"));
        assert_eq!(read("soon"), None);
        assert_eq!(retry_at(&HeaderMap::new(), now), None);
    }

    #[test]
    fn file_of_roots_has_certificates() {
        assert_eq!(parse_roots(b"nothing").unwrap_err().to_string(), "there are none");
        let two = [include_bytes!("../../tests/pem/rsa.crt").as_slice(); 2].concat();
        assert_eq!(parse_roots(&two).unwrap().len(), 2);
    }
}
