//! Files and secrets that an app refers to, and their contents.
//!
//! A content may be a secret, so neither `Debug` nor `Serialize` shows one, only its hash. The
//! ways to write contents out are [`to_json_with_contents`], for requests, and
//! [`AppSpec::take_contents`], for a store that encrypts them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::escape::{is_hidden, quote};
use super::text::{ParseError, checked_text, parse_traits};
use super::{AppSpec, SecretName};

/// The largest content of one file or secret, in bytes.
pub const MAX_CONTENT_BYTES: usize = 512 << 10;
/// The largest sum of all contents of one app, in bytes.
pub const MAX_CONTENTS_BYTES: usize = 1 << 20;

/// Bytes that must not be shown. `Debug` prints their hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Bytes);

impl Secret {
    /// Wraps `bytes`.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes. Only containers and the store may receive them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// Returns the hash of the bytes, which may be shown.
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

/// The first 16 digits of a content's SHA-256, enough to distinguish two contents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 8]);

impl ContentHash {
    /// Parses 16 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// Returns the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let value = u64::from_str_radix(text, 16).ok();
        match value.filter(|_| text.len() == 16 && text.chars().all(is_digit)) {
            Some(value) => Ok(Self(value.to_be_bytes())),
            None => Err(format!(
                "`sha256` must be the first 16 digits of the file's SHA-256, in lower case, not {}",
                quote(text)
            )
            .into()),
        }
    }
}

parse_traits!(ContentHash);

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
    /// The path of a file on the machine where `apply` runs. Relative paths start at the folder of
    /// the manifest.
    FilePath,
    check_path
);

fn check_path(path: &str) -> Result<String, ParseError> {
    if path.is_empty() {
        return Err("a file path cannot be empty".into());
    }
    if path.len() > 1024 {
        return Err("a file path may have at most 1024 characters".into());
    }
    if let Some(bad) = path.chars().find(|c| is_hidden(*c)) {
        let bad = u32::from(bad);
        return Err(format!("a file path must not contain the character U+{bad:04X}").into());
    }
    if path.starts_with('~') {
        return Err(format!("a file path must not start with `~`: {}", quote(path)).into());
    }
    Ok(path.to_owned())
}

/// A reference to a file or a secret.
///
/// Serializes as `{ file: ./path, sha256: 0123… }` or `{ secret: name, sha256: 0123… }`: with the
/// hash if the content is known, and never with the content. Deserializes from that form, and from
/// a `content` in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawContentRef", into = "ShownContentRef")]
pub struct ContentRef {
    /// What the manifest names.
    pub source: ContentSource,
    /// The content, as far as it is known.
    pub content: Content,
}

/// Where a content comes from.
///
/// Displays as `./path` or as the name of the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentSource {
    /// A file, with the path that the manifest writes. It is read where the app is applied.
    File(FilePath),
    /// A secret of the instance. The store reads it when the app is put.
    Secret(SecretName),
}

impl ContentSource {
    /// Returns the source for messages, such as `the file "./path"`.
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", quote(path.as_str())),
            Self::Secret(name) => format!("the secret {}", quote(name.as_str())),
        }
    }
}

impl fmt::Display for ContentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{path}"),
            Self::Secret(name) => write!(f, "secret {name}"),
        }
    }
}

/// What is known of the content of a file or a secret. In a stored app every content is
/// [`Content::Known`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The file or secret was not read.
    Unread,
    /// Only the hash is known, as in an answer of the API.
    Hash(ContentHash),
    /// The whole content.
    Known(Secret),
}

impl ContentRef {
    /// Returns a reference to a file that was not read.
    pub fn unread(file: FilePath) -> Self {
        Self { source: ContentSource::File(file), content: Content::Unread }
    }

    /// Returns a reference to a secret, which the store reads when the app is put.
    pub fn secret(name: SecretName) -> Self {
        Self { source: ContentSource::Secret(name), content: Content::Unread }
    }

    /// Returns a reference with what is given of its content.
    ///
    /// # Errors
    ///
    /// The content does not have the given hash.
    pub fn from_parts(
        source: ContentSource,
        hash: Option<ContentHash>,
        content: Option<Secret>,
    ) -> Result<Self, ParseError> {
        let content = match (hash, content) {
            (Some(given), Some(secret)) if secret.hash() != given => {
                return Err(other_hash(&source, secret.hash(), given).into());
            }
            (_, Some(secret)) => Content::Known(secret),
            (Some(hash), None) => Content::Hash(hash),
            (None, None) => Content::Unread,
        };
        Ok(Self { source, content })
    }

