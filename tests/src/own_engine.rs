//! An engine of a test's own, which the test may kill: containerd and dockerd with all their files
//! in the folder of a scenario, a bridge of its own, and no rules in the host's firewall. So the
//! containers of a network do not reach each other, but the host reaches them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::Scenario;
use crate::program::docker;

/// Time limit for an engine to answer after its start, and to end.
const LIMIT: Duration = Duration::from_secs(30);

/// The engine. Dropping it ends it with all its containers.
#[derive(Debug)]
pub struct OwnEngine {
    folder: PathBuf,
    storage_driver: String,
    live_restore: bool,
    bridge: String,
    containerd: Child,
    dockerd: Option<Child>,
}

impl OwnEngine {
    /// Starts an engine for a scenario, which uses it from then on, with these images. Returns
    /// `None`, and says that the test is skipped, where that is not possible.
    ///
    /// With `live_restore`, containers go on while the engine does not run.
    pub async fn start(scenario: &Scenario, live_restore: bool, images: &[&str]) -> Option<Self> {
        let exists = |program: &&str| Command::new(program).arg("--version").output().is_ok();
        if !geteuid().is_root() || !["dockerd", "containerd", "ip"].iter().all(exists) {
            let test = scenario.test();
            let line = format!("skipped {test}: it needs root, `dockerd`, `containerd`, `ip`\n");
            // A line that cannot be written changes no result.
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let folder = scenario.folder().join("engine");
        std::fs::create_dir(&folder).unwrap();
        let storage_driver = docker(&["info", "--format", "{{.Driver}}"]).await;
        let bridge = create_bridge();
        let containerd = start_containerd(&folder);
        let dockerd = None;
        let mut engine = Self { folder, storage_driver, live_restore, bridge, containerd, dockerd };
        engine.run();
        scenario.use_engine(engine.socket());
        let archive = engine.path("images.tar");
        let save = [&["save", "-o", &archive], images].concat();
        let _ = docker(&save).await;
        let host = engine.host();
        let _ = docker(&["-H", &host, "load", "-i", &archive]).await;
        Some(engine)
    }

    /// Kills the engine. Its containers are not told.
    pub fn kill(&mut self) {
        let mut dockerd = self.dockerd.take().unwrap();
        dockerd.kill().unwrap();
        let _ = dockerd.wait().unwrap();
    }

    /// Starts the engine after it was killed, and waits until it answers.
    pub fn run(&mut self) {
        // A killed engine leaves its file, and the next one would not start.
        let _ = std::fs::remove_file(self.path("pid"));
        std::fs::write(self.path("daemon.json"), "{}").unwrap();
        let mut command = Command::new("dockerd");
        let host = self.host();
        let options = [
            ("--config-file", self.path("daemon.json")),
            ("--host", host.clone()),
            ("--containerd", self.path("c.sock")),
            ("--data-root", self.path("data")),
            ("--exec-root", self.path("exec")),
            ("--pidfile", self.path("pid")),
            ("--storage-driver", self.storage_driver.clone()),
        ];
        command.args(options.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        // Without a bridge of its own, an engine would use or remove that of the host's engine.
        command.args(["--bridge", &self.bridge, "--iptables=false"]);
        command.args(self.live_restore.then_some("--live-restore"));
        self.dockerd = Some(spawn(&mut command, &self.path("dockerd.log")));
        let deadline = Instant::now() + LIMIT;
        let answers = || {
            let version = Command::new("docker").args(["-H", &host, "version"]).output();
            version.is_ok_and(|output| output.status.success())
        };
        while !answers() {
            assert!(Instant::now() < deadline, "the engine does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock"))
    }
}

/// Creates the bridge of the default network, which no container uses.
fn create_bridge() -> String {
    let pid = std::process::id();
    let bridge = format!("dube2e{pid}");
    let address = format!("10.220.{}.1/24", pid % 256);
    ip(&["link", "add", &bridge, "type", "bridge"]);
    ip(&["address", "add", &address, "dev", &bridge]);
    ip(&["link", "set", &bridge, "up"]);
    bridge
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {message}", arguments.join(" "));
}

fn start_containerd(folder: &std::path::Path) -> Child {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let config = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
        path("c-root"),
        path("c-state"),
        path("c.sock")
    );
    std::fs::write(path("containerd.toml"), config).unwrap();
    let mut command = Command::new("containerd");
    let _ = command.args(["--config", &path("containerd.toml")]);
    spawn(&mut command, &path("containerd.log"))
}

fn spawn(command: &mut Command, log: &str) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// Ends a process by SIGTERM, and by SIGKILL if it does not end in time.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline && child.try_wait().is_ok_and(|ended| ended.is_none()) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        // An engine that starts without live restore ends the containers that it finds, and one
        // that ends its own.
        if self.live_restore
            && let Some(mut dockerd) = self.dockerd.take()
        {
            end(&mut dockerd);
        }
        self.live_restore = false;
        if self.dockerd.is_none() {
            self.run();
        }
        let networks = ["network", "ls", "--quiet", "--filter", "type=custom"];
        let host = self.host();
        let networks = Command::new("docker").args(["-H", &host]).args(networks).output();
        if let Some(mut dockerd) = self.dockerd.take() {
            end(&mut dockerd);
        }
        end(&mut self.containerd);
        // An engine leaves the bridges of its networks for its next start.
        let networks = networks.map(|output| output.stdout).unwrap_or_default();
        let networks = String::from_utf8_lossy(&networks);
        let bridges = networks.lines().map(|network| format!("br-{network}"));
        for bridge in bridges.chain([self.bridge.clone()]) {
            let _ = Command::new("ip").args(["link", "delete", &bridge]).output();
        }
        // The engine mounts its folder onto itself.
        let _ = Command::new("umount").arg(self.path("data")).output();
    }
}
