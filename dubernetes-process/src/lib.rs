//! A [`ContainerRuntime`] without a container engine: each container is a process of this machine.
//!
//! A replica runs [a program](Artifact::Program). Each process has a group of its own, a free port
//! of 127.0.0.1 in its variable `PORT`, and a file for its output. It shares files, network and
//! user with this program: every specification that needs isolation is refused.
//!
//! Processes outlive this program. The next one adopts them by a record for each in a folder: the
//! id of the process, and when it started. Two things are lost then. The exit code of an adopted
//! process is [`Exit::UNKNOWN`], since it is the child of another one. And a container that was
//! created and not started yet never will be: its request, which may have secrets, is in memory.

mod output;
mod process;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use dubernetes_core::app::{Artifact, Duration, InstanceName, PullPolicy, Signal};
use dubernetes_core::error::SharedError;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exit,
    ImageId, ImageProblem, LogLine, LogOptions, Logs, RuntimeError, RuntimeEvent, RuntimeInfo,
    RuntimeStream,
};
use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use output::Output;
use process::{ProcessId, Running};
use record::Record;

/// Events that a slow reader may miss before it loses some.
const EVENTS: usize = 256;

/// Runs programs of this machine as processes. Clones share their containers.
#[derive(Debug, Clone)]
pub struct ProcessRuntime {
    folder: Arc<Path>,
    containers: Arc<Mutex<Containers>>,
    events: broadcast::Sender<RuntimeEvent>,
}

type Containers = BTreeMap<ContainerId, Entry>;

#[derive(Debug)]
struct Entry {
    record: Record,
    /// What was asked for; `None` if another program asked.
    request: Option<ContainerRequest>,
    output: Arc<Output>,
    /// Cancelled when the process has ended and the record says so. `None` unless it runs.
    ended: Option<CancellationToken>,
}

impl ProcessRuntime {
    /// Creates a runtime with its records and outputs in `folder`, which is created if it is
    /// missing, and adopts the processes of its records. Only one program may work with a folder at
    /// a time. To be called in a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, or a record is damaged.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder: Arc<Path> = folder.into().into();
        let (events, _) = broadcast::channel(EVENTS);
        let runtime = Self { events, containers: Arc::default(), folder };
        for record in Record::read_all(&runtime.folder)? {
            runtime.adopt(record)?;
        }
        Ok(runtime)
    }

    fn adopt(&self, mut record: Record) -> io::Result<()> {
        let id = record.container.id.clone();
        let output = Arc::new(Output::open(&self.folder, &id)?);
        let running = record.process.clone().and_then(Running::adopt);
        let state = &mut record.container.state;
        match state {
            ContainerState::Created => {
                let error = "the orchestrator ended before it was started".to_owned();
                *state = ContainerState::StartFailed { error, code: Exit::UNKNOWN };
            }
            ContainerState::Running { .. } if running.is_none() => record.end(Exit::UNKNOWN),
            ContainerState::Running { .. }
            | ContainerState::StartFailed { .. }
            | ContainerState::Paused
            | ContainerState::Exited(_)
            | ContainerState::Removing => {}
        }
        let ended = running.is_some().then(CancellationToken::new);
        let entry = Entry { record, request: None, output, ended: ended.clone() };
        self.containers().insert(id.clone(), entry);
        if let (Some(running), Some(ended)) = (running, ended) {
            tokio::spawn(self.clone().watch(id, running, ended));
        }
        Ok(())
    }

    fn containers(&self) -> MutexGuard<'_, Containers> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the end of a process.
    async fn watch(self, id: ContainerId, running: Running, ended: CancellationToken) {
        let output = self.containers().get(&id).map(|entry| Arc::clone(&entry.output));
        let code = running.wait(|| output.iter().for_each(|output| output.look())).await;
        if let Some(entry) = self.containers().get_mut(&id) {
            entry.record.end(code);
            entry.ended = None;
            if let Err(error) = entry.record.write(&self.folder) {
                tracing::warn!(%id, %error, "cannot record the end of a process");
            }
            self.emit(entry, "die");
        }
        ended.cancel();
    }

    /// Returns the running process of a container, with its stop signal; `None` if none runs.
    fn process(&self, id: &ContainerId) -> Option<(ProcessId, Signal, CancellationToken)> {
        let containers = self.containers();
        let entry = containers.get(id)?;
        let signal = entry.record.stop_signal.unwrap_or(Signal::SigTerm);
        Some((entry.record.process.clone()?, signal, entry.ended.clone()?))
    }

    fn emit(&self, entry: &Entry, action: &str) {
        let Container { id, labels, .. } = entry.record.container.clone();
        // Without receivers the event is dropped.
        let _ = self.events.send(RuntimeEvent { id, action: action.to_owned(), labels });
    }
}

