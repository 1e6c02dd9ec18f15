//! A [`Store`] that holds its whole content in memory.

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use jiff::Timestamp;

use super::{
    Change, EventQuery, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, SecretInfo,
    SecretPut, SetSecret, Store, StoreContent, StoreError, StoredApp, StoredState,
};
use crate::app::{AppName, AppSpec, HostName, RevisionId, Secret, SecretName};
use crate::certificate::{Authority, StoredCertificate};
use crate::event::{Event, NewEvent};
use crate::runtime::{ContainerId, ImageId};

/// Holds the content of a store. Every holder is a [`Store`].
///
/// The rules are those of [`StoreContent`]. What is left to the holder is that changes happen one
/// after the other, and are durable.
pub trait HoldContent: std::fmt::Debug + Send + Sync {
    /// Reads the content as of one moment.
    fn read<R: Send>(
        &self,
        operation: StoreOperation,
        read: impl FnOnce(&StoreContent) -> Result<R, StoreError> + Send,
    ) -> impl Future<Output = Result<R, StoreError>> + Send;

    /// Changes the content of `object`, such as the name of an app. `effect` also returns whether
    /// the streams of [`HoldContent::watch`] get an item. An effect that fails has changed nothing.
    /// It happens as a whole or not at all, also if the future is dropped.
    fn change<R: Send>(
        &self,
        operation: StoreOperation,
        object: &str,
        effect: impl FnOnce(&mut StoreContent) -> Result<(R, bool), StoreError> + Send,
    ) -> impl Future<Output = Result<R, StoreError>> + Send;

    /// Streams changes, see [`Store::changes`].
    fn watch(&self) -> BoxStream<'static, ()>;
}

/// A method of [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreOperation {
    /// `Store::put`.
    Put,
    /// `Store::update_rollout`.
    UpdateRollout,
    /// `Store::record_rollout`.
    RecordRollout,
    /// `Store::get`.
    Get,
    /// `Store::list`.
    List,
    /// `Store::delete`.
    Delete,
    /// `Store::purge`.
    Purge,
    /// `Store::evict`.
    Evict,
    /// `Store::clear_eviction`.
    ClearEviction,
    /// `Store::request_teardown`.
    RequestTeardown,
    /// `Store::finish_teardown`.
    FinishTeardown,
    /// `Store::pin_image`.
    PinImage,
    /// `Store::revisions`.
    Revisions,
    /// `Store::set_secret`.
    SetSecret,
    /// `Store::secrets`.
    Secrets,
    /// `Store::delete_secret`.
    DeleteSecret,
    /// `Store::resolve_secrets`.
    ResolveSecrets,
    /// `Store::set_certificate`.
    SetCertificate,
    /// `Store::drop_certificate`.
    DropCertificate,
    /// `Store::set_authority_account`.
    SetAuthorityAccount,
    /// `Store::authority_account`.
    AuthorityAccount,
    /// `Store::rotate_key`.
    RotateKey,
    /// `Store::append`.
    Append,
    /// `Store::events`.
    Events,
}

impl StoreOperation {
    /// Every operation.
    pub const ALL: [Self; 24] = [
        Self::Put,
        Self::UpdateRollout,
        Self::RecordRollout,
        Self::Get,
        Self::List,
        Self::Delete,
        Self::Purge,
        Self::Evict,
        Self::ClearEviction,
        Self::RequestTeardown,
        Self::FinishTeardown,
        Self::PinImage,
        Self::Revisions,
        Self::SetSecret,
        Self::Secrets,
        Self::DeleteSecret,
        Self::ResolveSecrets,
        Self::SetCertificate,
        Self::DropCertificate,
        Self::SetAuthorityAccount,
        Self::AuthorityAccount,
        Self::RotateKey,
        Self::Append,
        Self::Events,
    ];
}

#[async_trait]
impl<T: HoldContent> Store for T {
    async fn put(&self, put: PutApp) -> Result<Put, StoreError> {
        self.change(StoreOperation::Put, put.spec.name.as_str(), |content| {
            let put = content.put(&put)?;
            let is_changed = put.change != Change::Unchanged;
            Ok((put, is_changed))
        })
        .await
    }

    async fn update_rollout(&self, command: RolloutCommand) -> Result<Put, StoreError> {
        self.change(StoreOperation::UpdateRollout, command.name.as_str(), |content| {
            let put = content.update_rollout(&command)?;
            let is_changed = put.change != Change::Unchanged;
            Ok((put, is_changed))
        })
        .await
    }

