//! Records events beside the loop, in their order.

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::error;
use dubernetes_core::event::NewEvent;
use dubernetes_core::store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Time to record the last events when the orchestrator ends.
const FLUSH: Duration = Duration::from_millis(500);

/// Hands events to a task that appends them to the store.
#[derive(Debug)]
pub(crate) struct EventWriter {
    events: mpsc::UnboundedSender<Vec<NewEvent>>,
    task: JoinHandle<()>,
}

impl EventWriter {
    /// Starts the task.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let (events, mut queue) = mpsc::unbounded_channel::<Vec<NewEvent>>();
        let task = tokio::spawn(async move {
            while let Some(mut batch) = queue.recv().await {
                // A slow store gets one large batch, not many small ones.
                while let Ok(more) = queue.try_recv() {
                    batch.extend(more);
                }
                if let Err(error) = store.append(&batch).await {
                    let (error, lost) = (error::chain(&error), batch.len());
                    tracing::error!(error, lost, "events could not be recorded");
                }
            }
        });
        Self { events, task }
    }

    /// Queues events.
    pub(crate) fn write(&self, events: Vec<NewEvent>) {
        // The task ends only with this writer.
        let _ = self.events.send(events);
    }

    /// Waits a moment until the queued events are recorded.
    pub(crate) async fn close(self) {
        let Self { events, mut task } = self;
        drop(events);
        if tokio::time::timeout(FLUSH, &mut task).await.is_err() {
            tracing::warn!("the last events are not recorded: the store does not answer");
            task.abort();
        }
    }
}
