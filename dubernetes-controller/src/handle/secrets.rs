//! Secrets of the instance.

use std::collections::BTreeMap;

use dubernetes_core::app::{AppName, RevisionId, SecretName};
use dubernetes_core::store::{SecretInfo, SecretPut, SetSecret, StoreError};

use super::Handle;

impl Handle {
    /// Creates a secret or changes its value. Returns once the change is durable; the apps that use
    /// it roll after that, each by the rules of a rollout. The `newest_seen` of each app is raised
    /// to the newest revision that was observed.
    ///
    /// # Errors
    ///
    /// Those of [`Store::set_secret`](dubernetes_core::store::Store::set_secret).
    pub async fn set_secret(&self, mut set: SetSecret) -> Result<SecretPut, StoreError> {
        for (app, seen) in self.newest_revisions_seen() {
            let newest = set.newest_seen.entry(app).or_insert(seen);
            *newest = seen.max(*newest);
        }
        self.store.set_secret(set).await
    }

    /// Returns all secrets without their values, ordered by name.
    ///
    /// # Errors
    ///
    /// Those of [`Store::secrets`](dubernetes_core::store::Store::secrets).
    pub async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        self.store.secrets().await
    }

    /// Deletes a secret that no app uses.
    ///
    /// # Errors
    ///
    /// Those of [`Store::delete_secret`](dubernetes_core::store::Store::delete_secret).
    pub async fn delete_secret(&self, name: &SecretName) -> Result<(), StoreError> {
        self.store.delete_secret(name).await
    }

    /// Encrypts everything that the store holds encrypted with a new key. Returns the number of
    /// values.
    ///
    /// # Errors
    ///
    /// Those of [`Store::rotate_key`](dubernetes_core::store::Store::rotate_key).
    pub async fn rotate_key(&self) -> Result<u64, StoreError> {
        self.store.rotate_key().await
    }

    fn newest_revisions_seen(&self) -> BTreeMap<AppName, RevisionId> {
        let mut newest = BTreeMap::new();
        for replica in &self.snapshot().observed.replicas {
            let seen = newest.entry(replica.labels.app.clone()).or_insert(RevisionId::NONE);
            *seen = replica.labels.revision.max(*seen);
        }
        newest
    }
}
