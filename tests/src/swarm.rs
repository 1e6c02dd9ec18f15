//! A swarm of a test's own: the engines of three machines, each in namespaces of its own, on one
//! bridge. The first machine is the manager, or all are. A machine can be killed or cut off, and
//! come back.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// Time limit for an engine to answer after its start, and to end.
const LIMIT: Duration = Duration::from_secs(60);
/// Programs that a swarm needs.
const PROGRAMS: [&str; 6] = ["dockerd", "containerd", "docker", "ip", "nsenter", "unshare"];

/// The machines. Dropping it ends them with all their containers.
#[derive(Debug)]
pub struct Swarm {
    folder: TempDir,
    /// Name of the machines and their namespaces, without the number.
    prefix: String,
    /// The first three bytes of their addresses.
    base: String,
    storage_driver: String,
    /// Every machine is a manager, and can be killed.
    all_manage: bool,
    machines: Vec<Option<Child>>,
}

impl Swarm {
    /// Starts machines, and loads these images on the manager. Returns `None`, and says that the
    /// test is skipped, where that is not possible.
    pub fn start(test: &str, machines: usize, images: &[&str]) -> Option<Self> {
        Self::start_with(test, machines, images, false)
    }

    /// Like [`Self::start`], with machines that are all managers and have the images.
    pub fn start_managers(test: &str, machines: usize, images: &[&str]) -> Option<Self> {
        Self::start_with(test, machines, images, true)
    }

    fn start_with(test: &str, machines: usize, images: &[&str], all_manage: bool) -> Option<Self> {
        let exists = |program: &&str| Command::new(program).arg("--version").output().is_ok();
        if !geteuid().is_root() || !PROGRAMS.iter().all(exists) {
            let line = format!("skipped {test}: it needs root, and {}\n", PROGRAMS.join(", "));
            // A line that cannot be written changes no result.
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let pid = std::process::id();
        let driver = run("docker", &["info", "--format", "{{.Driver}}"]);
        let mut swarm = Self {
            folder: tempfile::Builder::new().prefix("dubernetes-swarm-").tempdir().unwrap(),
            prefix: format!("dsw{}n", pid % 100_000),
            base: format!("10.99.{}", pid % 250),
            storage_driver: driver.trim().to_owned(),
            all_manage,
            machines: Vec::new(),
        };
        swarm.connect_machines(machines);
        for number in 1..=machines {
            swarm.machines.push(None);
            swarm.run_machine(number);
        }
        swarm.form(machines);
        let archive = swarm.path("images.tar");
        run("docker", &[&["save", "-o", &archive], images].concat());
        for number in 1..=if all_manage { machines } else { 1 } {
            swarm.docker(number, &["load", "-q", "-i", &archive]);
        }
        Some(swarm)
    }

    /// Creates the bridge, in a namespace of its own, and a namespace for each machine. This
    /// process is on the bridge as well.
    fn connect_machines(&self, machines: usize) {
        let bridge = self.name(0);
        ip(&format!("netns add {bridge}"));
        ip(&format!("-n {bridge} link set lo up"));
        ip(&format!("-n {bridge} link add br0 type bridge"));
        ip(&format!("-n {bridge} address add {}.254/24 dev br0", self.base));
        ip(&format!("-n {bridge} link set br0 up"));
        let own = format!("{}h", self.prefix);
        ip(&format!("link add {own} type veth peer name {own} netns {bridge}"));
        ip(&format!("-n {bridge} link set {own} master br0 up"));
        ip(&format!("address add {}.253/24 dev {own}", self.base));
        ip(&format!("link set {own} up"));
        for number in 1..=machines {
            let name = self.name(number);
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("link add {name} netns {bridge} type veth peer name eth0 netns {name}"));
            ip(&format!("-n {bridge} link set {name} master br0 up"));
            ip(&format!("-n {name} address add {} dev eth0", self.address(number) + "/24"));
            ip(&format!("-n {name} link set eth0 up"));
            ip(&format!("-n {name} route add default via {}.254", self.base));
        }
    }

