//! The store on a swarm in memory: the contract, crashes between any two calls, and the lease.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dubernetes_core::app::{AppName, AppSpec, ImageRef, RevisionId};
use dubernetes_core::store::{PutApp, Store};
use dubernetes_docker::SwarmConfig;
use dubernetes_testkit::contract::run_all;
use dubernetes_testkit::contract::store::StoreSubject;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::*;
use crate::lease::{TAKEOVER, VALID};

/// The configs of a swarm. Clones are its managers.
#[derive(Debug, Clone, Default)]
struct FakeConfigs {
    all: Arc<Mutex<BTreeMap<String, SwarmConfig>>>,
    version: Arc<AtomicUsize>,
    /// Changes that this manager may still make; none after that, as if it was killed.
    left: Option<Arc<AtomicUsize>>,
    /// While set, the managers have no leader.
    is_down: Arc<Mutex<bool>>,
}

impl FakeConfigs {
    fn with_changes(&self, left: usize) -> Self {
        Self { left: Some(Arc::new(AtomicUsize::new(left))), ..self.clone() }
    }

    /// Takes the right to one change, and returns the next version.
    async fn change(&self) -> Result<u64, RuntimeError> {
        self.answer()?;
        if let Some(left) = &self.left {
            let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if taken.is_err() {
                std::future::pending::<()>().await;
            }
        }
        Ok(u64::try_from(self.version.fetch_add(1, Ordering::SeqCst)).unwrap())
    }

    fn answer(&self) -> Result<(), RuntimeError> {
        match *lock(&self.is_down) {
            false => Ok(()),
            true => Err(RuntimeError::Failed {
                operation: "ask the leader".to_owned(),
                cause: SharedError::text("the swarm does not have a leader"),
            }),
        }
    }
}

#[async_trait]
impl Configs for FakeConfigs {
    async fn create(
        &self,
        name: &str,
        labels: &Labels,
        data: &[u8],
    ) -> Result<String, RuntimeError> {
        let version = self.change().await?;
        assert!(!data.is_empty() && data.len() <= MAX_CONFIG_BYTES, "{} bytes", data.len());
        let mut all = lock(&self.all);
        if all.values().any(|found| found.name == name) {
            return Err(RuntimeError::NameTaken { name: name.to_owned() });
        }
        let (id, name) = (format!("id-{version}"), name.to_owned());
        let (labels, data) = (labels.clone(), data.to_vec().into());
        all.insert(id.clone(), SwarmConfig { id: id.clone(), name, version, labels, data });
        Ok(id)
    }

    async fn find(&self, id: &str) -> Result<Option<SwarmConfig>, RuntimeError> {
        self.answer()?;
        let all = lock(&self.all);
        Ok(all.values().find(|found| found.id == id || found.name == id).cloned())
    }

    async fn list(&self, label: &str) -> Result<Vec<SwarmConfig>, RuntimeError> {
        self.answer()?;
        let (name, value) = label.split_once('=').unwrap();
        let all = lock(&self.all);
        let has = |found: &&SwarmConfig| found.labels.get(name).is_some_and(|of| of == value);
        Ok(all.values().filter(has).cloned().collect())
    }

    async fn set_labels(&self, config: &SwarmConfig, labels: &Labels) -> Result<(), RuntimeError> {
        let version = self.change().await?;
        let mut all = lock(&self.all);
        match all.get_mut(&config.id).filter(|found| found.version == config.version) {
            Some(found) => {
                (found.version, found.labels) = (version, labels.clone());
                Ok(())
            }
            None => Err(RuntimeError::Failed {
                operation: "change labels".to_owned(),
                cause: SharedError::text("update out of sequence"),
            }),
        }
    }

    async fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        self.change().await?;
        lock(&self.all).remove(id);
        Ok(())
    }
}

fn candidate(configs: &FakeConfigs, node: &str) -> Candidate {
    let instance = InstanceName::parse("lab").unwrap();
    Candidate::with(Arc::new(configs.clone()), &instance, node).unwrap()
}

