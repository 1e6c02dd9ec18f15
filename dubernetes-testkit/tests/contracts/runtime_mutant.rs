//! A runtime around another one, which breaks one promise.

#[path = "runtime_mutant_parts.rs"]
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use dubernetes_core::app::{Artifact, Duration, FileMode, InstanceName, PullPolicy, Signal};
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exec,
    Files, ImageId, Images, Logs, Networks, OpenPorts, Owner, Process, RuntimeError, RuntimeEvent,
    RuntimeInfo, RuntimeStream, StatsReader,
};
use futures_util::{StreamExt as _, stream};

/// What is wrong with a runtime.
#[expect(dead_code, reason = "the tests of an engine and of the kit seed some of them each")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    TakenNameSucceeds,
    TakenNameReplaces,
    NameStaysTaken,
    DroppedCreateIsHalf,
    MissingCapabilityIsAccepted,
    CapabilityWithoutPart,
    LabelsDropped,
    RemoveLeavesContainer,
    RemoveOfMissingFails,
    StopReturnsEarly,
    StopOfMissingFails,
    StartOfRunningFails,
    StartTimeStays,
    ListOmitsStopped,
    ListLags,
    ListShowsOthers,
    ListHangs,
    EndpointStays,
    LimitsForgotten,
    ImageIdIsName,
    ImageIdChanges,
    MissingImageIsFound,
    SignalToStoppedSucceeds,
    SignalDropped,
    KilledExitsWithNine,
    ExitCodeIsZero,
    EventsNever,
    EventsOfOthers,
    EventsEnd,
    NetworkShared,
    NetworkChanges,
    ClaimAlwaysSucceeds,
    PortsShared,
    StatsFall,
    SecondValueIsBlind,
    EnvironmentDropped,
    EnvironmentTrimmed,
    SecretEnvironmentDropped,
    ArgumentsDropped,
    ArgumentsSplit,
    HostNameIgnored,
    UserIgnored,
    VolumesDropped,
    ReadOnlyIgnored,
    LimitsDropped,
    GraceIgnored,
    GraceNeverEnds,
    StopSendsTerm,
    StopSignalDropped,
    FilesDropped,
    FileModesIgnored,
    PutFilesDropped,
    PutModesIgnored,
    LinksDropped,
    MissingDirectoryIsEmpty,
    LogsOfMissingAreEmpty,
    TailIgnored,
    SinceIgnored,
    SinceExcludesItsTime,
    LogsReversed,
    StandardErrorUnmarked,
    LongLinesSplit,
    FollowEndsEarly,
    FollowNeverEnds,
    LogsEndWithTheProcess,
    ExecStartsStopped,
    ExecExitCodeIsZero,
    ExecOutputCut,
    ExecByShell,
    ExecInputDropped,
    ExecStreamsJoined,
    ExecUserIgnored,
    TerminalSizeIgnored,
    AttachLosesOutput,
}

#[derive(Debug)]
pub(crate) struct Mutant {
    inner: Arc<dyn ContainerRuntime>,
    defect: Defect,
    is_second: bool,
    calls: AtomicU64,
    /// The names that were used.
    names: Mutex<BTreeSet<String>>,
    /// What was seen first of each container.
    seen: Mutex<BTreeMap<ContainerId, Container>>,
    created: Mutex<BTreeMap<ContainerId, tokio::time::Instant>>,
    instances: Mutex<BTreeSet<InstanceName>>,
}

