//! The written form of a content: one part for each app, and one for each other kind of thing.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::secrets::Secrets;
use super::{StoreContent, StoredRows};
use crate::app::{AppName, HashedSpec, HostName, Secret, SecretName};
use crate::certificate::{Authority, KeyPair, StoredCertificate};
use crate::error::SharedError;
use crate::event::Event;
use crate::store::{Revision, StoreError, StoredApp, Tombstone};

/// The parts of a content, by name, such as `app/web`. They show contents of files and secrets.
pub type StoreParts = BTreeMap<String, Vec<u8>>;

const INSTANCE: &str = "instance";
const SECRETS: &str = "secrets";
const CERTIFICATES: &str = "certificates";
const EVENTS: &str = "events";

/// Prefix of the parts with apps.
const APP: &str = "app/";

/// Bytes by their hash, in base64.
type Contents = BTreeMap<String, String>;

/// Hashes of contents by the path of their reference, such as `env.PASSWORD`.
type Hashes = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
struct AppPart {
    app: StoredApp,
    contents: Hashes,
    deleted: Option<Tombstone>,
    revisions: Vec<RevisionPart>,
    /// Contents of all revisions, most of which have the same.
    bytes: Contents,
}

#[derive(Serialize, Deserialize)]
struct RevisionPart {
    revision: Revision,
    contents: Hashes,
}

#[derive(Serialize, Deserialize)]
struct SecretPart {
    value: String,
    updated_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct CertificatesPart {
    hosts: BTreeMap<HostName, StoredCertificate>,
    /// Certificate and key of each host that has them.
    pem: BTreeMap<HostName, (String, String)>,
    accounts: Vec<(Authority, String)>,
}

#[derive(Serialize, Deserialize)]
struct InstancePart {
    teardown: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct EventsPart {
    last: u64,
    events: Vec<Event>,
}

impl StoreContent {
    /// Returns the parts that differ from those of `former`: `None` for one that is gone. Parts of
    /// a new, empty content are none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if an app cannot be read back.
    pub fn changed_parts(
        &self,
        former: &Self,
    ) -> Result<BTreeMap<String, Option<Vec<u8>>>, StoreError> {
        let mut changed = BTreeMap::new();
        for (name, rows) in &self.apps {
            if !former.apps.get(name).is_some_and(|old| Arc::ptr_eq(old, rows) || old == rows) {
                changed.insert(format!("{APP}{name}"), Some(write_app(rows)?));
            }
        }
        for name in former.apps.keys().filter(|name| !self.apps.contains_key(*name)) {
            changed.insert(format!("{APP}{name}"), None);
        }
        if self.secrets != former.secrets {
            changed.insert(SECRETS.to_owned(), Some(write_secrets(&self.secrets)?));
        }
        if self.certificates != former.certificates || self.accounts != former.accounts {
            changed.insert(CERTIFICATES.to_owned(), Some(self.write_certificates()?));
        }
        if self.last_event != former.last_event || self.events != former.events {
            let part = EventsPart { last: self.last_event, events: self.events.to_vec() };
            changed.insert(EVENTS.to_owned(), Some(write(&part)?));
        }
        if self.teardown != former.teardown {
            let part = InstancePart { teardown: self.teardown };
            changed.insert(INSTANCE.to_owned(), Some(write(&part)?));
        }
        Ok(changed)
    }

    /// Reads the parts of a content. A part that is missing is empty.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] names the part that cannot be read, and shows nothing of it.
    pub fn from_parts(parts: &StoreParts) -> Result<Self, StoreError> {
        let mut content = Self::default();
        for (part, bytes) in parts {
            match part.as_str() {
                INSTANCE => {
                    let InstancePart { teardown } = read(part, bytes)?;
                    content.teardown = teardown;
                }
                SECRETS => content.secrets = read_secrets(part, bytes)?,
                CERTIFICATES => content.read_certificates(part, bytes)?,
                EVENTS => {
                    let EventsPart { last, events } = read(part, bytes)?;
                    (content.last_event, content.events) = (last, Arc::new(events));
                }
                app => {
                    let name = app.strip_prefix(APP).and_then(|name| AppName::parse(name).ok());
                    let name = name.ok_or_else(|| unreadable(part))?;
                    content.apps.insert(name, Arc::new(read_app(part, bytes)?));
                }
            }
        }
        Ok(content)
    }

    fn write_certificates(&self) -> Result<Vec<u8>, StoreError> {
        let pem = |(host, stored): (&HostName, &StoredCertificate)| {
            let (chain, key) = stored.issued.as_ref()?.pair.pem()?;
            Some((host.clone(), (STANDARD.encode(chain), STANDARD.encode(key))))
        };
        let account = |(authority, account): (&Authority, &Secret)| {
            (*authority, STANDARD.encode(account.reveal()))
        };
        write(&CertificatesPart {
            hosts: self.certificates.clone(),
            pem: self.certificates.iter().filter_map(pem).collect(),
            accounts: self.accounts.iter().map(account).collect(),
        })
    }

