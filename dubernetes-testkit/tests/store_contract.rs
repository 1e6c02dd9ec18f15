//! The in-memory store keeps every promise of the trait.

use std::sync::Arc;

use dubernetes_core::store::Store;
use dubernetes_testkit::{MemoryStore, contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_memory_keeps_every_promise() {
    contract::store::run(|| async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        store
    })
    .await;
}
