//! The daemon of an engine in a folder, in a network namespace of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Kind;
use crate::engine::Engine;
use crate::run;

/// Time limit for a daemon to answer after its start, and to end.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes a folder the root of this process, with the machine's devices, processes and temporary
/// folders. A container runtime needs a root that it can leave, which `chroot` does not give.
const ENTER: &str = r#"root="$1"; shift
mount --bind "$root" "$root"
for folder in proc sys dev tmp var/tmp; do mount --rbind "/$folder" "$root/$folder"; done
mount -t tmpfs tmpfs "$root/run"
cd "$root" && pivot_root . old && umount -l /old && cd /
export PATH=/usr/sbin:/usr/bin HOME=/root
exec "$@""#;

/// A folder and a network namespace of one name. Dropping it removes both.
#[derive(Debug)]
struct Place {
    name: String,
    folder: PathBuf,
}

impl Place {
    fn create(kind: Kind) -> Result<Self> {
        let name = format!("dubernetes-{}-{}", kind.name(), std::process::id());
        let place = Self { folder: std::env::temp_dir().join(&name), name };
        fs::create_dir_all(&place.folder)?;
        let ip = |words: &str| run::read(&mut run::command("ip", words.split(' ')));
        ip(&format!("netns add {}", place.name))?;
        // The engine looks for an address of the machine that is not its loopback.
        for words in [
            "link set lo up",
            "link add eth0 type veth peer name eth1",
            "address add 10.99.8.1/24 dev eth0",
            "link set eth0 up",
            "link set eth1 up",
            "route add default dev eth0",
        ] {
            ip(&format!("-n {} {words}", place.name))?;
        }
        Ok(place)
    }

    /// Returns a command in the namespace.
    fn inside(&self, program: &str) -> Command {
        // `ip netns exec` would hide the control groups.
        run::command("nsenter", [&format!("--net=/run/netns/{}", self.name), program])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        run::succeeds(&mut run::command("ip", ["netns", "delete", &self.name]));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A daemon. Dropping it ends it, with all its containers.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    /// Removed after the daemon has ended.
    place: Place,
}

impl Daemon {
    /// Starts the engine whose files are in `root`, and waits until it answers.
    pub(super) fn start(kind: Kind, root: &Path) -> Result<Self> {
        let place = Place::create(kind)?;
        let log = File::create(place.folder.join("log"))?;
        let mut command = place.inside("unshare");
        command.args(["--uts", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]);
        command.arg(root).args(["sh", "-c", &script(kind, &place.folder)?]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("cannot start the engine")?;
        let mut daemon = Self { child, place };
        let end = Instant::now() + LIMIT;
        while daemon.version().is_err() {
            if Instant::now() > end || daemon.child.try_wait()?.is_some() {
                let log = fs::read_to_string(daemon.place.folder.join("log")).unwrap_or_default();
                bail!("{} does not answer:\n{log}", kind.name());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(daemon)
    }

    /// Returns the address of the engine.
    pub(super) fn host(&self) -> String {
        format!("unix://{}/engine.sock", self.place.folder.display())
    }

    pub(super) fn version(&self) -> Result<String> {
        Ok(self.docker(&["version", "--format", "{{.Server.Version}}"])?.trim().to_owned())
    }

    /// Copies images from another engine.
    pub(super) fn load(&self, from: Engine, images: &[&str]) -> Result<()> {
        let archive = self.place.folder.join("images.tar");
        run::read(from.command(["save", "-o"]).arg(&archive).args(images))?;
        self.docker(&["load", "-q", "-i", &archive.to_string_lossy()])?;
        Ok(())
    }

    /// Returns a command in the network of the engine.
    pub(super) fn inside(&self, program: &str) -> Command {
        self.place.inside(program)
    }

    fn docker(&self, words: &[&str]) -> Result<String> {
        run::read(run::command("docker", ["-H", &self.host()]).args(words))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let containers = self.docker(&["ps", "-aq"]).unwrap_or_default();
        for id in containers.lines() {
            let _ = self.docker(&["rm", "-f", id]);
        }
        for pid in ["engine.pid", "containerd.pid"] {
            if let Ok(pid) = fs::read_to_string(self.place.folder.join(pid)) {
                run::succeeds(&mut run::command("kill", [pid.trim()]));
            }
        }
        let end = Instant::now() + LIMIT;
        while Instant::now() < end && self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the settings of an engine, and returns the script that becomes its daemon.
fn script(kind: Kind, folder: &Path) -> Result<String> {
    let at = folder.display();
    let write = |name: &str, text: String| fs::write(folder.join(name), text);
    Ok(match kind {
        Kind::Docker => {
            write("daemon.json", "{}".to_owned())?;
            let containerd = format!(
                "version = 2\nroot = \"{at}/containerd/root\"\nstate = \"{at}/containerd/state\"\n\
                 disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
                 [grpc]\naddress = \"{at}/containerd.sock\"\n"
            );
            write("containerd.toml", containerd)?;
            format!(
                "containerd --config {at}/containerd.toml & echo $! >{at}/containerd.pid
                 while ! [ -S {at}/containerd.sock ]; do sleep 0.1; done
                 exec dockerd --config-file {at}/daemon.json --host unix://{at}/engine.sock \
                 --containerd {at}/containerd.sock --data-root {at}/data --exec-root {at}/exec \
                 --pidfile {at}/engine.pid --storage-driver overlay2"
            )
        }
        Kind::Podman => {
            // The limits are those of a machine that gives no more to its root.
            let containers = "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
                              exit_command_delay = 1\nruntime = \"runc\"\n\
                              [containers]\nlog_driver = \"k8s-file\"\n\
                              default_ulimits = [\"nofile=16384:16384\", \"nproc=15000:15000\"]\n\
                              [network]\nnetwork_backend = \"netavark\"\n";
            write("containers.conf", containers.to_owned())?;
            let storage = format!(
                "[storage]\ndriver = \"overlay\"\ngraphroot = \"{at}/data\"\n\
                 runroot = \"{at}/exec\"\n"
            );
            write("storage.conf", storage)?;
            format!(
                "echo $$ >{at}/engine.pid
                 export CONTAINERS_CONF={at}/containers.conf
                 export CONTAINERS_STORAGE_CONF={at}/storage.conf
                 exec podman system service --time=0 unix://{at}/engine.sock"
            )
        }
    })
}