    fn read_certificates(&mut self, part: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let CertificatesPart { hosts, pem, accounts } = read(part, bytes)?;
        self.certificates = hosts;
        for (host, (chain, key)) in pem {
            let pair = KeyPair::new(decode(part, &chain)?, decode(part, &key)?);
            let issued = self.certificates.get_mut(&host).and_then(|kept| kept.issued.as_mut());
            issued.ok_or_else(|| unreadable(part))?.pair = pair;
        }
        for (authority, account) in accounts {
            self.accounts.insert(authority, decode(part, &account)?);
        }
        Ok(())
    }
}

/// Takes the contents of a specification out, and adds them to `bytes`.
fn take_contents(spec: &HashedSpec, bytes: &mut Contents) -> (HashedSpec, Hashes) {
    let mut bare = spec.clone().into_inner();
    let mut hashes = Hashes::new();
    for (path, secret) in bare.take_contents() {
        let hash = secret.hash().to_string();
        bytes.entry(hash.clone()).or_insert_with(|| STANDARD.encode(secret.reveal()));
        hashes.insert(path, hash);
    }
    (bare.into(), hashes)
}

fn restore_contents(
    part: &str,
    spec: &mut HashedSpec,
    hashes: &Hashes,
    bytes: &BTreeMap<String, Secret>,
) -> Result<(), StoreError> {
    if hashes.is_empty() {
        return Ok(());
    }
    let content = |(path, hash): (&String, &String)| {
        let secret = bytes.get(hash).ok_or_else(|| unreadable(part))?;
        Ok((path.clone(), secret.clone()))
    };
    let contents: BTreeMap<_, _> = hashes.iter().map(content).collect::<Result<_, StoreError>>()?;
    spec.update(|spec| spec.restore_contents(&contents));
    Ok(())
}

fn write_app(rows: &StoredRows) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Contents::new();
    let (spec, contents) = take_contents(&rows.app.spec, &mut bytes);
    let revision = |kept: &Revision| {
        let (spec, contents) = take_contents(&kept.spec, &mut bytes);
        RevisionPart { revision: Revision { spec, ..kept.clone() }, contents }
    };
    let revisions = rows.revisions.iter().map(revision).collect();
    let app = StoredApp { spec, ..rows.app.clone() };
    let part = AppPart { app, contents, deleted: rows.deleted.clone(), revisions, bytes };
    let written = write(&part)?;
    // One that cannot be read would make every later read of the whole state fail.
    let name = &rows.app.spec.name;
    match read_app(&format!("{APP}{name}"), &written) {
        Ok(read) if read == *rows => Ok(written),
        Ok(_) | Err(_) => Err(StoreError::Failed(SharedError::text(format!(
            "the specification of `{name}` is invalid"
        )))),
    }
}

fn read_app(part: &str, bytes: &[u8]) -> Result<StoredRows, StoreError> {
    let AppPart { mut app, contents, deleted, revisions, bytes } = read(part, bytes)?;
    let bytes = bytes.into_iter().map(|(hash, text)| Ok((hash, decode(part, &text)?)));
    let bytes: BTreeMap<_, _> = bytes.collect::<Result<_, StoreError>>()?;
    restore_contents(part, &mut app.spec, &contents, &bytes)?;
    let mut kept = Vec::new();
    for RevisionPart { mut revision, contents } in revisions {
        restore_contents(part, &mut revision.spec, &contents, &bytes)?;
        kept.push(revision);
    }
    Ok(StoredRows { app, deleted, revisions: kept })
}

fn write_secrets(secrets: &Secrets) -> Result<Vec<u8>, StoreError> {
    let part = |(name, value): (&SecretName, &Secret)| {
        let updated_at = secrets.updated_at.get(name).copied().unwrap_or_default();
        (name.clone(), SecretPart { value: STANDARD.encode(value.reveal()), updated_at })
    };
    write(&secrets.values.iter().map(part).collect::<BTreeMap<_, _>>())
}

fn read_secrets(part: &str, bytes: &[u8]) -> Result<Secrets, StoreError> {
    let all: BTreeMap<SecretName, SecretPart> = read(part, bytes)?;
    let mut secrets = Secrets::default();
    for (name, SecretPart { value, updated_at }) in all {
        secrets.values.insert(name.clone(), decode(part, &value)?);
        secrets.updated_at.insert(name, updated_at);
    }
    Ok(secrets)
}

fn write<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Failed(SharedError::new(error)))
}

/// Reads a part. The error of the parser could repeat a secret.
fn read<T: DeserializeOwned>(part: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| unreadable(part))
}

fn decode(part: &str, text: &str) -> Result<Secret, StoreError> {
    STANDARD.decode(text).map(Secret::new).map_err(|_| unreadable(part))
}

fn unreadable(part: &str) -> StoreError {
    StoreError::Failed(SharedError::text(format!("the part `{part}` of the state is unreadable")))
}
