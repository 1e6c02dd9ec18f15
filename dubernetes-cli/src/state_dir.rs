//! The folders and sockets of a running orchestrator, as the file system has them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use dubernetes_core::app::InstanceName;
use tokio::net::UnixListener;

use crate::report::{CliError, Result};

/// Names the instance whose state a folder holds.
const INSTANCE_FILE: &str = "instance";

/// Refuses a state folder that belongs to somebody else: who owns it can change what it holds.
pub(crate) fn check_owner(state_dir: &Path) -> Result {
    let me = rustix::process::geteuid().as_raw();
    match fs::metadata(state_dir) {
        Ok(found) if found.is_dir() && found.uid() != me => Err(CliError::new(format!(
            "the folder `{}` belongs to the user {}, not to {me}",
            state_dir.display(),
            found.uid()
        ))
        .help("choose another one with `--state-dir`")),
        // Whatever else is wrong with it, the store says when it opens it.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses a folder that others could change: they could put their own socket there.
pub(crate) fn check_folder(folder: &Path) -> Result {
    check_owner(folder)?;
    let mode = fs::metadata(folder).map_or(0, |found| found.mode() & 0o7777);
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let folder = folder.display();
    Err(CliError::new(format!("the folder `{folder}` can be written by others (mode {mode:04o})"))
        .help(format!("run `chmod go-w {folder}`, or choose another one with `--state-dir`")))
}

/// Notes whose state the folder holds, or refuses that of another instance: its apps would be
/// run a second time.
pub(crate) fn claim(state_dir: &Path, instance: &InstanceName) -> Result {
    let path = state_dir.join(INSTANCE_FILE);
    let cannot = |error: io::Error| {
        CliError::with_source(&format!("`{}` cannot be read or written", path.display()), &error)
    };
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == instance.as_str() => Ok(()),
        Ok(text) => Err(CliError::new(format!(
            "the folder `{}` holds the state of the instance `{}`, not of `{instance}`",
            state_dir.display(),
            text.trim().escape_debug()
        ))
        .help("choose another folder with `--state-dir`, or the right `--instance`")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(&path, format!("{instance}\n")).map_err(cannot)
        }
        Err(error) => Err(cannot(error)),
    }
}

/// Whether a socket is there already; an error if something else is.
pub(crate) fn check_free(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => {
            let what = format!("`{}` is in the way: it is no socket", path.display());
            Err(CliError::new(what).help("move it away"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(CliError::with_source(&format!("cannot look at `{}`", path.display()), &error)
                .help("choose another folder with `--state-dir`"))
        }
    }
}

/// A socket that listens; its file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketGuard {
    path: PathBuf,
}

/// Listens at `path`. The caller holds the lock of the state folder, so a socket that is there
/// already is left over.
pub(crate) fn listen(path: &Path) -> Result<(UnixListener, SocketGuard)> {
    let cannot = |error: io::Error| {
        CliError::with_source(&format!("cannot listen at `{}`", path.display()), &error)
            .help("choose another folder with `--state-dir`")
    };
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(cannot)?;
        check_folder(folder)?;
    }
    if check_free(path)? {
        fs::remove_file(path).map_err(cannot)?;
    }
    let listener = UnixListener::bind(path).map_err(cannot)?;
    let listening = SocketGuard { path: path.to_owned() };
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(cannot)?;
    Ok((listener, listening))
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        // Left over, it does no harm: the next start replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_the_state_of_one_instance() {
        let folder = tempfile::tempdir().unwrap();
        let lab = InstanceName::parse("lab").unwrap();
        claim(folder.path(), &lab).unwrap();
        claim(folder.path(), &lab).unwrap();
        let failure = claim(folder.path(), &InstanceName::default()).unwrap_err();
        assert!(failure.text().contains("`lab`"), "{}", failure.text());
    }

    #[tokio::test]
    async fn a_socket_is_not_put_where_others_could_put_theirs() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o777, 0o770, 0o1777] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let failure = listen(&folder.path().join("d.sock")).unwrap_err();
            let text = failure.text();
            assert!(text.contains(&format!("(mode {mode:04o})")), "{text}");
            assert!(text.contains("chmod go-w"), "{text}");
        }
        assert!(!folder.path().join("d.sock").exists());
    }

    #[tokio::test]
    async fn a_socket_that_was_left_over_is_replaced_and_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/d.sock");
        let (first, listening) = listen(&path).unwrap();
        drop(first);
        std::mem::forget(listening);
        let (_second, listening) = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o750);
        drop(listening);
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        assert!(listen(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }
}
