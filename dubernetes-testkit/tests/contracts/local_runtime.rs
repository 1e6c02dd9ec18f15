//! A runtime whose containers are processes of this host, without any isolation, for the checks
//! that need real commands. Everything is below one folder, and containers of all values share it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio as ChildStdio;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::app::{Artifact, Duration, InstanceName, PullPolicy, Signal};
use dubernetes_core::error::SharedError;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exec,
    ExecOutput, ExecRequest, ExecSession, Exit, FileEntry, Files, ImageId, ImageProblem, LogLine,
    LogOptions, Logs, RuntimeError, RuntimeInfo, RuntimeStream, Stdio,
};
use dubernetes_testkit::contract::container_runtime::{Facts, RuntimeSubject};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use rustix::process::{Pid, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, DuplexStream};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

const IMAGE: &str = "host:1";
const IMAGE_ID: &str = "sha256:host";

type Session = mpsc::UnboundedSender<ExecOutput>;

/// Runs processes of this host. Clones share their containers.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalRuntime {
    entries: Arc<Mutex<BTreeMap<ContainerId, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    container: Container,
    request: ContainerRequest,
    pid: Option<Pid>,
    /// Its lines, and whether more may follow.
    output: watch::Sender<(Vec<LogLine>, bool)>,
    ended: watch::Sender<bool>,
    attached: Option<(DuplexStream, Session)>,
}

impl LocalRuntime {
    /// Returns a subject with instances and a folder of its own.
    pub(crate) fn subject(folder: &Path, lane: usize) -> RuntimeSubject {
        let runtime = Self::default();
        let folder = folder.join(lane.to_string());
        let facts = Facts { real_commands: true, ..super::facts(IMAGE, folder.to_str().unwrap()) };
        let (runtime, second) = (Arc::new(runtime.clone()), Arc::new(runtime));
        RuntimeSubject { runtime, second: Some(second), facts }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        self.entries.lock().unwrap()
    }

    fn with<T>(
        &self,
        id: &ContainerId,
        read: impl FnOnce(&mut Entry) -> T,
    ) -> Result<T, RuntimeError> {
        let mut entries = self.entries();
        let mut all = entries.values_mut();
        let found = all.find(|entry| entry.container.id == *id || entry.container.name == id.0);
        found.map(read).ok_or_else(|| not_found("container", &id.0))
    }

    fn running(&self, id: &ContainerId) -> Result<Pid, RuntimeError> {
        let operation = "use it".to_owned();
        let message = "it does not run".to_owned();
        self.with(id, |entry| entry.pid)?.ok_or(RuntimeError::NotRunning { operation, message })
    }

    fn begin(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = listener.local_addr().unwrap();
        let child = self.with(id, |entry| {
            if entry.pid.is_some() {
                return Ok(None);
            }
            let child = spawn(&entry.request, endpoint.port()).map_err(|error| {
                let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
                let message = error.to_string();
                entry.container.state =
                    ContainerState::StartFailed { error: message.clone(), code };
                RuntimeError::Rejected { operation: "start".to_owned(), message }
            })?;
            entry.pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap()));
            entry.container.state = ContainerState::Running { started_at: Timestamp::now() };
            entry.container.endpoint = Some(endpoint);
            entry.ended.send_replace(false);
            entry.output.send_modify(|(_, is_open)| *is_open = true);
            Ok(Some((child, entry.output.clone(), entry.attached.take())))
        })??;
        let Some((child, output, attached)) = child else { return Ok(()) };
        tokio::spawn(self.clone().wait(id.clone(), child, output, attached));
        Ok(())
    }

    async fn wait(
        self,
        id: ContainerId,
        mut child: Child,
        lines: watch::Sender<(Vec<LogLine>, bool)>,
        attached: Option<(DuplexStream, Session)>,
    ) {
        let (input, session) = attached.unzip();
        let stdin = child.stdin.take().unwrap();
        if let Some(input) = input {
            tokio::spawn(pump(input, stdin));
        }
        let log = async |stderr, stream: &mut (dyn AsyncRead + Send + Unpin)| {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
                let part = Bytes::from(std::mem::take(&mut line));
                let text = String::from_utf8_lossy(&part).trim_end_matches('\n').to_owned();
                let line = LogLine { time: Timestamp::now(), stderr, text };
                lines.send_modify(|(lines, _)| lines.push(line));
                let kind = if stderr { ExecOutput::Stderr } else { ExecOutput::Stdout };
                let _ = session.as_ref().map(|session| session.send(kind(part)));
            }
        };
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let group = self.with(&id, |entry| entry.pid).ok().flatten();
        let end = async {
            let status = child.wait().await.unwrap();
            // What is left of the container ends with its process.
            let kill = rustix::process::Signal::KILL;
            let _ = group.map(|group| kill_process_group(group, kill));
            status
        };
        let (status, (), ()) = tokio::join!(end, log(false, &mut stdout), log(true, &mut stderr));
        let code = i64::from(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap());
        let _ = self.with(&id, |entry| {
            let finished_at = Timestamp::now();
            let started_at = entry.container.state.started_at().unwrap();
            let exit = Exit { code, out_of_memory: false, started_at, finished_at };
            entry.container.state = ContainerState::Exited(exit);
            entry.container.endpoint = None;
            entry.pid = None;
        });
        let _ = session.map(|session| session.send(ExecOutput::Exit(code)));
        lines.send_modify(|(_, is_open)| *is_open = false);
        let _ = self.with(&id, |entry| entry.ended.send_replace(true));
    }

    async fn ended(&self, id: &ContainerId) {
        let Ok(mut ended) = self.with(id, |entry| entry.ended.subscribe()) else { return };
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

fn spawn(request: &ContainerRequest, port: u16) -> io::Result<Child> {
    let words = [&request.command[..], &request.args[..]].concat();
    let words = if words.is_empty() { vec!["sleep".to_owned(), "86400".to_owned()] } else { words };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let secret = request.secret_env.iter().map(|(name, value)| (name, text(value.reveal())));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).envs(&request.env).envs(secret).env("PORT", port.to_string());
    piped(&mut command).spawn()
}

