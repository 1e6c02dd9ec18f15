//! `--host ssh://…`: the socket of an orchestrator on another machine, forwarded by the user's own
//! `ssh` with its keys, configuration and prompts. All calls of a command share one connection.
//!
//! One `ssh` runs on the other machine what prints the orchestrator's socket, and stays connected.
//! A second one tells the first, through its control socket, to forward that socket.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use dubernetes_api::Client;
use dubernetes_core::app::InstanceName;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::host::SshHost;
use crate::report::{CliError, Result, UNREACHABLE};

/// What precedes the path in the line that the other machine prints.
const SCHEME: &str = "unix://";
/// Most output of the other machine that is read before that line, such as that of its shell.
const NOISE_LIMIT: u64 = 64 << 10;
/// Exit code if there is no `ssh`; the programs that it runs have others.
const NO_PROGRAM: i32 = 254;
/// Most lines of `ssh` that an error shows.
const SHOWN_LINES: usize = 5;

/// A connection to another machine. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Tunnel {
    url: String,
    // Killed when dropped, before its folder is removed.
    _ssh: Child,
    folder: TempDir,
}

impl Tunnel {
    /// Connects to a machine, and forwards the socket of its orchestrator. `program` is `ssh` or
    /// another program with its options.
    pub(crate) async fn open(
        program: &str,
        host: &SshHost,
        instance: &InstanceName,
    ) -> Result<Self> {
        let failed = |error| CliError::with_io_source("cannot run `ssh`", &error);
        let folder = tempfile::Builder::new().prefix("dubernetes-ssh-").tempdir_in(base_folder());
        let folder = folder.map_err(failed)?;
        let messages = File::create(folder.path().join("messages")).map_err(failed)?;
        let mut ssh = connect(program, host, instance, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(messages)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let found = match ssh.stdout.take() {
            Some(output) => read_socket(output).await,
            None => None,
        };
        let Some(socket) = found else {
            let status = ssh.wait().await.map_err(failed)?;
            return Err(not_connected(program, host, status, &messages_of(folder.path())));
        };
        let tunnel = Self { url: host.url.clone(), _ssh: ssh, folder };
        tunnel.forward(program, host, &socket).await?;
        Ok(tunnel)
    }

    /// Returns a client of the orchestrator at the other end.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::forwarded(self.socket(), &self.url)?)
    }

    /// Adds to an error what `ssh` has said, and what to do if it cannot reach the socket.
    pub(crate) fn explain(&self, error: CliError) -> CliError {
        let error = messages_of(self.folder.path()).into_iter().fold(error, CliError::line);
        if error.exit_code() != UNREACHABLE {
            return error;
        }
        error.help(
            "check that `dubernetes serve` listens there, and that `AllowStreamLocalForwarding` of \
             its SSH server is not off",
        )
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Makes the `ssh` that is connected forward the socket.
    async fn forward(&self, program: &str, host: &SshHost, socket: &str) -> Result {
        let local = self.socket();
        let output = ssh(program)
            // The configuration's own forwardings would be requested again.
            .args(["-F", "none", "-O", "forward", "-o"])
            .arg(control_path(self.folder.path()))
            .arg("-L")
            .arg(format!("{}:{socket}", local.display()))
            .args(["--", &host.machine])
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| CliError::with_io_source("cannot run `ssh`", &error))?;
        if output.status.success() {
            return Ok(());
        }
        let what = format!("`ssh` cannot forward the socket `{socket}` of {}", host.url);
        let error = CliError::with_exit(UNREACHABLE, what);
        Err(last_lines(&output.stderr).into_iter().fold(error, CliError::line))
    }
}

/// Returns where the sockets of a connection are. What a killed process leaves there is removed
/// when the user logs out.
fn base_folder() -> PathBuf {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.is_absolute() && folder.is_dir());
    folder.unwrap_or_else(std::env::temp_dir)
}

