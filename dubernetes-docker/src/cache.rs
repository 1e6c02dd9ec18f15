//! Cache of inspections, so that a pass without changes lists once and inspects nothing.
//!
//! An entry is valid for a limited time, while the list shows the same state, and until an event or
//! a call of ours affects the container. The list alone decides which containers exist.
//!
//! An engine answers no inspection of a container while it starts it. So during a call of ours the
//! last inspection counts, whatever its age: a slow start delays nothing else, and the end of the
//! call is a reason to list again.

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
    /// Number of invalidations. An inspection that began before the last one is stale.
    epoch: u64,
    /// Number of open event streams.
    event_streams: u32,
    /// Number of calls in flight on each container, by id.
    calls: BTreeMap<String, u32>,
}

#[derive(Debug)]
struct Entry {
    listed_state: String,
    inspected_at: Instant,
    /// It counts only during a call of ours.
    is_stale: bool,
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
        let is_fresh = !entry.is_stale && entry.inspected_at.elapsed() < inner.ttl();
        let is_valid = is_fresh || inner.calls.contains_key(id);
        (entry.listed_state == listed_state && is_valid).then(|| entry.container.clone())
    }

    /// Inserts an inspection. It is stale if an entry was invalidated since `epoch`, or if the
    /// listed state does not end by an event or a call.
    pub(crate) fn insert(
        &self,
        epoch: u64,
        listed_state: &str,
        is_lasting: bool,
        container: &Container,
    ) {
        let mut inner = self.lock();
        let entry = Entry {
            listed_state: listed_state.to_owned(),
            inspected_at: Instant::now(),
            is_stale: !is_lasting || inner.epoch != epoch,
            container: container.clone(),
        };
        inner.entries.insert(container.id.0.to_string(), entry);
    }

    /// Invalidates the entry of a container, given by id or name.
    pub(crate) fn invalidate(&self, id: &str) {
        let mut inner = self.lock();
        inner.epoch += 1;
        for (key, entry) in &mut inner.entries {
            entry.is_stale |= key == id || entry.container.name == id;
        }
    }

    /// Removes expired entries.
    pub(crate) fn prune(&self) {
        let mut inner = self.lock();
        let ttl = inner.ttl();
        let Inner { entries, calls, .. } = &mut *inner;
        entries.retain(|id, entry| entry.inspected_at.elapsed() < ttl || calls.contains_key(id));
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

/// Counts a call on a container as in flight until dropped, also if the call is cancelled. The
/// container is invalidated then.
#[derive(Debug)]
pub(crate) struct CallGuard<'a> {
    cache: &'a InspectCache,
    id: &'a str,
}

impl<'a> CallGuard<'a> {
    pub(crate) fn new(cache: &'a InspectCache, id: &'a str) -> Self {
        *cache.lock().calls.entry(id.to_owned()).or_default() += 1;
        Self { cache, id }
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.cache.invalidate(self.id);
        let calls = &mut self.cache.lock().calls;
        if let Some(count) = calls.get_mut(self.id) {
            *count -= 1;
            if *count == 0 {
                calls.remove(self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dubernetes_core::runtime::{ContainerId, ContainerState, ImageId};
    use jiff::Timestamp;

    use super::*;

    fn container(name: &str) -> Container {
        Container {
            id: ContainerId(format!("id-{name}").into()),
            name: name.to_owned(),
            image_id: ImageId("sha256:0".into()),
            labels: BTreeMap::new(),
            state: ContainerState::Running { started_at: Timestamp::UNIX_EPOCH },
            created_at: Timestamp::UNIX_EPOCH,
            endpoint: None,
            limits: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn entry_expires_and_is_bound_to_the_listed_state() {
        let cache = InspectCache::default();
        cache.insert(cache.epoch(), "running", true, &container("a"));
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
        cache.insert(cache.epoch(), "running", true, &container("a"));
        let before = cache.epoch();
        let guard = cache.register_events();
        assert!(cache.get("id-a", "running").is_none(), "events before the stream are missed");
        cache.insert(before, "running", true, &container("a"));
        assert!(cache.get("id-a", "running").is_none(), "the inspection began earlier");
        cache.insert(cache.epoch(), "running", true, &container("a"));
        tokio::time::advance(4 * TTL).await;
        cache.prune();
        assert!(cache.get("id-a", "running").is_some());
        drop(guard);
        assert!(cache.get("id-a", "running").is_none(), "the stream has ended");
        let _guard = cache.register_events();
        cache.insert(cache.epoch(), "running", true, &container("a"));
        tokio::time::advance(TTL_WITH_EVENTS).await;
        assert!(cache.get("id-a", "running").is_none());
    }

    #[tokio::test]
    async fn invalidation_discards_entries_and_running_inspections() {
        let cache = InspectCache::default();
        cache.insert(cache.epoch(), "running", true, &container("a"));
        let before = cache.epoch();
        drop(CallGuard::new(&cache, "a"));
        assert!(cache.get("id-a", "running").is_none(), "invalidated by name");
        cache.insert(before, "running", true, &container("a"));
        assert!(cache.get("id-a", "running").is_none(), "the inspection began earlier");
    }

    #[tokio::test(start_paused = true)]
    async fn during_a_call_the_last_inspection_counts() {
        let cache = InspectCache::default();
        cache.insert(cache.epoch(), "created", false, &container("a"));
        assert!(cache.get("id-a", "created").is_none(), "a failed start leaves it at `created`");
        let start = CallGuard::new(&cache, "id-a");
        let stop = CallGuard::new(&cache, "id-a");
        cache.invalidate("id-a");
        tokio::time::advance(TTL).await;
        cache.prune();
        assert!(cache.get("id-a", "created").is_some());
        assert!(cache.get("id-a", "running").is_none(), "the list shows that the start is done");
        drop(start);
        assert!(cache.get("id-a", "created").is_some());
        drop(stop);
        assert!(cache.get("id-a", "created").is_none());
        cache.prune();
        assert!(cache.lock().entries.is_empty());
    }
}
