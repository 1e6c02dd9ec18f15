//! A test's own instance: state directory, port, orchestrator, and everything it creates on the
//! engine.
//!
//! Dropping a [`Scenario`], also in a failed test, kills its processes and removes everything with
//! its label, and nothing else.

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

use crate::engine_proxy::EngineProxy;
use crate::eventually;
use crate::manifest::{BUSYBOX, Manifest, WHOAMI};
use crate::port::Port;
use crate::program::{CommandResult, docker, run};
use crate::sshd::Sshd;
use crate::unit::Unit;
use crate::{report, slots};

/// Label of objects that a test creates outside its instance, for cleanup.
pub const SCENARIO: &str = "dubernetes-tests.scenario";
/// Time limit for the orchestrator to start. A separate test asserts how long it takes.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Time limit for the orchestrator to exit. A separate test asserts how long it takes.
const END_LIMIT: Duration = Duration::from_secs(30);

/// An end-to-end test, created by [`e2e`](crate::e2e).
#[derive(Debug)]
pub struct E2eTest {
    name: &'static str,
    program: &'static str,
}

impl E2eTest {
    /// Creates a test named after the function that contains `marker`.
    pub fn new(marker: &'static str, program: &'static str) -> Self {
        let name = marker.strip_suffix("::marker").unwrap_or(marker);
        Self { name, program }
    }

    /// Runs the test body with a new scenario, or skips the test if no engine answers.
    pub fn run(self, body: impl AsyncFnOnce(&Scenario)) {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
            let Some(engine) = connect_engine(self.name).await else { return };
            let _slot = slots::take().await;
            let scenario = Scenario::new(self.name, self.program, engine);
            body(&scenario).await;
        });
    }
}

/// Returns the engine and the nginx image, once all images that the tests need exist.
pub(crate) async fn connect_engine(test: &str) -> Option<(DockerRuntime, String)> {
    let runtime = engine_or_skip(test, DockerRuntime::connect(None).await)?;
    let nginx = std::env::var("DUBERNETES_INGRESS_IMAGE");
    let nginx = nginx.unwrap_or_else(|_| "dubernetes-nginx:1.30".to_owned());
    for image in [&nginx, WHOAMI, BUSYBOX] {
        let image = ImageRef::parse(image).unwrap().into();
        engine_or_skip(test, runtime.resolve(&image, PullPolicy::Never).await)?;
    }
    Some((runtime, nginx))
}

/// An instance under test. See the module documentation.
#[derive(Debug)]
pub struct Scenario {
    /// Name of the instance.
    pub instance: InstanceName,
    /// Host port of the ingress.
    pub port: u16,
    /// Connection to the engine.
    pub runtime: DockerRuntime,
    test: &'static str,
    program: &'static str,
    ingress_image: String,
    folder: TempDir,
    serve: Mutex<Option<Child>>,
    /// Engine socket passed to the program, if not the default.
    engine_socket: Mutex<Option<PathBuf>>,
    /// Value of `--ssh`, if the program is to be on another machine than the orchestrator.
    ssh: Mutex<Option<String>>,
    _port: Port,
}

