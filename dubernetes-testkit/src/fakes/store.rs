//! A store in memory, with every promise of [`Store`] except durability.

mod operation;
mod secrets;

pub use operation::StoreOperation;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use tokio::sync::watch;

use super::faults::Faults;
use dubernetes_core::error::SharedError;
use secrets::Secrets;

use dubernetes_core::app::{AppName, AppSpec, HostName, RevisionId, Secret, SecretName};
use dubernetes_core::certificate::{Authority, StoredCertificate};
use dubernetes_core::event::{Event, NewEvent};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::{
    Change, EventQuery, ExistingApp, Put, PutApp, Revision, RolloutCommand, RolloutUpdate,
    SecretInfo, SecretPut, SetSecret, Store, StoreDecision, StoreError, StoredApp, StoredState,
    Tombstone, apply_rollout_update, decide_put, decide_rollout_command, merge, record,
    resolve_secrets,
};

/// A store in memory. Its contents are lost when the value is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
    changes: watch::Sender<u64>,
    faults: Faults<StoreOperation>,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty store that never merges repeated events.
    pub fn without_merging() -> Self {
        let store = Self::default();
        store.content().keeps_repeats = true;
        store
    }

    /// Returns the faults of this store.
    pub fn faults(&self) -> &Faults<StoreOperation> {
        &self.faults
    }

    async fn enter(&self, operation: StoreOperation) -> Result<(), StoreError> {
        if self.faults.apply(&operation).await { Err(injected()) } else { Ok(()) }
    }

    /// Makes a changing call, as [`Self::enter`] allows it. `effect` also returns whether watchers
    /// are notified.
    async fn change<R>(
        &self,
        operation: StoreOperation,
        object: &str,
        effect: impl FnOnce(&mut Content) -> Result<(R, bool), StoreError>,
    ) -> Result<R, StoreError> {
        self.enter(operation).await?;
        let answer = self.faults.effect(&operation, object, || {
            let answer = effect(&mut self.content());
            if matches!(answer, Ok((_, true))) {
                self.changes.send_modify(|count| *count = count.wrapping_add(1));
            }
            answer.map(|(answer, _)| answer)
        });
        answer.await.unwrap_or_else(|| Err(injected()))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // A change is made in one step at the end of a method, so a panic leaves no half of one.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected() -> StoreError {
    StoreError::Failed(SharedError::text("injected fault"))
}

#[derive(Debug, Default)]
struct Content {
    apps: BTreeMap<AppName, StoredRows>,
    secrets: Secrets,
    certificates: BTreeMap<HostName, StoredCertificate>,
    accounts: BTreeMap<Authority, Secret>,
    teardown: Option<Timestamp>,
    events: Vec<Event>,
    last_event: u64,
    keeps_repeats: bool,
}

#[derive(Debug)]
struct StoredRows {
    app: StoredApp,
    deleted: Option<Tombstone>,
    revisions: Vec<Revision>,
}

impl StoredRows {
    fn delete(&mut self, now: Timestamp) {
        self.deleted = Some(Tombstone { deleted_at: now, stop: self.app.spec.stop.clone() });
    }
}

impl Content {
    fn live(&self, name: &AppName) -> Result<&StoredRows, StoreError> {
        self.apps
            .get(name)
            .filter(|kept| kept.deleted.is_none())
            .ok_or_else(|| StoreError::NotFound { name: name.clone() })
    }

    fn specs(&self) -> impl Iterator<Item = &AppSpec> + Clone {
        self.apps.values().filter(|kept| kept.deleted.is_none()).map(|kept| &*kept.app.spec)
    }

    fn live_mut(&mut self, name: &AppName) -> Option<&mut StoredRows> {
        self.apps.get_mut(name).filter(|kept| kept.deleted.is_none())
    }

    fn put(&mut self, put: &PutApp) -> Result<Put, StoreError> {
        if self.teardown.is_some() {
            return Err(StoreError::TearingDown);
        }
        let mut spec = put.spec.clone().into_inner();
        resolve_secrets(&mut spec, self.secrets.values())?;
        let put = put.with_spec(spec);
        let existing = match self.apps.get(&put.spec.name) {
            None => ExistingApp::Absent,
            Some(StoredRows { app, deleted: None, revisions }) => {
                ExistingApp::Live { app, revisions }
            }
            Some(StoredRows { app, deleted: Some(_), revisions }) => ExistingApp::Deleted {
                generation: app.generation,
                revision: app.revision,
                revisions,
            },
        };
        let decision = decide_put(existing, self.specs(), &put)?;
        Ok(self.write(decision))
    }

