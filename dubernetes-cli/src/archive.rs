//! The file that `backup` writes and `restore` reads: a tar archive with a manifest in front, which
//! has size and hash of every other file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use dubernetes_core::app::InstanceName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, Entries, Header};

use crate::report::{CliError, Result};
use crate::version::VERSION;
use crate::wiring::state_files::{STATE_FILES, newest_schema};

/// Name of the manifest in the archive.
const MANIFEST: &str = "backup.json";
/// Version of the form of the archive.
const FORMAT: u32 = 1;
/// Size of the largest manifest that is read.
const MANIFEST_LIMIT: u64 = 64 << 10;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Version of the form of the archive.
    format: u32,
    /// Version of the program that wrote it.
    pub(crate) version: String,
    /// Version of the database's schema.
    pub(crate) schema: u32,
    /// Instance.
    pub(crate) instance: InstanceName,
    /// When the state was copied.
    pub(crate) time: Timestamp,
    /// The other files.
    files: BTreeMap<String, FileInfo>,
}

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileInfo {
    bytes: u64,
    sha256: String,
}

/// Writes the state files in `folder` as an archive.
pub(crate) fn write(
    folder: &Path,
    instance: &InstanceName,
    schema: u32,
    to: impl Write,
) -> io::Result<()> {
    let time = Timestamp::now();
    let mut files = BTreeMap::new();
    for name in STATE_FILES {
        match File::open(folder.join(name)) {
            Ok(file) => drop(files.insert(name.to_owned(), copy_hashed(file, io::sink())?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let (version, instance) = (VERSION.to_owned(), instance.clone());
    let manifest = Manifest { format: FORMAT, version, schema, instance, time, files };
    let text = serde_json::to_vec_pretty(&manifest)?;
    let mut archive = Builder::new(to);
    let mut add = |name: &str, bytes: u64, content: &mut dyn Read| {
        let mut header = Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(time.as_second().try_into().unwrap_or(0));
        archive.append_data(&mut header, name, content)
    };
    add(MANIFEST, u64::try_from(text.len()).unwrap_or(u64::MAX), &mut text.as_slice())?;
    for (name, file) in &manifest.files {
        add(name, file.bytes, &mut File::open(folder.join(name))?)?;
    }
    archive.into_inner()?.flush()
}

/// An archive whose manifest is read and whose other files follow.
pub(crate) struct Reader<'a, R: Read> {
    name: &'a str,
    /// What it holds.
    pub(crate) manifest: Manifest,
    entries: Entries<'a, R>,
}

impl<'a, R: Read> Reader<'a, R> {
    /// Reads the manifest of the archive with this name.
    ///
    /// # Errors
    ///
    /// It is no archive of `backup`, or one of a later version of the program.
    pub(crate) fn new(archive: &'a mut Archive<R>, name: &'a str) -> Result<Self> {
        let foreign = || CliError::new(format!("`{name}` is not a backup of Dubernetes"));
        let mut entries = archive.entries().map_err(|_| foreign())?;
        let mut text = Vec::new();
        match entries.next() {
            Some(Ok(entry)) if entry.path_bytes().as_ref() == MANIFEST.as_bytes() => {
                let read = entry.take(MANIFEST_LIMIT).read_to_end(&mut text);
                read.map_err(|error| damaged(name, &error.to_string()))?;
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::IsADirectory => {
                return Err(CliError::new(format!("`{name}` is a folder")));
            }
            _ => return Err(foreign()),
        }
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| damaged(name, &error.to_string()))?;
        let newer = |what: &str, found: u64, supported: u32| {
            let version = value["version"].as_str().unwrap_or("later").escape_debug();
            let has = format!("has the {what} {found}, but this version reads up to {supported}");
            CliError::new(format!("`{name}`, written by version {version}, {has}"))
                .help("restore it with that version, or a later one")
        };
        for (key, what, supported) in
            [("format", "format", FORMAT), ("schema", "schema", newest_schema())]
        {
            if let Some(found) = value[key].as_u64().filter(|found| *found > supported.into()) {
                return Err(newer(what, found, supported));
            }
        }
        let manifest: Manifest = serde_json::from_value(value.clone())
            .map_err(|error| damaged(name, &error.to_string()))?;
        if let Some(unknown) = manifest.files.keys().find(|f| !STATE_FILES.contains(&f.as_str())) {
            return Err(damaged(name, &format!("it has `{}`", unknown.escape_debug())));
        }
        Ok(Self { name, manifest, entries })
    }

    /// Writes the files to `folder`, and compares them with the manifest.
    ///
    /// # Errors
    ///
    /// A file is missing or differs, or cannot be written.
    pub(crate) fn unpack(self, folder: &Path) -> Result<Manifest> {
        let Self { name, manifest, entries } = self;
        let mut missing = manifest.files.clone();
        for entry in entries {
            let entry = entry.map_err(|error| damaged(name, &error.to_string()))?;
            let found = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(expected) = missing.remove(&found) else {
                return Err(damaged(name, &format!("it has `{}`", found.escape_debug())));
            };
            let path = folder.join(&found);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let file = file.map_err(CliError::cannot("write", &path))?;
            let copied = copy_hashed(entry, file);
            let copied = copied.map_err(|error| damaged(name, &error.to_string()))?;
            if copied != expected {
                return Err(damaged(name, &format!("`{found}` differs from its checksum")));
            }
        }
        match missing.keys().next() {
            None => Ok(manifest),
            Some(file) => Err(damaged(name, &format!("`{file}` is missing"))),
        }
    }
}

fn damaged(name: &str, why: &str) -> CliError {
    CliError::new(format!("the backup `{name}` is damaged: {why}"))
        .help("nothing was changed; use another backup")
}

/// Copies a file, and returns its size and hash.
fn copy_hashed(mut from: impl Read, mut to: impl Write) -> io::Result<FileInfo> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let read = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        to.write_all(part)?;
        bytes += u64::try_from(read).unwrap_or(u64::MAX);
    }
    to.flush()?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileInfo { bytes, sha256 })
}

