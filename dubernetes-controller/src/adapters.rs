//! The adapters that a controller works with.

use std::sync::Arc;

use dubernetes_core::certificate::CertificateIssuer;
use dubernetes_core::clock::Clock;
use dubernetes_core::dial::Dialer;
use dubernetes_core::ingress::Ingress;
use dubernetes_core::runtime::ContainerRuntime;
use dubernetes_core::store::Store;

use crate::certificates::AccountLocks;
use crate::guard::{
    Calls, GuardedDialer, GuardedIngress, GuardedIssuer, GuardedRuntime, GuardedStore,
};
use crate::meter::{AdapterKind, Metering};

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
    /// Wraps every adapter so that each call has a deadline and is measured, and a panic becomes an
    /// error.
    pub(crate) fn guarded(self, meter: &Metering) -> Self {
        let calls = |adapter| Calls { adapter, meter: meter.clone() };
        let guard_issuer = |issuer| -> Arc<dyn CertificateIssuer> {
            Arc::new(GuardedIssuer(issuer, calls(AdapterKind::Certificates)))
        };
        Self {
            runtime: Arc::new(GuardedRuntime(self.runtime, calls(AdapterKind::Engine))),
            store: Arc::new(GuardedStore(self.store, calls(AdapterKind::Store))),
            ingress: Arc::new(GuardedIngress(self.ingress, calls(AdapterKind::Ingress))),
            dialer: Arc::new(GuardedDialer(self.dialer)),
            issuer: self.issuer.map(guard_issuer),
            accounts: self.accounts,
            clock: self.clock,
        }
    }
}
