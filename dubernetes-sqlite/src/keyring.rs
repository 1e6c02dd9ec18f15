//! The keys that encrypt secrets and contents of files at rest, and their file.
//!
//! An encrypted value is a version byte, the id of its key, a random nonce, and the ciphertext of
//! XChaCha20-Poly1305, whose tag also covers the place of the value: a value that was moved to
//! another row cannot be read.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Generate as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::error::{OpenError, TransactionError};
use crate::files;

/// Name of the key file in the state directory.
pub(crate) const FILE: &str = "secret.key";

const HEADER: &str = "\
# Keys of the secrets in `dubernetes.db`, the newest last. Back this file up, apart from the
# database: without it, no secret can be read.
";
/// Version of the form of an encrypted value.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Identifies a key: the first bytes of its hash.
pub(crate) type KeyId = [u8; 4];

/// Where a value is stored. Part of what its tag covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Secret(&'a str),
    App(&'a str),
    Revision(&'a str, u64),
    Certificate(&'a str),
    Authority(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No name contains a slash.
        match self {
            Self::Secret(name) => write!(f, "secret/{name}"),
            Self::App(name) => write!(f, "app/{name}"),
            Self::Revision(app, revision) => write!(f, "revision/{app}/{revision}"),
            Self::Certificate(host) => write!(f, "certificate/{host}"),
            Self::Authority(name) => write!(f, "authority/{name}"),
        }
    }
}

/// The keys of one state directory, oldest first. There are two only while a rotation is in
/// progress, and none until the first value is encrypted.
pub(crate) struct Keyring {
    path: PathBuf,
    keys: Mutex<Vec<Key>>,
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    bytes: [u8; KEY_BYTES],
    cipher: XChaCha20Poly1305,
}

impl Key {
    fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let digest = Sha256::digest(bytes);
        let mut id = [0; 4];
        id.copy_from_slice(&digest[..4]);
        Self { id, bytes, cipher: XChaCha20Poly1305::new(&bytes.into()) }
    }

    fn generate() -> io::Result<Self> {
        <[u8; KEY_BYTES]>::try_generate().map(Self::new).map_err(io::Error::other)
    }
}

/// Shows no key, only ids.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys().iter().map(|key| show(key.id)).collect();
        f.debug_struct("Keyring").field("path", &self.path).field("keys", &ids).finish()
    }
}