#[async_trait]
impl ContainerRuntime for ProcessRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(RuntimeInfo {
            name: "processes".to_owned(),
            api_version: version.clone(),
            version,
            platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        })
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        let containers = self.containers();
        let all = containers.values().map(|entry| &entry.record.container);
        let owner = Some(instance.as_str());
        let is_owned = |c: &&Container| c.labels.get(labels::INSTANCE).map(String::as_str) == owner;
        Ok(all.filter(is_owned).cloned().collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        let containers = self.containers();
        let mut all = containers.values().map(|entry| &entry.record.container);
        let found = all.find(|container| container.id == *id || container.name == id.0);
        found.cloned().ok_or_else(|| not_found(id))
    }

    async fn resolve(&self, artifact: &Artifact, _: PullPolicy) -> Result<ImageId, RuntimeError> {
        let unsupported = Capability::ContainerImages.as_str();
        let program = artifact.program().ok_or(RuntimeError::Unsupported { what: unsupported })?;
        image_id(program.as_str())
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        request.check_for(&self.capabilities())?;
        let program = program_of(&request.image);
        let image_id = image_id(program)?;
        if ![program, &image_id.0].contains(&request.image.as_str()) {
            return Err(no_program(program, "the file was replaced".to_owned()));
        }
        let mut containers = self.containers();
        if containers.values().any(|entry| entry.record.container.name == request.name) {
            return Err(RuntimeError::NameTaken { name: request.name.clone() });
        }
        // A name may be used again, an id never.
        let mut created_at = Timestamp::now();
        let id_at = |time: Timestamp| ContainerId(format!("{:016x}", time.as_nanosecond()).into());
        while containers.contains_key(&id_at(created_at)) {
            created_at = Timestamp::now();
        }
        let container = Container {
            id: id_at(created_at),
            name: request.name.clone(),
            image_id,
            labels: request.labels.clone(),
            state: ContainerState::Created,
            created_at,
            endpoint: None,
            limits: None,
        };
        let id = container.id.clone();
        let record = Record { container, process: None, stop_signal: request.stop_signal };
        let failed = |error| failed("create", &request.name, error);
        record.write(&self.folder).map_err(failed)?;
        let output = Arc::new(Output::open(&self.folder, &id).map_err(failed)?);
        let request =
            ContainerRequest { image: record.container.image_id.0.clone(), ..request.clone() };
        let entry = Entry { record, request: Some(request), output, ended: None };
        self.emit(&entry, "create");
        containers.insert(id.clone(), entry);
        Ok(id)
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let mut containers = self.containers();
        let used: BTreeSet<_> =
            containers.values().filter_map(|entry| entry.record.container.endpoint).collect();
        let entry = containers.get_mut(id).ok_or_else(|| not_found(id))?;
        if entry.ended.is_some() {
            return Ok(());
        }
        let name = entry.record.container.name.clone();
        let rejected = |message: String| RuntimeError::Rejected {
            operation: format!("start container {name}"),
            message,
        };
        let Some(request) = &entry.request else {
            return Err(rejected("what to start ended with an earlier orchestrator".to_owned()));
        };
        let endpoint = free_port(&used).map_err(|error| failed("start", &name, error))?;
        let program = program_of(&request.image);
        let started = Running::start(request, program, endpoint, &entry.output);
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
                // The words of other runtimes.
                let program = request.command.first().map_or(program, String::as_str);
                let message = format!("program `{program}` cannot be run: {error}");
                entry.record.container.state =
                    ContainerState::StartFailed { error: message.clone(), code };
                // The cause is worth more than a record that cannot be written.
                let _ = entry.record.write(&self.folder);
                return Err(rejected(message));
            }
        };
        let ended = CancellationToken::new();
        entry.record.container.state = ContainerState::Running { started_at: Timestamp::now() };
        entry.record.container.endpoint = Some(endpoint);
        entry.record.process = Some(running.process().clone());
        entry.ended = Some(ended.clone());
        self.emit(entry, "start");
        // Without it, the next program would not know the process.
        let written = entry.record.write(&self.folder);
        tokio::spawn(self.clone().watch(id.clone(), running, ended));
        written.map_err(|error| failed("record", &name, error))
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let Some((process, own, ended)) = self.process(id) else { return Ok(()) };
        process.signal(signal.unwrap_or(own));
        if tokio::time::timeout(grace.to_std(), ended.cancelled()).await.is_err() {
            process.signal(Signal::SigKill);
            ended.cancelled().await;
        }
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.stop(id, Some(Signal::SigKill), Duration::from_secs(1)).await?;
        if let Some(entry) = self.containers().remove(id) {
            let removed = Record::remove(&self.folder, id).and_then(|()| entry.output.remove());
            self.emit(&entry, "destroy");
            removed.map_err(|error| failed("remove", &entry.record.container.name, error))?;
        }
        Ok(())
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        use Capability::{Events, Logs, Programs, WorkingDir};
        BTreeSet::from([Events, Logs, Programs, WorkingDir])
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.inspect(id).await?;
        let (process, ..) = self.process(id).ok_or_else(|| RuntimeError::NotRunning {
            operation: format!("signal container {id}"),
            message: "its process has ended".to_owned(),
        })?;
        process.signal(signal);
        Ok(())
    }

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        let instance = instance.clone();
        let received = stream::unfold(self.events.subscribe(), |mut events| async {
            loop {
                match events.recv().await {
                    Ok(event) => return Some((event, events)),
                    // An event is only a hint to list again, and the next one is as good.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        let own = received.filter(move |event| {
            let owner = event.labels.get(labels::INSTANCE).map(String::as_str);
            std::future::ready(owner == Some(instance.as_str()))
        });
        Ok(own.map(Ok).boxed())
    }

    fn logs(&self) -> Option<&dyn Logs> {
        Some(self)
    }
}

