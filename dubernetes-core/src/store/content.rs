//! The content of a store, in memory, with every promise of [`Store`](super::Store) except
//! durability.

mod parts;
mod secrets;

pub use parts::StoreParts;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Change, EventQuery, ExistingApp, Put, PutApp, Revision, RolloutCommand, RolloutUpdate,
    StoreDecision, StoreError, StoredApp, StoredState, Tombstone, apply_rollout_update, decide_put,
    decide_rollout_command, merge, record, resolve_secrets,
};
use crate::app::{AppName, AppSpec, HostName, RevisionId, Secret};
use crate::certificate::{Authority, StoredCertificate};
use crate::event::{Event, NewEvent};
use crate::runtime::{ContainerId, ImageId};
use secrets::Secrets;

/// Everything that a store holds, in memory, and the effect of each method of [`Store`] on it.
///
/// Clones share what does not differ, and are cheap. [`HoldContent`] makes a store of one that
/// something holds, and [`StoreContent::changed_parts`] says what to write.
///
/// [`HoldContent`]: super::HoldContent
/// [`Store`]: super::Store
#[derive(Debug, Clone, Default)]
pub struct StoreContent {
    apps: BTreeMap<AppName, Arc<StoredRows>>,
    secrets: Secrets,
    certificates: BTreeMap<HostName, StoredCertificate>,
    accounts: BTreeMap<Authority, Secret>,
    teardown: Option<Timestamp>,
    events: Arc<Vec<Event>>,
    last_event: u64,
    keeps_repeats: bool,
}

#[derive(Debug, Clone, PartialEq)]
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

impl StoreContent {
    /// Returns the same content, in which repeated events are not merged from now on.
    #[must_use]
    pub fn without_merging(self) -> Self {
        Self { keeps_repeats: true, ..self }
    }

    /// Returns the same content with the events of another one.
    #[must_use]
    pub fn with_events_of(self, other: &Self) -> Self {
        Self { events: Arc::clone(&other.events), last_event: other.last_event, ..self }
    }

    /// Drops all events but the newest.
    pub fn keep_events(&mut self, newest: usize) {
        if self.events.len() > newest {
            let old = self.events.len() - newest;
            Arc::make_mut(&mut self.events).drain(..old);
        }
    }

    /// Gives later events ids above `id`: events may have those below that were never written.
    pub fn raise_event_ids(&mut self, id: u64) {
        self.last_event = self.last_event.max(id);
    }

    /// Returns whether nothing is held that a user has given: no app, also no deleted one, and no
    /// secret.
    pub fn is_disposable(&self) -> bool {
        self.apps.is_empty() && self.secrets.values().is_empty() && self.teardown.is_none()
    }

    fn live(&self, name: &AppName) -> Result<&StoredRows, StoreError> {
        self.apps
            .get(name)
            .map(Arc::as_ref)
            .filter(|kept| kept.deleted.is_none())
            .ok_or_else(|| StoreError::NotFound { name: name.clone() })
    }

    fn specs(&self) -> impl Iterator<Item = &AppSpec> + Clone {
        self.apps.values().filter(|kept| kept.deleted.is_none()).map(|kept| &*kept.app.spec)
    }

    fn live_mut(&mut self, name: &AppName) -> Option<&mut StoredRows> {
        self.apps.get_mut(name).filter(|kept| kept.deleted.is_none()).map(Arc::make_mut)
    }

