//! Sockets of the engines of other machines, forwarded by the user's own `ssh` for as long as the
//! orchestrator runs: a connection that ends is opened again.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dubernetes_core::error::one_line;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::host::SshHost;
use crate::report::{CliError, Result};

/// Where an engine listens, if nothing else is said.
const ENGINE_SOCKET: &str = "/var/run/docker.sock";
/// Pause before a connection that has ended is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often is looked whether a connection is there.
const POLL: Duration = Duration::from_millis(50);

/// Forwarded sockets. Dropping it closes the connections.
#[derive(Debug)]
pub(crate) struct NodeTunnels {
    program: String,
    folder: TempDir,
    running: JoinSet<()>,
}

impl NodeTunnels {
    /// Creates the folder of the sockets. `program` is `ssh` or another program with its options.
    pub(crate) fn new(program: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dubernetes-nodes-").tempdir();
        let folder = folder.map_err(|error| {
            CliError::with_io_source("cannot create a folder for the sockets of nodes", &error)
        })?;
        Ok(Self { program: program.to_owned(), folder, running: JoinSet::new() })
    }

    /// Forwards the engine's socket of a machine, from now on, and returns where. The connection is
    /// made beside the caller.
    pub(crate) fn open(&mut self, node: &str, host: SshHost) -> PathBuf {
        let number = self.running.len();
        let path = |end: &str| self.folder.path().join(format!("{number}.{end}"));
        let (socket, control) = (path("sock"), path("control"));
        let tunnel = NodeTunnel { program: self.program.clone(), host, socket, control };
        let (node, socket) = (node.to_owned(), tunnel.socket.clone());
        self.running.spawn(async move {
            loop {
                let reason = match tunnel.run().await {
                    Ok(reason) => reason,
                    Err(error) => error.to_string(),
                };
                let host = &tunnel.host.url;
                tracing::warn!(node, host, reason, "the connection to a node has ended");
                tokio::time::sleep(PAUSE).await;
            }
        });
        socket
    }
}

/// A connection to a machine, and the socket that it forwards.
#[derive(Debug)]
struct NodeTunnel {
    program: String,
    host: SshHost,
    socket: PathBuf,
    /// By which a second `ssh` talks to the one that is connected.
    control: PathBuf,
}

impl NodeTunnel {
    /// Connects, and forwards the socket until the connection ends. Returns why it has.
    async fn run(&self) -> io::Result<String> {
        // One that was killed leaves it.
        let _ = tokio::fs::remove_file(&self.control).await;
        let mut ssh = self.connect().spawn()?;
        let forwarded = async {
            while !tokio::fs::try_exists(&self.control).await.unwrap_or(false) {
                tokio::time::sleep(POLL).await;
            }
            self.forward().output().await
        };
        // Both arms are cancel-safe: an end is not lost, and a forwarding ends with the connection.
        let forwarded = tokio::select! {
            ended = ssh.wait() => return Ok(ended?.to_string()),
            forwarded = forwarded => forwarded?,
        };
        if !forwarded.status.success() {
            return Ok(one_line(&String::from_utf8_lossy(&forwarded.stderr)));
        }
        Ok(ssh.wait().await?.to_string())
    }

    /// Returns the command that stays connected.
    fn connect(&self) -> Command {
        let mut command = self.ssh();
        command.args(["-N", "-T", "-a", "-x"]);
        for option in [
            // A prompt would not be answered.
            "BatchMode=yes",
            "ControlMaster=yes",
            "ControlPersist=no",
            "ClearAllForwardings=yes",
            "RemoteCommand=none",
            "StreamLocalBindUnlink=yes",
            "ConnectTimeout=10",
            // A cut is noticed before the swarm gives the node up.
            "ServerAliveInterval=2",
            "ServerAliveCountMax=3",
        ] {
            command.args(["-o", option]);
        }
        if let Some(user) = &self.host.user {
            command.args(["-l", user]);
        }
        if let Some(port) = self.host.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", &self.host.machine]);
        command
    }

    /// Returns the command by which the connected one forwards the socket. The forwardings of the
    /// user's own configuration are not wanted.
    fn forward(&self) -> Command {
        let remote = self.host.socket.as_deref().unwrap_or(ENGINE_SOCKET);
        let mut command = self.ssh();
        command.args(["-F", "none", "-O", "forward", "-L"]);
        command.arg(format!("{}:{remote}", self.socket.display()));
        command.args(["--", &self.host.machine]);
        command
    }

    fn ssh(&self) -> Command {
        let mut words = self.program.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or("ssh"));
        command.args(words).arg("-o").arg(format!("ControlPath={}", self.control.display()));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::host::Host;

    fn host(text: &str) -> SshHost {
        match Host::parse(text).unwrap() {
            Host::Ssh(host) => host,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn engine_of_the_machine_is_forwarded_without_prompts() {
        let line = |url: &str, command: fn(&NodeTunnel) -> Command| {
            let tunnel = NodeTunnel {
                program: "ssh -F config".to_owned(),
                host: host(url),
                socket: "/run/w1.sock".into(),
                control: "/run/w1.control".into(),
            };
            let command = command(&tunnel);
            let words = command.as_std().get_args().filter_map(|word| word.to_str());
            words.collect::<Vec<_>>().join(" ")
        };
        let connect = line("ssh://ada@w1:2222", NodeTunnel::connect);
        assert!(connect.starts_with("-F config -o ControlPath=/run/w1.control -N"), "{connect}");
        assert!(connect.contains("BatchMode=yes"), "{connect}");
        assert!(connect.ends_with("-l ada -p 2222 -- w1"), "{connect}");
        let forward = line("ssh://ada@w1:2222", NodeTunnel::forward);
        assert!(forward.ends_with("-L /run/w1.sock:/var/run/docker.sock -- w1"), "{forward}");
        let forward = line("ssh://w1/run/engine.sock", NodeTunnel::forward);
        assert!(forward.ends_with("-L /run/w1.sock:/run/engine.sock -- w1"), "{forward}");
    }

    #[tokio::test]
    async fn connection_that_ends_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (program, calls) = (folder.path().join("ssh"), folder.path().join("calls"));
        std::fs::write(&program, format!("#!/bin/sh\necho x >> {}\n", calls.display())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut tunnels = NodeTunnels::new(program.to_str().unwrap()).unwrap();
        let socket = tunnels.open("w1", host("ssh://w1"));
        assert_eq!(socket.extension().unwrap(), "sock");
        let count = || std::fs::read_to_string(&calls).unwrap_or_default().lines().count();
        let twice = async {
            while count() < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), twice).await.unwrap();
    }
}
