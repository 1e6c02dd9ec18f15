//! Files and links, sent as an archive that the engine unpacks in a container.
//!
//! The engine creates missing directories, but readable by root only. The archive therefore
//! contains the missing directories, and not the existing ones, whose mode it would change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use bollard::body_full;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use dubernetes_core::app::FileOwner;
use dubernetes_core::error::SharedError;
use dubernetes_core::runtime::{ContainerFile, ContainerId, FileEntry, RuntimeError};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tar::{Builder, EntryType, Header};

use crate::engine::{Engine, READ, WRITE};
use crate::error::{CallError, unreadable};
use crate::to_docker::path_segment;

/// Largest archive that is read.
const MAX_READ: usize = 64 << 20;

/// An entry of an archive.
#[derive(Clone, Copy)]
struct Entry<'a> {
    path: &'a str,
    kind: EntryKind<'a>,
}

#[derive(Clone, Copy)]
enum EntryKind<'a> {
    File { contents: &'a [u8], mode: u32, owner: FileOwner },
    Link { target: &'a str },
    Directory,
}

/// Puts files and links into a container, and creates missing directories.
pub(crate) async fn put(
    engine: &Engine,
    id: &ContainerId,
    files: &[FileEntry],
) -> Result<(), RuntimeError> {
    let entries: Vec<Entry<'_>> = files.iter().map(to_entry).collect();
    put_entries(engine, id, &entries).await
}

/// Puts the files of its request into a new container.
pub(crate) async fn put_initial_files(
    engine: &Engine,
    id: &ContainerId,
    files: &[ContainerFile],
) -> Result<(), RuntimeError> {
    // Otherwise a file of mode 0400 could not be read by the app of an image with `USER 1000`.
    let default = match files.iter().any(|file| file.owner.is_none()) {
        true => find_user(engine, id).await?,
        false => ROOT,
    };
    let entries = files.iter().map(|file| Entry {
        path: file.target.as_str(),
        kind: EntryKind::File {
            contents: file.content.reveal(),
            mode: file.mode.bits(),
            owner: file.owner.unwrap_or(default),
        },
    });
    let entries: Vec<Entry<'_>> = entries.collect();
    put_entries(engine, id, &entries).await
}

const ROOT: FileOwner = FileOwner { user: 0, group: 0 };

/// Returns the user of the container, its image's or its own, where it is a number; else root.
async fn find_user(engine: &Engine, id: &ContainerId) -> Result<FileOwner, RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("inspect container `{id}`");
    let call = engine.docker()?.inspect_container(name, None);
    let inspected = engine.call(READ, &operation, call).await;
    let inspected = inspected.map_err(|error| error.into_not_found("container", name))?;
    let user = inspected.config.and_then(|config| config.user).unwrap_or_default();
    Ok(FileOwner::parse(&user).unwrap_or(ROOT))
}

fn to_entry(file: &FileEntry) -> Entry<'_> {
    match file {
        FileEntry::Directory { path } => Entry { path, kind: EntryKind::Directory },
        FileEntry::File { path, contents } => {
            Entry { path, kind: EntryKind::File { contents, mode: 0o644, owner: ROOT } }
        }
        FileEntry::PrivateFile { path, contents } => {
            Entry { path, kind: EntryKind::File { contents, mode: 0o600, owner: ROOT } }
        }
        FileEntry::Symlink { path, target } => Entry { path, kind: EntryKind::Link { target } },
    }
}

async fn put_entries(
    engine: &Engine,
    id: &ContainerId,
    files: &[Entry<'_>],
) -> Result<(), RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("put files into container `{id}`");
    check_paths(&operation, files)?;
    let put = async {
        let missing = find_missing_directories(engine, id, files).await?;
        let archive = build_archive(&missing, files, Timestamp::now()).map_err(|error| {
            RuntimeError::Failed { operation: operation.clone(), cause: SharedError::new(error) }
        })?;
        let options = UploadToContainerOptionsBuilder::default()
            .path("/")
            // A file must not replace a directory.
            .no_overwrite_dir_non_dir("true")
            .build();
        let call = engine.docker()?.upload_to_container(name, Some(options), body_full(archive));
        let uploaded = engine.call(WRITE, &operation, call).await;
        uploaded.map_err(|error| error.into_not_found("container", name))
    };
    match tokio::time::timeout(WRITE, put).await {
        Ok(done) => done,
        Err(_) => Err(CallError::timeout(&operation).into_runtime_error()),
    }
}

/// Returns the files in and below a directory, by path relative to it.
pub(crate) async fn read(
    engine: &Engine,
    id: &ContainerId,
    directory: &str,
) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("read `{directory}` in container `{id}`");
    check_paths(&operation, &[Entry { path: directory, kind: EntryKind::Directory }])?;
    // The last segment makes the engine follow a link.
    let path = format!("{directory}/.");
    let options = DownloadFromContainerOptionsBuilder::default().path(&path).build();
    let mut parts = engine.docker()?.download_from_container(name, Some(options)).boxed();
    let download = async {
        let mut archive = Vec::new();
        while let Some(part) = parts.try_next().await? {
            archive.extend_from_slice(&part);
            if archive.len() > MAX_READ {
                return Ok(None);
            }
        }
        Ok(Some(archive))
    };
    let downloaded = engine.call(READ, &operation, download).await;
    let archive = downloaded.map_err(|error| error.into_not_found("directory", directory))?;
    let archive = archive.ok_or_else(|| unreadable(&operation, "the files are too large"))?;
    let parsed = parse_archive(&archive);
    parsed.map_err(|error| RuntimeError::Failed { operation, cause: SharedError::new(error) })
}