/// Writes a file that only its owner can read, under its name once it is complete and on disk.
/// One that exists is an error, unless `force` replaces it.
pub(crate) fn write_file(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result {
    let shown = path.display();
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::new(format!("`{shown}` already exists"))
            .help("`--force` overwrites it, another FILE writes elsewhere"),
        _ => CliError::with_io_source(&format!("cannot write `{shown}`"), error),
    };
    if !force && fs::symlink_metadata(path).is_ok() {
        return Err(failed(&io::ErrorKind::AlreadyExists.into()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let named = path.file_name().ok_or(io::ErrorKind::IsADirectory.into());
    named.map_err(|error| failed(&error))?;
    let written = (|| {
        let mut part = tempfile::Builder::new().prefix(".backup-").tempfile_in(folder)?;
        write(part.as_file_mut())?;
        part.as_file().sync_all()?;
        match force {
            true => part.persist(path)?,
            false => part.persist_noclobber(path)?,
        };
        File::open(folder)?.sync_all()
    })();
    written.map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn archive() -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("dubernetes.db"), vec![7; 100_000]).unwrap();
        fs::write(folder.path().join("secret.key"), "key").unwrap();
        let mut bytes = Vec::new();
        write(folder.path(), &InstanceName::default(), 3, &mut bytes).unwrap();
        (folder, bytes)
    }

    fn unpack(bytes: &[u8], folder: &Path) -> Result<Manifest> {
        let mut archive = Archive::new(bytes);
        Reader::new(&mut archive, "x.tar").and_then(|reader| reader.unpack(folder))
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], says: &str) {
        let to = tempfile::tempdir().unwrap();
        let error = unpack(bytes, to.path()).unwrap_err().text();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn archive_yields_what_was_written() {
        let (folder, bytes) = archive();
        let to = tempfile::tempdir().unwrap();
        let manifest = unpack(&bytes, to.path()).unwrap();
        assert_eq!((manifest.schema, manifest.instance), (3, InstanceName::default()));
        for name in STATE_FILES {
            let [from, to] = [folder.path(), to.path()].map(|folder| folder.join(name));
            assert_eq!(fs::read(from).unwrap(), fs::read(&to).unwrap());
            assert_eq!(fs::metadata(to).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn any_changed_byte_and_any_missing_end_is_noticed() {
        let (_folder, bytes) = archive();
        // Two empty blocks end an archive.
        let content = bytes.len() - 1024;
        for at in (0..content).step_by(211) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let to = tempfile::tempdir().unwrap();
            // Padding and times are no content.
            if let Ok(manifest) = unpack(&changed, to.path()) {
                assert_eq!(manifest.files.len(), 2);
                assert_eq!(fs::read(to.path().join("secret.key")).unwrap(), b"key");
                assert_eq!(fs::read(to.path().join("dubernetes.db")).unwrap(), [7; 100_000]);
            }
            let to = tempfile::tempdir().unwrap();
            if let Ok(manifest) = unpack(&bytes[..at], to.path()) {
                assert!(at > content - 512, "{at}: {manifest:?}");
            }
        }
        let at = bytes.len() - 50_000;
        check_refused(
            &[&bytes[..at], &[8], &bytes[at + 1..]].concat(),
            "differs from its checksum",
        );
        check_refused(&bytes[..at], "is damaged");
        check_refused(&bytes[..content - 1024], "`secret.key` is missing");
    }

    #[test]
    fn foreign_and_later_files_are_named() {
        check_refused(b"", "is not a backup of Dubernetes");
        check_refused(&[b'x'; 5000], "is not a backup of Dubernetes");
        let (_folder, bytes) = archive();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for (from, to, says) in [
            ("\"format\": 1", "\"format\": 9", "has the format 9, but this version reads up to 1"),
            ("\"schema\": 3", "\"schema\":99", "has the schema 99"),
            ("\"schema\": 3", "\"schema\": x", "is damaged"),
            ("    \"secret.key\"", "\"../secret.key\" ", "it has `../secret.key`"),
        ] {
            assert!(text.contains(from), "{from}");
            check_refused(text.replacen(from, to, 1).as_bytes(), says);
        }
    }

    #[test]
    fn file_appears_whole_and_private_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let failing = write_file(&path, false, |_| Err(io::ErrorKind::StorageFull.into()));
        assert!(failing.is_err() && fs::read_dir(folder.path()).unwrap().next().is_none());
        write_file(&path, false, |file| file.write_all(b"one")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = write_file(&path, false, |file| file.write_all(b"two")).unwrap_err();
        assert!(refused.text().contains("already exists"), "{}", refused.text());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_file(&path, true, |file| file.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