#[async_trait]
impl Logs for ProcessRuntime {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        let found = |entry: &Entry| (Arc::clone(&entry.output), entry.ended.clone());
        let found = self.containers().get(id).map(found);
        let (output, ended) = found.ok_or_else(|| not_found(id))?;
        Ok(output::stream(output, ended, options.clone()))
    }
}

/// Returns a free port of 127.0.0.1 that no other container got. Until the process listens, any
/// other program may take it.
fn free_port(used: &BTreeSet<SocketAddr>) -> io::Result<SocketAddr> {
    loop {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let endpoint = listener.local_addr()?;
        if !used.contains(&endpoint) {
            return Ok(endpoint);
        }
    }
}

/// Returns the id of a program as it is now: when its file was changed, its size, and its path.
fn image_id(program: &str) -> Result<ImageId, RuntimeError> {
    let missing = |error: io::Error| no_program(program, error.to_string());
    let file = std::fs::metadata(program).map_err(missing)?;
    if !file.is_file() {
        return Err(no_program(program, "not a regular file".to_owned()));
    }
    let changed = file.modified().map_err(missing)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(ImageId(format!("{:016x}-{:x}-{program}", changed.as_nanos(), file.len())))
}

/// Returns the path that is, or is in the id of, a program. Anything else is no path.
fn program_of(image: &str) -> &str {
    match image.starts_with('/') {
        true => image,
        false => image.splitn(3, '-').nth(2).unwrap_or(image),
    }
}

fn no_program(program: &str, message: String) -> RuntimeError {
    let (image, problem) = (program.to_owned(), ImageProblem::ProgramMissing);
    RuntimeError::Image { image, problem, message }
}

fn not_found(id: &ContainerId) -> RuntimeError {
    RuntimeError::NotFound { kind: "container", name: id.to_string() }
}

fn failed(verb: &str, name: &str, error: io::Error) -> RuntimeError {
    let operation = format!("{verb} container {name}");
    RuntimeError::Failed { operation, cause: SharedError::new(error) }
}
