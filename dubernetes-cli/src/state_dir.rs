//! State folder and sockets of an orchestrator in the file system.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use dubernetes_core::app::InstanceName;
use tokio::net::UnixListener;

use crate::report::{CliError, Result};
use crate::socket_group::SocketGroup;

/// File in the state folder that names the instance.
const INSTANCE_FILE: &str = "instance";

/// Refuses a state folder of another user: its owner could change what it holds.
pub(crate) fn check_owner(state_dir: &Path) -> Result {
    let me = rustix::process::geteuid().as_raw();
    match fs::metadata(state_dir) {
        Ok(found) if found.is_dir() && found.uid() != me => Err(CliError::new(format!(
            "the folder `{}` belongs to the user {}, not to {me}",
            state_dir.display(),
            found.uid()
        ))
        .help("choose another folder with `--state-dir`")),
        // Opening the store reports any other problem.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses a folder that other users can write: they could put their own socket there.
pub(crate) fn check_folder(folder: &Path) -> Result {
    check_owner(folder)?;
    let mode = fs::metadata(folder).map_or(0, |found| found.mode() & 0o7777);
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let folder = folder.display();
    Err(CliError::new(format!("other users can write the folder `{folder}` (mode {mode:04o})"))
        .help(format!("run `chmod go-w {folder}`, or choose another folder with `--state-dir`")))
}

/// Records whose state the folder holds.
pub(crate) fn claim(state_dir: &Path, instance: &InstanceName) -> Result {
    let path = state_dir.join(INSTANCE_FILE);
    fs::write(&path, format!("{instance}\n")).map_err(|error| {
        CliError::with_source(&format!("cannot write `{}`", path.display()), &error)
    })
}

/// Returns whether it is recorded that the folder holds the state of the instance. Refuses the
/// state of another instance, whose apps would run a second time.
pub(crate) fn is_claimed(state_dir: &Path, instance: &InstanceName) -> Result<bool> {
    let path = state_dir.join(INSTANCE_FILE);
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == instance.as_str() => Ok(true),
        Ok(text) => Err(CliError::new(format!(
            "the folder `{}` holds the state of instance `{}`, not of `{instance}`",
            state_dir.display(),
            text.trim().escape_debug()
        ))
        .help("choose another folder with `--state-dir`, or the right `--instance`")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(CliError::with_source(&format!("cannot read `{}`", path.display()), &error))
        }
    }
}

/// Returns whether a socket exists at `path`. Fails if the path is taken by something else.
pub(crate) fn socket_exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => Err(CliError::new(format!("`{}` exists and is not a socket", path.display()))
            .help("move it away")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(CliError::with_source(&format!("cannot inspect `{}`", path.display()), &error)
                .help("choose another folder with `--state-dir`"))
        }
    }
}

/// Removes the file of a listening socket when dropped.
#[derive(Debug)]
pub(crate) struct SocketGuard {
    path: PathBuf,
}

/// Listens at `path`, replacing a socket that an earlier process left behind.
///
/// The caller holds the lock of the state folder, so no live process owns such a socket. Only this
/// user and root may connect, and members of `group`.
pub(crate) fn listen(
    path: &Path,
    group: Option<SocketGroup>,
) -> Result<(UnixListener, SocketGuard)> {
    let failed = |error: io::Error| {
        CliError::with_source(&format!("cannot listen at `{}`", path.display()), &error)
            .help("choose another folder with `--state-dir`")
    };
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(failed)?;
        check_folder(folder)?;
    }
    if socket_exists(path)? {
        fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let guard = SocketGuard { path: path.to_owned() };
    match group {
        None => fs::set_permissions(path, Permissions::from_mode(0o600)),
        Some(group) => group.admit(path),
    }
    .map_err(failed)?;
    Ok((listener, guard))
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        // A socket left behind is harmless: the next start replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_of_another_instance_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let lab = InstanceName::parse("lab").unwrap();
        assert!(!is_claimed(folder.path(), &lab).unwrap());
        claim(folder.path(), &lab).unwrap();
        assert!(is_claimed(folder.path(), &lab).unwrap());
        let error = is_claimed(folder.path(), &InstanceName::default()).unwrap_err();
        assert!(error.text().contains("`lab`"), "{}", error.text());
    }

    #[tokio::test]
    async fn listen_refuses_folder_writable_by_others() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o777, 0o770, 0o1777] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let error = listen(&folder.path().join("d.sock"), None).unwrap_err();
            let text = error.text();
            assert!(text.contains(&format!("(mode {mode:04o})")), "{text}");
            assert!(text.contains("chmod go-w"), "{text}");
        }
        assert!(!folder.path().join("d.sock").exists());
    }

    #[tokio::test]
    async fn listen_replaces_stale_socket_but_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/d.sock");
        let (first, guard) = listen(&path, None).unwrap();
        drop(first);
        std::mem::forget(guard);
        let (_second, guard) = listen(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o750);
        drop(guard);
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        assert!(listen(&path, None).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }
}
