//! Files that an app refers to, and their contents.
//!
//! A content may be a secret. So nothing shows one: not `Debug`, not `Serialize`, only its hash. The
//! single way to write contents out is [`with_contents`], for the store and for the way to it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::AppSpec;
use super::escape::{is_hidden, quoted};
use super::names::checked_text;

/// The largest content of one file, in bytes.
pub const MAX_CONTENT_BYTES: usize = 512 << 10;
/// The largest sum of all contents of one app, in bytes.
pub const MAX_CONTENTS_BYTES: usize = 1 << 20;

/// Bytes that nothing shows. Its `Debug` is their hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Bytes);

impl Secret {
    /// These bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for those who may have them: the container, and the store.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// What may be shown of them.
    pub fn hash(&self) -> ContentHash {
        let digest = Sha256::digest(&self.0);
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        ContentHash(first)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hash())
    }
}

/// The first 16 digits of a content's SHA-256: enough to tell two contents apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 8]);

impl ContentHash {
    /// Reads 16 digits.
    ///
    /// # Errors
    ///
    /// The rule that `text` breaks, as a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let value = u64::from_str_radix(text, 16).ok();
        match value.filter(|_| text.len() == 16 && text.chars().all(digit)) {
            Some(value) => Ok(Self(value.to_be_bytes())),
            None => Err(format!(
                "`sha256` is the first 16 digits of a file's SHA-256, in lower case, not {}",
                quoted(text)
            )),
        }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

checked_text!(
    /// The path of a file on the machine where `apply` runs; a relative one begins at the folder of the YAML file.
    FilePath,
    check_path
);

fn check_path(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("the path of a file cannot be empty".into());
    }
    if path.len() > 1024 {
        return Err("the path of a file has at most 1024 characters".into());
    }
    if let Some(bad) = path.chars().find(|c| is_hidden(*c)) {
        return Err(format!(
            "the path of a file cannot contain the character U+{:04X}",
            u32::from(bad)
        ));
    }
    if path.starts_with('~') {
        return Err(format!("a path is written out, without `~`, unlike {}", quoted(path)));
    }
    Ok(path.to_owned())
}

/// A file that an app refers to.
///
/// Serialized, it is `{ file: ./path, sha256: 0123… }`, with the hash where the content is known
/// and never with the content. It is read back from that, and from a `content` in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Read", into = "Shown")]
pub struct FileRef {
    /// Where it was read, as it is written.
    pub file: FilePath,
    /// What is known of its content.
    pub content: Content,
}

/// What is known of a file's content. A stored app has all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing: it was not read.
    Unread,
    /// What an answer shows of it.
    Hash(ContentHash),
    /// All.
    Known(Secret),
}

impl FileRef {
    /// A reference that was not followed.
    pub fn unread(file: FilePath) -> Self {
        Self { file, content: Content::Unread }
    }

    /// The content's hash, where anything is known.
    pub fn hash(&self) -> Option<ContentHash> {
        match &self.content {
            Content::Unread => None,
            Content::Hash(hash) => Some(*hash),
            Content::Known(secret) => Some(secret.hash()),
        }
    }

    /// The content, where it is known.
    pub fn known(&self) -> Option<&Secret> {
        match &self.content {
            Content::Known(secret) => Some(secret),
            Content::Unread | Content::Hash(_) => None,
        }
    }
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hash() {
            Some(hash) => write!(f, "{} (sha256:{hash})", self.file),
            None => write!(f, "{}", self.file),
        }
    }
}

#[derive(Serialize)]
struct Shown {
    file: FilePath,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl From<FileRef> for Shown {
    fn from(shown: FileRef) -> Self {
        let sha256 = shown.hash().map(|hash| hash.to_string());
        Self { file: shown.file, sha256 }
    }
}

/// Every form of a reference; its errors say nothing of a content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    file: FilePath,
    sha256: Option<String>,
    content: Option<String>,
}

impl TryFrom<Read> for FileRef {
    type Error = String;

    fn try_from(read: Read) -> Result<Self, String> {
        let hash = read.sha256.as_deref().map(ContentHash::parse).transpose()?;
        let content = read.content.as_deref().map(decode).transpose()?;
        Self::joined(read.file, hash, content)
    }
}

impl FileRef {
    /// A reference with what is said of it. A content must have the hash that is said.
    pub fn joined(
        file: FilePath,
        hash: Option<ContentHash>,
        content: Option<Secret>,
    ) -> Result<Self, String> {
        let content = match (hash, content) {
            (Some(said), Some(secret)) if secret.hash() != said => {
                return Err(format!(
                    "the content of {} has the hash `{}`, not `{said}`",
                    quoted(file.as_str()),
                    secret.hash()
                ));
            }
            (_, Some(secret)) => Content::Known(secret),
            (Some(hash), None) => Content::Hash(hash),
            (None, None) => Content::Unread,
        };
        Ok(Self { file, content })
    }
}

/// Reads a content from base64. The error says nothing of it.
pub fn decode(text: &str) -> Result<Secret, String> {
    let decoded = STANDARD.decode(text).map(Secret::new);
    decoded.map_err(|_| "the `content` of a file is written in base64".to_owned())
}

/// A specification as JSON with the contents of its files, which [`Deserialize`] reads back. This
/// is for the store, and for sending it there: whoever has it has the secrets.
///
/// # Errors
///
/// None for any specification that there is: it has no map with keys that are not text.
pub fn with_contents(spec: &AppSpec) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(spec)?;
    for (place, reference) in spec.references() {
        let Some(secret) = reference.known() else { continue };
        let mut at = Some(&mut value);
        for key in &place {
            at = at.and_then(|value| match key.parse::<usize>() {
                Ok(index) if value.is_array() => value.get_mut(index),
                Ok(_) | Err(_) => value.get_mut(key),
            });
        }
        if let Some(Value::Object(object)) = at {
            object.insert("content".to_owned(), STANDARD.encode(secret.reveal()).into());
        }
    }
    Ok(value)
}
