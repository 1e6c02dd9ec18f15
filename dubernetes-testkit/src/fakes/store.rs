//! A store in memory, with every promise of [`Store`](dubernetes_core::store::Store) except
//! durability.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dubernetes_core::error::SharedError;
pub use dubernetes_core::store::StoreOperation;
use dubernetes_core::store::{HoldContent, StoreContent, StoreError};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;

use super::faults::Faults;

/// A store in memory. Its contents are lost when the value is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    content: Mutex<StoreContent>,
    changes: watch::Sender<u64>,
    faults: Faults<StoreOperation>,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty store that never merges repeated events.
    pub fn without_merging() -> Self {
        let content = Mutex::new(StoreContent::default().without_merging());
        Self { content, ..Self::default() }
    }

    /// Returns the faults of this store.
    pub fn faults(&self) -> &Faults<StoreOperation> {
        &self.faults
    }

    async fn enter(&self, operation: StoreOperation) -> Result<(), StoreError> {
        if self.faults.apply(&operation).await { Err(injected()) } else { Ok(()) }
    }

    fn content(&self) -> MutexGuard<'_, StoreContent> {
        // A change is made in one step at the end of a method, so a panic leaves no half of one.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HoldContent for MemoryStore {
    async fn read<R: Send>(
        &self,
        operation: StoreOperation,
        read: impl FnOnce(&StoreContent) -> Result<R, StoreError> + Send,
    ) -> Result<R, StoreError> {
        self.enter(operation).await?;
        read(&self.content())
    }

    async fn change<R: Send>(
        &self,
        operation: StoreOperation,
        object: &str,
        effect: impl FnOnce(&mut StoreContent) -> Result<(R, bool), StoreError> + Send,
    ) -> Result<R, StoreError> {
        self.enter(operation).await?;
        let answer = self.faults.effect(&operation, object, || {
            let answer = effect(&mut self.content());
            if matches!(answer, Ok((_, true))) {
                self.changes.send_modify(|count| *count = count.wrapping_add(1));
            }
            answer.map(|(answer, _)| answer)
        });
        answer.await.unwrap_or_else(|| Err(injected()))
    }

    fn watch(&self) -> BoxStream<'static, ()> {
        let receiver = self.changes.subscribe();
        let changes = stream::unfold(receiver, async |mut receiver| {
            receiver.changed().await.ok()?;
            Some(((), receiver))
        });
        changes.boxed()
    }
}

fn injected() -> StoreError {
    StoreError::Failed(SharedError::text("injected fault"))
}
