//! Mocks of the traits, made with mockall, for tests of which calls are made, how often, and in
//! which order.

#![expect(missing_docs, reason = "the mocked traits document these methods")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::app::{
    AppName, AppSpec, Artifact, Duration, HostName, InstanceName, PullPolicy, RevisionId, Secret,
    SecretName, Signal,
};
use dubernetes_core::certificate::{Authority, StoredCertificate};
use dubernetes_core::dial::{Connection, DialError, Dialer, Probe, ProbeAnswer};
use dubernetes_core::event::{Event, NewEvent};
use dubernetes_core::ingress::{
    ApplyOutcome, Drained, Ingress, IngressError, ObservedIngress, RouteTable,
};
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, ContainerRuntime, Exec, ExecRequest, ExecSession,
    FileEntry, Files, ImageId, LogLine, LogOptions, Logs, Network, Networks, Process, RuntimeError,
    RuntimeEvent, RuntimeInfo, RuntimeStream, Stats, StatsReader,
};
use dubernetes_core::store::{
    EventQuery, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, SecretInfo, SecretPut,
    SetSecret, Store, StoreError, StoredApp, StoredState,
};
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use mockall::mock;

mock! {
    /// A mock of [`ContainerRuntime`] and all its parts, whose methods have names of their own.
    #[derive(Debug)]
    pub ContainerRuntime {
        pub async fn info(&self) -> Result<RuntimeInfo, RuntimeError>;
        pub async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError>;
        pub async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError>;
        pub async fn resolve(
            &self,
            artifact: &Artifact,
            policy: PullPolicy,
        ) -> Result<ImageId, RuntimeError>;
        pub async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError>;
        pub async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;
        pub async fn stop(
            &self,
            id: &ContainerId,
            signal: Option<Signal>,
            grace: Duration,
        ) -> Result<(), RuntimeError>;
        pub async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;
        pub async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;
        pub async fn processes(&self, id: &ContainerId) -> Result<Vec<Process>, RuntimeError>;
        pub async fn events(
            &self,
            instance: &InstanceName,
        ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError>;
        pub async fn ensure_network(
            &self,
            instance: &InstanceName,
        ) -> Result<Network, RuntimeError>;
        pub async fn find_network(
            &self,
            instance: &InstanceName,
        ) -> Result<Option<Network>, RuntimeError>;
        pub async fn remove_network(&self, instance: &InstanceName) -> Result<(), RuntimeError>;
        pub async fn publish_names(
            &self,
            instance: &InstanceName,
            names: &BTreeMap<AppName, Ipv4Addr>,
        ) -> Result<(), RuntimeError>;
        pub async fn run(
            &self,
            id: &ContainerId,
            request: &ExecRequest,
        ) -> Result<ExecSession, RuntimeError>;
        pub async fn put_files(
            &self,
            id: &ContainerId,
            files: &[FileEntry],
        ) -> Result<(), RuntimeError>;
        pub async fn read_files(
            &self,
            id: &ContainerId,
            directory: &str,
        ) -> Result<BTreeMap<String, Bytes>, RuntimeError>;
        pub async fn read_logs(
            &self,
            id: &ContainerId,
            options: &LogOptions,
        ) -> Result<RuntimeStream<LogLine>, RuntimeError>;
        pub async fn read_stats(&self, id: &ContainerId) -> Result<Stats, RuntimeError>;
    }
}

#[async_trait]
impl ContainerRuntime for MockContainerRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.info().await
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        self.list(instance).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        self.inspect(id).await
    }

    async fn resolve(
        &self,
        artifact: &Artifact,
        policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError> {
        self.resolve(artifact, policy).await
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        self.create(request).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.start(id).await
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        self.stop(id, signal, grace).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.remove(id).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.signal(id, signal).await
    }

    async fn processes(&self, id: &ContainerId) -> Result<Vec<Process>, RuntimeError> {
        self.processes(id).await
    }

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        self.events(instance).await
    }

    fn networks(&self) -> Option<&dyn Networks> {
        Some(self)
    }

    fn exec(&self) -> Option<&dyn Exec> {
        Some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        Some(self)
    }

    fn logs(&self) -> Option<&dyn Logs> {
        Some(self)
    }

    fn stats(&self) -> Option<&dyn StatsReader> {
        Some(self)
    }
}

