//! An engine for a machine that has none: Debian's package, and its daemon where no service manager
//! starts it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::Engine;
use crate::run;

/// Time limit for a daemon to answer after its start.
const LIMIT: Duration = Duration::from_secs(60);
/// Options of the daemon to try: not every file system supports the default storage driver.
const OPTIONS: [&[&str]; 2] = [&[], &["--storage-driver=vfs"]];

/// A daemon that this task has started. It is stopped when dropped.
#[derive(Debug)]
pub(crate) struct Daemon(Option<Child>);

impl Daemon {
    /// Leaves the daemon running, and returns how to stop it.
    pub(crate) fn keep(mut self) -> Option<String> {
        self.0.take().map(|child| format!("kill {}", child.id()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let pid = child.id().to_string();
            run::succeeds(&mut run::command("kill", [pid.as_str()]));
            let _ = child.wait();
        }
    }
}

/// Returns the engine of this machine. Where there is none, root gets one: its package is
/// installed, and its daemon started.
pub(crate) fn provide() -> Result<(Engine, Daemon)> {
    let missing = match Engine::find() {
        Ok(engine) => return Ok((engine, Daemon(None))),
        Err(missing) => missing,
    };
    ensure!(std::env::var_os("DOCKER_HOST").is_none(), "{missing:#}; DOCKER_HOST says which one");
    let is_root = run::read(&mut run::command("id", ["-u"]))?.trim() == "0";
    ensure!(is_root, "{missing:#}; as root, this task installs and starts one");
    if !run::is_installed("dockerd") {
        ensure!(
            run::is_installed("apt-get"),
            "{missing:#}, and there is no apt-get to install one"
        );
        install()?;
    }
    // Installed with a service manager, the daemon runs already.
    if Path::new("/run/systemd/system").exists() {
        run::read(&mut run::command("systemctl", ["start", "docker.service"]))?;
        return Ok((Engine::find()?, Daemon(None)));
    }
    for options in OPTIONS {
        println!("starting dockerd {}", options.join(" "));
        if let Some(started) = start(options)? {
            return Ok(started);
        }
    }
    bail!("{missing:#}, and dockerd does not start, see {}", log().display())
}

fn install() -> Result<()> {
    println!("installing docker.io");
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        run::read(&mut apt)
    };
    apt(&["-qq", "update"])?;
    let install = ["-qq", "-y", "--no-install-recommends", "install", "docker.io"];
    // Before Debian 13, the client was part of the daemon's package.
    apt(&[&install[..], &["docker-cli"]].concat()).or_else(|_| apt(&install))?;
    Ok(())
}

/// Starts a daemon, and waits until it answers. `None` if it does not.
fn start(options: &[&str]) -> Result<Option<(Engine, Daemon)>> {
    let log = File::create(log()).context("cannot write the log of dockerd")?;
    let mut dockerd = Command::new("dockerd");
    dockerd.args(options).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A Ctrl-C at the terminal is for this task, which still needs the daemon to clean up.
    dockerd.process_group(0);
    let mut daemon = Daemon(Some(dockerd.spawn().context("cannot run dockerd")?));
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if let Ok(engine) = Engine::find() {
            return Ok(Some((engine, daemon)));
        }
        let has_ended = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_some());
        if daemon.0.as_mut().is_none_or(has_ended) {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(None)
}

fn log() -> PathBuf {
    std::env::temp_dir().join("dubernetes-dockerd.log")
}