    /// Starts a machine, also again after it was killed, and waits until its engine answers.
    pub fn run_machine(&mut self, number: usize) {
        let (name, folder) = (self.name(number), self.path(&format!("m{number}")));
        std::fs::create_dir_all(&folder).unwrap();
        // A killed machine leaves its files, and its engine would not start again.
        for left in ["docker.pid", "docker.sock", "c.sock", "c.sock.ttrpc"] {
            let _ = std::fs::remove_file(format!("{folder}/{left}"));
        }
        std::fs::write(format!("{folder}/daemon.json"), "{}").unwrap();
        let containerd = format!(
            "version = 2\nroot = \"{folder}/c/root\"\nstate = \"{folder}/c/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \
             \"{folder}/c.sock\"\n"
        );
        std::fs::write(format!("{folder}/containerd.toml"), containerd).unwrap();
        let driver = &self.storage_driver;
        // Engines keep sockets in /run/docker, whatever folders they are given.
        let script = format!(
            "hostname {name}; mkdir -p /run/docker; mount -t tmpfs tmpfs /run/docker
             containerd --config {folder}/containerd.toml >{folder}/containerd.log 2>&1 &
             while ! [ -S {folder}/c.sock ]; do sleep 0.1; done
             exec dockerd --config-file {folder}/daemon.json -H unix://{folder}/docker.sock \
             --containerd {folder}/c.sock --data-root {folder}/data --exec-root {folder}/exec \
             --pidfile {folder}/docker.pid --storage-driver {driver} --userland-proxy=false \
             >>{folder}/dockerd.log 2>&1"
        );
        // `ip netns exec` would hide the cgroups. A worker has process ids of its own, so that it
        // dies as a whole; those of the manager are the ones that the orchestrator sees, unless
        // that runs in the machine as well.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{name}")).args(["unshare", "--uts", "--mount"]);
        if self.dies_as_a_whole(number) {
            command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        }
        command.args(["--propagation", "private", "--", "sh", "-c", &script]);
        let machine = command.stdin(Stdio::null()).spawn().unwrap();
        self.machines[number - 1] = Some(machine);
        let deadline = Instant::now() + LIMIT;
        while !self.try_docker(number, &["version"]).status.success() {
            let log = || std::fs::read_to_string(format!("{folder}/dockerd.log"));
            assert!(Instant::now() < deadline, "engine {number} does not answer: {:?}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn form(&self, machines: usize) {
        let address = self.address(1);
        let pool = ["--default-addr-pool", "10.98.0.0/16", "--default-addr-pool-mask-length", "24"];
        let own = ["--advertise-addr", &address, "--listen-addr", &address];
        self.docker(1, &[&["swarm", "init"], &pool[..], &own].concat());
        let role = if self.all_manage { "manager" } else { "worker" };
        let token = self.docker(1, &["swarm", "join-token", "-q", role]);
        for number in 2..=machines {
            let own = self.address(number);
            let own = ["--advertise-addr", &own, "--listen-addr", &own];
            let to = ["--token", token.trim(), &format!("{address}:2377")];
            self.docker(number, &[&["swarm", "join"], &own[..], &to].concat());
        }
    }

    fn dies_as_a_whole(&self, number: usize) -> bool {
        number > 1 || self.all_manage
    }

    /// Returns the arguments of `nsenter` for a program on a machine that dies as a whole.
    pub fn enter(&self, number: usize) -> Vec<String> {
        let outer = self.machines[number - 1].as_ref().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"));
        let first = children.unwrap().split_whitespace().next().unwrap().to_owned();
        let arguments = ["--target", &first, "--net", "--uts", "--mount", "--pid", "--"];
        arguments.map(str::to_owned).to_vec()
    }

    /// Kills a machine with everything that runs on it, as a power cut does.
    ///
    /// # Panics
    ///
    /// If the machine is the only manager, or does not run.
    pub fn kill(&mut self, number: usize) {
        assert!(self.dies_as_a_whole(number), "the manager shares its process ids");
        let mut machine = self.machines[number - 1].take().unwrap();
        machine.kill().unwrap();
        let _ = machine.wait().unwrap();
    }

    /// Cuts a machine off the network, or connects it again. Its engine still answers on its
    /// socket.
    pub fn set_link(&self, number: usize, state: &str) {
        ip(&format!("-n {} link set {} {state}", self.name(0), self.name(number)));
    }

    /// Returns the name of a machine, which is that of its node.
    pub fn name(&self, number: usize) -> String {
        format!("{}{number}", self.prefix)
    }

    /// Returns the address of a machine.
    pub fn address(&self, number: usize) -> String {
        format!("{}.{number}", self.base)
    }

    /// Returns the address of the engine of a machine.
    pub fn host(&self, number: usize) -> String {
        format!("unix://{}", self.path(&format!("m{number}/docker.sock")))
    }

    /// Returns the settings of an orchestrator on the manager.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        self.settings_of(1)
    }

    /// Returns the settings of an orchestrator on a manager.
    pub fn settings_of(&self, manager: usize) -> Vec<(&'static str, String)> {
        let others = (1..=self.machines.len()).filter(|number| *number != manager);
        let nodes = others.map(|number| format!("{}={}", self.name(number), self.host(number)));
        vec![
            ("DUBERNETES_RUNTIME", "swarm".to_owned()),
            ("DUBERNETES_ENGINE", self.host(manager)),
            ("DUBERNETES_NODE", nodes.collect::<Vec<_>>().join(",")),
            ("DUBERNETES_HTTP_BIND", self.address(manager)),
        ]
    }

    /// Forwards connections to a port of this machine to the same port of the manager, until the
    /// runtime of the test ends.
    pub async fn forward(&self, port: u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let to = format!("{}:{port}", self.address(1));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = to.clone();
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(&to).await {
                        let _ = client.set_nodelay(true);
                        let _ = server.set_nodelay(true);
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
    }

    /// Runs the client on the engine of a machine, and returns its output.
    ///
    /// # Panics
    ///
    /// If the client fails.
    pub fn docker(&self, number: usize, arguments: &[&str]) -> String {
        succeed(arguments, &self.try_docker(number, arguments))
    }

    fn try_docker(&self, number: usize, arguments: &[&str]) -> Output {
        Command::new("docker").args(["-H", &self.host(number)]).args(arguments).output().unwrap()
    }

    /// Returns the names of the running containers of an app, by machine.
    pub fn replicas(&self, app: &str) -> Vec<Vec<String>> {
        let filter = format!("label=dubernetes.app={app}");
        let list = ["ps", "--filter", &filter, "--format", "{{.Names}}"];
        let numbers = 1..=self.machines.len();
        let listed = numbers.map(|number| match &self.machines[number - 1] {
            Some(_) => self.docker(number, &list).lines().map(str::to_owned).collect(),
            None => Vec::new(),
        });
        listed.collect()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Returns the file with the log of an engine.
    pub fn log(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("m{number}/dockerd.log"))
    }
}

fn ip(arguments: &str) {
    run("ip", &arguments.split(' ').collect::<Vec<_>>());
}

fn run(program: &str, arguments: &[&str]) -> String {
    succeed(arguments, &Command::new(program).args(arguments).output().unwrap())
}

fn succeed(arguments: &[&str], output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {message}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let numbers = (1..=self.machines.len()).rev();
        for number in numbers {
            let Some(mut machine) = self.machines[number - 1].take() else { continue };
            if !self.dies_as_a_whole(number) {
                let listed = self.try_docker(1, &["ps", "-aq"]);
                let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
                let containers: Vec<_> = listed.lines().collect();
                let _ = self.try_docker(1, &[&["rm", "-f"], &containers[..]].concat());
                // The shell has become the engine, and containerd is its child.
                end(&mut machine, &self.path("m1"));
            } else {
                let _ = machine.kill();
                let _ = machine.wait();
            }
        }
        for number in 0..=self.machines.len() {
            let _ = Command::new("ip").args(["netns", "delete", &self.name(number)]).output();
        }
    }
}

/// Ends the manager's engine, then its containerd.
fn end(engine: &mut Child, folder: &str) {
    let pid = i32::try_from(engine.id()).unwrap();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::TERM));
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline && engine.try_wait().is_ok_and(|ended| ended.is_none()) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = engine.kill();
    let _ = engine.wait();
    let children = children.unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let name = std::fs::read_to_string(format!("/proc/{}/cmdline", child.as_raw_nonzero()));
        if name.is_ok_and(|name| name.contains(folder)) {
            let _ = kill_process(child, Signal::KILL);
        }
    }
}
