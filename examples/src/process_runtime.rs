//! A runtime without a container engine: each container is a process of this host.
//!
//! An image is the name of a program in one folder. A process gets a free port of 127.0.0.1 in its
//! variable `PORT`. It shares files, network and user with this program, so every specification
//! that needs isolation is refused. What it prints is dropped.
//!
//! Nothing is stored. The processes end with this program, unlike containers of an engine, which
//! the next orchestrator takes over.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::UNIX_EPOCH;

use dubernetes::app::{Duration, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes::error::SharedError;
use dubernetes::jiff::Timestamp;
use dubernetes::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exit,
    ImageId, ImageProblem, RuntimeError, RuntimeEvent, RuntimeInfo, RuntimeStream,
};
use dubernetes::{CancellationToken, async_trait, labels};
use futures_util::StreamExt as _;
use futures_util::stream;
use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, mpsc};

/// Events that a slow reader may miss before it loses some.
const EVENTS: usize = 256;

/// Separates the name of a program from the version in the id of an image.
const VERSION: char = '@';

/// Runs programs of one folder as processes of this host. Clones share their containers.
#[derive(Debug, Clone)]
pub struct ProcessRuntime {
    programs: PathBuf,
    containers: Arc<Mutex<Containers>>,
    events: broadcast::Sender<RuntimeEvent>,
}

type Containers = BTreeMap<ContainerId, Entry>;

#[derive(Debug)]
struct Entry {
    container: Container,
    request: ContainerRequest,
    /// Keeps the port free until the process listens on it.
    reserved: Option<TcpListener>,
    process: Option<Process>,
}

/// A running process. The task that waits for its end also signals it: only there is it known
/// that the id of the process still belongs to it.
#[derive(Debug, Clone)]
struct Process {
    signals: mpsc::UnboundedSender<Signal>,
    ended: CancellationToken,
}

impl ProcessRuntime {
    /// Creates a runtime for the programs in a folder.
    pub fn new(programs: impl Into<PathBuf>) -> Self {
        let (events, _) = broadcast::channel(EVENTS);
        Self { programs: programs.into(), containers: Arc::default(), events }
    }

