//! `SqliteStore` passes the contract suite of the trait.

use std::sync::{Arc, Mutex};

use dubernetes_core::store::Store;
use dubernetes_sqlite::SqliteStore;
use dubernetes_testkit::contract;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_store_passes_contract() {
    let folders: Mutex<Vec<TempDir>> = Mutex::default();
    contract::store::run(|| async {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path()).unwrap());
        folders.lock().unwrap().push(folder);
        store
    })
    .await;
}
