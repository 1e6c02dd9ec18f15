//! Sockets of the engines of other machines, forwarded by the user's own `ssh` for as long as the
//! orchestrator runs: a connection that ends is opened again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::host::SshHost;
use crate::report::{CliError, Result};

/// Where an engine listens, if nothing else is said.
const ENGINE_SOCKET: &str = "/var/run/docker.sock";
/// Pause before a connection that has ended is opened again.
const PAUSE: Duration = Duration::from_secs(1);

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
        let local = self.folder.path().join(format!("{}.sock", self.running.len()));
        let (program, node, socket) = (self.program.clone(), node.to_owned(), local.clone());
        self.running.spawn(async move {
            loop {
                let ended = forward(&program, &host, &socket).status().await;
                let reason = match ended {
                    Ok(status) => status.to_string(),
                    Err(error) => error.to_string(),
                };
                tracing::warn!(node, host = host.url, reason, "the connection to a node has ended");
                tokio::time::sleep(PAUSE).await;
            }
        });
        local
    }
}

/// Returns the command that forwards a socket until the connection ends.
fn forward(program: &str, host: &SshHost, local: &Path) -> Command {
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("ssh"));
    command.args(words).args(["-N", "-T", "-a", "-x"]);
    for option in [
        // Nobody answers a prompt.
        "BatchMode=yes",
        "ControlMaster=no",
        "ControlPath=none",
        "RemoteCommand=none",
        "ExitOnForwardFailure=yes",
        "StreamLocalBindUnlink=yes",
        "ConnectTimeout=10",
        // A cut is noticed before the swarm gives the node up.
        "ServerAliveInterval=2",
        "ServerAliveCountMax=3",
    ] {
        command.args(["-o", option]);
    }
    if let Some(user) = &host.user {
        command.args(["-l", user]);
    }
    if let Some(port) = host.port {
        command.args(["-p", &port.to_string()]);
    }
    let remote = host.socket.as_deref().unwrap_or(ENGINE_SOCKET);
    command.arg("-L").arg(format!("{}:{remote}", local.display())).args(["--", &host.machine]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
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
        let command = forward("ssh -F config", &host("ssh://ada@w1:2222"), Path::new("/run/w1"));
        let words: Vec<_> = command.as_std().get_args().filter_map(|word| word.to_str()).collect();
        let line = words.join(" ");
        assert!(line.starts_with("-F config -N -T"), "{line}");
        assert!(line.contains("BatchMode=yes"), "{line}");
        let end = "-l ada -p 2222 -L /run/w1:/var/run/docker.sock -- w1";
        assert!(line.ends_with(end), "{line}");
        let command = forward("ssh", &host("ssh://w1/run/engine.sock"), Path::new("/run/w1"));
        let forwarded = command.as_std().get_args().any(|word| word == "/run/w1:/run/engine.sock");
        assert!(forwarded, "{command:?}");
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
