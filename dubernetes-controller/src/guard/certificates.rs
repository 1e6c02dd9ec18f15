//! The guard of a [`CertificateIssuer`].

use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::certificate::{
    Authority, Certificate, CertificateError, CertificateInfo, CertificateIssuer,
};

use super::{Calls, ORDER};

/// An issuer whose calls have a deadline and do not panic. What it does without waiting is passed
/// on as it is.
#[derive(Debug)]
pub(crate) struct GuardedIssuer(pub(crate) Arc<dyn CertificateIssuer>, pub(crate) Calls);

#[async_trait]
impl CertificateIssuer for GuardedIssuer {
    fn inspect(&self, chain: &[u8], key: &[u8]) -> Result<CertificateInfo, String> {
        self.0.inspect(chain, key)
    }

    fn offers(&self, authority: Authority) -> bool {
        self.0.offers(authority)
    }

    fn knows(&self, authority: Authority, account: &Secret) -> bool {
        self.0.knows(authority, account)
    }

    async fn register(&self, authority: Authority) -> Result<Secret, CertificateError> {
        self.1.guard("create an account", ORDER, self.0.register(authority)).await
    }

    async fn issue(
        &self,
        authority: Authority,
        account: &Secret,
        host: &HostName,
    ) -> Result<Certificate, CertificateError> {
        self.1.guard("order a certificate", ORDER, self.0.issue(authority, account, host)).await
    }

    fn root(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<Option<String>, CertificateError> {
        self.0.root(authority, account)
    }
}
