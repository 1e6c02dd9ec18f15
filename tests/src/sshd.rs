//! An SSH server of a test's own on 127.0.0.1, whose users find the orchestrator of a scenario.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;
use crate::port::Port;
use crate::scenario::Scenario;

/// Where Debian installs the server; it has to be started by its absolute path.
const PROGRAM: &str = "/usr/sbin/sshd";

/// The server. Dropping it ends it and all its connections.
#[derive(Debug)]
pub struct Sshd {
    server: Child,
    folder: PathBuf,
    port: Port,
}

impl Sshd {
    /// Starts a server. Returns `None`, and says that the test is skipped, without one on this
    /// machine.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(s: &Scenario) -> Option<Self> {
        if let Err(error) = std::fs::metadata(PROGRAM) {
            let line = format!("skipped {}: no SSH server ({PROGRAM}: {error})\n", s.test());
            // A line that cannot be written changes no result.
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let folder = s.folder().join("ssh");
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        symlink(s.program(), folder.join("bin/dubernetes")).unwrap();
        for key in ["host", "user"] {
            let path = folder.join(key);
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
            assert!(command.status().unwrap().success(), "ssh-keygen");
        }
        std::fs::copy(folder.join("user.pub"), folder.join("authorized")).unwrap();
        let port = Port::take();
        let config = server_config(&folder, port.number, &s.state_dir());
        std::fs::write(folder.join("sshd_config"), config).unwrap();
        // The server of root wants this folder; its package creates it when the system starts.
        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let server = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(folder.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let sshd = Self { server, folder, port };
        eventually("the SSH server listens", crate::checks::SOON, async || {
            std::net::TcpStream::connect(("127.0.0.1", sshd.port.number))
                .map_err(|error| format!("{error}: {}", sshd.log()))
        })
        .await;
        Some(sshd)
    }

    /// Returns the value of `--ssh` with which `server` is this server.
    ///
    /// # Panics
    ///
    /// If the configuration cannot be written.
    pub fn client(&self) -> String {
        let path = self.folder.join("ssh_config");
        let folder = self.folder.display();
        // Forwardings and commands of the configuration are for interactive use.
        let text = format!(
            "Host server\n\
             HostName 127.0.0.1\n\
             Port {port}\n\
             IdentityFile {folder}/user\n\
             IdentitiesOnly yes\n\
             UserKnownHostsFile {folder}/known_hosts\n\
             StrictHostKeyChecking accept-new\n\
             LocalForward 1 127.0.0.1:1\n\
             RemoteCommand exit 9\n\
             RequestTTY force\n",
            port = self.port.number,
        );
        std::fs::write(&path, text).unwrap();
        format!("ssh -F {}", path.display())
    }

    /// Returns the number of connections that have been accepted.
    pub fn connections(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// Ends all connections.
    pub fn cut(&self) {
        let pid = self.server.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        {
            // It may have ended meanwhile.
            let _ = kill_process(child, Signal::KILL);
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn server_config(folder: &Path, port: u16, state_dir: &Path) -> String {
    let (folder, state_dir) = (folder.display(), state_dir.display());
    format!(
        "ListenAddress 127.0.0.1\n\
         Port {port}\n\
         HostKey {folder}/host\n\
         AuthorizedKeysFile {folder}/authorized\n\
         PidFile none\n\
         StrictModes no\n\
         UsePAM no\n\
         PermitRootLogin yes\n\
         SetEnv PATH={folder}/bin:/usr/bin:/bin DUBERNETES_STATE_DIR={state_dir}\n"
    )
}