    fn containers(&self) -> MutexGuard<'_, Containers> {
        lock(&self.containers)
    }

    /// Returns the id of a program as it is now: its name, and when its file was changed.
    fn image_id(&self, program: &str) -> Result<ImageId, RuntimeError> {
        let changed = std::fs::metadata(self.programs.join(program)).and_then(|file| {
            if file.is_file() { file.modified() } else { Err(io::ErrorKind::NotFound.into()) }
        });
        let changed = changed.map_err(|error| no_image(program, error.to_string()))?;
        let version = changed.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(ImageId(format!("{program}{VERSION}{version}")))
    }

    /// Returns the running process of a container, with its stop signal; `None` if it does not
    /// run.
    fn process(&self, id: &ContainerId) -> Option<(Process, Signal)> {
        let containers = self.containers();
        let entry = containers.get(id)?;
        let signal = entry.request.stop_signal.unwrap_or(Signal::SigTerm);
        Some((entry.process.clone()?, signal))
    }

    fn command(&self, entry: &Entry, port: u16) -> Command {
        let request = &entry.request;
        let program = self.programs.join(program_of(&entry.container.image_id.0));
        let mut words = request.command.iter();
        let mut command = Command::new(words.next().map_or(program, PathBuf::from));
        let secret = request.secret_env.iter();
        command
            .args(words)
            .args(&request.args)
            .env_clear()
            .envs(&request.env)
            .envs(secret.map(|(name, value)| (name, OsStr::from_bytes(value.reveal()))))
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C at the terminal is for this program, which then decides about its processes.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn emit(&self, entry: &Entry, action: &str) {
        let (id, labels) = (entry.container.id.clone(), entry.container.labels.clone());
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
        let all = containers.values().map(|entry| &entry.container);
        let owner = Some(instance.as_str());
        let is_owned = |c: &&Container| c.labels.get(labels::INSTANCE).map(String::as_str) == owner;
        Ok(all.filter(is_owned).cloned().collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        let containers = self.containers();
        let mut all = containers.values().map(|entry| &entry.container);
        let found = all.find(|container| container.id == *id || container.name == id.0);
        found.cloned().ok_or_else(|| not_found(id))
    }

    async fn resolve(&self, image: &ImageRef, _: PullPolicy) -> Result<ImageId, RuntimeError> {
        self.image_id(image.as_str())
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        request.check_for(&self.capabilities())?;
        let image_id = self.image_id(program_of(&request.image))?;
        if request.image.contains(VERSION) && request.image != image_id.0 {
            return Err(no_image(&request.image, "the program was replaced".to_owned()));
        }
        let reserved = reserve()?;
        let mut containers = self.containers();
        if containers.values().any(|entry| entry.container.name == request.name) {
            return Err(RuntimeError::NameTaken { name: request.name.clone() });
        }
        // A name may be used again, an id never.
        let created_at = Timestamp::now();
        let id = ContainerId(format!("{}-{}", request.name, created_at.as_nanosecond()).into());
        let container = Container {
            id: id.clone(),
            name: request.name.clone(),
            image_id,
            labels: request.labels.clone(),
            state: ContainerState::Created,
            created_at,
            endpoint: None,
            limits: None,
        };
        let reserved = Some(reserved);
        let entry = Entry { container, request: request.clone(), reserved, process: None };
        self.emit(&entry, "create");
        containers.insert(id.clone(), entry);
        Ok(id)
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let mut containers = self.containers();
        let entry = containers.get_mut(id).ok_or_else(|| not_found(id))?;
        if entry.process.is_some() {
            return Ok(());
        }
        let reserved = entry.reserved.take().map_or_else(reserve, Ok)?;
        let endpoint = reserved.local_addr().map_err(no_port)?;
        // From here to the moment at which the process listens, the port is free for anyone.
        drop(reserved);
        let child = match self.command(entry, endpoint.port()).spawn() {
            Ok(child) => child,
            Err(error) => {
                let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
                let message = error.to_string();
                entry.container.state =
                    ContainerState::StartFailed { error: message.clone(), code };
                let operation = format!("start container {}", entry.container.name);
                return Err(RuntimeError::Rejected { operation, message });
            }
        };
        let (signals, received) = mpsc::unbounded_channel();
        let ended = CancellationToken::new();
        entry.container.state = ContainerState::Running { started_at: Timestamp::now() };
        entry.container.endpoint = Some(endpoint);
        entry.process = Some(Process { signals, ended: ended.clone() });
        self.emit(entry, "start");
        let end = End { id: id.clone(), containers: Arc::downgrade(&self.containers), ended };
        tokio::spawn(end.wait(child, received, self.events.clone()));
        Ok(())
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let Some((process, own)) = self.process(id) else { return Ok(()) };
        // A channel that is closed belongs to a process that has ended.
        let _ = process.signals.send(signal.unwrap_or(own));
        if tokio::time::timeout(grace.to_std(), process.ended.cancelled()).await.is_err() {
            let _ = process.signals.send(Signal::SigKill);
            process.ended.cancelled().await;
        }
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.stop(id, Some(Signal::SigKill), Duration::from_secs(1)).await?;
        if let Some(entry) = self.containers().remove(id) {
            self.emit(&entry, "destroy");
        }
        Ok(())
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::from([Capability::Events])
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.inspect(id).await?;
        let sent = self.process(id).map(|(process, _)| process.signals.send(signal));
        sent.and_then(Result::ok).ok_or_else(|| RuntimeError::NotRunning {
            operation: format!("signal container {id}"),
            message: "its process has ended".to_owned(),
        })
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
}

/// What records the end of a process.
struct End {
    id: ContainerId,
    containers: Weak<Mutex<Containers>>,
    ended: CancellationToken,
}

impl End {
    async fn wait(
        self,
        mut child: Child,
        mut signals: mpsc::UnboundedReceiver<Signal>,
        events: broadcast::Sender<RuntimeEvent>,
    ) {
        let status = loop {
            tokio::select! {
                // Cancel-safe: the status stays available.
                status = child.wait() => break status,
                // Cancel-safe: a signal that was not received stays in the channel. A closed one
                // means that the runtime was dropped, and so is the child then.
                signal = signals.recv() => match signal {
                    Some(signal) => send(&child, signal),
                    None => return,
                },
            }
        };
        if let Some(containers) = self.containers.upgrade() {
            let mut containers = lock(&containers);
            if let Some(entry) = containers.get_mut(&self.id) {
                entry.end(exit_code(status));
                let labels = entry.container.labels.clone();
                // Without receivers the event is dropped.
                let _ = events.send(RuntimeEvent { id: self.id, action: "die".to_owned(), labels });
            }
        }
        self.ended.cancel();
    }
}

impl Entry {
    fn end(&mut self, code: i64) {
        let finished_at = Timestamp::now();
        let started_at = self.container.state.started_at().unwrap_or(finished_at);
        let exit = Exit { code, out_of_memory: false, started_at, finished_at };
        self.container.state = ContainerState::Exited(exit);
        self.container.endpoint = None;
        self.process = None;
    }
}

fn lock(containers: &Mutex<Containers>) -> MutexGuard<'_, Containers> {
    containers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a free port of 127.0.0.1.
fn reserve() -> Result<TcpListener, RuntimeError> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(no_port)
}

fn no_port(error: io::Error) -> RuntimeError {
    let operation = "reserve a port of 127.0.0.1".to_owned();
    RuntimeError::Failed { operation, cause: SharedError::new(error) }
}

fn program_of(image: &str) -> &str {
    image.split_once(VERSION).map_or(image, |(program, _)| program)
}

fn no_image(image: &str, message: String) -> RuntimeError {
    RuntimeError::Image { image: image.to_owned(), problem: ImageProblem::Missing, message }
}

fn not_found(id: &ContainerId) -> RuntimeError {
    RuntimeError::NotFound { kind: "container", name: id.to_string() }
}

/// Signals a process that was not waited for yet, so that its id is still its own.
fn send(child: &Child, signal: Signal) {
    let signal = match signal {
        Signal::SigHup => rustix::process::Signal::HUP,
        Signal::SigInt => rustix::process::Signal::INT,
        Signal::SigQuit => rustix::process::Signal::QUIT,
        Signal::SigKill => rustix::process::Signal::KILL,
        Signal::SigTerm => rustix::process::Signal::TERM,
        Signal::SigUsr1 => rustix::process::Signal::USR1,
        Signal::SigUsr2 => rustix::process::Signal::USR2,
        Signal::SigWinch => rustix::process::Signal::WINCH,
    };
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // One that has ended already needs no signal.
        let _ = kill_process(pid, signal);
    }
}

/// Returns the exit code; 128 plus the signal number after a signal.
fn exit_code(status: io::Result<ExitStatus>) -> i64 {
    let code = |status: ExitStatus| status.code().or(status.signal().map(|signal| 128 + signal));
    status.ok().and_then(code).map_or(-1, i64::from)
}
