//! What inspections showed, kept so that a quiet round lists once and inspects nothing.
//!
//! An entry is used only while the list shows the same state, for a while, and never again once an
//! event or a call of ours has touched the container. The list stays the truth about which
//! containers there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dubernetes_core::runtime::Container;
use tokio::time::Instant;

/// How long an entry is used while nobody follows the engine's events: a container that ended and
/// was started again by hand between two lists is seen with the controller's resync of 15 s.
const VALID: Duration = Duration::from_secs(15);
/// How long while somebody does: only events that the engine lost on the way are missed then.
const VALID_FOLLOWED: Duration = Duration::from_secs(5 * 60);

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
    /// So many follow the engine's events.
    followers: u32,
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
        let fresh = entry.listed_as == listed_as && entry.at.elapsed() < inner.valid();
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
        let mut inner = self.lock();
        let valid = inner.valid();
        inner.entries.retain(|_, entry| entry.at.elapsed() < valid);
    }

    /// From now on all events are told by [`Cache::forget`], until the answer is dropped. What came
    /// before was told to nobody, so everything is forgotten.
    pub(crate) fn follow(self: &Arc<Self>) -> Following {
        let mut inner = self.lock();
        inner.entries.clear();
        inner.epoch += 1;
        inner.followers += 1;
        Following { cache: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn valid(&self) -> Duration {
        if self.followers > 0 { VALID_FOLLOWED } else { VALID }
    }
}

/// Somebody follows the engine's events, as long as this is there.
#[derive(Debug)]
pub(crate) struct Following {
    cache: Arc<Cache>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.cache.lock().followers -= 1;
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

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_used_for_longer_while_events_are_followed() {
        let cache = Arc::new(Cache::default());
        cache.keep(cache.epoch(), "running", &container("a"));
        let before = cache.epoch();
        let following = cache.follow();
        assert!(cache.get("id-a", "running").is_none(), "what happened before is not known");
        cache.keep(before, "running", &container("a"));
        assert!(cache.get("id-a", "running").is_none(), "the inspection began before");
        cache.keep(cache.epoch(), "running", &container("a"));
        tokio::time::advance(4 * VALID).await;
        cache.prune();
        assert!(cache.get("id-a", "running").is_some());
        drop(following);
        assert!(cache.get("id-a", "running").is_none(), "nobody tells any more");
        let _following = cache.follow();
        cache.keep(cache.epoch(), "running", &container("a"));
        tokio::time::advance(VALID_FOLLOWED).await;
        assert!(cache.get("id-a", "running").is_none());
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
