//! Cache of inspections, so that a pass without changes lists once and inspects nothing.
//!
//! An entry is valid for a limited time, while the list shows the same state, and until an event or
//! a call of ours affects the container. The list alone decides which containers exist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dubernetes_core::runtime::Container;
use tokio::time::Instant;

/// Lifetime of an entry without an event stream. A container that exited and was restarted by hand
/// between two lists is noticed at the controller's resync of 15 s.
const TTL: Duration = Duration::from_secs(15);
/// Lifetime of an entry with an event stream, where only changes with a lost event are missed.
const TTL_WITH_EVENTS: Duration = Duration::from_secs(5 * 60);

/// Inspected containers, by id.
#[derive(Debug, Default)]
pub(crate) struct InspectCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<String, Entry>,
    /// Number of invalidations. An inspection that began before the last one is not kept.
    epoch: u64,
    /// Number of open event streams.
    event_streams: u32,
}

#[derive(Debug)]
struct Entry {
    listed_state: String,
    inspected_at: Instant,
    container: Container,
}

impl InspectCache {
    /// Returns the epoch before an inspection, for [`InspectCache::insert`].
    pub(crate) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Returns the container if its entry is valid for the listed state, with the addresses.
    pub(crate) fn get(&self, id: &str, listed_state: &str) -> Option<Container> {
        let inner = self.lock();
        let entry = inner.entries.get(id)?;
        let is_valid =
            entry.listed_state == listed_state && entry.inspected_at.elapsed() < inner.ttl();
        is_valid.then(|| entry.container.clone())
    }

    /// Inserts an inspection, unless an entry was invalidated since `epoch`.
    pub(crate) fn insert(&self, epoch: u64, listed_state: &str, container: &Container) {
        let mut inner = self.lock();
        if inner.epoch == epoch {
            let entry = Entry {
                listed_state: listed_state.to_owned(),
                inspected_at: Instant::now(),
                container: container.clone(),
            };
            inner.entries.insert(container.id.0.clone(), entry);
        }
    }

    /// Removes the entry of a container, given by id or name.
    pub(crate) fn invalidate(&self, id: &str) {
        let mut inner = self.lock();
        inner.epoch += 1;
        inner.entries.retain(|key, entry| key != id && entry.container.name != id);
    }

    /// Removes expired entries.
    pub(crate) fn prune(&self) {
        let mut inner = self.lock();
        let ttl = inner.ttl();
        inner.entries.retain(|_, entry| entry.inspected_at.elapsed() < ttl);
    }

    /// Registers an event stream, whose reader calls [`InspectCache::invalidate`] for each event
    /// until the guard is dropped. Events before this point were missed, so the cache is cleared.
    pub(crate) fn register_events(self: &Arc<Self>) -> EventsGuard {
        let mut inner = self.lock();
        inner.entries.clear();
        inner.epoch += 1;
        inner.event_streams += 1;
        EventsGuard { cache: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn ttl(&self) -> Duration {
        if self.event_streams > 0 { TTL_WITH_EVENTS } else { TTL }
    }
}

/// Counts an event stream as open until dropped.
#[derive(Debug)]
pub(crate) struct EventsGuard {
    cache: Arc<InspectCache>,
}

impl Drop for EventsGuard {
    fn drop(&mut self) {
        self.cache.lock().event_streams -= 1;
    }
}

/// Invalidates a container when a call on it ends, also if the call is cancelled.
#[derive(Debug)]
pub(crate) struct InvalidateOnDrop<'a> {
    cache: &'a InspectCache,
    id: &'a str,
}

impl<'a> InvalidateOnDrop<'a> {
    pub(crate) fn new(cache: &'a InspectCache, id: &'a str) -> Self {
        Self { cache, id }
    }
}

impl Drop for InvalidateOnDrop<'_> {
    fn drop(&mut self) {
        self.cache.invalidate(self.id);
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
            endpoint: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn entry_expires_and_is_bound_to_the_listed_state() {
        let cache = InspectCache::default();
        cache.insert(cache.epoch(), "running", &container("a"));
        assert!(cache.get("id-a", "running").is_some());
        assert!(cache.get("id-a", "exited").is_none());
        tokio::time::advance(TTL).await;
        assert!(cache.get("id-a", "running").is_none());
        cache.prune();
        assert!(cache.lock().entries.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn entry_lives_longer_with_an_event_stream() {
        let cache = Arc::new(InspectCache::default());
        cache.insert(cache.epoch(), "running", &container("a"));
        let before = cache.epoch();
        let guard = cache.register_events();
        assert!(cache.get("id-a", "running").is_none(), "events before the stream are missed");
        cache.insert(before, "running", &container("a"));
        assert!(cache.get("id-a", "running").is_none(), "the inspection began earlier");
        cache.insert(cache.epoch(), "running", &container("a"));
        tokio::time::advance(4 * TTL).await;
        cache.prune();
        assert!(cache.get("id-a", "running").is_some());
        drop(guard);
        assert!(cache.get("id-a", "running").is_none(), "the stream has ended");
        let _guard = cache.register_events();
        cache.insert(cache.epoch(), "running", &container("a"));
        tokio::time::advance(TTL_WITH_EVENTS).await;
        assert!(cache.get("id-a", "running").is_none());
    }

    #[tokio::test]
    async fn invalidation_discards_entries_and_running_inspections() {
        let cache = InspectCache::default();
        cache.insert(cache.epoch(), "running", &container("a"));
        let before = cache.epoch();
        drop(InvalidateOnDrop::new(&cache, "a"));
        assert!(cache.get("id-a", "running").is_none(), "invalidated by name");
        cache.insert(before, "running", &container("a"));
        assert!(cache.get("id-a", "running").is_none(), "the inspection began earlier");
    }
}