impl Keyring {
    /// Reads the key file in `folder`. A missing one has no keys.
    pub(crate) fn load(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        let keys = read(&path)?;
        Ok(Self { path, keys: Mutex::new(keys) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn has(&self, id: KeyId) -> bool {
        self.find(id).is_some()
    }

    /// Reads the key file again: another process may have rotated the key.
    pub(crate) fn reload(&self) -> Result<(), OpenError> {
        *self.keys() = read(&self.path)?;
        Ok(())
    }

    /// Encrypts a value with the newest key. The first value creates the key.
    pub(crate) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, TransactionError> {
        let key = self.newest().map_err(|error| self.unusable(error))?;
        let nonce = <[u8; NONCE_BYTES]>::try_generate().map_err(|error| self.unusable(error))?;
        let place = place.to_string();
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| TransactionError::unreadable("encryption failed"))?;
        Ok([&[VERSION][..], &key.id, &nonce, &sealed].concat())
    }

    /// Decrypts a value.
    pub(crate) fn open(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, TransactionError> {
        let damaged =
            || TransactionError::unreadable(format!("the encrypted value of {place} is damaged"));
        let (id, rest) = split_key_id(sealed).ok_or_else(damaged)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        if !self.has(id) {
            self.reload().map_err(|error| self.unusable(error))?;
        }
        let key = self.find(id).ok_or_else(|| {
            let (id, path) = (show(id), self.path.display());
            TransactionError::unreadable(format!("`{path}` has no key {id}"))
        })?;
        let place = place.to_string();
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| damaged())
    }

    /// Adds a key, which encrypts from now on. The old ones stay, also in the file.
    pub(crate) fn add(&self) -> io::Result<()> {
        let mut keys = self.keys();
        let mut all = keys.clone();
        all.push(Key::generate()?);
        write(&self.path, &all)?;
        *keys = all;
        Ok(())
    }

    /// Returns whether there is a key.
    pub(crate) fn has_any(&self) -> bool {
        !self.keys().is_empty()
    }

    /// Returns whether a rotation was interrupted.
    pub(crate) fn has_old_keys(&self) -> bool {
        self.keys().len() > 1
    }

    /// Forgets all keys but the newest, also in the file.
    pub(crate) fn drop_old(&self) -> io::Result<()> {
        let mut keys = self.keys();
        let newest: Vec<_> = keys.last().cloned().into_iter().collect();
        write(&self.path, &newest)?;
        *keys = newest;
        Ok(())
    }

    fn newest(&self) -> io::Result<Key> {
        if self.keys().is_empty() {
            self.add()?;
            tracing::info!(path = %self.path.display(), "key file created");
        }
        self.keys().last().cloned().ok_or_else(|| io::Error::other("there is no key"))
    }

    fn find(&self, id: KeyId) -> Option<Key> {
        self.keys().iter().find(|key| key.id == id).cloned()
    }

    fn keys(&self) -> MutexGuard<'_, Vec<Key>> {
        // The list is replaced in one step, so a panic leaves no half of one.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unusable(&self, error: impl fmt::Display) -> TransactionError {
        TransactionError::unreadable(format!("`{}`: {error}", self.path.display()))
    }
}

/// Returns the id of the key that encrypted a value, and what follows it.
pub(crate) fn split_key_id(sealed: &[u8]) -> Option<(KeyId, &[u8])> {
    let (&version, rest) = sealed.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    (version == VERSION).then_some((*id, rest))
}

/// Returns the id of a key in hexadecimal digits.
pub(crate) fn show(id: KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

fn read(path: &Path) -> Result<Vec<Key>, OpenError> {
    let unusable = |why: String| OpenError::KeyFile { path: path.to_owned(), why };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(format!("cannot be read: {error}"))),
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let why = format!("can be read by others (mode {mode:04o}); run `chmod 600` on it");
        return Err(unusable(why));
    }
    let text = fs::read_to_string(path).map_err(|e| unusable(format!("cannot be read: {e}")))?;
    let lines = text.lines().zip(1..).filter(|(line, _)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let keys = lines.map(|(line, number)| {
        let bytes = STANDARD.decode(line.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Key::new).ok_or_else(|| unusable(format!("has no key on line {number}")))
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    match keys.is_empty() {
        true => Err(unusable("has no key".to_owned())),
        false => Ok(keys),
    }
}

/// Writes the key file in one step, so that it is never seen without the old or the new content.
fn write(path: &Path, keys: &[Key]) -> io::Result<()> {
    let mut text = HEADER.to_owned();
    for key in keys {
        text.push_str(&STANDARD.encode(key.bytes));
        text.push('\n');
    }
    let part = files::sibling(path, ".new");
    files::remove_if_exists(&part)?;
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    path.parent().map_or(Ok(()), files::sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place::Secret("db");

    fn keyring() -> (tempfile::TempDir, Keyring) {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::load(folder.path()).unwrap();
        (folder, keyring)
    }

    #[test]
    fn value_opens_only_unchanged_at_its_place() {
        let (_folder, keyring) = keyring();
        let sealed = keyring.seal(PLACE, b"canary").unwrap();
        assert_eq!(keyring.open(PLACE, &sealed).unwrap(), b"canary");
        assert_ne!(keyring.seal(PLACE, b"canary").unwrap(), sealed, "each nonce is another one");
        for place in [Place::Secret("other"), Place::App("db"), Place::Revision("db", 1)] {
            assert!(keyring.open(place, &sealed).is_err(), "{place}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keyring.open(PLACE, &changed).is_err(), "byte {at}");
            assert!(keyring.open(PLACE, &sealed[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn key_file_is_made_at_first_use_and_private() {
        let (folder, keyring) = keyring();
        let path = folder.path().join(FILE);
        assert!(!path.exists());
        let sealed = keyring.seal(PLACE, b"canary").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let again = Keyring::load(folder.path()).unwrap();
        assert_eq!(again.open(PLACE, &sealed).unwrap(), b"canary");
        let shown = format!("{again:?}");
        let key = fs::read_to_string(&path).unwrap().lines().last().unwrap().to_owned();
        assert!(!shown.contains(&key), "{shown}");
    }

    #[test]
    fn old_key_opens_until_it_is_dropped() {
        let (folder, keyring) = keyring();
        let old = keyring.seal(PLACE, b"canary").unwrap();
        let other = Keyring::load(folder.path()).unwrap();
        keyring.add().unwrap();
        let new = keyring.seal(PLACE, b"canary").unwrap();
        assert!(keyring.open(PLACE, &old).is_ok() && keyring.has_old_keys());
        assert!(other.open(PLACE, &new).is_ok(), "another process reads the file again");
        keyring.drop_old().unwrap();
        assert!(keyring.open(PLACE, &old).is_err() && !keyring.has_old_keys());
        assert!(keyring.open(PLACE, &new).is_ok());
    }

    #[test]
    fn unusable_key_file_is_refused_with_what_to_do() {
        let (folder, keyring) = keyring();
        keyring.seal(PLACE, b"canary").unwrap();
        let path = folder.path().join(FILE);
        let refused = || Keyring::load(folder.path()).unwrap_err().to_string();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refused().contains("run `chmod 600`"), "{}", refused());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "# keys\nshort\n").unwrap();
        assert!(refused().contains("has no key on line 2"), "{}", refused());
        fs::write(&path, "").unwrap();
        assert!(refused().contains("has no key"), "{}", refused());
    }
}