    pub(super) fn put(&mut self, put: &PutApp) -> Result<Put, StoreError> {
        if self.teardown.is_some() {
            return Err(StoreError::TearingDown);
        }
        let mut spec = put.spec.clone().into_inner();
        resolve_secrets(&mut spec, self.secrets.values())?;
        let put = put.with_spec(spec);
        let existing = match self.apps.get(&put.spec.name).map(Arc::as_ref) {
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

    pub(super) fn update_rollout(&mut self, command: &RolloutCommand) -> Result<Put, StoreError> {
        let kept = self.live(&command.name)?;
        let decision = decide_rollout_command(&kept.app, &kept.revisions, command)?;
        Ok(self.write(decision))
    }

    pub(super) fn record_rollout(
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
        let former = self.apps.remove(name).map(Arc::unwrap_or_clone);
        let mut revisions = former.map(|kept| kept.revisions).unwrap_or_default();
        let is_replaced = |old: &Revision| {
            dropped.contains(&old.revision) || written.iter().any(|w| w.revision == old.revision)
        };
        revisions.retain(|old| !is_replaced(old));
        revisions.extend(written);
        revisions.sort_by_key(|kept| kept.revision);
        let kept = StoredRows { app: put.app.clone(), deleted: None, revisions };
        self.apps.insert(name.clone(), Arc::new(kept));
        put
    }

    pub(super) fn pin(
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

    pub(super) fn get(&self, name: &AppName) -> Result<StoredApp, StoreError> {
        self.live(name).map(|kept| kept.app.clone())
    }

    pub(super) fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError> {
        self.live(name).map(|kept| kept.revisions.clone())
    }

    pub(super) fn list(&self) -> StoredState {
        let mut state = StoredState {
            teardown: self.teardown,
            certificates: self.certificates.clone(),
            ..StoredState::default()
        };
        for (name, kept) in &self.apps {
            match kept.deleted.clone() {
                None => drop(state.apps.insert(name.clone(), kept.app.clone())),
                Some(tombstone) => drop(state.tombstones.insert(name.clone(), tombstone)),
            }
        }
        state
    }

    pub(super) fn delete(&mut self, name: &AppName, now: Timestamp) -> Result<(), StoreError> {
        self.live(name)?;
        if let Some(kept) = self.live_mut(name) {
            kept.delete(now);
        }
        Ok(())
    }

    pub(super) fn purge(&mut self, name: &AppName) -> bool {
        let is_deleted = self.apps.get(name).is_some_and(|kept| kept.deleted.is_some());
        if is_deleted {
            self.apps.remove(name);
        }
        is_deleted
    }

    pub(super) fn evict(
        &mut self,
        name: &AppName,
        container: &ContainerId,
    ) -> Result<bool, StoreError> {
        if self.live(name)?.app.evicted.contains(container) {
            return Ok(false);
        }
        let kept = self.live_mut(name);
        Ok(kept.is_some_and(|kept| kept.app.evicted.insert(container.clone())))
    }

    pub(super) fn clear_eviction(&mut self, name: &AppName, container: &ContainerId) -> bool {
        let is_asked = |kept: &StoredRows| kept.app.evicted.contains(container);
        self.live(name).is_ok_and(is_asked)
            && self.live_mut(name).is_some_and(|kept| kept.app.evicted.remove(container))
    }

    pub(super) fn request_teardown(&mut self, now: Timestamp) {
        self.teardown = Some(now);
        for kept in self.apps.values_mut().filter(|kept| kept.deleted.is_none()) {
            Arc::make_mut(kept).delete(now);
        }
    }

    pub(super) fn finish_teardown(&mut self) -> bool {
        self.teardown.take().is_some()
    }

    pub(super) fn set_certificate(&mut self, host: &HostName, certificate: &StoredCertificate) {
        self.certificates.insert(host.clone(), certificate.clone());
    }

    pub(super) fn drop_certificate(&mut self, host: &HostName) -> bool {
        self.certificates.remove(host).is_some()
    }

    pub(super) fn set_account(&mut self, authority: Authority, account: &Secret) {
        self.accounts.insert(authority, account.clone());
    }

    pub(super) fn account(&self, authority: Authority) -> Option<Secret> {
        self.accounts.get(&authority).cloned()
    }

    pub(super) fn append(&mut self, new: &NewEvent) {
        self.last_event += 1;
        let id = self.last_event;
        let events = Arc::make_mut(&mut self.events);
        let old = if self.keeps_repeats { &[] } else { events.as_slice() };
        let merged = old
            .iter()
            .enumerate()
            .rev()
            .find_map(|(at, old)| merge(old, new, id).map(|event| (at, event)));
        let event = match merged {
            Some((at, event)) => {
                events.remove(at);
                event
            }
            None => record(new, id),
        };
        events.push(event);
    }

    pub(super) fn events(&self, query: &EventQuery) -> Vec<Event> {
        let matching = self
            .events
            .iter()
            .filter(|event| event.id > query.after)
            .filter(|event| query.app.is_none() || query.app == event.app)
            .filter(|event| query.kind.is_none_or(|kind| kind == event.kind))
            .filter(|event| query.since.is_none_or(|since| event.time >= since));
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut newest: Vec<_> = matching.rev().take(limit).cloned().collect();
        newest.reverse();
        newest
    }
}
