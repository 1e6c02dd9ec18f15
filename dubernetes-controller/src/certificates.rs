//! Obtains certificates, and keeps them in the store.

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::call::FailureKind;
use dubernetes_core::certificate::{
    Authority, CertificateError, CertificateIssuer, IssueFailure, IssuedCertificate,
    StoredCertificate,
};

use crate::adapters::Adapters;
use crate::execute::ActionError;

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

/// Returns the account with an authority. A new one is stored before it is used: authorities limit
/// how many they create.
async fn account(
    adapters: &Adapters,
    issuer: &dyn CertificateIssuer,
    authority: Authority,
) -> Result<Result<Secret, CertificateError>, ActionError> {
    if let Some(account) = adapters.store.authority_account(authority).await? {
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
