//! What inspections showed, kept so that a quiet round lists once and inspects nothing.
//!
//! An entry is used only while the list shows the same state, for [`VALID`] at most, and never
//! again once an event or a call of ours has touched the container. The list stays the truth
//! about which containers there are.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dubernetes_core::runtime::Container;
use tokio::time::Instant;

/// How long an entry is used. Events may be lost, so a container that ended and was started again
/// by hand between two lists is seen at the latest with the controller's slow resync of 15 s.
const VALID: Duration = Duration::from_secs(15);

/// Containers as they were inspected, by id.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<String, Entry>,
    /// Counts what was forgotten: an inspection that began before is not kept.
    epoch: u64,
}

#[derive(Debug)]
struct Entry {
    listed_as: String,
    at: Instant,
    container: Container,
}

impl Cache {
    /// The moment before an inspection, for [`Cache::keep`].
    pub(crate) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// The container, if it was inspected lately in the state that the list shows.
    pub(crate) fn get(&self, id: &str, listed_as: &str) -> Option<Container> {
        let inner = self.lock();
        let entry = inner.entries.get(id)?;
        let fresh = entry.listed_as == listed_as && entry.at.elapsed() < VALID;
        fresh.then(|| entry.container.clone())
    }

    /// Keeps an inspection, unless something was forgotten since `epoch`.
    pub(crate) fn keep(&self, epoch: u64, listed_as: &str, container: &Container) {
        let mut inner = self.lock();
        if inner.epoch == epoch {
            let listed_as = listed_as.to_owned();
            let entry = Entry { listed_as, at: Instant::now(), container: container.clone() };
            inner.entries.insert(container.id.0.clone(), entry);
        }
    }

    /// Forgets one container, given by id or name.
    pub(crate) fn forget(&self, id: &str) {
        let mut inner = self.lock();
        inner.epoch += 1;
        inner.entries.retain(|key, entry| key != id && entry.container.name != id);
    }

    /// Forgets what is too old to be used.
    pub(crate) fn prune(&self) {
        self.lock().entries.retain(|_, entry| entry.at.elapsed() < VALID);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a container when a call on it ends, even one that was cancelled half-way.
#[derive(Debug)]
pub(crate) struct ForgetOnDrop<'a> {
    cache: &'a Cache,
    id: &'a str,
}

impl<'a> ForgetOnDrop<'a> {
    pub(crate) fn new(cache: &'a Cache, id: &'a str) -> Self {
        Self { cache, id }
    }
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.cache.forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use dubernetes_core::runtime::{ContainerId, ContainerState, ImageId};
    use jiff::Timestamp;

    use super::*;

    fn container(name: &str) -> Container {
        Container {
            id: ContainerId(format!("id-{name}")),
            name: name.to_owned(),
            image_id: ImageId("sha256:0".into()),
            labels: BTreeMap::new(),
            state: ContainerState::Running { started_at: Timestamp::UNIX_EPOCH },
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_used_for_a_while_in_the_same_state() {
        let cache = Cache::default();
        cache.keep(cache.epoch(), "running", &container("a"));
        assert!(cache.get("id-a", "running").is_some());
        assert!(cache.get("id-a", "exited").is_none());
        tokio::time::advance(VALID).await;
        assert!(cache.get("id-a", "running").is_none());
        cache.prune();
        assert!(cache.lock().entries.is_empty());
    }

    #[tokio::test]
    async fn what_was_touched_is_forgotten_even_while_it_is_inspected() {
        let cache = Cache::default();
        cache.keep(cache.epoch(), "running", &container("a"));
        let before = cache.epoch();
        drop(ForgetOnDrop::new(&cache, "a"));
        assert!(cache.get("id-a", "running").is_none(), "forgotten by its name");
        cache.keep(before, "running", &container("a"));
        assert!(cache.get("id-a", "running").is_none(), "the inspection began before");
    }
}
