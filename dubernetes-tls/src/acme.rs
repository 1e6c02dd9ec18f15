//! Certificates by ACME (RFC 8555) with HTTP-01 challenges.

mod client;
mod problem;
mod published;

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::certificate::{Certificate, CertificateError, ChallengeResponder};
use dubernetes_core::clock::Clock;
use dubernetes_core::error::SharedError;
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, CertificateIdentifier,
    ChallengeType, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use jiff::Timestamp;

pub(crate) use self::client::is_https_url;
use self::client::{Client, Seen};
use self::published::Published;
use crate::inspect::{first_certificate, validity};
use crate::{AcmeSettings, failed, two_thirds};

/// Time limit for one call, whatever the authority does.
const LIMIT: Duration = Duration::from_secs(120);
/// How often an order is tried while the authority refuses nonces. `instant-acme` sends each
/// request three times, which is not enough for all requests of an order.
const ATTEMPTS: u32 = 4;
/// How long to wait for the authority's check of the host, and for the certificate.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(300))
    .backoff(1.5)
    .timeout(Duration::from_secs(60));

/// An authority that speaks ACME.
#[derive(Debug)]
pub(crate) struct Acme {
    settings: AcmeSettings,
    responder: Arc<dyn ChallengeResponder>,
    clock: Arc<dyn Clock>,
}

/// Why an order ended without a certificate.
enum Stopped {
    /// By the authority or on the way to it.
    Acme(instant_acme::Error),
    /// By anything else, or by the authority, and classified already.
    Classified(CertificateError),
}

impl From<instant_acme::Error> for Stopped {
    fn from(error: instant_acme::Error) -> Self {
        Self::Acme(error)
    }
}

impl From<CertificateError> for Stopped {
    fn from(error: CertificateError) -> Self {
        Self::Classified(error)
    }
}

impl Acme {
    pub(crate) fn new(
        settings: AcmeSettings,
        responder: Arc<dyn ChallengeResponder>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { settings, responder, clock }
    }

    /// Returns whether an account is one of the directory, as far as it says so.
    pub(crate) fn knows(&self, account: &Secret) -> bool {
        let value = serde_json::from_slice(account.reveal()).unwrap_or_default();
        self.other_directory(&value).is_none()
    }

    /// Creates an account, and returns its credentials.
    pub(crate) async fn register(&self) -> Result<Secret, CertificateError> {
        let contact: Vec<&str> = self.settings.contact.as_deref().into_iter().collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let create = async {
            let mut attempt = 1;
            loop {
                let (builder, seen) = self.connect().await?;
                let created = builder.create(&new, self.settings.directory.clone(), None).await;
                match created {
                    Ok((_, credentials)) => return Ok(credentials),
                    Err(error) if problem::is_bad_nonce(&error) && attempt < ATTEMPTS => {
                        attempt += 1;
                    }
                    Err(error) => return Err(problem::classify(&error, seen.retry_at())),
                }
            }
        };
        let credentials = within_limit(create).await?;
        serde_json::to_vec(&credentials).map(Secret::new).map_err(failed)
    }

    /// Obtains a certificate for a host.
    pub(crate) async fn issue(
        &self,
        account: &Secret,
        host: &HostName,
    ) -> Result<Certificate, CertificateError> {
        let mut published = Published::new(Arc::clone(&self.responder));
        let issued = within_limit(self.try_orders(account, host, &mut published)).await;
        published.withdraw().await;
        issued
    }

    async fn try_orders(
        &self,
        account: &Secret,
        host: &HostName,
        published: &mut Published,
    ) -> Result<Certificate, CertificateError> {
        let mut attempt = 1;
        loop {
            let (builder, seen) = self.connect().await?;
            let stopped = match self.order(builder, account, host, published).await {
                Ok(certificate) => return Ok(certificate),
                Err(stopped) => stopped,
            };
            match stopped {
                Stopped::Acme(error) if problem::is_bad_nonce(&error) && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Stopped::Acme(error) => return Err(problem::classify(&error, seen.retry_at())),
                Stopped::Classified(error) => return Err(error),
            }
        }
    }

