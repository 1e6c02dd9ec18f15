//! Runs other programs, with their output shown, captured or discarded.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Returns the folder for images and the files they are built from.
pub(crate) fn image_target() -> PathBuf {
    root().join("target").join("image")
}

/// Returns a command that runs in the repository root.
pub(crate) fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Returns a command of the cargo that runs this task.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args)
}

/// Returns the output of `cargo metadata` for the workspace.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let text = read(&mut cargo(["metadata", "--no-deps", "--format-version", "1", "--offline"]))?;
    serde_json::from_str(&text).context("cannot parse the output of cargo metadata")
}

/// The profile of cargo for releases.
pub(crate) const RELEASE: &str = "release";

/// Builds a program, `dubernetes` or `whoami`, with a profile of cargo, and returns its path. With
/// `dev` it has the features of the tests, and so shares their build.
pub(crate) fn build_program(profile: &str, name: &str) -> Result<PathBuf> {
    let package = if name == "dubernetes" { "dubernetes-cli" } else { name };
    let (selection, folder): (&[&str], _) = match profile {
        "dev" => (&["--workspace", "--all-features"], "debug"),
        profile => (&["--package", package], profile),
    };
    let mut build = cargo(["build", "--bin", name, "--profile", profile]);
    show(build.args(selection))?;
    Ok(target_folder()?.join(folder).join(name))
}

/// Returns cargo's target folder.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = metadata()?;
    let folder =
        metadata["target_directory"].as_str().context("cargo metadata lacks `target_directory`")?;
    Ok(folder.into())
}

/// Runs a command with its output shown. Anything but success is an error.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", display(command)))?;
    check(status, command, "")
}

/// Runs a command and returns its standard output. The error contains its standard error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {}", display(command)))?;
    check(output.status, command, &String::from_utf8_lossy(&output.stderr))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command without output, and returns whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Like [`succeeds`], but kills the command after `limit`.
pub(crate) fn succeeds_within(limit: Duration, command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// Whether `PATH` has a program of this name.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Formats a command as typed in a shell.
fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    format!("`{}`", words.join(" "))
}

fn check(status: ExitStatus, command: &Command, stderr: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let stderr = stderr.trim_end();
    let stderr = if stderr.is_empty() { String::new() } else { format!(":\n{stderr}") };
    bail!("{} failed ({status}){stderr}", display(command))
}
