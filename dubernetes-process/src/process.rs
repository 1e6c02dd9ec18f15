//! Processes: their start, their identity, signals to them, and their end.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use dubernetes_core::app::Signal;
use dubernetes_core::runtime::{ContainerRequest, Exit};
use procfs_core::FromRead as _;
use procfs_core::process::Stat;
use rustix::process::{Pid, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::output::Output;

/// How often a running process and its output are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Variables that each process gets from this program. Others may be secrets of it.
const INHERITED: [&str; 6] = ["HOME", "LANG", "PATH", "TMPDIR", "TZ", "USER"];

/// A process, which leads a group of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pid: i32,
    /// When it was started, and since which boot: what no other process with the same id has.
    start: String,
}

impl ProcessId {
    /// Returns the process that has an id now.
    fn find(pid: i32) -> io::Result<Self> {
        let stat = Stat::from_file(format!("/proc/{pid}/stat")).map_err(io::Error::other)?;
        // One that its parent has not waited for has ended.
        if stat.state == 'Z' {
            return Err(io::ErrorKind::NotFound.into());
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self { pid, start: format!("{} {}", boot.trim(), stat.starttime) })
    }

    /// Whether the process, and not a later one, has its id.
    pub(crate) fn exists(&self) -> bool {
        Self::find(self.pid).is_ok_and(|found| found == *self)
    }

    /// Signals the process, not the others of its group, as engines do. One that has ended needs no
    /// signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.exists()) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, number(signal));
        }
    }
}

/// A running process that can be waited for.
#[derive(Debug)]
pub(crate) struct Running {
    process: ProcessId,
    /// `None` for an adopted process.
    child: Option<Child>,
}

impl Running {
    /// Starts the process of a container, with the port of `endpoint`.
    pub(crate) fn start(
        request: &ContainerRequest,
        program: &str,
        endpoint: SocketAddr,
        output: &Output,
    ) -> io::Result<Self> {
        let mut words = request.command.iter().map(String::as_str);
        let secret = request.secret_env.iter();
        let (stdout, stderr) = output.writers()?;
        let folder = match &request.options.working_dir {
            Some(folder) => Path::new(folder.as_str()),
            None => Path::new(program).parent().unwrap_or(Path::new("/")),
        };
        if !folder.is_dir() {
            // The system would say that the program is missing.
            return Err(io::Error::other(format!("its folder {} is missing", folder.display())));
        }
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(words.next().unwrap_or(program))
            .args(words)
            .args(&request.args)
            .current_dir(folder)
            .env_clear()
            .envs(inherited)
            .envs(&request.env)
            .envs(secret.map(|(name, value)| (name, OsStr::from_bytes(value.reveal()))))
            .env("HOST", endpoint.ip().to_string())
            .env("PORT", endpoint.port().to_string())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // A Ctrl-C at the terminal is for this program, and the processes outlive it.
            .process_group(0)
            .spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        // One that has ended already is only waited for.
        let process = ProcessId::find(pid).unwrap_or(ProcessId { pid, start: String::new() });
        Ok(Self { process, child: Some(child) })
    }

    /// Takes over a process that another program started; `None` if it has ended.
    pub(crate) fn adopt(process: ProcessId) -> Option<Self> {
        process.exists().then_some(Self { process, child: None })
    }

    pub(crate) fn process(&self) -> &ProcessId {
        &self.process
    }

    /// Waits for the end of the process, ends the rest of its group, and returns its exit code.
    /// Calls `look` now and then.
    pub(crate) async fn wait(mut self, look: impl Fn()) -> i64 {
        let code = loop {
            look();
            let Some(child) = &mut self.child else {
                tokio::time::sleep(LOOK_INTERVAL).await;
                if self.process.exists() {
                    continue;
                }
                break Exit::UNKNOWN;
            };
            // Cancel-safe: the status stays available.
            if let Ok(status) = tokio::time::timeout(LOOK_INTERVAL, child.wait()).await {
                break status.map_or(Exit::UNKNOWN, exit_code);
            }
        };
        self.kill_group();
        look();
        code
    }

    fn kill_group(&self) {
        // 1 would be every process. A group that has ended needs no signal.
        if let Some(group) = Pid::from_raw(self.process.pid).filter(|_| self.process.pid > 1) {
            let _ = kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

fn number(signal: Signal) -> rustix::process::Signal {
    match signal {
        Signal::SigHup => rustix::process::Signal::HUP,
        Signal::SigInt => rustix::process::Signal::INT,
        Signal::SigQuit => rustix::process::Signal::QUIT,
        Signal::SigKill => rustix::process::Signal::KILL,
        Signal::SigTerm => rustix::process::Signal::TERM,
        Signal::SigUsr1 => rustix::process::Signal::USR1,
        Signal::SigUsr2 => rustix::process::Signal::USR2,
        Signal::SigWinch => rustix::process::Signal::WINCH,
    }
}

/// Returns the exit code; 128 plus the signal number after a signal.
fn exit_code(status: ExitStatus) -> i64 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.map_or(Exit::UNKNOWN, i64::from)
}
