//! The guard of an [`Ingress`].

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::ingress::{
    ApplyOutcome, Drained, Ingress, IngressError, ObservedIngress, Pace, RouteTable,
};

use super::{INGRESS, READ, guard};

/// An ingress whose calls have a deadline and do not panic.
#[derive(Debug)]
pub(crate) struct GuardedIngress(pub(crate) Arc<dyn Ingress>);

#[async_trait]
impl Ingress for GuardedIngress {
    fn pace(&self) -> Pace {
        self.0.pace()
    }

    fn listening(&self) -> Vec<SocketAddr> {
        self.0.listening()
    }

    async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        guard("apply the routes", INGRESS, self.0.apply(table)).await
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        guard("observe the ingress", READ, self.0.observe()).await
    }

    async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError> {
        guard("check whether a replica is drained", READ, self.0.drained(endpoint)).await
    }

    async fn repair(&self) -> Result<Option<String>, IngressError> {
        guard("repair the ingress", INGRESS, self.0.repair()).await
    }

    async fn remove(&self) -> Result<(), IngressError> {
        guard("remove the ingress", INGRESS, self.0.remove()).await
    }
}