/// Returns the command that connects, and prints the socket of the orchestrator.
fn connect(program: &str, host: &SshHost, instance: &InstanceName, folder: &Path) -> Command {
    let print = match &host.socket {
        Some(socket) => format!("echo {SCHEME}{socket}"),
        None => format!("dubernetes --instance {instance} socket"),
    };
    let mut command = ssh(program);
    command.args(["-T", "-a", "-x", "-o"]).arg(control_path(folder));
    for option in [
        "ControlMaster=yes",
        "ControlPersist=no",
        "ClearAllForwardings=yes",
        "RemoteCommand=none",
        "ConnectTimeout=20",
        "ServerAliveInterval=15",
    ] {
        command.args(["-o", option]);
    }
    if let Some(user) = &host.user {
        command.args(["-l", user]);
    }
    if let Some(port) = host.port {
        command.args(["-p", &port.to_string()]);
    }
    // `cat` ends with our end of the connection, and so keeps it no longer.
    command.args(["--", &host.machine, &format!("{print} && exec cat")]);
    command
}

/// Returns a command that runs `program`, which may have options, with further arguments. It does
/// not get Ctrl-C of our terminal: that is for us, and may be for a command in a container.
fn ssh(program: &str) -> Command {
    let script =
        format!("command -v \"$1\" >/dev/null || exit {NO_PROGRAM}; trap '' INT QUIT; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).args(program.split_whitespace());
    command
}

fn control_path(folder: &Path) -> String {
    format!("ControlPath={}", folder.join("control").display())
}

/// Reads up to the line with the path of the socket.
async fn read_socket(output: ChildStdout) -> Option<String> {
    let mut lines = BufReader::new(output.take(NOISE_LIMIT)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(path) = line.trim_end().strip_prefix(SCHEME)
            && path.starts_with('/')
        {
            return Some(path.to_owned());
        }
    }
    None
}

/// Returns the error for an `ssh` that ended before the socket was known.
fn not_connected(
    program: &str,
    host: &SshHost,
    status: ExitStatus,
    messages: &[String],
) -> CliError {
    let machine = &host.machine;
    let by_hand = match &host.user {
        Some(user) => format!("ssh {user}@{machine}"),
        None => format!("ssh {machine}"),
    };
    let (what, help) = match status.code() {
        Some(NO_PROGRAM) => (
            format!("the program `{}` was not found", program.split(' ').next().unwrap_or(program)),
            "install it (Debian's package `openssh-client`), or name another with `--ssh`"
                .to_owned(),
        ),
        Some(255) => (
            format!("cannot connect to {}", host.url),
            format!("`{by_hand}` has to work without `dubernetes`, too"),
        ),
        Some(126 | 127) => (
            format!("the program `dubernetes` was not found on {machine}"),
            format!(
                "install it in a folder of the `PATH` that `{by_hand} 'echo $PATH'` shows, or name \
                 the socket: `--host {}/run/dubernetes/dubernetes.sock`",
                host.url
            ),
        ),
        Some(2) => (
            format!("the program `dubernetes` on {machine} does not support `ssh://`"),
            format!(
                "update it, or name the socket: `--host {}/run/dubernetes/dubernetes.sock`",
                host.url
            ),
        ),
        Some(3) => (
            format!("no orchestrator is running on {machine}"),
            format!("start it there with `dubernetes serve`; `{by_hand}` leads there"),
        ),
        _ => (
            format!("`ssh` to {machine} ended with {status}"),
            format!("`{by_hand}` has to work without `dubernetes`, too"),
        ),
    };
    let error = CliError::with_exit(UNREACHABLE, what).help(help);
    messages.iter().cloned().fold(error, CliError::line)
}

/// Returns the last lines that `ssh` and the other machine wrote to standard error.
fn messages_of(folder: &Path) -> Vec<String> {
    std::fs::read(folder.join("messages")).map(|bytes| last_lines(&bytes)).unwrap_or_default()
}

fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(SHOWN_LINES))
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests;
