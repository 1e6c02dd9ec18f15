//! [`SwarmStore`]: the state of an instance in configs of the swarm, which all managers have.
//!
//! Configs cannot be changed, but for their labels. So each part of the state is one or several of
//! them, and the *root* lists the parts. The *head* names the root in a label. A change writes the
//! parts that differ and a new root, switches the head, and removes what no longer counts: until
//! the switch the former state counts, and after it the new one.
//!
//! No part is used again once a root no longer lists it, so it may be removed at any later time,
//! also by a process that has lost the lease in between. What a crash leaves is removed by the next
//! holder: parts that its root does not list, of terms before its own.

mod candidate;
mod configs;
mod head;
mod holder;

pub use candidate::{Attempt, Candidate};
pub use holder::{Holder, find_holder};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use dubernetes_core::app::InstanceName;
use dubernetes_core::error::{SharedError, chain};
use dubernetes_core::labels::STATE_ID;
use dubernetes_core::runtime::RuntimeError;
use dubernetes_core::store::{HoldContent, StoreContent, StoreError, StoreOperation, StoreParts};
use dubernetes_docker::MAX_CONFIG_BYTES;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::configs::{Configs, Labels};
use self::head::{Head, ROOT, TERM};
use crate::lease::VALID;

/// Number of newest events that are kept.
const EVENTS: usize = 500;
/// How long events may be in memory alone.
const EVENTS_DELAY: Duration = Duration::from_secs(20);
/// Ids of events of each holder: more than it can use, so that the next one uses none of those that
/// were lost with the last holder.
const EVENT_IDS: u64 = 1 << 32;
/// Label of all configs but the head: the name of the instance.
const PART_OF: &str = "dubernetes.store.part-of";

/// A [`Store`](dubernetes_core::store::Store) in a Docker swarm, for the one manager that acts.
///
/// A [`Candidate`] opens it. Every method fails once the lease is lost, and nothing that it did
/// afterwards counts. Two promises of the trait are weaker here:
///
/// - Events are written every 20 s, and when the lease is given back: a crash loses the last ones.
///   The newest 500 are kept.
/// - Contents of files and secrets are not encrypted by this crate. Swarm encrypts its log on disk;
///   anyone with access to a manager's engine can read them, and is root there anyway. So there is
///   no key, and [`rotate_key`](dubernetes_core::store::Store::rotate_key) finds nothing to do.
#[derive(Debug, Clone)]
pub struct SwarmStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    configs: Arc<dyn Configs>,
    instance: InstanceName,
    id: Mutex<String>,
    term: String,
    head: Arc<Head>,
    current: Mutex<StoreContent>,
    /// Held during a change: they happen one after the other.
    written: Arc<tokio::sync::Mutex<Written>>,
    changes: watch::Sender<u64>,
    /// They end with this value.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What is in the swarm.
#[derive(Debug, Default)]
struct Written {
    content: StoreContent,
    /// Ids of the configs of each part.
    parts: BTreeMap<String, Vec<String>>,
    root: Option<String>,
}

impl SwarmStore {
    /// Opens the state of a head with these labels, whose lease this process has.
    async fn open(
        configs: Arc<dyn Configs>,
        instance: &InstanceName,
        head: Head,
        labels: &Labels,
    ) -> Result<Self, RuntimeError> {
        let head = Arc::new(head);
        let keeper = Arc::clone(&head);
        let keeper = tokio::spawn(async move { keeper.keep().await });
        let label = |name: &str| labels.get(name).cloned();
        let opened = read(&*configs, label(ROOT)).await;
        let mut written = match opened {
            Ok(written) => written,
            Err(error) => {
                // A lease that is not given back ends by itself.
                let _ = tokio::time::timeout(VALID, head.release()).await;
                keeper.abort();
                return Err(error);
            }
        };
        let mut current = written.content.clone();
        let term = label(TERM).unwrap_or_default();
        let first_id = term.parse::<u64>().unwrap_or_default().saturating_mul(EVENT_IDS);
        current.raise_event_ids(first_id);
        written.content = written.content.with_events_of(&current);
        let shared = Arc::new(Shared {
            configs,
            instance: instance.clone(),
            id: Mutex::new(label(STATE_ID).unwrap_or_default()),
            term,
            head,
            current: Mutex::new(current),
            written: Arc::new(tokio::sync::Mutex::new(written)),
            changes: watch::Sender::default(),
            tasks: Mutex::default(),
        });
        let writer = tokio::spawn(write_events(Arc::downgrade(&shared)));
        let sweeper = tokio::spawn(sweep(Arc::downgrade(&shared)));
        lock(&shared.tasks).extend([keeper, writer, sweeper]);
        Ok(Self(shared))
    }

    /// Returns the random id of the state, which all managers share.
    pub fn id(&self) -> String {
        lock(&self.0.id).clone()
    }

