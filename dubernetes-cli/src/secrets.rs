//! Secrets that apps in files use: they must exist before anything is sent.

use std::collections::BTreeMap;

use dubernetes_api::Client;
use dubernetes_core::app::{ContentHash, SecretName};
use dubernetes_manifest::{Diagnostics, Located};

use crate::report::Result;

/// Checks that every secret of the apps exists, and returns the hashes of those of the instance.
/// Without a reference to a secret, nothing is asked.
///
/// # Errors
///
/// Lists every missing secret, with its place.
pub(crate) async fn check(
    apps: &[Located],
    client: &Client,
) -> Result<BTreeMap<SecretName, ContentHash>> {
    if apps.iter().all(|app| app.spec.secret_names().is_empty()) {
        return Ok(BTreeMap::new());
    }
    let secrets = client.secrets().await?.into_iter();
    let hashes: BTreeMap<_, _> = secrets.map(|secret| (secret.name, secret.sha256)).collect();
    let missing = apps.iter().flat_map(|app| app.missing_secrets(|name| hashes.contains_key(name)));
    let list: Vec<_> = missing.collect();
    if list.is_empty() { Ok(hashes) } else { Err(Diagnostics { list }.into()) }
}