impl Scenario {
    pub(crate) fn new(
        test: &'static str,
        program: &'static str,
        engine: (DockerRuntime, String),
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = test.split("::").next().unwrap_or_default().replace('_', "-");
        let instance = format!("e2e-{file}-{}-{number}", std::process::id());
        let instance = InstanceName::parse(&instance).unwrap();
        let (runtime, ingress_image) = engine;
        let folder = tempfile::Builder::new().prefix("dubernetes-e2e-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let port = Port::take();
        Self {
            instance,
            port: port.number,
            runtime,
            test,
            program,
            ingress_image,
            folder,
            serve: Mutex::new(None),
            engine_socket: Mutex::new(None),
            ssh: Mutex::new(None),
            _port: port,
        }
    }

    /// Creates a second instance on the same engine.
    pub fn second_instance(&self) -> Self {
        Self::new(self.test, self.program, (self.runtime.clone(), self.ingress_image.clone()))
    }

    /// Returns the state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Returns the name of nginx's container.
    pub fn ingress(&self) -> String {
        dubernetes_core::identity::ingress_name(&self.instance)
    }

    /// Writes a file and returns its path.
    pub fn write_file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join("files").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Returns a command of the program, called as `name`, with the instance's settings.
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
        if let Some(socket) = &*self.engine_socket.lock().unwrap() {
            command.env("DUBERNETES_ENGINE", socket);
        }
        if let Some(ssh) = &*self.ssh.lock().unwrap() {
            command
                .env("DUBERNETES_STATE_DIR", self.folder.path().join("laptop"))
                .env("DUBERNETES_ENGINE", "unix:///nonexistent/engine.sock")
                .env("DUBERNETES_HOST", "ssh://server")
                .env("DUBERNETES_SSH", ssh);
        }
        command
    }

    /// From now on, runs commands as on another machine, which has `ssh` and no engine.
    pub fn use_ssh(&self, sshd: &Sshd) {
        *self.ssh.lock().unwrap() = Some(sshd.client());
    }

    /// Makes the program connect to the engine through a proxy, and opens it.
    pub async fn use_engine_proxy(&self) -> EngineProxy {
        let path = self.folder.path().join("engine.sock");
        self.use_engine(path.clone());
        let engine = self.runtime.endpoint();
        let mut proxy = EngineProxy::new(path, engine.strip_prefix("unix://").unwrap().into());
        proxy.open().await;
        proxy
    }

    /// Makes the program connect to the engine at this socket.
    pub(crate) fn use_engine(&self, socket: PathBuf) {
        *self.engine_socket.lock().unwrap() = Some(socket);
    }

    /// Runs a command of the program to completion.
    pub async fn run(&self, arguments: &[&str]) -> CommandResult {
        self.run_with(arguments, "").await
    }

    /// Runs a command of the program with further variables.
    pub async fn run_with_variables(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> CommandResult {
        let line = format!("dubernetes {}", arguments.join(" "));
        let mut command = Command::from(self.command("dubernetes", arguments));
        command.envs(variables.iter().copied());
        run(command, line, "").await
    }

    /// Runs a command of the program with text on standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> CommandResult {
        let line = format!("dubernetes {}", arguments.join(" "));
        run(Command::from(self.command("dubernetes", arguments)), line, input).await
    }

    /// Runs a command of the program under its other name.
    pub async fn dubectl(&self, arguments: &[&str]) -> CommandResult {
        let line = format!("dubectl {}", arguments.join(" "));
        run(Command::from(self.command("dubectl", arguments)), line, "").await
    }

    /// Starts a command of the program in the background.
    pub fn spawn(&self, arguments: &[&str]) -> tokio::process::Child {
        let mut command = Command::from(self.command("dubernetes", arguments));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().unwrap()
    }

    /// Applies a manifest and waits until the app is ready.
    pub async fn apply(&self, manifest: &Manifest) -> CommandResult {
        self.try_apply(manifest).await.assert_success()
    }

    /// Applies a manifest, waits for the result and returns it, success or failure.
    pub async fn try_apply(&self, manifest: &Manifest) -> CommandResult {
        let path = self.write_file(&format!("{}.yaml", manifest.name), &manifest.to_string());
        self.run(&["apply", &path]).await
    }

    /// Applies a manifest without waiting for the app.
    pub async fn apply_detached(&self, manifest: &Manifest) -> CommandResult {
        let path = self.write_file(&format!("{}.yaml", manifest.name), &manifest.to_string());
        self.run(&["apply", "--detach", &path]).await.assert_success()
    }

    /// Starts an orchestrator, waits until it listens, and returns how long that took.
    pub async fn serve(&self) -> Duration {
        self.serve_with(&[]).await
    }

