//! A runtime around another one, which breaks one promise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::app::{Duration, FileMode, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exec,
    ExecOutput, ExecRequest, ExecSession, FileEntry, Files, ImageId, Images, LogLine, LogOptions,
    Logs, Network, Networks, OpenPorts, Owner, Process, RuntimeError, RuntimeEvent, RuntimeInfo,
    RuntimeStream, Stats, StatsReader, Stdio,
};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;

/// What is wrong with a runtime.
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

    async fn resolve(&self, image: &ImageRef, policy: PullPolicy) -> Result<ImageId, RuntimeError> {
        match (self.defect, self.inner.resolve(image, policy).await) {
            (Defect::ImageIdIsName, Ok(_)) => Ok(ImageId(image.to_string())),
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
        self.inner.networks().map(|_| self as _)
    }

    fn exec(&self) -> Option<&dyn Exec> {
        self.inner.exec().map(|_| self as _)
    }

    fn files(&self) -> Option<&dyn Files> {
        self.inner.files().map(|_| self as _)
    }

    fn logs(&self) -> Option<&dyn Logs> {
        self.inner.logs().map(|_| self as _)
    }

    fn stats(&self) -> Option<&dyn StatsReader> {
        self.inner.stats().map(|_| self as _)
    }

    fn images(&self) -> Option<&dyn Images> {
        self.inner.images()
    }
}

#[async_trait]
impl Networks for Mutant {
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        let networks = self.inner.networks().unwrap();
        if self.has(Defect::NetworkShared) {
            return networks.ensure(&InstanceName::parse("one").unwrap()).await;
        }
        if self.has(Defect::NetworkChanges) && networks.find(instance).await?.is_some() {
            networks.remove(instance).await?;
            networks.ensure(&InstanceName::parse("two").unwrap()).await?;
        }
        networks.ensure(instance).await
    }

    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        self.inner.networks().unwrap().find(instance).await
    }

    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        self.inner.networks().unwrap().remove(instance).await
    }
}

#[async_trait]
impl Exec for Mutant {
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        let mut request = request.clone();
        match self.defect {
            Defect::ExecStartsStopped => self.inner.start(id).await?,
            Defect::ExecByShell => {
                let command = request.command.join(" ");
                request.command = ["sh", "-c", &command].map(str::to_owned).to_vec();
            }
            Defect::ExecInputDropped => request.stdin = false,
            Defect::ExecUserIgnored => request.user = None,
            Defect::TerminalSizeIgnored => {
                request.tty.iter_mut().for_each(|size| size.columns = 80);
            }
            _ => {}
        }
        let session = self.inner.exec().unwrap().exec(id, &request).await?;
        let ExecSession { input, output, resize } = session;
        let defect = self.defect;
        let mut length = 0;
        let output = output.map(move |output| {
            output.map(|output| match (defect, output) {
                (Defect::ExecExitCodeIsZero, ExecOutput::Exit(_)) => ExecOutput::Exit(0),
                (Defect::ExecStreamsJoined, ExecOutput::Stderr(part)) => ExecOutput::Stdout(part),
                (Defect::ExecOutputCut, ExecOutput::Stdout(part)) => {
                    length += part.len();
                    ExecOutput::Stdout(if length > 65_536 { Bytes::new() } else { part })
                }
                (_, output) => output,
            })
        });
        Ok(ExecSession { input, output: output.boxed(), resize })
    }

    async fn attach(&self, id: &ContainerId, stdio: Stdio) -> Result<ExecSession, RuntimeError> {
        let session = self.inner.exec().unwrap().attach(id, stdio).await?;
        if !self.has(Defect::AttachLosesOutput) {
            return Ok(session);
        }
        let is_kept = |output: &Result<ExecOutput, _>| !matches!(output, Ok(ExecOutput::Stdout(_)));
        let output = session.output.filter(move |output| std::future::ready(is_kept(output)));
        Ok(ExecSession { output: output.boxed(), ..session })
    }
}

#[async_trait]
impl Files for Mutant {
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        let mut files = files.to_vec();
        match self.defect {
            Defect::PutFilesDropped => files.clear(),
            Defect::LinksDropped => {
                files.retain(|file| !matches!(file, FileEntry::Symlink { .. }));
            }
            Defect::PutModesIgnored => {
                for file in &mut files {
                    if let FileEntry::PrivateFile { path, contents } = file.clone() {
                        *file = FileEntry::File { path, contents };
                    }
                }
            }
            _ => {}
        }
        self.inner.files().unwrap().put(id, &files).await
    }

    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        let read = self.inner.files().unwrap().read(id, directory).await;
        let is_missing = matches!(read, Err(RuntimeError::NotFound { kind: "directory", .. }));
        if self.has(Defect::MissingDirectoryIsEmpty) && is_missing {
            return Ok(BTreeMap::new());
        }
        read
    }
}

#[async_trait]
impl Logs for Mutant {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        let mut options = options.clone();
        match self.defect {
            Defect::TailIgnored => options.tail = None,
            Defect::SinceIgnored => options.since = None,
            Defect::SinceExcludesItsTime => {
                options.since = options.since.map(|since| since + jiff::Span::new().nanoseconds(1));
            }
            Defect::FollowEndsEarly => options.follow = false,
            _ => {}
        }
        let lines = match (self.defect, self.inner.logs().unwrap().read(id, &options).await) {
            (Defect::LogsOfMissingAreEmpty, Err(_)) => return Ok(stream::empty().boxed()),
            (_, lines) => lines?,
        };
        let state = self.inner.inspect(id).await?.state;
        Ok(match self.defect {
            Defect::LogsReversed => {
                let mut lines = lines.collect::<Vec<_>>().await;
                lines.reverse();
                stream::iter(lines).boxed()
            }
            Defect::StandardErrorUnmarked => {
                lines.map(|line| line.map(|line| LogLine { stderr: false, ..line })).boxed()
            }
            Defect::LongLinesSplit => lines.flat_map(split).boxed(),
            Defect::FollowNeverEnds if options.follow => lines.chain(stream::pending()).boxed(),
            Defect::LogsEndWithTheProcess if !matches!(state, ContainerState::Running { .. }) => {
                stream::empty().boxed()
            }
            _ => lines,
        })
    }
}

/// Splits a line after 16 KiB.
fn split(line: Result<LogLine, RuntimeError>) -> RuntimeStream<LogLine> {
    let Ok(line) = line else { return stream::iter([line]).boxed() };
    let (first, rest) = line.text.split_at(line.text.len().min(16 << 10));
    let part = |text: &str| Ok(LogLine { text: text.to_owned(), ..line.clone() });
    let parts: Vec<_> =
        [first, rest].into_iter().filter(|text| !text.is_empty()).map(part).collect();
    stream::iter(parts).boxed()
}

#[async_trait]
impl StatsReader for Mutant {
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        let stats = self.inner.stats().unwrap().read(id).await?;
        if self.has(Defect::StatsFall) {
            let cpu_nanos = u64::MAX - self.count();
            return Ok(Stats { cpu_nanos, read_at: Timestamp::now(), ..stats });
        }
        Ok(stats)
    }
}
