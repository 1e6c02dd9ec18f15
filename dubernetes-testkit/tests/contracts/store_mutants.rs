//! Stores that break one promise each.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dubernetes_core::app::{
    AppName, AppSpec, Generation, HostName, RevisionId, Secret, SecretName,
};
use dubernetes_core::certificate::{Authority, StoredCertificate};
use dubernetes_core::event::{Event, NewEvent};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::{
    Change, EventQuery, Put, PutApp, Revision, RolloutAction, RolloutCommand, RolloutUpdate,
    SecretInfo, SecretPut, SetSecret, Store, StoreError, StoredApp, StoredState,
};
use dubernetes_testkit::MemoryStore;
use dubernetes_testkit::contract::run_all;
use dubernetes_testkit::contract::store::StoreSubject;
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;

use super::failures;
use super::mutants::assert_caught;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    GenerationStays,
    ExpectationIgnored,
    ExpectationCheckedBefore,
    ObservedRevisionIgnored,
    RetryIgnored,
    UnchangedIsWritten,
    DroppedPutIsHalf,
    DeleteLeavesApp,
    TombstoneForgotten,
    TombstoneWithoutStop,
    PurgeIgnored,
    EvictionForgotten,
    EvictionStays,
    TeardownAcceptsApps,
    TeardownLeavesApps,
    RevisionsOfOneKept,
    RevisionsNewestFirst,
    PinReplaces,
    PinIgnored,
    ResultIgnored,
    ResultOfAnyRevision,
    PauseIgnored,
    UndoToTheFirst,
    EventsReversed,
    EventsNotMerged,
    OldestEventsReturned,
    AfterIgnored,
    AppOfEventsIgnored,
    SinceIgnored,
    ChangesSilent,
    ChangesWithoutEffect,
    OneWatcherOnly,
    SecretInUseDeleted,
    SecretsUnordered,
    RotationForgetsAccounts,
    AccountsShared,
    CertificateDropIgnored,
    FailureReplacesCertificate,
    NothingSurvives,
    ContentsDoNotSurvive,
    EventsDoNotSurvive,
    TombstonesDoNotSurvive,
    KeysDoNotSurvive,
    PausesDoNotSurvive,
}