    /// Like [`Self::serve`], with additional environment variables.
    pub async fn serve_with(&self, variables: &[(&str, &str)]) -> Duration {
        let mut command = self.command("dubernetes", &["serve"]);
        command.envs(variables.iter().copied());
        self.start_serve(command).await
    }

    /// Like [`Self::serve`], and takes over an instance whose state is lost.
    pub async fn serve_adopting(&self) -> Duration {
        self.start_serve(self.command("dubernetes", &["serve", "--adopt"])).await
    }

    /// Like [`Self::serve_with`], with the command and the environment of a unit.
    pub async fn serve_by_unit(&self, unit: &Unit, variables: &[(&str, String)]) -> Duration {
        let mut command = unit.command(Path::new(self.program));
        for (name, value) in self.command("dubernetes", &[]).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        self.start_serve(command).await
    }

    async fn start_serve(&self, mut command: std::process::Command) -> Duration {
        let start = Instant::now();
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
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

    /// Returns the process id of the orchestrator.
    pub fn pid(&self) -> u32 {
        self.serve.lock().unwrap().as_ref().unwrap().id()
    }

    /// Returns the process of the orchestrator, to signal it.
    pub fn process(&self) -> Pid {
        to_pid(self.pid())
    }

    /// Kills the orchestrator with SIGKILL, like a crash.
    pub async fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait_for_exit(END_LIMIT).await;
    }

    /// Stops the orchestrator with SIGTERM, asserts exit code 0, and returns how long it took.
    pub async fn terminate(&self) -> Duration {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let code = self.wait_for_exit(END_LIMIT).await;
        assert_eq!(code, Some(0), "the orchestrator's exit code");
        start.elapsed()
    }

    /// Sends the orchestrator a signal.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Limits the orchestrator's file descriptors. Open files above the limit stay open.
    pub fn limit_files(&self, count: u64) {
        let limit = Rlimit { current: Some(count), maximum: Some(count) };
        prlimit(Some(self.process()), Resource::Nofile, limit).unwrap();
    }

    /// Returns the resident memory of the orchestrator in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    async fn wait_for_exit(&self, limit: Duration) -> Option<i32> {
        let status = eventually("the orchestrator exits", limit, async || {
            let status = self.serve.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
            status.ok_or_else(|| "it still runs".to_owned())
        })
        .await;
        self.serve.lock().unwrap().take();
        status.code()
    }

    /// Returns the path of the log of all orchestrators of this scenario.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    /// Adds a tag to an image. The tag is removed with the scenario.
    pub async fn tag(&self, image: &str) -> String {
        let tag = format!("dubernetes-tests:{}", self.instance);
        docker(&["tag", image, &tag]).await;
        tag
    }

    /// Creates a container outside the instance and returns its id. The container is removed with
    /// the scenario.
    pub async fn create_container(&self, arguments: &[&str]) -> String {
        let mark = format!("{SCENARIO}={}", self.instance);
        docker(&[&["create", "--label", &mark], arguments].concat()).await
    }

    pub(crate) fn program(&self) -> &Path {
        Path::new(self.program)
    }

    /// Returns the nginx image.
    pub fn ingress_image(&self) -> &str {
        &self.ingress_image
    }

    pub(crate) fn test(&self) -> &'static str {
        self.test
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Sends SIGINT to a background command, as Ctrl-C does.
///
/// # Panics
///
/// If the command has exited.
pub fn interrupt(child: &tokio::process::Child) {
    send_signal(child.id().unwrap(), Signal::INT);
}

/// Removes everything of an instance, and what was created beside it, from the engine.
pub fn remove_instance(instance: &InstanceName) {
    report::clean_up(instance);
}

fn send_signal(pid: u32, signal: Signal) {
    kill_process(to_pid(pid), signal).unwrap();
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report::print_failure(self);
        }
        if let Some(mut serve) = self.serve.lock().ok().and_then(|mut serve| serve.take()) {
            // The process may have exited already.
            let _ = serve.kill();
            let _ = serve.wait();
        }
        report::clean_up(&self.instance);
    }
}