fn piped(command: &mut Command) -> &mut Command {
    command
        .stdin(ChildStdio::piped())
        .stdout(ChildStdio::piped())
        .stderr(ChildStdio::piped())
        .process_group(0)
        .kill_on_drop(true)
}

async fn pump(mut from: DuplexStream, mut to: impl tokio::io::AsyncWrite + Unpin) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

fn session(input: DuplexStream, output: mpsc::UnboundedReceiver<ExecOutput>) -> ExecSession {
    let output = stream::unfold(output, async |mut output| {
        let next = output.recv().await?;
        Some((Ok(next), output))
    });
    ExecSession::new(Box::pin(input.compat_write()), output.boxed())
}

fn not_found(kind: &'static str, name: &str) -> RuntimeError {
    RuntimeError::NotFound { kind, name: name.to_owned() }
}

fn no_image(image: &str) -> RuntimeError {
    let (image, message) = (image.to_owned(), "there is one image".to_owned());
    RuntimeError::Image { image, problem: ImageProblem::Missing, message }
}

fn failed(error: io::Error) -> RuntimeError {
    RuntimeError::Failed { operation: "use files".to_owned(), cause: SharedError::new(error) }
}

#[async_trait]
impl ContainerRuntime for LocalRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        let (name, version) = ("local".to_owned(), "1".to_owned());
        let platform = "linux/any".to_owned();
        Ok(RuntimeInfo { name, api_version: version.clone(), version, platform })
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        let entries = self.entries();
        let all = entries.values().map(|entry| entry.container.clone());
        let is_own = |one: &Container| {
            one.labels.get(labels::INSTANCE).is_some_and(|owner| owner == instance.as_str())
        };
        Ok(all.filter(is_own).collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        self.with(id, |entry| entry.container.clone())
    }

    async fn resolve(&self, image: &Artifact, _: PullPolicy) -> Result<ImageId, RuntimeError> {
        let is_known = image.as_str() == IMAGE;
        is_known.then(|| ImageId(IMAGE_ID.to_owned())).ok_or_else(|| no_image(image.as_str()))
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        request.check_for(&self.capabilities())?;
        if ![IMAGE, IMAGE_ID].contains(&request.image.as_str()) {
            return Err(no_image(&request.image));
        }
        let mut entries = self.entries();
        if entries.values().any(|entry| entry.container.name == request.name) {
            return Err(RuntimeError::NameTaken { name: request.name.clone() });
        }
        for file in &request.files {
            let path = Path::new(file.target.as_str());
            let mode = u32::from_str_radix(&file.mode.to_string(), 8).unwrap();
            write(path, file.content.reveal(), mode).map_err(failed)?;
        }
        let created_at = Timestamp::now();
        let id = ContainerId(format!("{}-{}", request.name, created_at.as_nanosecond()).into());
        let container = Container {
            id: id.clone(),
            name: request.name.clone(),
            image_id: ImageId(IMAGE_ID.to_owned()),
            labels: request.labels.clone(),
            state: ContainerState::Created,
            created_at,
            endpoint: None,
            limits: None,
        };
        let (output, _) = watch::channel((Vec::new(), true));
        let (ended, _) = watch::channel(true);
        let (request, pid, attached) = (request.clone(), None, None);
        entries.insert(id.clone(), Entry { container, request, pid, output, ended, attached });
        Ok(id)
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.begin(id)
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        if self.running(id).is_err() {
            return Ok(());
        }
        let own = self.with(id, |entry| entry.request.stop_signal)?;
        let _ = self.signal(id, signal.or(own).unwrap_or(Signal::SigTerm)).await;
        if tokio::time::timeout(grace.to_std(), self.ended(id)).await.is_err() {
            let _ = self.signal(id, Signal::SigKill).await;
            self.ended(id).await;
        }
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.stop(id, Some(Signal::SigKill), Duration::from_secs(1)).await?;
        let found = self.with(id, |entry| entry.container.id.clone());
        let _ = found.map(|id| self.entries().remove(&id));
        Ok(())
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::from([Capability::Exec, Capability::Files, Capability::Logs])
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let pid = self.running(id)?;
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
        kill_process(pid, signal).map_err(|error| failed(error.into()))
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
}