const ALL: &[Defect] = &[
    Defect::GenerationStays,
    Defect::ExpectationIgnored,
    Defect::ExpectationCheckedBefore,
    Defect::ObservedRevisionIgnored,
    Defect::RetryIgnored,
    Defect::UnchangedIsWritten,
    Defect::DroppedPutIsHalf,
    Defect::DeleteLeavesApp,
    Defect::TombstoneForgotten,
    Defect::TombstoneWithoutStop,
    Defect::PurgeIgnored,
    Defect::EvictionForgotten,
    Defect::EvictionStays,
    Defect::TeardownAcceptsApps,
    Defect::TeardownLeavesApps,
    Defect::RevisionsOfOneKept,
    Defect::RevisionsNewestFirst,
    Defect::PinReplaces,
    Defect::PinIgnored,
    Defect::ResultIgnored,
    Defect::ResultOfAnyRevision,
    Defect::PauseIgnored,
    Defect::UndoToTheFirst,
    Defect::EventsReversed,
    Defect::EventsNotMerged,
    Defect::OldestEventsReturned,
    Defect::AfterIgnored,
    Defect::AppOfEventsIgnored,
    Defect::SinceIgnored,
    Defect::ChangesSilent,
    Defect::ChangesWithoutEffect,
    Defect::OneWatcherOnly,
    Defect::SecretInUseDeleted,
    Defect::SecretsUnordered,
    Defect::RotationForgetsAccounts,
    Defect::AccountsShared,
    Defect::CertificateDropIgnored,
    Defect::FailureReplacesCertificate,
    Defect::NothingSurvives,
    Defect::ContentsDoNotSurvive,
    Defect::EventsDoNotSurvive,
    Defect::TombstonesDoNotSurvive,
    Defect::KeysDoNotSurvive,
    Defect::PausesDoNotSurvive,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn store_mutants_are_caught() {
    let sound = StoreSubject::new(super::new_store);
    let sound = sound.reopened_by(|store| std::future::ready(store).boxed());
    run_all(&[sound], "").await.assert_passed();
    let mut mutants = Vec::new();
    for defect in ALL {
        let create = || -> Arc<dyn Store> { Arc::new(Mutant::new(*defect)) };
        let subject = StoreSubject::new(move || std::future::ready(create()).boxed());
        let subject =
            subject.reopened_by(move |store| std::future::ready(reopen(*defect, store)).boxed());
        mutants.push((defect, failures(&run_all(&[subject], "").await)));
    }
    assert_caught(&mutants);
}

/// Opens the data again; a part of it may be lost.
fn reopen(defect: Defect, store: Arc<dyn Store>) -> Arc<dyn Store> {
    if defect == Defect::NothingSurvives {
        return Arc::new(MemoryStore::new());
    }
    Arc::new(Mutant { is_reopened: true, ..Mutant::over(defect, store) })
}

#[derive(Debug)]
struct Mutant {
    inner: Arc<dyn Store>,
    defect: Defect,
    is_reopened: bool,
    /// What the defect has lost.
    lost: Mutex<BTreeSet<Authority>>,
    watchers: Mutex<u32>,
}

impl Mutant {
    fn new(defect: Defect) -> Self {
        let inner = match defect {
            Defect::EventsNotMerged => MemoryStore::without_merging(),
            _ => MemoryStore::new(),
        };
        Self::over(defect, Arc::new(inner))
    }

    fn over(defect: Defect, inner: Arc<dyn Store>) -> Self {
        let (lost, watchers) = (Mutex::default(), Mutex::default());
        Self { inner, defect, is_reopened: false, lost, watchers }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    /// Changes what is shown of an app.
    fn shown(&self, mut app: StoredApp) -> StoredApp {
        if self.has(Defect::GenerationStays) {
            app.generation = Generation(1);
        }
        if self.has(Defect::ContentsDoNotSurvive) && self.is_reopened {
            let mut spec = app.spec.clone().into_inner();
            spec.take_contents();
            app.spec = spec.into();
        }
        if self.has(Defect::PausesDoNotSurvive) && self.is_reopened {
            app.paused = false;
        }
        app
    }
}

#[async_trait]
impl Store for Mutant {
    async fn put(&self, mut put: PutApp) -> Result<Put, StoreError> {
        match self.defect {
            Defect::ExpectationIgnored => put.expected_generation = None,
            Defect::ExpectationCheckedBefore => {
                if let Some(expected) = put.expected_generation.take() {
                    let present = self.inner.get(&put.spec.name).await;
                    let present = present.map_or(Generation::NONE, |app| app.generation);
                    tokio::task::yield_now().await;
                    if present != expected {
                        let name = put.spec.name.clone();
                        return Err(StoreError::StaleGeneration { name, expected, present });
                    }
                }
            }
            Defect::ObservedRevisionIgnored => put.newest_seen = RevisionId::NONE,
            Defect::RetryIgnored => put.retry = false,
            Defect::DroppedPutIsHalf => {
                let mut half = put.spec.clone().into_inner();
                half.replicas += 1;
                let half = half.validate().unwrap();
                self.inner.put(PutApp { spec: half, ..put.clone() }).await?;
                tokio::task::yield_now().await;
                self.inner.delete(&put.spec.name, put.now).await?;
                self.inner.purge(&put.spec.name).await?;
            }
            Defect::TeardownAcceptsApps => {
                let teardown = self.inner.list().await?.teardown;
                self.inner.finish_teardown().await?;
                let done = self.inner.put(put).await;
                if let Some(now) = teardown {
                    self.inner.request_teardown(now).await?;
                }
                return done;
            }
            _ => {}
        }
        let now = put.now;
        let done = self.inner.put(put).await?;
        let (change, mut app) = (done.change, self.shown(done.app));
        if self.has(Defect::UnchangedIsWritten) && change == Change::Unchanged {
            app.updated_at = now;
        }
        Ok(Put { app, change })
    }

    async fn update_rollout(&self, mut command: RolloutCommand) -> Result<Put, StoreError> {
        let is_pause = command.action == RolloutAction::Pause;
        if self.has(Defect::PauseIgnored) && is_pause {
            let app = self.inner.get(&command.name).await?;
            return Ok(Put { app, change: Change::Configured });
        }
        if self.has(Defect::UndoToTheFirst) && matches!(command.action, RolloutAction::Undo { .. })
        {
            command.action = RolloutAction::Undo { to: Some(RevisionId(1)) };
        }
        self.inner.update_rollout(command).await
    }

    async fn record_rollout(
        &self,
        name: &AppName,
        mut revision: RevisionId,
        update: &RolloutUpdate,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self.defect {
            Defect::ResultIgnored => return Ok(()),
            Defect::ResultOfAnyRevision => {
                revision = self.inner.get(name).await.map_or(revision, |app| app.revision);
            }
            _ => {}
        }
        self.inner.record_rollout(name, revision, update, now).await
    }

    async fn get(&self, name: &AppName) -> Result<StoredApp, StoreError> {
        self.inner.get(name).await.map(|app| self.shown(app))
    }

    async fn list(&self) -> Result<StoredState, StoreError> {
        let mut state = self.inner.list().await?;
        for app in state.apps.values_mut() {
            *app = self.shown(app.clone());
        }
        if self.has(Defect::TombstoneForgotten)
            || self.has(Defect::TombstonesDoNotSurvive) && self.is_reopened
        {
            state.tombstones.clear();
        }
        if self.has(Defect::TombstoneWithoutStop) {
            state.tombstones.values_mut().for_each(|tombstone| tombstone.stop = Default::default());
        }
        if self.has(Defect::KeysDoNotSurvive) && self.is_reopened {
            state.certificates.values_mut().for_each(|stored| stored.issued = None);
        }
        Ok(state)
    }

    async fn delete(&self, name: &AppName, now: Timestamp) -> Result<(), StoreError> {
        if self.has(Defect::DeleteLeavesApp) {
            return Ok(());
        }
        self.inner.delete(name, now).await
    }

    async fn purge(&self, name: &AppName) -> Result<(), StoreError> {
        if self.has(Defect::PurgeIgnored) { Ok(()) } else { self.inner.purge(name).await }
    }

    async fn evict(&self, name: &AppName, container: &ContainerId) -> Result<(), StoreError> {
        if self.has(Defect::EvictionForgotten) {
            return self.inner.get(name).await.map(drop);
        }
        self.inner.evict(name, container).await
    }

    async fn clear_eviction(
        &self,
        name: &AppName,
        container: &ContainerId,
    ) -> Result<(), StoreError> {
        if self.has(Defect::EvictionStays) {
            return Ok(());
        }
        self.inner.clear_eviction(name, container).await
    }

    async fn request_teardown(&self, now: Timestamp) -> Result<(), StoreError> {
        let apps = self.inner.list().await?.apps;
        self.inner.request_teardown(now).await?;
        if self.has(Defect::TeardownLeavesApps) {
            self.inner.finish_teardown().await?;
            for app in apps.into_values() {
                let spec = app.spec.into_inner().validate().unwrap();
                self.inner.put(PutApp::new(spec, now)).await?;
            }
        }
        Ok(())
    }

    async fn finish_teardown(&self) -> Result<(), StoreError> {
        self.inner.finish_teardown().await
    }

    async fn pin_image(
        &self,
        name: &AppName,
        revision: RevisionId,
        image: &ImageId,
        replace: bool,
    ) -> Result<(), StoreError> {
        if self.has(Defect::PinIgnored) {
            return Ok(());
        }
        let replace = replace || self.has(Defect::PinReplaces);
        self.inner.pin_image(name, revision, image, replace).await
    }

    async fn revisions(&self, name: &AppName) -> Result<Vec<Revision>, StoreError> {
        let mut revisions = self.inner.revisions(name).await?;
        if self.has(Defect::RevisionsOfOneKept) {
            revisions.drain(..revisions.len() - 1);
        }
        if self.has(Defect::RevisionsNewestFirst) {
            revisions.reverse();
        }
        Ok(revisions)
    }

    async fn set_secret(&self, set: SetSecret) -> Result<SecretPut, StoreError> {
        self.inner.set_secret(set).await
    }

    async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        let mut secrets = self.inner.secrets().await?;
        if self.has(Defect::SecretsUnordered) {
            secrets.reverse();
        }
        Ok(secrets)
    }

    async fn delete_secret(&self, name: &SecretName) -> Result<(), StoreError> {
        match self.inner.delete_secret(name).await {
            Err(StoreError::SecretInUse { .. }) if self.has(Defect::SecretInUseDeleted) => Ok(()),
            other => other,
        }
    }

    async fn resolve_secrets(&self, spec: AppSpec) -> Result<AppSpec, StoreError> {
        self.inner.resolve_secrets(spec).await
    }

    async fn set_certificate(
        &self,
        host: &HostName,
        certificate: &StoredCertificate,
    ) -> Result<(), StoreError> {
        let mut certificate = certificate.clone();
        if self.has(Defect::FailureReplacesCertificate) && certificate.failure.is_some() {
            certificate.issued = None;
        }
        self.inner.set_certificate(host, &certificate).await
    }

    async fn drop_certificate(&self, host: &HostName) -> Result<(), StoreError> {
        if self.has(Defect::CertificateDropIgnored) {
            return Ok(());
        }
        self.inner.drop_certificate(host).await
    }

    async fn set_authority_account(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<(), StoreError> {
        let shared = self.has(Defect::AccountsShared);
        let authority = if shared { Authority::Acme } else { authority };
        self.inner.set_authority_account(authority, account).await
    }

    async fn authority_account(&self, authority: Authority) -> Result<Option<Secret>, StoreError> {
        if self.lost.lock().unwrap().contains(&authority) {
            return Ok(None);
        }
        let shared = self.has(Defect::AccountsShared);
        let authority = if shared { Authority::Acme } else { authority };
        self.inner.authority_account(authority).await
    }

    async fn rotate_key(&self) -> Result<u64, StoreError> {
        if self.has(Defect::RotationForgetsAccounts) {
            self.lost.lock().unwrap().insert(Authority::Acme);
        }
        self.inner.rotate_key().await
    }

    async fn append(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        self.inner.append(events).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        if self.has(Defect::EventsDoNotSurvive) && self.is_reopened {
            return Ok(Vec::new());
        }
        let mut query = query.clone();
        match self.defect {
            Defect::AfterIgnored => query.after = 0,
            Defect::AppOfEventsIgnored => query.app = None,
            Defect::SinceIgnored => query.since = None,
            _ => {}
        }
        if self.has(Defect::OldestEventsReturned) {
            let limit = usize::try_from(query.limit).unwrap();
            let mut all = self.inner.events(&EventQuery { limit: u32::MAX, ..query }).await?;
            all.truncate(limit);
            return Ok(all);
        }
        let mut events = self.inner.events(&query).await?;
        if self.has(Defect::EventsReversed) {
            events.reverse();
        }
        Ok(events)
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let mut watchers = self.watchers.lock().unwrap();
        *watchers += 1;
        match self.defect {
            Defect::ChangesSilent => stream::pending().boxed(),
            Defect::OneWatcherOnly if *watchers > 1 => stream::pending().boxed(),
            Defect::ChangesWithoutEffect => {
                stream::select(self.inner.changes(), stream::iter([()])).boxed()
            }
            _ => self.inner.changes(),
        }
    }
}
