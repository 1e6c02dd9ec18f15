//! The guard of an [`Ingress`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::app::{AppName, PortMapping};
use dubernetes_core::ingress::{
    AccessLog, AccessLogQuery, AnswerProblem, ApplyOutcome, Drained, Ingress, IngressError,
    ObservedIngress, Pace, PortSupport, RequestCounts, RouteTable,
};

use super::{Calls, INGRESS, READ, catch_panic};

/// An ingress whose calls have a deadline and do not panic.
#[derive(Debug)]
pub(crate) struct GuardedIngress(pub(crate) Arc<dyn Ingress>, pub(crate) Calls);

#[async_trait]
impl Ingress for GuardedIngress {
    fn pace(&self) -> Pace {
        self.0.pace()
    }

    fn listening(&self) -> Vec<SocketAddr> {
        self.0.listening()
    }

    fn https_port(&self) -> Option<u16> {
        self.0.https_port()
    }

    async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        self.1.guard("apply the routes", INGRESS, self.0.apply(table)).await
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        self.1.guard("observe the ingress", READ, self.0.observe()).await
    }

    async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError> {
        self.1.guard("check whether a replica is drained", READ, self.0.drained(endpoint)).await
    }

    async fn repair(&self) -> Result<Option<String>, IngressError> {
        self.1.guard("repair the ingress", INGRESS, self.0.repair()).await
    }

    async fn port_support(&self) -> Result<PortSupport, IngressError> {
        self.1
            .guard("ask the ingress whether it publishes ports", READ, self.0.port_support())
            .await
    }

    async fn taken_port(&self, port: &PortMapping) -> Option<String> {
        let call = catch_panic(self.0.taken_port(port));
        tokio::time::timeout(READ, call).await.ok()?.ok()?
    }

    async fn answer_problems(&self) -> Result<Vec<AnswerProblem>, IngressError> {
        self.1.guard("read the log of the ingress", READ, self.0.answer_problems()).await
    }

    async fn access_log(&self, query: &AccessLogQuery) -> Result<Option<AccessLog>, IngressError> {
        self.1.guard("read the access log", READ, self.0.access_log(query)).await
    }

    async fn request_counts(
        &self,
    ) -> Result<Option<BTreeMap<AppName, RequestCounts>>, IngressError> {
        self.1.guard("read the counts of requests", READ, self.0.request_counts()).await
    }

    async fn remove(&self) -> Result<(), IngressError> {
        self.1.guard("remove the ingress", INGRESS, self.0.remove()).await
    }
}
