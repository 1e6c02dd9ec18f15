//! A test's own instance: state folder, port, orchestrator, and all that it makes on the engine.
//!
//! Nothing outlives it: when it is dropped, also by a failed test, its processes end and what
//! carries its label goes. Nothing else is touched.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dubernetes_core::app::{ImageRef, InstanceName, PullPolicy};
use dubernetes_core::runtime::ContainerRuntime as _;
use dubernetes_docker::DockerRuntime;
use dubernetes_testkit::gate::engine_or_skip;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;
use tokio::process::Command;

use crate::door::Door;
use crate::eventually;
use crate::manifest::{BUSYBOX, Manifest, WHOAMI};
use crate::port::Port;
use crate::program::{Ran, docker, run};
use crate::{report, slots};

/// Marks what a test makes besides its instance, so that it goes with it.
pub const SCENARIO: &str = "dubernetes-tests.scenario";
/// How long an orchestrator may take until it answers; how fast it is, one test says.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long an orchestrator may take to end; how fast it is, one test says.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A test, of which [`here`](crate::here) makes one.
#[derive(Debug)]
pub struct Test {
    name: &'static str,
    program: &'static str,
}

impl Test {
    /// The test in which a function of this path stands.
    pub fn new(place: &'static str, program: &'static str) -> Self {
        let name = place.strip_suffix("::place").unwrap_or(place);
        Self { name, program }
    }

    /// Tells the story with a scenario of its own, or says why it cannot be told here.
    pub fn run(self, story: impl AsyncFnOnce(&Scenario)) {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
            let Some(engine) = engine(self.name).await else { return };
            let _slot = slots::take().await;
            let scenario = Scenario::new(self.name, self.program, engine);
            story(&scenario).await;
        });
    }
}

/// The engine with the images that the stories need.
async fn engine(test: &str) -> Option<(DockerRuntime, String)> {
    let runtime = engine_or_skip(test, DockerRuntime::connect(None).await)?;
    let nginx = std::env::var("DUBERNETES_INGRESS_IMAGE");
    let nginx = nginx.unwrap_or_else(|_| "dubernetes-nginx:1.30".to_owned());
    for image in [&nginx, WHOAMI, BUSYBOX] {
        let image = ImageRef::parse(image).unwrap();
        engine_or_skip(test, runtime.ensure_image(&image, PullPolicy::Never).await)?;
    }
    Some((runtime, nginx))
}

/// See the module.
#[derive(Debug)]
pub struct Scenario {
    /// The instance's name.
    pub instance: InstanceName,
    /// The port of this machine on which its ingress listens.
    pub port: u16,
    /// The engine.
    pub runtime: DockerRuntime,
    test: &'static str,
    program: &'static str,
    ingress_image: String,
    folder: TempDir,
    serve: Mutex<Option<Child>>,
    /// The engine's socket as the program is told it, if not the usual one.
    socket: Mutex<Option<PathBuf>>,
    _port: Port,
}

impl Scenario {
    fn new(test: &'static str, program: &'static str, engine: (DockerRuntime, String)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = test.split("::").next().unwrap_or_default().replace('_', "-");
        let instance = format!("e2e-{file}-{}-{number}", std::process::id());
        let instance = InstanceName::parse(&instance).unwrap();
        let (runtime, ingress_image) = engine;
        let folder = tempfile::Builder::new().prefix("dubernetes-e2e-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let taken = Port::take();
        let port = taken.number;
        let serve = Mutex::new(None);
        let socket = Mutex::new(None);
        Self {
            instance,
            port,
            runtime,
            test,
            program,
            ingress_image,
            folder,
            serve,
            socket,
            _port: taken,
        }
    }

    /// A second instance beside this one.
    pub fn another(&self) -> Self {
        Self::new(self.test, self.program, (self.runtime.clone(), self.ingress_image.clone()))
    }

    /// The folder of the state.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The name of nginx's container.
    pub fn ingress(&self) -> String {
        dubernetes_core::identity::ingress_name(&self.instance)
    }

    /// Writes a file and gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join("files").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The program with the instance's settings, under the name `name`.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(self.program);
        std::os::unix::process::CommandExt::arg0(&mut command, name);
        for (variable, _) in std::env::vars() {
            if variable.starts_with("DUBERNETES_") {
                command.env_remove(variable);
            }
        }
        command
            .args(arguments)
            .env("DUBERNETES_STATE_DIR", self.state_dir())
            .env("DUBERNETES_INSTANCE", self.instance.as_str())
            .env("DUBERNETES_HTTP_PORT", self.port.to_string())
            .env("DUBERNETES_INGRESS_IMAGE", &self.ingress_image);
        if let Some(socket) = &*self.socket.lock().unwrap() {
            command.env("DUBERNETES_ENGINE", socket);
        }
        command
    }

    /// From now on the program reaches the engine through a door that can be shut.
    pub async fn through_a_door(&self) -> Door {
        let path = self.folder.path().join("engine.sock");
        *self.socket.lock().unwrap() = Some(path.clone());
        let engine = self.runtime.endpoint();
        let mut door = Door::new(path, engine.strip_prefix("unix://").unwrap().into());
        door.open().await;
        door
    }