impl Mutant {
    pub(crate) fn new(inner: Arc<dyn ContainerRuntime>, defect: Defect, is_second: bool) -> Self {
        Self {
            inner,
            defect,
            is_second,
            calls: AtomicU64::new(0),
            names: Mutex::default(),
            seen: Mutex::default(),
            created: Mutex::default(),
            instances: Mutex::default(),
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    fn count(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::SeqCst)
    }

    /// Changes what is shown of a container.
    fn shown(&self, mut container: Container) -> Container {
        let mut seen = self.seen.lock().unwrap();
        let original = container.clone();
        match (self.defect, &mut container.state) {
            (Defect::StartTimeStays, ContainerState::Running { started_at }) => {
                let first = seen.entry(container.id.clone()).or_insert(original);
                *started_at = first.state.started_at().unwrap();
            }
            (Defect::EndpointStays, ContainerState::Running { .. }) => {
                seen.insert(container.id.clone(), original);
            }
            (Defect::EndpointStays, _) => {
                let former = seen.get(&container.id);
                container.endpoint = former.and_then(|former| former.endpoint);
            }
            (Defect::KilledExitsWithNine, ContainerState::Exited(exit)) if exit.code == 137 => {
                exit.code = 9;
            }
            (Defect::ExitCodeIsZero, ContainerState::Exited(exit)) => exit.code = 0,
            (Defect::LimitsForgotten, ContainerState::Running { .. }) => container.limits = None,
            _ => {}
        }
        container
    }

    /// Changes a request for a container.
    fn changed(&self, request: &ContainerRequest) -> ContainerRequest {
        let mut request = request.clone();
        match self.defect {
            Defect::EnvironmentDropped => request.env.clear(),
            Defect::EnvironmentTrimmed => {
                request.env.values_mut().for_each(|text| *text = text.trim_end_matches('*').into());
            }
            Defect::SecretEnvironmentDropped => request.secret_env.clear(),
            Defect::ArgumentsDropped => request.args.truncate(1),
            Defect::ArgumentsSplit => {
                let rest = request.args.split_off(request.args.len().min(1));
                let words = rest.iter().flat_map(|text| text.split_whitespace());
                request.args.extend(words.map(str::to_owned));
            }
            Defect::HostNameIgnored => request.hostname = "other".to_owned(),
            Defect::UserIgnored => request.options.user = None,
            Defect::VolumesDropped => request.volumes.clear(),
            Defect::ReadOnlyIgnored => {
                request.volumes.iter_mut().for_each(|volume| volume.read_only = false);
            }
            Defect::LimitsDropped => request.resources = Default::default(),
            Defect::StopSignalDropped => request.stop_signal = None,
            Defect::FilesDropped => request.files.clear(),
            Defect::FileModesIgnored => {
                request.files.iter_mut().for_each(|file| file.mode = FileMode::default());
            }
            Defect::PortsShared => request.ports.clear(),
            Defect::LabelsDropped => {
                request.labels.retain(|key, _| key.starts_with("dubernetes"));
            }
            _ => {}
        }
        request
    }

    async fn remove_named(&self, name: &str) -> Result<(), RuntimeError> {
        self.inner.remove(&ContainerId(name.into())).await
    }
}

fn gone(id: &ContainerId) -> RuntimeError {
    RuntimeError::NotFound { kind: "container", name: id.to_string() }
}

#[async_trait]
impl ContainerRuntime for Mutant {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.inner.info().await
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        let mut listed = self.inner.list(instance).await?;
        let instances = self.instances.lock().unwrap().clone();
        match self.defect {
            Defect::ListHangs if self.count() > 3 => std::future::pending().await,
            Defect::SecondValueIsBlind if self.is_second => listed.clear(),
            Defect::ListShowsOthers => {
                for other in instances.iter().filter(|other| *other != instance) {
                    listed.extend(self.inner.list(other).await?);
                }
            }
            Defect::ListOmitsStopped => {
                listed.retain(|found| !matches!(found.state, ContainerState::Exited(_)));
            }
            Defect::ListLags => {
                let created = self.created.lock().unwrap();
                let limit = std::time::Duration::from_secs(2);
                listed.retain(|found| created.get(&found.id).is_none_or(|at| at.elapsed() > limit));
            }
            _ => {}
        }
        Ok(listed.into_iter().map(|container| self.shown(container)).collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        self.inner.inspect(id).await.map(|container| self.shown(container))
    }