#[async_trait]
impl Networks for MockContainerRuntime {
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        self.ensure_network(instance).await
    }

    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        self.find_network(instance).await
    }

    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        self.remove_network(instance).await
    }

    async fn publish_names(
        &self,
        instance: &InstanceName,
        names: &BTreeMap<AppName, Ipv4Addr>,
    ) -> Result<(), RuntimeError> {
        self.publish_names(instance, names).await
    }
}

#[async_trait]
impl Exec for MockContainerRuntime {
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        self.run(id, request).await
    }
}

#[async_trait]
impl Files for MockContainerRuntime {
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        self.put_files(id, files).await
    }

    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        self.read_files(id, directory).await
    }
}

#[async_trait]
impl Logs for MockContainerRuntime {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        self.read_logs(id, options).await
    }
}

#[async_trait]
impl StatsReader for MockContainerRuntime {
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        self.read_stats(id).await
    }
}

mock! {
    /// A mock of [`Dialer`].
    #[derive(Debug)]
    pub Dialer {}

    #[async_trait]
    impl Dialer for Dialer {
        async fn probe(
            &self,
            endpoint: SocketAddr,
            probe: &Probe,
            timeout: Duration,
        ) -> ProbeAnswer;
        async fn connect(&self, endpoint: SocketAddr) -> Result<Connection, DialError>;
    }
}

mock! {
    /// A mock of [`Store`].
    #[derive(Debug)]
    pub Store {}

    #[async_trait]
    impl Store for Store {
        async fn put(&self, put: PutApp) -> Result<Put, StoreError>;
        async fn update_rollout(&self, command: RolloutCommand) -> Result<Put, StoreError>;
        async fn record_rollout(
            &self,
            name: &AppName,
            revision: RevisionId,
            update: &RolloutUpdate,
            now: Timestamp,
        ) -> Result<(), StoreError>;
        async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError>;
        async fn list(&self) -> Result<StoredState, StoreError>;
        async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError>;
        async fn purge(&self, name: &AppName) -> Result<(), StoreError>;
        async fn evict(&self, name: &AppName, container: &ContainerId) -> Result<(), StoreError>;
        async fn clear_eviction(
            &self,
            name: &AppName,
            container: &ContainerId,
        ) -> Result<(), StoreError>;
        async fn request_teardown(&self, now: Timestamp) -> Result<(), StoreError>;
        async fn finish_teardown(&self) -> Result<(), StoreError>;
        async fn pin_image(
            &self,
            name: &AppName,
            revision: RevisionId,
            image: &ImageId,
            replace: bool,
        ) -> Result<(), StoreError>;
        async fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError>;
        async fn set_secret(&self, set: SetSecret) -> Result<SecretPut, StoreError>;
        async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError>;
        async fn delete_secret(&self, name: &SecretName) -> Result<(), StoreError>;
        async fn resolve_secrets(&self, spec: AppSpec) -> Result<AppSpec, StoreError>;
        async fn set_certificate(
            &self,
            host: &HostName,
            certificate: &StoredCertificate,
        ) -> Result<(), StoreError>;
        async fn drop_certificate(&self, host: &HostName) -> Result<(), StoreError>;
        async fn set_authority_account(
            &self,
            authority: Authority,
            account: &Secret,
        ) -> Result<(), StoreError>;
        async fn authority_account(
            &self,
            authority: Authority,
        ) -> Result<Option<Secret>, StoreError>;
        async fn rotate_key(&self) -> Result<u64, StoreError>;
        async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError>;
        async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError>;
        fn changes(&self) -> BoxStream<'static, ()>;
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
        async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError>;
        async fn repair(&self) -> Result<Option<String>, IngressError>;
        async fn remove(&self) -> Result<(), IngressError>;
    }
}