    pub(super) fn from_raw(
        file: Option<FilePath>,
        secret: Option<SecretName>,
        sha256: Option<&str>,
        content: Option<&str>,
    ) -> Result<Self, ParseError> {
        let source = match (file, secret) {
            (Some(path), None) => ContentSource::File(path),
            (None, Some(name)) => ContentSource::Secret(name),
            (Some(_), Some(_)) => return Err("either `file` or `secret`, not both".into()),
            (None, None) => return Err("missing field `file` or `secret`".into()),
        };
        let hash = sha256.map(ContentHash::parse).transpose()?;
        Self::from_parts(source, hash, content.map(decode).transpose()?)
    }

    /// Returns the hash of the content, unless it was not read.
    pub fn hash(&self) -> Option<ContentHash> {
        match &self.content {
            Content::Unread => None,
            Content::Hash(hash) => Some(*hash),
            Content::Known(secret) => Some(secret.hash()),
        }
    }

    /// Returns the content, if the whole of it is known.
    pub fn known_content(&self) -> Option<&Secret> {
        match &self.content {
            Content::Known(secret) => Some(secret),
            Content::Unread | Content::Hash(_) => None,
        }
    }

    /// Returns the name of the secret, unless the reference is to a file.
    pub fn secret_name(&self) -> Option<&SecretName> {
        match &self.source {
            ContentSource::Secret(name) => Some(name),
            ContentSource::File(_) => None,
        }
    }
}

/// Returns the message that a content has another hash than the given one.
pub(crate) fn other_hash(source: &ContentSource, found: ContentHash, given: ContentHash) -> String {
    let source = match source {
        ContentSource::File(path) => quote(path.as_str()),
        ContentSource::Secret(_) => source.describe(),
    };
    format!("the content of {source} has the hash `{found}`, not `{given}`")
}

impl fmt::Display for ContentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hash() {
            Some(hash) => write!(f, "{} (sha256:{hash})", self.source),
            None => write!(f, "{}", self.source),
        }
    }
}

/// The keys that name a source; one of them is present.
#[derive(Serialize)]
pub(super) struct ShownSource {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FilePath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<SecretName>,
}

impl From<ContentSource> for ShownSource {
    fn from(source: ContentSource) -> Self {
        match source {
            ContentSource::File(path) => Self { file: Some(path), secret: None },
            ContentSource::Secret(name) => Self { file: None, secret: Some(name) },
        }
    }
}

#[derive(Serialize)]
struct ShownContentRef {
    #[serde(flatten)]
    source: ShownSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl From<ContentRef> for ShownContentRef {
    fn from(reference: ContentRef) -> Self {
        let sha256 = reference.hash().map(|hash| hash.to_string());
        Self { source: reference.source.into(), sha256 }
    }
}

/// Every accepted form of a reference. Its errors never repeat a content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContentRef {
    file: Option<FilePath>,
    secret: Option<SecretName>,
    sha256: Option<String>,
    content: Option<String>,
}

impl TryFrom<RawContentRef> for ContentRef {
    type Error = ParseError;

    fn try_from(raw: RawContentRef) -> Result<Self, ParseError> {
        Self::from_raw(raw.file, raw.secret, raw.sha256.as_deref(), raw.content.as_deref())
    }
}

/// Decodes a content from base64.
///
/// # Errors
///
/// `text` is not base64. The error does not repeat it.
pub fn decode(text: &str) -> Result<Secret, ParseError> {
    let decoded = STANDARD.decode(text).map(Secret::new);
    decoded.map_err(|_| "the `content` of a file must be base64".into())
}

/// Returns `spec` as JSON with the contents of its files, which [`Deserialize`] reads back. Only
/// for requests to the orchestrator: the result holds the files in clear. The contents of secrets
/// are not part of it: a request names them, and the store knows them.
///
/// # Errors
///
/// Never: a specification has no maps with keys other than text.
pub fn to_json_with_contents(spec: &AppSpec) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(spec)?;
    for (path, reference) in spec.content_refs() {
        let ContentSource::File(_) = reference.source else { continue };
        let Some(secret) = reference.known_content() else { continue };
        let mut at = Some(&mut value);
        for key in &path {
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
