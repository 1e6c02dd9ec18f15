//! The adapters that a controller works with.

use std::sync::Arc;

use dubernetes_core::certificate::CertificateIssuer;
use dubernetes_core::clock::Clock;
use dubernetes_core::dial::Dialer;
use dubernetes_core::ingress::Ingress;
use dubernetes_core::runtime::ContainerRuntime;
use dubernetes_core::store::Store;

use crate::certificates::AccountLocks;
use crate::guard::{GuardedDialer, GuardedIngress, GuardedIssuer, GuardedRuntime, GuardedStore};

/// The world outside the controller. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Adapters {
    /// Runs the containers.
    pub(crate) runtime: Arc<dyn ContainerRuntime>,
    /// Holds the desired state.
    pub(crate) store: Arc<dyn Store>,
    /// The reverse proxy.
    pub(crate) ingress: Arc<dyn Ingress>,
    /// Probes replicas.
    pub(crate) dialer: Arc<dyn Dialer>,
    /// Issues and checks certificates, if that is offered.
    pub(crate) issuer: Option<Arc<dyn CertificateIssuer>>,
    /// Held while an account is created.
    pub(crate) accounts: Arc<AccountLocks>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Adapters {
    /// Wraps every adapter so that each call has a deadline and a panic becomes an error.
    pub(crate) fn guarded(self) -> Self {
        Self {
            runtime: Arc::new(GuardedRuntime(self.runtime)),
            store: Arc::new(GuardedStore(self.store)),
            ingress: Arc::new(GuardedIngress(self.ingress)),
            dialer: Arc::new(GuardedDialer(self.dialer)),
            issuer: self.issuer.map(guard_issuer),
            accounts: self.accounts,
            clock: self.clock,
        }
    }
}

fn guard_issuer(issuer: Arc<dyn CertificateIssuer>) -> Arc<dyn CertificateIssuer> {
    Arc::new(GuardedIssuer(issuer))
}