    async fn order(
        &self,
        builder: AccountBuilder,
        account: &Secret,
        host: &HostName,
        published: &mut Published,
    ) -> Result<Certificate, Stopped> {
        let account = builder.from_credentials(self.credentials(account)?).await?;
        let identifiers = [Identifier::Dns(host.as_str().to_owned())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        if let Err(stopped) = prove(&mut order, published).await {
            return Err(match stopped {
                Stopped::Acme(error) if !problem::is_bad_nonce(&error) => {
                    why_not_verified(&mut order, host).await.unwrap_or(Stopped::Acme(error))
                }
                stopped => stopped,
            });
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&POLL).await?;
        let (not_before, not_after) = validity(chain.as_bytes()).map_err(unusable)?;
        let renew_at = renew_at(&account, &chain, not_before, not_after).await;
        Ok(Certificate { chain, key: Secret::new(key), not_before, not_after, renew_at })
    }

    /// Reads the account. It names the directory that it was created at, which must be the one of
    /// the settings.
    fn credentials(&self, account: &Secret) -> Result<AccountCredentials, CertificateError> {
        // The parser's message may repeat the key.
        let unreadable = |_| failed("the account of the certificate authority cannot be read");
        let value: serde_json::Value =
            serde_json::from_slice(account.reveal()).map_err(unreadable)?;
        if let Some(other) = self.other_directory(&value) {
            let own = &self.settings.directory;
            let message = format!("the account is of {other}, and the directory is {own}");
            return Err(CertificateError::Refused { message });
        }
        serde_json::from_value(value).map_err(unreadable)
    }

    /// Returns the directory of an account, unless it is the own one.
    fn other_directory<'a>(&self, account: &'a serde_json::Value) -> Option<&'a str> {
        let directory = account.get("directory").and_then(serde_json::Value::as_str);
        directory.filter(|other| *other != self.settings.directory)
    }

    async fn connect(&self) -> Result<(AccountBuilder, Seen), CertificateError> {
        client::check_url(&self.settings.directory)?;
        let root = self.settings.root.clone();
        let client = Client::new(root, Arc::clone(&self.clock)).await?;
        let seen = client.seen();
        Ok((Account::builder_with_http(Box::new(client)), seen))
    }
}

/// Answers the challenges of an order, and waits until the authority has checked the answers.
async fn prove(order: &mut Order, published: &mut Published) -> Result<(), Stopped> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
            let message = "it offers no check over HTTP (http-01) for this host".to_owned();
            return Err(CertificateError::Refused { message }.into());
        };
        let answer = challenge.key_authorization();
        published.publish(&challenge.token, answer.as_str()).await?;
        challenge.set_ready().await?;
    }
    match order.poll_ready(&POLL).await? {
        OrderStatus::Ready => Ok(()),
        _ => Err(instant_acme::Error::Str("the order became invalid").into()),
    }
}

/// Returns the authority's reason for a failed check; `None` if no check has failed.
async fn why_not_verified(order: &mut Order, host: &HostName) -> Option<Stopped> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let mut attempt = 1;
        let failed = loop {
            match authorization.refresh().await {
                Ok(state) => break state.challenges.iter().find_map(|one| one.error.clone()),
                Err(error) if problem::is_bad_nonce(&error) && attempt < ATTEMPTS => attempt += 1,
                Err(_) => return None,
            }
        };
        if let Some(problem) = failed {
            return Some(problem::not_verified(host, &problem).into());
        }
    }
    None
}