/// Tries every second until the candidate acts.
async fn act(candidate: &mut Candidate) -> SwarmStore {
    loop {
        if let Ok(Attempt::Acts(store)) = candidate.attempt().await {
            return store;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn put(app: &str, tag: u64) -> PutApp {
    let image = ImageRef::parse(&format!("web:{tag}")).unwrap();
    let spec = AppSpec::new(AppName::parse(app).unwrap(), image);
    PutApp::new(spec.validate().unwrap(), Timestamp::UNIX_EPOCH)
}

async fn revision(store: &SwarmStore, app: &str) -> Option<RevisionId> {
    let state = store.list().await.unwrap();
    state.apps.get(&AppName::parse(app).unwrap()).map(|app| app.revision)
}

#[tokio::test]
async fn store_passes_the_contract() {
    let last: Arc<Mutex<Option<(FakeConfigs, SwarmStore)>>> = Arc::default();
    let created = Arc::clone(&last);
    let create = move || {
        let created = Arc::clone(&created);
        async move {
            let configs = FakeConfigs::default();
            let store = act(&mut candidate(&configs, "m1")).await;
            *lock(&created) = Some((configs, store.clone()));
            let store: Arc<dyn Store> = Arc::new(store);
            store
        }
        .boxed()
    };
    let reopen = move |store: Arc<dyn Store>| {
        drop(store);
        let last = Arc::clone(&last);
        async move {
            let (configs, store) = lock(&last).take().unwrap();
            store.release().await.unwrap();
            let store = act(&mut candidate(&configs, "m2")).await;
            *lock(&last) = Some((configs, store.clone()));
            let store: Arc<dyn Store> = Arc::new(store);
            store
        }
        .boxed()
    };
    run_all(&[StoreSubject::new(create).reopened_by(reopen)], "").await.assert_passed();
}

#[tokio::test(start_paused = true)]
async fn crash_between_any_two_calls_leaves_the_old_or_the_new_state() {
    let mut outcomes = BTreeSet::new();
    for left in 0..12 {
        let configs = FakeConfigs::default();
        let first = act(&mut candidate(&configs, "m1")).await;
        first.put(put("web", 1)).await.unwrap();
        first.put(put("api", 1)).await.unwrap();
        first.release().await.unwrap();

        let crashing = configs.with_changes(left);
        let crashed = async {
            let second = act(&mut candidate(&crashing, "m2")).await;
            let result = second.put(put("web", 2)).await;
            (second, result)
        };
        let crashed = tokio::time::timeout(Duration::from_secs(2), crashed).await;
        let acknowledged = crashed.is_ok_and(|(_, result)| result.is_ok());

        let third = act(&mut candidate(&configs, "m3")).await;
        let found = revision(&third, "web").await;
        assert!(matches!(found, Some(RevisionId(1 | 2))), "{left}: {found:?}");
        assert!(!acknowledged || found == Some(RevisionId(2)), "{left}: a change was lost");
        assert_eq!(revision(&third, "api").await, Some(RevisionId(1)), "{left}");
        outcomes.insert((acknowledged, found));

        // Nothing is left of the others: the head, two apps, the events or not, and the root.
        third.put(put("web", 3)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let count = lock(&configs.all).len();
        assert!((4..=5).contains(&count), "{left}: {count} configs are left");
    }
    assert_eq!(outcomes.len(), 2, "the crash comes before and after what counts: {outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn large_state_is_split() {
    let configs = FakeConfigs::default();
    let store = act(&mut candidate(&configs, "m1")).await;
    for (number, byte) in [b'a', b'b', b'c'].into_iter().enumerate() {
        let value = dubernetes_core::app::Secret::new(vec![byte; 400 << 10]);
        let name = dubernetes_core::app::SecretName::parse(&format!("s{number}")).unwrap();
        let set = dubernetes_core::store::SetSecret::new(name, value, Timestamp::UNIX_EPOCH);
        store.set_secret(set.unwrap()).await.unwrap();
    }
    let secrets = store.secrets().await.unwrap();
    store.release().await.unwrap();
    let next = act(&mut candidate(&configs, "m2")).await;
    assert_eq!(next.secrets().await.unwrap(), secrets);
}

#[tokio::test(start_paused = true)]
async fn killed_holder_is_replaced_and_its_later_writes_do_not_count() {
    let configs = FakeConfigs::default();
    let mut standby = candidate(&configs, "m2");
    let first = act(&mut candidate(&configs, "m1")).await;
    first.put(put("web", 1)).await.unwrap();
    let start = Instant::now();
    while start.elapsed() < TAKEOVER * 3 {
        let seen = standby.attempt().await.unwrap();
        assert!(matches!(seen, Attempt::StandsBy { node } if node == "m1"), "it is renewed");
        sleep(Duration::from_secs(1)).await;
    }
    // Its process is stopped, and its change is on the way.
    lock(&first.0.tasks).drain(..).for_each(|task| task.abort());
    let stopped = Instant::now();
    let second = act(&mut standby).await;
    let took = stopped.elapsed();
    assert!(took >= TAKEOVER - crate::lease::RENEW && took <= TAKEOVER * 2, "{took:?}");
    assert_eq!(second.id(), first.id(), "they share the state");
    assert_eq!(revision(&second, "web").await, Some(RevisionId(1)));
    assert!(first.put(put("web", 2)).await.is_err(), "it has lost the lease");
    let why = first.lost().await;
    assert!(why.contains("`m2`"), "{why}");
    assert!(first.list().await.is_err(), "it answers nothing any more");
    assert_eq!(revision(&second, "web").await, Some(RevisionId(1)));
}

#[tokio::test(start_paused = true)]
async fn holder_stops_without_a_leader_and_goes_on_before_others() {
    let configs = FakeConfigs::default();
    let (mut one, mut two) = (candidate(&configs, "m1"), candidate(&configs, "m2"));
    let first = act(&mut one).await;
    assert!(matches!(two.attempt().await, Ok(Attempt::StandsBy { .. })));
    *lock(&configs.is_down) = true;
    let down = Instant::now();
    let why = first.lost().await;
    assert!(down.elapsed() <= VALID && why.contains("10 s"), "{:?}: {why}", down.elapsed());
    while down.elapsed() < TAKEOVER * 2 {
        assert!(one.attempt().await.is_err() && two.attempt().await.is_err());
        sleep(Duration::from_secs(1)).await;
    }
    *lock(&configs.is_down) = false;
    assert!(matches!(two.attempt().await, Ok(Attempt::StandsBy { .. })), "it waits a moment");
    assert!(matches!(one.attempt().await, Ok(Attempt::Acts(_))), "it acted last");
}

#[tokio::test(start_paused = true)]
async fn lease_that_is_given_back_is_taken_at_once() {
    let configs = FakeConfigs::default();
    let first = act(&mut candidate(&configs, "m1")).await;
    let mut standby = candidate(&configs, "m2");
    assert!(matches!(standby.attempt().await, Ok(Attempt::StandsBy { .. })));
    first.release().await.unwrap();
    assert!(matches!(standby.attempt().await, Ok(Attempt::Acts(_))));
}

#[tokio::test(start_paused = true)]
async fn state_without_apps_and_secrets_leaves_nothing_in_the_swarm() {
    let configs = FakeConfigs::default();
    let first = act(&mut candidate(&configs, "m1")).await;
    first.put(put("web", 1)).await.unwrap();
    assert!(!first.remove_disposable().await.unwrap(), "it has an app");
    first.request_teardown(Timestamp::UNIX_EPOCH).await.unwrap();
    first.purge(&AppName::parse("web").unwrap()).await.unwrap();
    assert!(!first.remove_disposable().await.unwrap(), "the teardown is not finished");
    first.finish_teardown().await.unwrap();
    assert!(first.remove_disposable().await.unwrap());
    assert!(lock(&configs.all).is_empty(), "{:?}", lock(&configs.all));
    assert!(first.list().await.is_err() && first.release().await.is_err());

    let second = act(&mut candidate(&configs, "m2")).await;
    let name = dubernetes_core::app::SecretName::parse("key").unwrap();
    let value = dubernetes_core::app::Secret::new(b"v".to_vec());
    let set = dubernetes_core::store::SetSecret::new(name, value, Timestamp::UNIX_EPOCH);
    second.set_secret(set.unwrap()).await.unwrap();
    assert!(!second.remove_disposable().await.unwrap(), "it has a secret");
}

#[tokio::test(start_paused = true)]
async fn crash_during_a_removal_leaves_an_empty_state() {
    for left in 0..6 {
        let configs = FakeConfigs::default();
        let first = act(&mut candidate(&configs, "m1")).await;
        first.put(put("web", 1)).await.unwrap();
        first.delete(&AppName::parse("web").unwrap(), Timestamp::UNIX_EPOCH).await.unwrap();
        first.purge(&AppName::parse("web").unwrap()).await.unwrap();
        first.release().await.unwrap();
        let crashing = configs.with_changes(left);
        let removal = async {
            let store = act(&mut candidate(&crashing, "m2")).await;
            store.remove_disposable().await
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), removal).await;
        let third = act(&mut candidate(&configs, "m3")).await;
        assert!(third.list().await.unwrap().apps.is_empty(), "{left}");
        third.put(put("web", 1)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let count = lock(&configs.all).len();
        assert!((3..=4).contains(&count), "{left}: {count} configs are left");
    }
}

#[tokio::test(start_paused = true)]
async fn holder_is_found_and_whether_it_renews() {
    let (configs, instance) = (FakeConfigs::default(), InstanceName::parse("lab").unwrap());
    let find = async || holder::find(&configs, &instance).await.unwrap();
    let on = |renews| Holder::Node { name: "m1".to_owned(), renews };
    assert_eq!(find().await, Holder::NoState);
    let store = act(&mut candidate(&configs, "m1")).await;
    assert_eq!(find().await, on(true));
    lock(&store.0.tasks).drain(..).for_each(|task| task.abort());
    assert_eq!(find().await, on(false));
    store.release().await.unwrap();
    assert_eq!(find().await, Holder::NoNode);
}