    async fn resolve(
        &self,
        artifact: &Artifact,
        policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError> {
        match (self.defect, self.inner.resolve(artifact, policy).await) {
            (Defect::ImageIdIsName, Ok(_)) => Ok(ImageId(artifact.to_string())),
            (Defect::ImageIdChanges, Ok(id)) => Ok(ImageId(format!("{}{}", id.0, self.count()))),
            (Defect::MissingImageIsFound, Err(_)) => Ok(ImageId("sha256:none".to_owned())),
            (_, resolved) => resolved,
        }
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        if let Some(owner) = request.labels.get("dubernetes.instance") {
            let owner = InstanceName::parse(owner).unwrap();
            self.instances.lock().unwrap().insert(owner);
        }
        let is_new = self.names.lock().unwrap().insert(request.name.clone());
        if self.has(Defect::NameStaysTaken) && !is_new {
            return Err(RuntimeError::NameTaken { name: request.name.clone() });
        }
        if self.has(Defect::DroppedCreateIsHalf) && is_new {
            let half = ContainerRequest {
                labels: request
                    .labels
                    .iter()
                    .take(1)
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
                ..request.clone()
            };
            self.inner.create(&half).await?;
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            self.remove_named(&half.name).await?;
        }
        let created = self.inner.create(&self.changed(request)).await;
        let is_taken = matches!(created, Err(RuntimeError::NameTaken { .. }));
        if self.has(Defect::TakenNameReplaces) && is_taken {
            self.remove_named(&request.name).await?;
            return self.inner.create(request).await;
        }
        if self.has(Defect::TakenNameSucceeds) && is_taken {
            let name = ContainerId(request.name.clone().into());
            return self.inner.inspect(&name).await.map(|container| container.id);
        }
        if let Ok(id) = &created {
            self.created.lock().unwrap().insert(id.clone(), tokio::time::Instant::now());
        }
        created
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let state = self.inner.inspect(id).await?.state;
        if self.has(Defect::StartOfRunningFails) && matches!(state, ContainerState::Running { .. })
        {
            let (operation, message) = ("start it".to_owned(), "it runs".to_owned());
            return Err(RuntimeError::Rejected { operation, message });
        }
        self.inner.start(id).await
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let (signal, grace) = match self.defect {
            Defect::StopOfMissingFails => {
                self.inner.inspect(id).await?;
                (signal, grace)
            }
            Defect::StopReturnsEarly => {
                let (inner, id) = (Arc::clone(&self.inner), id.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    inner.stop(&id, signal, grace).await
                });
                return Ok(());
            }
            Defect::GraceIgnored => (signal, Duration::from_millis(10)),
            Defect::GraceNeverEnds => (signal, Duration::from_secs(3_600)),
            Defect::StopSendsTerm => (Some(Signal::SigTerm), grace),
            _ => (signal, grace),
        };
        self.inner.stop(id, signal, grace).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        match self.defect {
            Defect::RemoveLeavesContainer => {
                self.inner.stop(id, None, Duration::from_secs(1)).await
            }
            Defect::RemoveOfMissingFails if self.inner.inspect(id).await.is_err() => Err(gone(id)),
            _ => self.inner.remove(id).await,
        }
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        let mut all = self.inner.capabilities();
        match self.defect {
            Defect::MissingCapabilityIsAccepted => drop(all.remove(&Capability::Volumes)),
            Defect::CapabilityWithoutPart => drop(all.insert(Capability::Images)),
            _ => {}
        }
        all
    }

    async fn claim(&self, instance: &InstanceName, owner: &Owner) -> Result<(), RuntimeError> {
        if self.has(Defect::ClaimAlwaysSucceeds) {
            return Ok(());
        }
        self.inner.claim(instance, owner).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        match self.defect {
            Defect::SignalDropped => Ok(()),
            Defect::SignalToStoppedSucceeds => {
                let sent = self.inner.signal(id, signal).await;
                let is_stopped = matches!(sent, Err(RuntimeError::NotRunning { .. }));
                if is_stopped { Ok(()) } else { sent }
            }
            _ => self.inner.signal(id, signal).await,
        }
    }

    async fn processes(&self, id: &ContainerId) -> Result<Vec<Process>, RuntimeError> {
        self.inner.processes(id).await
    }

    async fn open_ports(&self, id: &ContainerId, endpoint: std::net::SocketAddr) -> OpenPorts {
        self.inner.open_ports(id, endpoint).await
    }

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        match self.defect {
            Defect::EventsNever => Ok(stream::pending().boxed()),
            Defect::EventsEnd => Ok(stream::empty().boxed()),
            Defect::EventsOfOthers => {
                let mut all = vec![self.inner.events(instance).await?];
                for other in ["one", "two"] {
                    all.push(self.inner.events(&InstanceName::parse(other).unwrap()).await?);
                }
                Ok(stream::select_all(all).boxed())
            }
            _ => self.inner.events(instance).await,
        }
    }

    fn networks(&self) -> Option<&dyn Networks> {
        self.inner.networks().is_some().then_some(self)
    }

    fn exec(&self) -> Option<&dyn Exec> {
        self.inner.exec().is_some().then_some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        self.inner.files().is_some().then_some(self)
    }

    fn logs(&self) -> Option<&dyn Logs> {
        self.inner.logs().is_some().then_some(self)
    }

    fn stats(&self) -> Option<&dyn StatsReader> {
        self.inner.stats().is_some().then_some(self)
    }

    fn images(&self) -> Option<&dyn Images> {
        self.inner.images()
    }
}
