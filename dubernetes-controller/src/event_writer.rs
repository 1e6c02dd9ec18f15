//! Records events beside the loop, in their order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dubernetes_core::error;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::Store;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Time to record the last events when the orchestrator ends.
const FLUSH: Duration = Duration::from_millis(500);
/// Time between two tries to record the same events.
const RETRY: Duration = Duration::from_secs(5);
/// Number of events that wait for a store that fails. Older ones are lost.
const MAX_WAITING: usize = 1000;

/// Hands events to a task that appends them to the store. It ends with this value.
#[derive(Debug)]
pub(crate) struct EventWriter {
    events: mpsc::UnboundedSender<Vec<NewEvent>>,
    problem: Problem,
    task: AbortOnDropHandle<()>,
}

/// Why events wait, if they do.
type Problem = Arc<Mutex<Option<String>>>;

impl EventWriter {
    /// Starts the task.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let (events, queue) = mpsc::unbounded_channel();
        let problem = Problem::default();
        let recorder =
            Recorder { store, problem: Arc::clone(&problem), waiting: Vec::new(), lost: 0 };
        let task = AbortOnDropHandle::new(tokio::spawn(recorder.run(queue)));
        Self { events, problem, task }
    }

    /// Queues events.
    pub(crate) fn write(&self, events: Vec<NewEvent>) {
        // The task ends only with this writer.
        let _ = self.events.send(events);
    }

    /// Returns why events could not be recorded, until they are.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits a moment until the queued events are recorded.
    pub(crate) async fn close(self) {
        let Self { events, mut task, .. } = self;
        drop(events);
        if tokio::time::timeout(FLUSH, &mut task).await.is_err() {
            tracing::warn!("the last events are not recorded: the store does not answer");
        }
    }
}

/// The task that appends events. Those that the store does not take wait for the next try.
struct Recorder {
    store: Arc<dyn Store>,
    problem: Problem,
    waiting: Vec<NewEvent>,
    /// Number of events that no longer wait, and are not recorded.
    lost: usize,
}

impl Recorder {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Vec<NewEvent>>) {
        while self.receive(&mut queue).await {
            // A slow store gets one large batch, not many small ones.
            while let Ok(more) = queue.try_recv() {
                self.waiting.extend(more);
            }
            self.record().await;
        }
        self.record().await;
    }

    /// Waits for events, or until the next try is due. Returns false if no more events come.
    async fn receive(&mut self, queue: &mut mpsc::UnboundedReceiver<Vec<NewEvent>>) -> bool {
        let is_due = tokio::time::sleep(RETRY);
        tokio::select! {
            () = is_due, if !self.waiting.is_empty() => true,
            events = queue.recv() => {
                let is_open = events.is_some();
                self.waiting.extend(events.into_iter().flatten());
                is_open
            }
        }
    }

    async fn record(&mut self) {
        let Some(last) = self.waiting.last() else { return };
        let time = last.time;
        let recorded = self.store.append(&self.waiting).await;
        let problem = match &recorded {
            Ok(()) => {
                self.waiting.clear();
                let lost = std::mem::take(&mut self.lost);
                self.waiting.extend((lost > 0).then(|| lost_event(lost, time)));
                None
            }
            Err(error) => {
                let (error, waiting) = (error::chain(error), self.waiting.len());
                tracing::error!(error, waiting, "events could not be recorded");
                let excess = waiting.saturating_sub(MAX_WAITING);
                self.waiting.drain(..excess);
                self.lost += excess;
                let events =
                    if waiting == 1 { "1 event is" } else { &format!("{waiting} events are") };
                Some(format!("{events} not recorded yet: {error}"))
            }
        };
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

fn lost_event(lost: usize, time: Timestamp) -> NewEvent {
    NewEvent {
        time,
        kind: EventKind::Warning,
        app: None,
        pod: None,
        revision: None,
        reason: EventReason::EventsLost,
        message: format!("{lost} events are missing: the store did not take them"),
    }
}

#[cfg(test)]
mod tests {
    use dubernetes_core::store::EventQuery;
    use dubernetes_testkit::{FOREVER, Fault, MemoryStore, StoreOperation};

    use super::*;

    fn exit_of(number: usize) -> NewEvent {
        NewEvent {
            reason: EventReason::Exited,
            message: format!("exit {number}"),
            ..lost_event(0, Timestamp::UNIX_EPOCH)
        }
    }

    async fn messages(store: &MemoryStore) -> Vec<String> {
        let query = EventQuery { limit: 5000, ..EventQuery::default() };
        let events = store.events(&query).await.unwrap();
        events.into_iter().map(|event| event.message).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn events_wait_until_the_store_takes_them() {
        let store = Arc::new(MemoryStore::default());
        let writer = EventWriter::start(Arc::<MemoryStore>::clone(&store));
        store.faults().inject(StoreOperation::Append, Fault::Error, FOREVER);
        writer.write(vec![exit_of(1)]);
        writer.write(vec![exit_of(2)]);
        tokio::time::sleep(RETRY / 2).await;
        let problem = writer.problem().unwrap();
        assert!(problem.starts_with("2 events are not recorded yet: "), "{problem}");
        store.faults().clear();
        tokio::time::sleep(RETRY).await;
        assert_eq!(writer.problem(), None);
        assert_eq!(messages(&store).await, ["exit 1", "exit 2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn store_that_fails_for_long_loses_the_oldest_events_and_says_so() {
        let store = Arc::new(MemoryStore::default());
        let writer = EventWriter::start(Arc::<MemoryStore>::clone(&store));
        store.faults().inject(StoreOperation::Append, Fault::Error, FOREVER);
        writer.write((0..MAX_WAITING + 3).map(exit_of).collect());
        tokio::time::sleep(RETRY / 2).await;
        store.faults().clear();
        tokio::time::sleep(3 * RETRY).await;
        let recorded = messages(&store).await;
        assert_eq!(recorded.len(), MAX_WAITING + 1);
        assert_eq!(recorded[0], "exit 3");
        let last = recorded.last().unwrap();
        assert_eq!(last, "3 events are missing: the store did not take them");
        writer.close().await;
    }
}
