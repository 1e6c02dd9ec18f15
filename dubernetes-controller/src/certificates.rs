//! Obtains certificates, and keeps them in the store.

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::call::FailureKind;
use dubernetes_core::certificate::{
    Authority, CertificateError, CertificateIssuer, IssueFailure, IssuedCertificate,
    StoredCertificate,
};

use tokio::sync::Mutex;

use crate::adapters::Adapters;
use crate::execute::ActionError;

/// A lock for each authority: orders at the same time create one account.
#[derive(Debug, Default)]
pub(crate) struct AccountLocks {
    internal: Mutex<()>,
    acme: Mutex<()>,
}

impl AccountLocks {
    fn of(&self, authority: Authority) -> &Mutex<()> {
        match authority {
            Authority::Internal => &self.internal,
            Authority::Acme => &self.acme,
        }
    }
}

/// Obtains a certificate for a host, and stores it, or why there is none. What was issued before
/// stays until there is another one.
pub(crate) async fn issue(
    adapters: &Adapters,
    host: &HostName,
    authority: Authority,
) -> Result<(), ActionError> {
    let Some(issuer) = &adapters.issuer else {
        let message = "this orchestrator issues no certificates".to_owned();
        return Err(ActionError { kind: FailureKind::Permanent, message });
    };
    let before = adapters.store.list().await?.certificates.remove(host);
    let now = adapters.clock.now();
    let account = account(adapters, issuer.as_ref(), authority).await?;
    let ordered = match account {
        Ok(account) => issuer.issue(authority, &account, host).await,
        Err(error) => Err(error),
    };
    let (stored, result) = match ordered {
        Ok(certificate) => {
            let issued = Some(IssuedCertificate::new(authority, certificate));
            (StoredCertificate { issued, failure: None }, Ok(()))
        }
        Err(error) => {
            let (issued, failed) =
                before.map(|stored| (stored.issued, stored.failure)).unwrap_or_default();
            let failure = IssueFailure::after(failed.as_ref(), authority, &error, now);
            (StoredCertificate { issued, failure: Some(failure) }, Err(error))
        }
    };
    adapters.store.set_certificate(host, &stored).await?;
    Ok(result?)
}

/// Returns the account with an authority. A new one is created if there is none, or one of another
/// directory. It is stored before it is used: authorities limit how many they create.
async fn account(
    adapters: &Adapters,
    issuer: &dyn CertificateIssuer,
    authority: Authority,
) -> Result<Result<Secret, CertificateError>, ActionError> {
    let _lock = adapters.accounts.of(authority).lock().await;
    let stored = adapters.store.authority_account(authority).await?;
    if let Some(account) = stored.filter(|account| issuer.knows(authority, account)) {
        return Ok(Ok(account));
    }
    match issuer.register(authority).await {
        Ok(account) => {
            adapters.store.set_authority_account(authority, &account).await?;
            Ok(Ok(account))
        }
        Err(error) => Ok(Err(error)),
    }
}