    /// Gives the state another id: that of an instance that it takes over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if the lease is lost.
    pub async fn set_id(&self, id: &str) -> Result<(), StoreError> {
        self.0.head.set_id(id).await.map_err(lost)?;
        id.clone_into(&mut lock(&self.0.id));
        Ok(())
    }

    /// Resolves once this process must no longer act, with the reason.
    pub async fn lost(&self) -> String {
        self.0.head.lost().await
    }

    /// Writes what is in memory alone, and gives the lease back, so that another manager takes over
    /// at once. Every later call fails.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if the lease is lost.
    pub async fn release(&self) -> Result<(), StoreError> {
        let mut written = self.0.written.lock().await;
        // They are lost otherwise, and the lease is given back all the same.
        if let Err(error) = self.0.write_events(&mut written).await {
            tracing::warn!(error = chain(&error), "the last events are not written");
        }
        self.0.head.release().await.map_err(lost)
    }

    /// Removes the state from the swarm if no app and no secret is left, and returns whether it is
    /// removed. Every later call fails then. To be called if nothing is left of the instance on the
    /// engines.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if the lease is lost, or if the managers have no leader.
    pub async fn remove_disposable(&self) -> Result<bool, StoreError> {
        let failed = |error: RuntimeError| StoreError::Failed(SharedError::new(error));
        let shared = &self.0;
        let mut written = shared.written.lock().await;
        if !lock(&shared.current).is_disposable() {
            return Ok(false);
        }
        // First the state becomes an empty one, so that no crash leaves a part of it.
        shared.head.clear_root().await.map_err(lost)?;
        *written = Written::default();
        let parts = shared.configs.list(&format!("{PART_OF}={}", shared.instance)).await;
        shared.remove(parts.map_err(failed)?.into_iter().map(|found| found.id).collect()).await;
        shared.head.remove().await.map_err(lost)?;
        Ok(true)
    }
}

impl HoldContent for SwarmStore {
    async fn read<R: Send>(
        &self,
        _operation: StoreOperation,
        read: impl FnOnce(&StoreContent) -> Result<R, StoreError> + Send,
    ) -> Result<R, StoreError> {
        self.0.head.check().map_err(lost)?;
        read(&lock(&self.0.current))
    }

    async fn change<R: Send>(
        &self,
        operation: StoreOperation,
        _object: &str,
        effect: impl FnOnce(&mut StoreContent) -> Result<(R, bool), StoreError> + Send,
    ) -> Result<R, StoreError> {
        let mut written = Arc::clone(&self.0.written).lock_owned().await;
        self.0.head.check().map_err(lost)?;
        // With 1,000 apps the copy takes 9 µs, and to find and write what differs 160 µs
        // (`cargo bench -p dubernetes-testkit --bench nodes`): clones share what is the same.
        let mut new = lock(&self.0.current).clone();
        let (answer, is_notified) = effect(&mut new)?;
        let shared = Arc::clone(&self.0);
        if operation == StoreOperation::Append {
            new.keep_events(EVENTS);
            shared.publish(new, is_notified);
            return Ok(answer);
        }
        // The write goes on if the caller gives up: it is known afterwards what counts.
        let write = tokio::spawn(async move {
            let target = new.clone().with_events_of(&written.content);
            let former = shared.write(&mut written, target).await?;
            shared.publish(new, is_notified);
            drop(tokio::spawn(async move { shared.remove(former).await }));
            Ok::<_, StoreError>(())
        });
        let result = write.await.unwrap_or_else(|panicked| {
            Err(StoreError::Failed(SharedError::text(format!("the write failed: {panicked}"))))
        });
        result.map(|()| answer)
    }

    fn watch(&self) -> BoxStream<'static, ()> {
        let receiver = self.0.changes.subscribe();
        let changes = stream::unfold(receiver, async |mut receiver| {
            receiver.changed().await.ok()?;
            Some(((), receiver))
        });
        changes.boxed()
    }
}