fn parse_archive(archive: &[u8]) -> Result<BTreeMap<String, Bytes>, std::io::Error> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents)?;
        files.insert(path.trim_start_matches("./").to_owned(), contents.into());
    }
    Ok(files)
}

fn check_paths(operation: &str, files: &[Entry<'_>]) -> Result<(), RuntimeError> {
    let is_normal = |path: &str| {
        path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| !matches!(part, "" | "." | "..")) && !rest.contains('\0')
        })
    };
    match files.iter().map(|file| file.path).find(|path| !is_normal(path)) {
        None => Ok(()),
        Some(path) => Err(RuntimeError::Rejected {
            operation: operation.to_owned(),
            message: format!("`{}` is not a normalized absolute path", path.escape_debug()),
        }),
    }
}

/// Returns the parent directories of the files that the container lacks, outermost first.
async fn find_missing_directories(
    engine: &Engine,
    id: &ContainerId,
    files: &[Entry<'_>],
) -> Result<BTreeSet<String>, RuntimeError> {
    let name = path_segment(id)?;
    let mut missing = BTreeSet::new();
    let directories = files.iter().filter(|file| matches!(file.kind, EntryKind::Directory));
    let mut existing: BTreeSet<_> = directories.map(|file| file.path.to_owned()).collect();
    let files = files.iter().filter(|file| !matches!(file.kind, EntryKind::Directory));
    for file in files {
        for folder in parent_directories(file.path) {
            if missing.contains(folder) {
                continue;
            }
            if existing.contains(folder) {
                break;
            }
            let operation = format!("check `{folder}` in container `{id}`");
            let options = ContainerArchiveInfoOptionsBuilder::default().path(folder).build();
            let call = engine.docker()?.get_container_archive_info(name, Some(options));
            match engine.call(READ, &operation, call).await {
                Ok(_) => {
                    existing.insert(folder.to_owned());
                    break;
                }
                // The directory or the container is missing; in the second case the upload fails.
                Err(error) if error.status() == Some(404) => {
                    missing.insert(folder.to_owned());
                }
                Err(error) => return Err(error.into_runtime_error()),
            }
        }
    }
    Ok(missing)
}

/// Returns `/a/b` and `/a` for `/a/b/c`.
fn parent_directories(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/'))
        .map(|(above, _)| above)
        .filter(|above| !above.is_empty())
}

fn build_archive(
    folders: &BTreeSet<String>,
    files: &[Entry<'_>],
    now: Timestamp,
) -> Result<Bytes, std::io::Error> {
    let time = u64::try_from(now.as_second()).unwrap_or_default();
    let mut archive = Builder::new(Vec::new());
    for folder in folders {
        let mut header = build_header(EntryType::Directory, 0o755, 0, time, ROOT);
        archive.append_data(&mut header, relative_path(folder), std::io::empty())?;
    }
    for file in files {
        match file.kind {
            EntryKind::File { contents, mode, owner } => {
                let size = u64::try_from(contents.len()).unwrap_or(u64::MAX);
                let mut header = build_header(EntryType::Regular, mode, size, time, owner);
                archive.append_data(&mut header, relative_path(file.path), contents)?;
            }
            EntryKind::Directory => {
                let mut header = build_header(EntryType::Directory, 0o755, 0, time, ROOT);
                archive.append_data(&mut header, relative_path(file.path), std::io::empty())?;
            }
            EntryKind::Link { target } => {
                let mut header = build_header(EntryType::Symlink, 0o777, 0, time, ROOT);
                archive.append_link(&mut header, relative_path(file.path), target)?;
            }
        }
    }
    Ok(archive.into_inner()?.into())
}

fn build_header(kind: EntryType, mode: u32, size: u64, time: u64, owner: FileOwner) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(time);
    header.set_uid(u64::from(owner.user));
    header.set_gid(u64::from(owner.group));
    header
}

fn relative_path(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: FileOwner = FileOwner { user: 1000, group: 100 };

    fn file(path: &str) -> Entry<'_> {
        Entry { path, kind: EntryKind::File { contents: b"text", mode: 0o640, owner: OWNER } }
    }

    #[test]
    fn archive_has_directories_first_and_the_requested_modes_and_owners() {
        let long = format!("/a/{}", "n".repeat(180));
        let link = Entry { path: "/a/live", kind: EntryKind::Link { target: "/a/b" } };
        let bytes =
            build_archive(&BTreeSet::from(["/a".into()]), &[file(&long), link], Timestamp::now());
        let mut archive = tar::Archive::new(std::io::Cursor::new(bytes.unwrap()));
        let seen: Vec<(String, u32, u64, Option<String>)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let link = entry.link_name().unwrap().map(|to| to.to_str().unwrap().to_owned());
                let path = entry.path().unwrap().to_str().unwrap().to_owned();
                let header = entry.header();
                (path, header.mode().unwrap(), header.uid().unwrap(), link)
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("a".to_owned(), 0o755, 0, None),
                (long[1..].to_owned(), 0o640, 1000, None),
                ("a/live".to_owned(), 0o777, 0, Some("/a/b".to_owned())),
            ]
        );
    }

    #[test]
    fn parent_directories_start_with_the_innermost() {
        assert_eq!(parent_directories("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(parent_directories("/c").count(), 0);
    }

    #[test]
    fn paths_that_are_not_normalized_are_rejected() {
        for path in ["x", "/a/../b", "//a", "/a/", "/", "/a/./b", "/a\0"] {
            assert!(check_paths("test", &[file(path)]).is_err(), "{path:?}");
        }
        assert!(check_paths("test", &[file("/a/b.conf")]).is_ok());
    }
}