#[async_trait]
impl Exec for LocalRuntime {
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        self.running(id)?;
        let mut command = Command::new(&request.command[0]);
        let child = piped(command.args(&request.command[1..])).spawn();
        let (input, received) = tokio::io::duplex(1024);
        let (sender, output) = mpsc::unbounded_channel();
        let Ok(mut child) = child else {
            let _ = sender.send(ExecOutput::Exit(127));
            return Ok(session(input, output));
        };
        let stdin = child.stdin.take().unwrap();
        if request.stdin {
            tokio::spawn(pump(received, stdin));
        }
        tokio::spawn(async move {
            let send = async |kind: fn(Bytes) -> ExecOutput,
                              from: &mut (dyn AsyncRead + Send + Unpin)| {
                let mut part = [0; 4096];
                while let Ok(length @ 1..) = from.read(&mut part).await {
                    let _ = sender.send(kind(Bytes::copy_from_slice(&part[..length])));
                }
            };
            let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
            tokio::join!(send(ExecOutput::Stdout, &mut out), send(ExecOutput::Stderr, &mut err));
            let status = child.wait().await.unwrap();
            let _ = sender.send(ExecOutput::Exit(i64::from(status.code().unwrap_or(137))));
        });
        Ok(session(input, output))
    }

    async fn attach(&self, id: &ContainerId, _: Stdio) -> Result<ExecSession, RuntimeError> {
        let (input, received) = tokio::io::duplex(1024);
        let (sender, output) = mpsc::unbounded_channel();
        self.with(id, |entry| entry.attached = Some((received, sender)))?;
        Ok(session(input, output))
    }
}

fn write(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap())?;
    std::fs::write(path, contents)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
}

fn put(entry: &FileEntry) -> io::Result<()> {
    match entry {
        FileEntry::Directory { path } => std::fs::create_dir_all(path),
        FileEntry::File { path, contents } => write(Path::new(path), contents, 0o644),
        FileEntry::PrivateFile { path, contents } => write(Path::new(path), contents, 0o600),
        FileEntry::Symlink { path, target } => {
            std::fs::create_dir_all(Path::new(path).parent().unwrap())?;
            let _ = std::fs::remove_file(path);
            std::os::unix::fs::symlink(target, path)
        }
    }
}

/// Reads the files below a folder; links are left out.
fn read(folder: &Path, found: &mut Vec<(PathBuf, Bytes)>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read(&entry.path(), found)?;
        } else if kind.is_file() {
            found.push((entry.path(), std::fs::read(entry.path())?.into()));
        }
    }
    Ok(())
}

#[async_trait]
impl Files for LocalRuntime {
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        self.inspect(id).await?;
        files.iter().try_for_each(put).map_err(failed)
    }

    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        self.inspect(id).await?;
        let mut found = Vec::new();
        read(Path::new(directory), &mut found).map_err(|_| not_found("directory", directory))?;
        let relative = |path: &Path| path.strip_prefix(directory).unwrap().display().to_string();
        Ok(found.into_iter().map(|(path, content)| (relative(&path), content)).collect())
    }
}

#[async_trait]
impl Logs for LocalRuntime {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        let output = self.with(id, |entry| entry.output.subscribe())?;
        let mut lines = output.borrow().0.clone();
        let next = lines.len();
        lines.retain(|line| options.since.is_none_or(|since| line.time >= since));
        let tail = options.tail.map_or(lines.len(), |tail| usize::try_from(tail).unwrap());
        let lines = lines.split_off(lines.len().saturating_sub(tail));
        let first = stream::iter(lines.into_iter().map(Ok));
        if !options.follow {
            return Ok(first.boxed());
        }
        let rest = stream::unfold((output, next), async |(mut output, next)| {
            let line = loop {
                let (line, is_open) = {
                    let state = output.borrow_and_update();
                    (state.0.get(next).cloned(), state.1)
                };
                match line {
                    Some(line) => break line,
                    None if is_open => output.changed().await.ok()?,
                    None => return None,
                }
            };
            Some((Ok(line), (output, next + 1)))
        });
        Ok(first.chain(rest).boxed())
    }
}