    fn update_rollout(&mut self, command: &RolloutCommand) -> Result<Put, StoreError> {
        let kept = self.live(&command.name)?;
        let decision = decide_rollout_command(&kept.app, &kept.revisions, command)?;
        Ok(self.write(decision))
    }

    fn record_rollout(
        &mut self,
        name: &AppName,
        revision: RevisionId,
        update: &RolloutUpdate,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Ok(kept) = self.live(name) else { return Ok(false) };
        let decision = apply_rollout_update(&kept.app, &kept.revisions, revision, update, now)?;
        let changed = decision.is_some();
        decision.map(|decision| self.write(decision));
        Ok(changed)
    }

    fn write(&mut self, decision: StoreDecision) -> Put {
        let StoreDecision { put, written, dropped } = decision;
        if put.change == Change::Unchanged {
            return put;
        }
        let name = &put.app.spec.name;
        let mut revisions = self.apps.remove(name).map(|kept| kept.revisions).unwrap_or_default();
        let is_replaced = |old: &Revision| {
            dropped.contains(&old.revision) || written.iter().any(|w| w.revision == old.revision)
        };
        revisions.retain(|old| !is_replaced(old));
        revisions.extend(written);
        revisions.sort_by_key(|kept| kept.revision);
        let kept = StoredRows { app: put.app.clone(), deleted: None, revisions };
        self.apps.insert(name.clone(), kept);
        put
    }

    fn pin(
        &mut self,
        name: &AppName,
        revision: RevisionId,
        image: &ImageId,
        replace: bool,
    ) -> bool {
        let Some(kept) = self.live_mut(name) else { return false };
        let Some(pinned) = kept.revisions.iter_mut().find(|kept| kept.revision == revision) else {
            return false;
        };
        if pinned.image_id.as_ref() == Some(image) || (pinned.image_id.is_some() && !replace) {
            return false;
        }
        pinned.image_id = Some(image.clone());
        if kept.app.revision == revision {
            kept.app.image_id = Some(image.clone());
        }
        true
    }

    fn append(&mut self, new: &NewEvent) {
        self.last_event += 1;
        let id = self.last_event;
        let old = if self.keeps_repeats { &[] } else { self.events.as_slice() };
        let merged = old
            .iter()
            .enumerate()
            .rev()
            .find_map(|(at, old)| merge(old, new, id).map(|event| (at, event)));
        let event = match merged {
            Some((at, event)) => {
                self.events.remove(at);
                event
            }
            None => record(new, id),
        };
        self.events.push(event);
    }
}