    /// Runs a command of the program to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "").await
    }

    /// The same with text on standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let line = format!("dubernetes {}", arguments.join(" "));
        run(Command::from(self.command("dubernetes", arguments)), line, input).await
    }

    /// The same, by the program's other name.
    pub async fn dubectl(&self, arguments: &[&str]) -> Ran {
        let line = format!("dubectl {}", arguments.join(" "));
        run(Command::from(self.command("dubectl", arguments)), line, "").await
    }

    /// A command of the program that goes on beside the test.
    pub fn spawn(&self, arguments: &[&str]) -> tokio::process::Child {
        let mut command = Command::from(self.command("dubernetes", arguments));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().unwrap()
    }

    /// Applies a document and waits until the app is ready.
    pub async fn apply(&self, manifest: &Manifest) -> Ran {
        self.try_apply(manifest).await.succeeds()
    }

    /// Applies a document and waits for what comes of it.
    pub async fn try_apply(&self, manifest: &Manifest) -> Ran {
        let path = self.file(&format!("{}.yaml", manifest.name), &manifest.to_string());
        self.run(&["apply", &path]).await
    }

    /// Applies a document and does not wait.
    pub async fn apply_detached(&self, manifest: &Manifest) -> Ran {
        let path = self.file(&format!("{}.yaml", manifest.name), &manifest.to_string());
        self.run(&["apply", "--detach", &path]).await.succeeds()
    }

    /// Starts an orchestrator and waits until it answers; how long that took.
    pub async fn serve(&self) -> Duration {
        self.serve_with(&[]).await
    }

    /// The same with more variables in its environment.
    pub async fn serve_with(&self, variables: &[(&str, &str)]) -> Duration {
        let start = Instant::now();
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command("dubernetes", &["serve"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.envs(variables.iter().copied());
        let child = command.spawn().unwrap();
        let before = self.serve.lock().unwrap().replace(child);
        assert!(before.is_none(), "one orchestrator at a time");
        let socket = self.state_dir().join("dubernetes.sock");
        eventually("the orchestrator listens", START_LIMIT, async || {
            let ended = self.serve.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the orchestrator ended: {ended:?}");
            tokio::net::UnixStream::connect(&socket).await.map_err(|error| error.to_string())
        })
        .await;
        start.elapsed()
    }

    /// The process id of the orchestrator.
    pub fn pid(&self) -> u32 {
        self.serve.lock().unwrap().as_ref().unwrap().id()
    }

    /// Ends the orchestrator as a crash does: by SIGKILL.
    pub async fn kill(&self) {
        self.signal(Signal::KILL);
        self.ended(END_LIMIT).await;
    }

    /// Ends the orchestrator by SIGTERM, which it answers with exit code 0; how long it took.
    pub async fn terminate(&self) -> Duration {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let code = self.ended(END_LIMIT).await;
        assert_eq!(code, Some(0), "the orchestrator's exit code");
        start.elapsed()
    }

    /// Sends the orchestrator a signal, such as SIGSTOP, which it cannot refuse.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// From now on the orchestrator opens no file beyond so many; what is open stays so.
    pub fn limit_files(&self, number: u64) {
        let limit = Rlimit { current: Some(number), maximum: Some(number) };
        prlimit(Some(process(self.pid())), Resource::Nofile, limit).unwrap();
    }

    /// How much memory the orchestrator has, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    async fn ended(&self, limit: Duration) -> Option<i32> {
        let status = eventually("the orchestrator ends", limit, async || {
            let status = self.serve.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
            status.ok_or_else(|| "it still runs".to_owned())
        })
        .await;
        self.serve.lock().unwrap().take();
        status.code()
    }

    /// The file with all that the orchestrators have said.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    /// Another name for an image, which goes with this scenario.
    pub async fn tag(&self, image: &str) -> String {
        let tag = format!("dubernetes-tests:{}", self.instance);
        docker(&["tag", image, &tag]).await;
        tag
    }

    /// A container made behind the orchestrator's back, which goes with this scenario; its id.
    pub async fn foreign(&self, arguments: &[&str]) -> String {
        let mark = format!("{SCENARIO}={}", self.instance);
        docker(&[&["create", "--label", &mark], arguments].concat()).await
    }

    pub(crate) fn program(&self) -> &Path {
        Path::new(self.program)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// What Ctrl-C does to a command that goes on beside the test.
///
/// # Panics
///
/// If it has ended.
pub fn interrupt(child: &tokio::process::Child) {
    send(child.id().unwrap(), Signal::INT);
}

fn send(pid: u32, signal: Signal) {
    kill_process(process(pid), signal).unwrap();
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report::failure(self);
        }
        if let Some(mut serve) = self.serve.lock().ok().and_then(|mut serve| serve.take()) {
            // One that has ended already is as good.
            let _ = serve.kill();
            let _ = serve.wait();
        }
        report::clean_up(&self.instance);
    }
}
