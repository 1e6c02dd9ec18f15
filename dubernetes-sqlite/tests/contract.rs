//! `SqliteStore` passes the contract suite of the trait, including the checks of durability.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use dubernetes_core::store::Store;
use dubernetes_sqlite::SqliteStore;
use dubernetes_testkit::contract;
use tempfile::TempDir;

fn open(folder: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(folder).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_store_passes_contract() {
    let folders: Mutex<Vec<TempDir>> = Mutex::default();
    let create = || async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        folders.lock().unwrap().push(folder);
        store
    };
    let reopen = |store: Arc<dyn Store>| async {
        drop(store);
        open(folders.lock().unwrap().last().unwrap().path())
    };
    contract::store::run_durable(create, reopen).await;
}
