//! Files and links as the archive that the engine unpacks into a container.
//!
//! The engine makes missing folders by itself, but so that only root may enter them; so they are
//! put into the archive. Folders that are there are not, since that would change their mode.

use std::collections::BTreeSet;

use bollard::body_full;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use dubernetes_core::error::Cause;
use dubernetes_core::runtime::{ContainerFile, ContainerId, FileEntry, RuntimeError};
use jiff::Timestamp;
use tar::{Builder, EntryType, Header};

use crate::engine::{Engine, READ, WRITE};
use crate::error::Failure;
use crate::to_docker::path_part;

/// One entry of an archive.
#[derive(Clone, Copy)]
struct Entry<'a> {
    path: &'a str,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    File { contents: &'a [u8], mode: u32 },
    Link { target: &'a str },
}

/// Puts files and links into a container, with the folders that are missing.
pub(crate) async fn put(
    engine: &Engine,
    id: &ContainerId,
    files: &[FileEntry],
) -> Result<(), RuntimeError> {
    let entries: Vec<Entry<'_>> = files.iter().map(entry).collect();
    put_entries(engine, id, &entries).await
}

/// Puts the files that a container is created with into it.
pub(crate) async fn put_first(
    engine: &Engine,
    id: &ContainerId,
    files: &[ContainerFile],
) -> Result<(), RuntimeError> {
    let entries = files.iter().map(|file| Entry {
        path: file.target.as_str(),
        what: What::File { contents: file.content.reveal(), mode: file.mode.bits() },
    });
    let entries: Vec<Entry<'_>> = entries.collect();
    put_entries(engine, id, &entries).await
}

fn entry(file: &FileEntry) -> Entry<'_> {
    match file {
        FileEntry::File { path, contents } => {
            Entry { path, what: What::File { contents, mode: 0o644 } }
        }
        FileEntry::Symlink { path, target } => Entry { path, what: What::Link { target } },
    }
}

async fn put_entries(
    engine: &Engine,
    id: &ContainerId,
    files: &[Entry<'_>],
) -> Result<(), RuntimeError> {
    let name = path_part(id)?;
    let operation = format!("put files into container `{id}`");
    check_paths(&operation, files)?;
    let put = async {
        let missing = missing_folders(engine, id, files).await?;
        let archive = archive(&missing, files, Timestamp::now()).map_err(|error| {
            RuntimeError::Failed { operation: operation.clone(), cause: Cause::new(error) }
        })?;
        let options = UploadToContainerOptionsBuilder::default()
            .path("/")
            // A file never takes the place of a whole folder.
            .no_overwrite_dir_non_dir("true")
            .build();
        let call = engine.docker()?.upload_to_container(name, Some(options), body_full(archive));
        engine.call(WRITE, &operation, call).await.map_err(|failure| failure.of("container", name))
    };
    match tokio::time::timeout(WRITE, put).await {
        Ok(done) => done,
        Err(_) => Err(Failure::timeout(&operation).general()),
    }
}

fn check_paths(operation: &str, files: &[Entry<'_>]) -> Result<(), RuntimeError> {
    let legal = |path: &str| {
        path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| !matches!(part, "" | "." | "..")) && !rest.contains('\0')
        })
    };
    match files.iter().map(|file| file.path).find(|path| !legal(path)) {
        None => Ok(()),
        Some(path) => Err(RuntimeError::Rejected {
            operation: operation.to_owned(),
            message: format!("`{}` is not an absolute path in its plain form", path.escape_debug()),
        }),
    }
}

/// The folders above the files that the container does not have, outermost first.
async fn missing_folders(
    engine: &Engine,
    id: &ContainerId,
    files: &[Entry<'_>],
) -> Result<BTreeSet<String>, RuntimeError> {
    let name = path_part(id)?;
    let (mut missing, mut known) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        for folder in folders_above(file.path) {
            if missing.contains(folder) {
                continue;
            }
            if known.contains(folder) {
                break;
            }
            let options = ContainerArchiveInfoOptionsBuilder::default().path(folder).build();
            let call = engine.docker()?.get_container_archive_info(name, Some(options));
            match engine.call(READ, &format!("look for `{folder}` in container `{id}`"), call).await
            {
                Ok(_) => {
                    known.insert(folder.to_owned());
                    break;
                }
                // The container or the folder: if it is the container, the upload will tell.
                Err(failure) if failure.status() == Some(404) => {
                    missing.insert(folder.to_owned());
                }
                Err(failure) => return Err(failure.general()),
            }
        }
    }
    Ok(missing)
}

/// `/a/b` and `/a` for `/a/b/c`.
fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/'))
        .map(|(above, _)| above)
        .filter(|above| !above.is_empty())
}

fn archive(
    folders: &BTreeSet<String>,
    files: &[Entry<'_>],
    now: Timestamp,
) -> Result<Bytes, std::io::Error> {
    let time = u64::try_from(now.as_second()).unwrap_or_default();
    let mut archive = Builder::new(Vec::new());
    for folder in folders {
        let mut header = header(EntryType::Directory, 0o755, 0, time);
        archive.append_data(&mut header, relative(folder), std::io::empty())?;
    }
    for file in files {
        match file.what {
            What::File { contents, mode } => {
                let size = u64::try_from(contents.len()).unwrap_or(u64::MAX);
                let mut header = header(EntryType::Regular, mode, size, time);
                archive.append_data(&mut header, relative(file.path), contents)?;
            }
            What::Link { target } => {
                let mut header = header(EntryType::Symlink, 0o777, 0, time);
                archive.append_link(&mut header, relative(file.path), target)?;
            }
        }
    }
    Ok(archive.into_inner()?.into())
}

fn header(kind: EntryType, mode: u32, size: u64, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Entry<'_> {
        Entry { path, what: What::File { contents: b"text", mode: 0o640 } }
    }

    #[test]
    fn the_archive_holds_folders_first_and_modes_as_they_are_asked_for() {
        let long = format!("/a/{}", "n".repeat(180));
        let link = Entry { path: "/a/live", what: What::Link { target: "/a/b" } };
        let bytes = archive(&BTreeSet::from(["/a".into()]), &[file(&long), link], Timestamp::now());
        let mut archive = tar::Archive::new(std::io::Cursor::new(bytes.unwrap()));
        let seen: Vec<(String, u32, Option<String>)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let link = entry.link_name().unwrap().map(|to| to.to_str().unwrap().to_owned());
                let path = entry.path().unwrap().to_str().unwrap().to_owned();
                (path, entry.header().mode().unwrap(), link)
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("a".to_owned(), 0o755, None),
                (long[1..].to_owned(), 0o640, None),
                ("a/live".to_owned(), 0o777, Some("/a/b".to_owned())),
            ]
        );
    }

    #[test]
    fn folders_are_looked_for_from_the_inside_out() {
        assert_eq!(folders_above("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(folders_above("/c").count(), 0);
    }

    #[test]
    fn paths_that_could_lead_elsewhere_are_refused() {
        for path in ["x", "/a/../b", "//a", "/a/", "/", "/a/./b", "/a\0"] {
            assert!(check_paths("test", &[file(path)]).is_err(), "{path:?}");
        }
        assert!(check_paths("test", &[file("/a/b.conf")]).is_ok());
    }
}