/// Returns when the certificate is due to be replaced: when the authority says (RFC 9773), else
/// after two thirds of its time.
async fn renew_at(
    account: &Account,
    chain: &str,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Timestamp {
    let suggested = async {
        let leaf = first_certificate(chain.as_bytes()).ok()?;
        let id = CertificateIdentifier::try_from(&leaf).ok()?;
        let (info, _) = account.renewal_info(&id).await.ok()?;
        let window = info.suggested_window;
        let start = window.start.unix_timestamp();
        let end = window.end.unix_timestamp().max(start);
        Timestamp::from_second(fastrand::i64(start..=end)).ok()
    };
    // An authority that is slow to say so does not delay the certificate.
    let suggested = tokio::time::timeout(Duration::from_secs(10), suggested).await;
    let usable = |time: &Timestamp| *time > not_before && *time < not_after;
    let suggested = suggested.ok().flatten().filter(usable);
    suggested.unwrap_or_else(|| two_thirds(not_before, not_after))
}

async fn within_limit<T>(
    call: impl Future<Output = Result<T, CertificateError>>,
) -> Result<T, CertificateError> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(result) => result,
        Err(_) => Err(unusable("no result within 2 minutes")),
    }
}

/// Wraps an answer, or none, that is not what an authority should say.
fn unusable(text: impl Into<String>) -> CertificateError {
    CertificateError::Unreachable(SharedError::text(text))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use dubernetes_core::clock::SystemClock;
    use dubernetes_core::error::chain;
    use dubernetes_core::ingress::IngressError;

    use super::*;

    /// Is not asked: no order gets that far.
    #[derive(Debug)]
    struct Unused;

    #[async_trait]
    impl ChallengeResponder for Unused {
        async fn publish(&self, _: &str, _: &str) -> Result<(), IngressError> {
            Err(IngressError::NotAcknowledged)
        }

        async fn withdraw(&self, _: &str) -> Result<(), IngressError> {
            Err(IngressError::NotAcknowledged)
        }
    }

    /// An authority at a port without a listener.
    fn acme() -> Acme {
        let settings = AcmeSettings {
            directory: "https://127.0.0.1:1/dir".to_owned(),
            contact: None,
            root: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pem/rsa.crt").into()),
        };
        Acme::new(settings, Arc::new(Unused), Arc::new(SystemClock))
    }

    async fn issue(account: &str) -> CertificateError {
        let host = HostName::parse("shop.example.com").unwrap();
        acme().issue(&Secret::new(account.to_owned()), &host).await.unwrap_err()
    }

    #[tokio::test]
    async fn authority_that_does_not_answer_is_unreachable() {
        let error = acme().register().await.unwrap_err();
        assert!(matches!(error, CertificateError::Unreachable(_)), "{error:?}");
        assert!(chain(&error).contains("refused"), "{}", chain(&error));
    }

    #[tokio::test]
    async fn account_of_another_authority_is_refused() {
        let account = r#"{"id": "1", "key_pkcs8": "", "directory": "https://other.test/dir"}"#;
        let error = issue(account).await;
        let expected = "the certificate authority refused: the account is of \
                        https://other.test/dir, and the directory is https://127.0.0.1:1/dir";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn account_is_known_at_its_own_directory_alone() {
        let knows = |account: &str| acme().knows(&Secret::new(account.to_owned()));
        assert!(knows(r#"{"id": "1", "directory": "https://127.0.0.1:1/dir"}"#));
        assert!(!knows(r#"{"id": "1", "directory": "https://other.test/dir"}"#));
        // Another account would hide that this one is damaged.
        assert!(knows("damaged"));
    }

    #[tokio::test]
    async fn damaged_account_is_a_failure_that_repeats_nothing() {
        for account in ["", "hunter2", r#"{"id": "1", "key_pkcs8": "hunter2"}"#] {
            let error = issue(account).await;
            assert!(matches!(error, CertificateError::Failed(_)), "{error:?}");
            assert!(!chain(&error).contains("hunter2"), "{}", chain(&error));
        }
    }
}
