//! Mocks of the traits, by mockall: for tests that ask which calls were made, how often, and in which order.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use dubernetes_core::app::{AppName, Duration, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes_core::event::{Event, NewEvent};
use dubernetes_core::ingress::{ApplyOutcome, Ingress, IngressError, ObservedIngress, RouteTable};
use dubernetes_core::runtime::{
    ConnectTarget, Connection, Container, ContainerId, ContainerRequest, ContainerRuntime,
    EngineVersion, ExecRequest, ExecSession, FileEntry, ImageId, LogLine, LogOptions, Network,
    ProbeAnswer, ProbeTarget, RuntimeError, RuntimeEvent, Stats,
};
use dubernetes_core::store::{
    EventQuery, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, Store, StoreError, StoredApp,
    StoredState,
};
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use mockall::mock;
use tokio::sync::watch;

mock! {
    /// A mock of [`ContainerRuntime`].
    #[derive(Debug)]
    pub ContainerRuntime {}

    #[async_trait]
    impl ContainerRuntime for ContainerRuntime {
        async fn version(&self) -> Result<EngineVersion, RuntimeError>;
        async fn ensure_network(&self, instance: &InstanceName) -> Result<Network, RuntimeError>;
        async fn find_network(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError>;
        async fn remove_network(&self, instance: &InstanceName) -> Result<(), RuntimeError>;
        async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError>;
        async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError>;
        async fn ensure_image(
            &self,
            image: &ImageRef,
            policy: PullPolicy,
        ) -> Result<ImageId, RuntimeError>;
        async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError>;
        async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;
        async fn stop(
            &self,
            id: &ContainerId,
            signal: Option<Signal>,
            grace: Duration,
        ) -> Result<(), RuntimeError>;
        async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;
        async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;
        async fn put_files(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError>;
        async fn exec(
            &self,
            id: &ContainerId,
            request: &ExecRequest,
        ) -> Result<ExecSession, RuntimeError>;
        async fn probe(&self, target: &ProbeTarget) -> Result<ProbeAnswer, RuntimeError>;
        async fn connect(&self, target: &ConnectTarget) -> Result<Connection, RuntimeError>;
        async fn logs(
            &self,
            id: &ContainerId,
            options: &LogOptions,
        ) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, RuntimeError>;
        async fn stats(&self, id: &ContainerId) -> Result<Stats, RuntimeError>;
        async fn events(
            &self,
            instance: &InstanceName,
        ) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError>;
    }
}

mock! {
    /// A mock of [`Store`].
    #[derive(Debug)]
    pub Store {}

    #[async_trait]
    impl Store for Store {
        async fn put(&self, put: PutApp) -> Result<Put, StoreError>;
        async fn update_rollout(&self, update_rollout: RolloutCommand) -> Result<Put, StoreError>;
        async fn record_rollout(
            &self,
            name: &AppName,
            revision: u64,
            update: &RolloutUpdate,
            now: Timestamp,
        ) -> Result<(), StoreError>;
        async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError>;
        async fn list(&self) -> Result<StoredState, StoreError>;
        async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError>;
        async fn purge(&self, name: &AppName) -> Result<(), StoreError>;
        async fn pin_image(
            &self,
            name: &AppName,
            revision: u64,
            image: &ImageId,
            replace: bool,
        ) -> Result<(), StoreError>;
        async fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError>;
        async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError>;
        async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError>;
        fn watch(&self) -> watch::Receiver<u64>;
    }
}

mock! {
    /// A mock of [`Ingress`].
    #[derive(Debug)]
    pub Ingress {}

    #[async_trait]
    impl Ingress for Ingress {
        async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError>;
        async fn observe(&self) -> Result<ObservedIngress, IngressError>;
        async fn drained(&self, address: Ipv4Addr) -> Result<bool, IngressError>;
        async fn repair(&self) -> Result<bool, IngressError>;
        async fn remove(&self) -> Result<(), IngressError>;
    }
}