    async fn record_rollout(
        &self,
        name: &AppName,
        revision: RevisionId,
        update: &RolloutUpdate,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(StoreOperation::RecordRollout, name.as_str(), |content| {
            Ok(((), content.record_rollout(name, revision, update, now)?))
        })
        .await
    }

    async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError> {
        self.read(StoreOperation::Get, |content| content.get(name)).await
    }

    async fn list(&self) -> Result<StoredState, StoreError> {
        self.read(StoreOperation::List, |content| Ok(content.list())).await
    }

    async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError> {
        self.change(StoreOperation::Delete, name.as_str(), |content| {
            Ok((content.delete(name, now)?, true))
        })
        .await
    }

    async fn purge(&self, name: &AppName) -> Result<(), StoreError> {
        self.change(StoreOperation::Purge, name.as_str(), |content| Ok(((), content.purge(name))))
            .await
    }

    async fn evict(&self, name: &AppName, container: &ContainerId) -> Result<(), StoreError> {
        self.change(StoreOperation::Evict, name.as_str(), |content| {
            Ok(((), content.evict(name, container)?))
        })
        .await
    }

    async fn clear_eviction(
        &self,
        name: &AppName,
        container: &ContainerId,
    ) -> Result<(), StoreError> {
        self.change(StoreOperation::ClearEviction, name.as_str(), |content| {
            Ok(((), content.clear_eviction(name, container)))
        })
        .await
    }

    async fn request_teardown(&self, now: Timestamp) -> Result<(), StoreError> {
        self.change(StoreOperation::RequestTeardown, "instance", |content| {
            Ok((content.request_teardown(now), true))
        })
        .await
    }

    async fn finish_teardown(&self) -> Result<(), StoreError> {
        self.change(StoreOperation::FinishTeardown, "instance", |content| {
            Ok(((), content.finish_teardown()))
        })
        .await
    }

    async fn pin_image(
        &self,
        name: &AppName,
        revision: RevisionId,
        image: &ImageId,
        replace: bool,
    ) -> Result<(), StoreError> {
        self.change(StoreOperation::PinImage, name.as_str(), |content| {
            Ok(((), content.pin(name, revision, image, replace)))
        })
        .await
    }

    async fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError> {
        self.read(StoreOperation::Revisions, |content| content.revisions(name)).await
    }

    async fn set_secret(&self, set: SetSecret) -> Result<SecretPut, StoreError> {
        self.change(StoreOperation::SetSecret, set.name.as_str(), |content| {
            let put = content.set_secret(&set)?;
            let is_changed = !put.apps.is_empty();
            Ok((put, is_changed))
        })
        .await
    }

    async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        self.read(StoreOperation::Secrets, |content| Ok(content.secrets())).await
    }

    async fn delete_secret(&self, name: &SecretName) -> Result<(), StoreError> {
        self.change(StoreOperation::DeleteSecret, name.as_str(), |content| {
            Ok((content.delete_secret(name)?, false))
        })
        .await
    }

    async fn resolve_secrets(&self, mut spec: AppSpec) -> Result<AppSpec, StoreError> {
        self.read(StoreOperation::ResolveSecrets, move |content| {
            content.resolve_secrets(&mut spec)?;
            Ok(spec)
        })
        .await
    }

    async fn set_certificate(
        &self,
        host: &HostName,
        certificate: &StoredCertificate,
    ) -> Result<(), StoreError> {
        self.change(StoreOperation::SetCertificate, host.as_str(), |content| {
            Ok((content.set_certificate(host, certificate), true))
        })
        .await
    }

    async fn drop_certificate(&self, host: &HostName) -> Result<(), StoreError> {
        self.change(StoreOperation::DropCertificate, host.as_str(), |content| {
            Ok(((), content.drop_certificate(host)))
        })
        .await
    }

    async fn set_authority_account(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<(), StoreError> {
        self.change(StoreOperation::SetAuthorityAccount, authority.as_str(), |content| {
            Ok((content.set_account(authority, account), false))
        })
        .await
    }

    async fn authority_account(&self, authority: Authority) -> Result<Option<Secret>, StoreError> {
        self.read(StoreOperation::AuthorityAccount, |content| Ok(content.account(authority))).await
    }

    async fn rotate_key(&self) -> Result<u64, StoreError> {
        self.read(StoreOperation::RotateKey, |_| Ok(0)).await
    }

    async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        if events.is_empty() {
            return self.read(StoreOperation::Append, |_| Ok(())).await;
        }
        self.change(StoreOperation::Append, "events", |content| {
            events.iter().for_each(|event| content.append(event));
            Ok(((), true))
        })
        .await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        self.read(StoreOperation::Events, |content| Ok(content.events(query))).await
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        self.watch()
    }
}
