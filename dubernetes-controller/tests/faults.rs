//! Adapters that fail, panic or hang: no call hurts the loop, and everything recovers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::store::Store as _;
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};
use dubernetes_testkit::{
    Behaviour, FOREVER, Fault, IngressOperation, MemoryStore, Operation, StoreOperation,
};

const FAULTS: [Fault; 3] = [Fault::Error, Fault::Panic, Fault::Hang];

fn orchestrator() -> TestOrchestrator {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    orchestrator.runtime.add_image("web:2", Behaviour::default());
    orchestrator
}

/// Updates an app while calls go wrong, stops the orchestrator during the update, and completes the
/// update with another one after the faults have ended.
async fn check_recovery(
    what: &str,
    inject: impl Fn(&TestOrchestrator),
    clear: impl Fn(&TestOrchestrator),
) {
    let orchestrator = orchestrator();
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    orchestrator.until_ready("web").await;
    inject(&orchestrator);
    // A store that fails refuses the update; then the first revision stays.
    let update = app("web", "web:2", 2);
    let _ = tokio::time::timeout(Duration::from_secs(1), orchestrator.apply(&update)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let runtime = orchestrator.runtime.clone();
    let store = Arc::<MemoryStore>::clone(&orchestrator.store);
    let ingress = orchestrator.ingress.clone();
    let clock = orchestrator.clock;
    clear(&orchestrator);
    inject(&orchestrator);
    orchestrator.shut_down().await;
    let next = TestOrchestrator::start_on(runtime, store, ingress, clock);
    clear(&next);
    next.apply(&app("web", "web:2", 2)).await.unwrap();
    next.until_ready("web").await;
    let stored = next.store.get(&app_name("web")).await.unwrap();
    assert_eq!(next.runtime.containers().len(), 2, "{what}: {stored:?}");
    next.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn runtime_faults_do_not_hurt_the_loop() {
    for operation in Operation::ALL {
        for fault in FAULTS {
            check_recovery(
                &format!("{operation:?} {fault:?}"),
                |o| o.runtime.faults().inject(operation, fault, FOREVER),
                |o| o.runtime.faults().clear(),
            )
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn store_faults_do_not_hurt_the_loop() {
    for operation in StoreOperation::ALL {
        // A store that panics when a user calls it panics in the user's task: the guard of the
        // orchestrator turns that into an error.
        for fault in FAULTS {
            check_recovery(
                &format!("{operation:?} {fault:?}"),
                |o| o.store.faults().inject(operation, fault, FOREVER),
                |o| o.store.faults().clear(),
            )
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ingress_faults_do_not_hurt_the_loop() {
    for operation in IngressOperation::ALL {
        for fault in FAULTS {
            check_recovery(
                &format!("{operation:?} {fault:?}"),
                |o| o.ingress.faults().inject(operation, fault, FOREVER),
                |o| o.ingress.faults().clear(),
            )
            .await;
        }
    }
}

/// Without the wait for the list, creates would repeat without end: 6,907 in 5 s.
#[tokio::test(start_paused = true)]
async fn lagging_list_causes_few_creates() {
    let orchestrator = orchestrator();
    orchestrator.runtime.set_list_lag(Duration::from_secs(5));
    orchestrator.apply(&app("web", "web:1", 1)).await.unwrap();
    orchestrator.until_ready("web").await;
    let journal = orchestrator.runtime.take_journal();
    let creates = journal.iter().filter(|call| call.starts_with("create")).count();
    assert!(creates <= 10, "{creates} creates: {journal:?}");
    assert_eq!(orchestrator.runtime.containers().len(), 1);
}

/// A runtime that never lists what it creates gets creates with back-off.
#[tokio::test(start_paused = true)]
async fn unlisted_containers_back_off() {
    let orchestrator = orchestrator();
    orchestrator.runtime.set_list_lag(Duration::from_secs(100_000));
    orchestrator.apply(&app("web", "web:1", 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let journal = orchestrator.runtime.take_journal();
    let creates = journal.iter().filter(|call| call.starts_with("create")).count();
    assert!((1..=10).contains(&creates), "{creates} creates: {journal:?}");
}