impl Shared {
    fn publish(&self, content: StoreContent, is_notified: bool) {
        *lock(&self.current) = content;
        if is_notified {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    async fn write_events(&self, written: &mut Written) -> Result<(), StoreError> {
        let current = lock(&self.current).clone();
        let former = self.write(written, current).await?;
        self.remove(former).await;
        Ok(())
    }

    /// Makes `target` the state, and returns the ids of configs that no longer count. After an
    /// error the former state counts, unless the lease is lost.
    async fn write(
        &self,
        written: &mut Written,
        target: StoreContent,
    ) -> Result<Vec<String>, StoreError> {
        let changed = target.changed_parts(&written.content)?;
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let mut parts = written.parts.clone();
        let mut created = Vec::new();
        let root = self.create(changed, &mut parts, &mut created).await;
        let root = match root {
            Ok(root) => root,
            Err(error) => {
                self.remove(created).await;
                return Err(StoreError::Failed(SharedError::new(error)));
            }
        };
        self.head.set_root(&root).await.map_err(lost)?;
        let kept: BTreeSet<&String> = parts.values().flatten().collect();
        let former = written.parts.values().flatten().filter(|id| !kept.contains(id));
        let former = former.cloned().chain(written.root.take()).collect();
        *written = Written { content: target, parts, root: Some(root) };
        Ok(former)
    }

    /// Creates the changed parts and a root, whose id it returns. `parts` become those of the root.
    async fn create(
        &self,
        changed: BTreeMap<String, Option<Vec<u8>>>,
        parts: &mut BTreeMap<String, Vec<String>>,
        created: &mut Vec<String>,
    ) -> Result<String, RuntimeError> {
        for (name, bytes) in changed {
            parts.remove(&name);
            let Some(bytes) = bytes else { continue };
            let first = created.len();
            for chunk in bytes.chunks(MAX_CONFIG_BYTES) {
                created.push(self.create_part(&name, chunk).await?);
            }
            parts.insert(name, created.iter().skip(first).cloned().collect());
        }
        let root = serde_json::to_vec(parts).map_err(|error| RuntimeError::Failed {
            operation: "write the root of the state".to_owned(),
            cause: SharedError::new(error),
        })?;
        let root = self.create_part("root", &root).await?;
        created.push(root.clone());
        Ok(root)
    }

    async fn create_part(&self, part: &str, data: &[u8]) -> Result<String, RuntimeError> {
        let operation = || format!("write the part `{part}` of the state");
        let id =
            random_id().map_err(|cause| RuntimeError::Failed { operation: operation(), cause })?;
        let labels = [(PART_OF, self.instance.as_str()), (TERM, self.term.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.configs.create(&format!("dubernetes-part-{id}"), &labels.into(), data).await
    }

    /// Removes configs that no longer count. Those that stay are removed by the next holder.
    async fn remove(&self, ids: Vec<String>) {
        for id in ids {
            if let Err(error) = self.configs.remove(&id).await {
                tracing::debug!(id, error = chain(&error), "a former part of the state is left");
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        lock(&self.tasks).drain(..).for_each(|task| task.abort());
    }
}

/// Reads the state of a root.
async fn read(configs: &dyn Configs, root: Option<String>) -> Result<Written, RuntimeError> {
    let Some(root) = root else { return Ok(Written::default()) };
    let failed =
        |cause: SharedError| RuntimeError::Failed { operation: "read the state".to_owned(), cause };
    let missing = |part: &str| failed(SharedError::text(format!("its part `{part}` is missing")));
    let list = configs.find(&root).await?.ok_or_else(|| missing("root"))?;
    let parts: BTreeMap<String, Vec<String>> =
        serde_json::from_slice(&list.data).map_err(|error| failed(SharedError::new(error)))?;
    let mut read = StoreParts::new();
    for (part, ids) in &parts {
        let bytes = read.entry(part.clone()).or_default();
        for id in ids {
            let chunk = configs.find(id).await?.ok_or_else(|| missing(part))?;
            bytes.extend_from_slice(&chunk.data);
        }
    }
    let content =
        StoreContent::from_parts(&read).map_err(|error| failed(SharedError::new(error)))?;
    Ok(Written { content, parts, root: Some(root) })
}

/// Writes events that are in memory alone.
async fn write_events(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(EVENTS_DELAY).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.head.check().is_err() {
            return;
        }
        let mut written = shared.written.lock().await;
        if let Err(error) = shared.write_events(&mut written).await {
            tracing::warn!(error = chain(&error), "events are not written");
        }
    }
}

/// Removes what former holders have left.
async fn sweep(shared: Weak<Shared>) {
    let Some(shared) = shared.upgrade() else { return };
    let listed = shared.configs.list(&format!("{PART_OF}={}", shared.instance)).await;
    let listed = listed.unwrap_or_default();
    let own = shared.term.parse::<u64>().unwrap_or_default();
    let is_former = |labels: &Labels| {
        let term = labels.get(TERM).and_then(|term| term.parse::<u64>().ok());
        term.is_some_and(|term| term < own)
    };
    let listed = listed.into_iter().filter(|found| is_former(&found.labels));
    let left: Vec<_> = {
        let written = shared.written.lock().await;
        let used: BTreeSet<_> = written.parts.values().flatten().chain(&written.root).collect();
        listed.map(|found| found.id).filter(|id| !used.contains(id)).collect()
    };
    shared.remove(left).await;
}

fn lost(mut why: String) -> StoreError {
    why.insert_str(0, "this manager does not act any more: ");
    StoreError::Failed(SharedError::text(why))
}

/// Returns a new random id.
fn random_id() -> Result<String, SharedError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| SharedError::text(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one assignment, so a panic leaves no half of one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
