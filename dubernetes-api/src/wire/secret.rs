//! Secrets, without their values: these only go in.

use dubernetes_core::app::{AppName, ContentHash, SecretName};
use dubernetes_core::store::{Change, SecretInfo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi;
use crate::wire::App;

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Name.
    #[schema(value_type = String)]
    pub name: SecretName,
    /// First 16 digits of the SHA-256 of the value.
    #[serde(with = "hash")]
    #[schema(value_type = String)]
    pub sha256: ContentHash,
    /// Time of the last change of the value.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Apps that use the secret, ordered by name.
    #[schema(value_type = Vec<String>)]
    pub used_by: Vec<AppName>,
}

impl From<SecretInfo> for Secret {
    fn from(info: SecretInfo) -> Self {
        let SecretInfo { name, hash, updated_at, used_by } = info;
        Self { name, sha256: hash, updated_at, used_by }
    }
}

/// Response to a change of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretSet {
    /// Name.
    #[schema(value_type = String)]
    pub name: SecretName,
    /// What happened to the secret.
    #[schema(value_type = openapi::Change)]
    pub change: Change,
    /// Apps that got a new revision with the value, ordered by name.
    pub apps: Vec<App>,
}

/// Response to a rotation of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRotation {
    /// Number of values that were encrypted again: of secrets, apps and revisions.
    pub values: u64,
}

/// A hash as its digits.
mod hash {
    use dubernetes_core::app::ContentHash;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        hash: &ContentHash,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(hash)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ContentHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        ContentHash::parse(&text).map_err(D::Error::custom)
    }
}
