//! The guard of a [`Store`].

use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::app::{AppName, AppSpec, HostName, RevisionId, Secret, SecretName};
use dubernetes_core::certificate::{Authority, StoredCertificate};
use dubernetes_core::event::{Event, NewEvent};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::{
    EventQuery, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, SecretInfo, SecretPut,
    SetSecret, Store, StoreError, StoredApp, StoredState,
};
use futures_util::stream::BoxStream;
use jiff::Timestamp;

use super::{Calls, STORE};

/// A store whose calls have a deadline and do not panic.
#[derive(Debug)]
pub(crate) struct GuardedStore(pub(crate) Arc<dyn Store>, pub(crate) Calls);

#[async_trait]
impl Store for GuardedStore {
    async fn put(&self, put: PutApp) -> Result<Put, StoreError> {
        self.1.guard("store an app", STORE, self.0.put(put)).await
    }

    async fn update_rollout(&self, command: RolloutCommand) -> Result<Put, StoreError> {
        self.1.guard("update a rollout", STORE, self.0.update_rollout(command)).await
    }

    async fn record_rollout(
        &self,
        name: &AppName,
        revision: RevisionId,
        update: &RolloutUpdate,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let call = self.0.record_rollout(name, revision, update, now);
        self.1.guard("record a rollout", STORE, call).await
    }

    async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError> {
        self.1.guard("read an app", STORE, self.0.get(name)).await
    }

    async fn list(&self) -> Result<StoredState, StoreError> {
        self.1.guard("read all apps", STORE, self.0.list()).await
    }

    async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError> {
        self.1.guard("delete an app", STORE, self.0.delete(name, now)).await
    }

    async fn purge(&self, name: &AppName) -> Result<(), StoreError> {
        self.1.guard("purge an app", STORE, self.0.purge(name)).await
    }

    async fn evict(&self, name: &AppName, container: &ContainerId) -> Result<(), StoreError> {
        self.1.guard("record an eviction", STORE, self.0.evict(name, container)).await
    }

    async fn clear_eviction(
        &self,
        name: &AppName,
        container: &ContainerId,
    ) -> Result<(), StoreError> {
        self.1.guard("clear an eviction", STORE, self.0.clear_eviction(name, container)).await
    }

    async fn request_teardown(&self, now: Timestamp) -> Result<(), StoreError> {
        self.1.guard("request a teardown", STORE, self.0.request_teardown(now)).await
    }

    async fn finish_teardown(&self) -> Result<(), StoreError> {
        self.1.guard("finish a teardown", STORE, self.0.finish_teardown()).await
    }

    async fn pin_image(
        &self,
        name: &AppName,
        revision: RevisionId,
        image: &ImageId,
        replace: bool,
    ) -> Result<(), StoreError> {
        self.1
            .guard("record an image", STORE, self.0.pin_image(name, revision, image, replace))
            .await
    }

    async fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError> {
        self.1.guard("read revisions", STORE, self.0.revisions(name)).await
    }

    async fn set_secret(&self, set: SetSecret) -> Result<SecretPut, StoreError> {
        self.1.guard("store a secret", STORE, self.0.set_secret(set)).await
    }

    async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        self.1.guard("read all secrets", STORE, self.0.secrets()).await
    }

    async fn delete_secret(&self, name: &SecretName) -> Result<(), StoreError> {
        self.1.guard("delete a secret", STORE, self.0.delete_secret(name)).await
    }

    async fn resolve_secrets(&self, spec: AppSpec) -> Result<AppSpec, StoreError> {
        self.1.guard("read secrets", STORE, self.0.resolve_secrets(spec)).await
    }

    async fn set_certificate(
        &self,
        host: &HostName,
        certificate: &StoredCertificate,
    ) -> Result<(), StoreError> {
        self.1.guard("store a certificate", STORE, self.0.set_certificate(host, certificate)).await
    }

    async fn drop_certificate(&self, host: &HostName) -> Result<(), StoreError> {
        self.1.guard("drop a certificate", STORE, self.0.drop_certificate(host)).await
    }

    async fn set_authority_account(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<(), StoreError> {
        self.1
            .guard("store an account", STORE, self.0.set_authority_account(authority, account))
            .await
    }

    async fn authority_account(&self, authority: Authority) -> Result<Option<Secret>, StoreError> {
        self.1.guard("read an account", STORE, self.0.authority_account(authority)).await
    }

    async fn rotate_key(&self) -> Result<u64, StoreError> {
        self.1.guard("rotate the key", STORE, self.0.rotate_key()).await
    }

    async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        self.1.guard("record events", STORE, self.0.append(events)).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        self.1.guard("read events", STORE, self.0.events(query)).await
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        self.0.changes()
    }

    fn displacement(&self) -> Option<String> {
        self.0.displacement()
    }
}
