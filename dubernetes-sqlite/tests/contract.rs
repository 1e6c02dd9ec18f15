//! `SqliteStore` passes the contract suite of the trait, including the checks of durability.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use dubernetes_core::store::Store;
use dubernetes_sqlite::SqliteStore;
use dubernetes_testkit::contract::run_all;
use dubernetes_testkit::contract::store::StoreSubject;
use futures_util::FutureExt as _;
use tempfile::TempDir;

fn open(folder: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(folder).unwrap())
}

/// Opens each store in a folder of its own.
fn subject() -> StoreSubject {
    let folders: Arc<Mutex<Vec<TempDir>>> = Arc::default();
    let created = Arc::clone(&folders);
    let create = move || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        created.lock().unwrap().push(folder);
        tokio::task::spawn_blocking(move || open(&path)).map(Result::unwrap).boxed()
    };
    let reopen = move |store: Arc<dyn Store>| {
        let path = folders.lock().unwrap().last().unwrap().path().to_owned();
        let reopened = tokio::task::spawn_blocking(move || {
            drop(store);
            open(&path)
        });
        reopened.map(Result::unwrap).boxed()
    };
    StoreSubject::new(create).reopened_by(reopen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_store_passes_contract() {
    // Most of the time is waiting for the disk, so checks run side by side.
    let subjects: Vec<_> = (0..8).map(|_| subject()).collect();
    let report = run_all(&subjects, "").await;
    report.assert_passed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance/sqlite.json");
    report.assert_golden(&page);
}