#[async_trait]
impl Store for MemoryStore {
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
        self.enter(StoreOperation::Get).await?;
        self.content().live(name).map(|kept| kept.app.clone())
    }

    async fn list(&self) -> Result<StoredState, StoreError> {
        self.enter(StoreOperation::List).await?;
        let content = self.content();
        let mut state = StoredState {
            teardown: content.teardown,
            certificates: content.certificates.clone(),
            ..StoredState::default()
        };
        for (name, kept) in &content.apps {
            match kept.deleted.clone() {
                None => drop(state.apps.insert(name.clone(), kept.app.clone())),
                Some(tombstone) => drop(state.tombstones.insert(name.clone(), tombstone)),
            }
        }
        Ok(state)
    }

    async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError> {
        self.change(StoreOperation::Delete, name.as_str(), |content| {
            content.live(name)?;
            if let Some(kept) = content.apps.get_mut(name) {
                kept.delete(now);
            }
            Ok(((), true))
        })
        .await
    }

    async fn purge(&self, name: &AppName) -> Result<(), StoreError> {
        self.change(StoreOperation::Purge, name.as_str(), |content| {
            let is_deleted = content.apps.get(name).is_some_and(|kept| kept.deleted.is_some());
            if is_deleted {
                content.apps.remove(name);
            }
            Ok(((), is_deleted))
        })
        .await
    }

    async fn evict(&self, name: &AppName, container: &ContainerId) -> Result<(), StoreError> {
        self.change(StoreOperation::Evict, name.as_str(), |content| {
            content.live(name)?;
            let kept = content.live_mut(name);
            Ok(((), kept.is_some_and(|kept| kept.app.evicted.insert(container.clone()))))
        })
        .await
    }

    async fn clear_eviction(
        &self,
        name: &AppName,
        container: &ContainerId,
    ) -> Result<(), StoreError> {
        self.change(StoreOperation::ClearEviction, name.as_str(), |content| {
            let kept = content.live_mut(name);
            Ok(((), kept.is_some_and(|kept| kept.app.evicted.remove(container))))
        })
        .await
    }

    async fn request_teardown(&self, now: Timestamp) -> Result<(), StoreError> {
        self.change(StoreOperation::RequestTeardown, "instance", |content| {
            content.teardown = Some(now);
            let apps = content.apps.values_mut();
            apps.filter(|kept| kept.deleted.is_none()).for_each(|kept| kept.delete(now));
            Ok(((), true))
        })
        .await
    }

    async fn finish_teardown(&self) -> Result<(), StoreError> {
        self.change(StoreOperation::FinishTeardown, "instance", |content| {
            Ok(((), content.teardown.take().is_some()))
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
        self.enter(StoreOperation::Revisions).await?;
        self.content().live(name).map(|kept| kept.revisions.clone())
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
        self.enter(StoreOperation::Secrets).await?;
        let content = self.content();
        Ok(content.secrets.infos(content.specs()))
    }

    async fn delete_secret(&self, name: &SecretName) -> Result<(), StoreError> {
        self.change(StoreOperation::DeleteSecret, name.as_str(), |content| {
            Ok((content.delete_secret(name)?, false))
        })
        .await
    }

    async fn resolve_secrets(&self, mut spec: AppSpec) -> Result<AppSpec, StoreError> {
        self.enter(StoreOperation::ResolveSecrets).await?;
        resolve_secrets(&mut spec, self.content().secrets.values())?;
        Ok(spec)
    }

    async fn set_certificate(
        &self,
        host: &HostName,
        certificate: &StoredCertificate,
    ) -> Result<(), StoreError> {
        self.change(StoreOperation::SetCertificate, host.as_str(), |content| {
            content.certificates.insert(host.clone(), certificate.clone());
            Ok(((), true))
        })
        .await
    }

    async fn drop_certificate(&self, host: &HostName) -> Result<(), StoreError> {
        self.change(StoreOperation::DropCertificate, host.as_str(), |content| {
            Ok(((), content.certificates.remove(host).is_some()))
        })
        .await
    }

    async fn set_authority_account(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<(), StoreError> {
        self.change(StoreOperation::SetAuthorityAccount, authority.as_str(), |content| {
            content.accounts.insert(authority, account.clone());
            Ok(((), false))
        })
        .await
    }

    async fn authority_account(&self, authority: Authority) -> Result<Option<Secret>, StoreError> {
        self.enter(StoreOperation::AuthorityAccount).await?;
        Ok(self.content().accounts.get(&authority).cloned())
    }

    async fn rotate_key(&self) -> Result<u64, StoreError> {
        self.enter(StoreOperation::RotateKey).await?;
        Ok(0)
    }

    async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        if events.is_empty() {
            return self.enter(StoreOperation::Append).await;
        }
        self.change(StoreOperation::Append, "events", |content| {
            events.iter().for_each(|event| content.append(event));
            Ok(((), true))
        })
        .await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        self.enter(StoreOperation::Events).await?;
        let content = self.content();
        let matching = content
            .events
            .iter()
            .filter(|event| event.id > query.after)
            .filter(|event| query.app.is_none() || query.app == event.app)
            .filter(|event| query.kind.is_none_or(|kind| kind == event.kind))
            .filter(|event| query.since.is_none_or(|since| event.time >= since));
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut newest: Vec<_> = matching.rev().take(limit).cloned().collect();
        newest.reverse();
        Ok(newest)
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let receiver = self.changes.subscribe();
        let changes = stream::unfold(receiver, async |mut receiver| {
            receiver.changed().await.ok()?;
            Some(((), receiver))
        });
        changes.boxed()
    }
}
