//! The hosts file of an instance: the names of its apps, for all its containers.
//!
//! One file in the state directory is mounted over `/etc/hosts` of each container. A change is
//! written into the same file, so that running containers see it at once. The engine's own names
//! are fixed when a container is created.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use dubernetes_core::app::AppName;
use dubernetes_core::error::SharedError;
use dubernetes_core::runtime::RuntimeError;
use sha2::{Digest as _, Sha256};

/// The file in the state directory.
const FILE: &str = "hosts";

/// The names of apps and their addresses.
pub(crate) type Names = BTreeMap<AppName, Ipv4Addr>;

/// Ends the part of a hosts file that never changes.
const MARK: &str = "# apps of the instance";

/// Returns the path of the hosts file with these further lines, and creates the file if it is
/// missing. Containers with other lines have another file.
pub(crate) async fn ensure(
    state_dir: &Path,
    names: &Names,
    more: &[(String, IpAddr)],
) -> Result<PathBuf, RuntimeError> {
    let head = render_head(more);
    let name = match more {
        [] => FILE.to_owned(),
        [..] => {
            let digest = Sha256::digest(&head);
            let digits = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
            format!("{FILE}.{}", digits.collect::<String>())
        }
    };
    let path = state_dir.join(name);
    if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
        write_blocking(vec![(path.clone(), head + &render(names))]).await?;
    }
    Ok(path)
}

/// Writes the names into all hosts files.
pub(crate) async fn publish(state_dir: &Path, names: &Names) -> Result<(), RuntimeError> {
    let mut files = vec![(state_dir.join(FILE), render_head(&[]) + &render(names))];
    for path in other_files(state_dir) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Some((head, _)) = text.split_once(MARK) {
            files.push((path, head.to_owned() + &render(names)));
        }
    }
    write_blocking(files).await
}

/// Removes the hosts files. A missing one is success.
pub(crate) async fn remove(state_dir: &Path) {
    for path in other_files(state_dir).into_iter().chain([state_dir.join(FILE)]) {
        // A file that is left has no effect: the next network writes it again.
        let _ = tokio::fs::remove_file(path).await;
    }
}

/// Returns the hosts files with further lines.
fn other_files(state_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_other = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == FILE);
    paths.filter(|path| is_other(path) && path.extension().is_some()).collect()
}

async fn write_blocking(files: Vec<(PathBuf, String)>) -> Result<(), RuntimeError> {
    let task = tokio::task::spawn_blocking(move || {
        files.iter().try_for_each(|(path, text)| write(path, text))
    });
    let failed = |cause| RuntimeError::Failed {
        operation: "write the names of apps into the state directory".to_owned(),
        cause,
    };
    match task.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(SharedError::new(error))),
        Err(panicked) => Err(failed(SharedError::new(panicked))),
    }
}

fn render_head(more: &[(String, IpAddr)]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for (name, address) in more {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

fn render(names: &Names) -> String {
    let mut text = format!("{MARK}\n");
    for (name, address) in names {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// Replaces the content of a file that containers have mounted. It stays the same file, and one
/// write replaces all of it, so that no reader finds it empty.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    // Any user of a container resolves names.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all_at(text.as_bytes(), 0)?;
    let length = u64::try_from(text.len()).map_err(io::Error::other)?;
    file.set_len(length)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn names(names: &[(&str, [u8; 4])]) -> Names {
        let name = |(name, address): &(&str, [u8; 4])| {
            (AppName::parse(name).unwrap(), Ipv4Addr::from(*address))
        };
        names.iter().map(name).collect()
    }

    #[tokio::test]
    async fn published_names_replace_others_in_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let both = names(&[("api", [10, 201, 2, 7]), ("db", [10, 201, 2, 8])]);
        let path = ensure(folder.path(), &both, &[]).await.unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("\n10.201.2.7\tapi\n10.201.2.8\tdb\n"), "{text}");

        publish(folder.path(), &names(&[("db", [10, 201, 2, 8])])).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("\n# apps of the instance\n10.201.2.8\tdb\n"), "{text}");
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.ino(), found.mode() & 0o777), (inode, 0o644));
    }

    #[tokio::test]
    async fn existing_file_is_not_replaced_by_names_of_a_request() {
        let folder = tempfile::tempdir().unwrap();
        publish(folder.path(), &names(&[("api", [10, 201, 2, 7])])).await.unwrap();
        let path = ensure(folder.path(), &Names::new(), &[]).await.unwrap();
        assert!(fs::read_to_string(path).unwrap().contains("api"));
    }

    #[tokio::test]
    async fn further_lines_are_kept_in_a_file_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let more = [("host.docker.internal".to_owned(), IpAddr::from([10, 201, 0, 1]))];
        let path = ensure(folder.path(), &Names::new(), &more).await.unwrap();
        publish(folder.path(), &names(&[("db", [10, 201, 2, 8])])).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\n10.201.0.1\thost.docker.internal\n#"), "{text}");
        assert!(text.ends_with("\n10.201.2.8\tdb\n"), "{text}");
        let common = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!common.contains("host.docker"), "{common}");
    }
}
