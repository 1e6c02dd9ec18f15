//! The contract suites on the fakes, on adapters that break one promise each, and the page that
//! shows which adapter passes which check.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "contracts/fake_world.rs"]
mod fake_world;
#[path = "contracts/ingress_mutants.rs"]
mod ingress_mutants;
#[path = "contracts/local_runtime.rs"]
mod local_runtime;
#[path = "contracts/mutants.rs"]
mod mutants;
#[path = "contracts/page.rs"]
mod page;
#[path = "contracts/runtime_mutants.rs"]
mod runtime_mutants;
#[path = "contracts/store_mutants.rs"]
mod store_mutants;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::store::Store;
use dubernetes_testkit::contract::container_runtime::{Facts, RuntimeSubject};
use dubernetes_testkit::contract::ingress::IngressSubject;
use dubernetes_testkit::contract::store::StoreSubject;
use dubernetes_testkit::contract::{CheckOutcome, Report, Subject, run_all};
use dubernetes_testkit::{
    Behaviour, FOREVER, FakeIngress, FakeRuntime, Fault, MemoryStore, Operation, TokioClock,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use fake_world::FakeWorld;
use local_runtime::LocalRuntime;

/// Returns the file with the results of an adapter.
fn golden(adapter: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/conformance/{adapter}.json"))
}

fn facts(image: &str, folder: &str) -> Facts {
    Facts {
        instance: InstanceName::parse("one").unwrap(),
        other_instance: InstanceName::parse("two").unwrap(),
        image: ImageRef::parse(image).unwrap().into(),
        missing_image: ImageRef::parse("missing:1").unwrap().into(),
        real_commands: false,
        folder: folder.to_owned(),
        web_server: None,
        volume: None,
    }
}

fn fake_runtime() -> (FakeRuntime, RuntimeSubject) {
    let fake = FakeRuntime::new(TokioClock::new());
    fake.add_image("sleeper:1", Behaviour::default());
    let (runtime, second) = (Arc::new(fake.clone()), Arc::new(fake.clone()));
    let facts = facts("sleeper:1", "/contract");
    (fake, RuntimeSubject { runtime, second: Some(second), facts })
}

#[tokio::test(start_paused = true)]
async fn fake_runtime_keeps_the_contract() {
    let report = run_all(&[fake_runtime().1], "").await;
    report.assert_passed();
    report.assert_golden(&golden("fake-runtime"));
}

#[tokio::test]
async fn local_runtime_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let subjects = [0, 1, 2].map(|lane| LocalRuntime::subject(folder.path(), lane));
    let report = run_all(&subjects, "").await;
    report.assert_passed();
    let ran = report.results().len() - report.skipped().len();
    assert!(ran >= 60, "processes of this host run most checks: {report}");
}

#[tokio::test(start_paused = true)]
async fn suite_continues_after_failures_panics_and_hangs() {
    for fault in [Fault::Error, Fault::Panic, Fault::Hang] {
        let (fake, subject) = fake_runtime();
        fake.faults().inject(Operation::Stats, fault, FOREVER);
        let report = run_all(&[subject], "").await;
        assert_eq!(
            report.failed(),
            ["stats_grow", "stats_need_a_container"],
            "{fault:?}: {report}"
        );
        assert_eq!(report.results().len(), RuntimeSubject::checks().len());
    }
}

#[tokio::test(start_paused = true)]
async fn filter_and_several_subjects_select_and_share_checks() {
    let subjects = [fake_runtime().1, fake_runtime().1];
    let report = run_all(&subjects, "list_").await;
    let checks = RuntimeSubject::checks();
    let expected = checks.iter().map(|check| check.name).filter(|name| name.contains("list_"));
    let names: Vec<_> = report.results().iter().map(|result| result.name).collect();
    assert_eq!(names, expected.collect::<Vec<_>>());
    assert!(names.len() > 2, "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn report_says_what_was_skipped_and_seen() {
    let (fake, subject) = fake_runtime();
    fake.faults().inject(Operation::Stats, Fault::Error, FOREVER);
    let report = run_all(&[subject], "s").await;
    let text = report.to_string();
    assert!(text.contains("skipped  long_output_is_whole: needs real commands"), "{text}");
    assert!(text.contains("could not measure a container: "), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let failed = json["results"].as_array().unwrap().iter().find(|r| r["name"] == "stats_grow");
    let seen = failed.unwrap()["seen"].as_str().unwrap();
    assert!(seen.starts_with("could not measure a container: "), "{seen}");
}

#[test]
fn each_suite_has_many_checks_with_names_and_promises_of_their_own() {
    fn count<S: Subject>() -> usize {
        let checks = S::checks();
        let names: std::collections::BTreeSet<_> = checks.iter().map(|check| check.name).collect();
        let promises: std::collections::BTreeSet<_> =
            checks.iter().map(|check| check.promise).collect();
        assert_eq!((names.len(), promises.len()), (checks.len(), checks.len()), "{}", S::SUITE);
        checks.len()
    }
    let counts = [count::<RuntimeSubject>(), count::<IngressSubject>(), count::<StoreSubject>()];
    assert!(counts[0] >= 50 && counts[1] >= 25 && counts[2] >= 55, "{counts:?}");
}

fn fake_ingress() -> IngressSubject {
    let fake = FakeIngress::default();
    let (ingress, second) = (Arc::new(fake.clone()), Arc::new(fake.clone()));
    IngressSubject { ingress, second: Some(second), world: Arc::new(FakeWorld::new(fake, None)) }
}

#[tokio::test(start_paused = true)]
async fn fake_ingress_keeps_the_contract() {
    let report = run_all(&[fake_ingress()], "").await;
    report.assert_passed();
    report.assert_golden(&golden("fake-ingress"));
    assert!(report.skipped().is_empty(), "{report}");
}

fn new_store() -> BoxFuture<'static, Arc<dyn Store>> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    std::future::ready(store).boxed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_store_keeps_the_contract() {
    let report = run_all(&[StoreSubject::new(new_store)], "").await;
    report.assert_passed();
    report.assert_golden(&golden("memory-store"));
    // Nothing is written, so the store itself stands for its data.
    let itself =
        StoreSubject::new(new_store).reopened_by(|store| std::future::ready(store).boxed());
    run_all(&[itself], "").await.assert_passed();
}

/// Returns the checks that failed, with what they saw.
fn failures(report: &Report) -> Vec<String> {
    let failed = report.results().iter().filter_map(|result| match &result.outcome {
        CheckOutcome::Failed { seen } => Some(format!("{}: {seen}", result.name)),
        CheckOutcome::Passed | CheckOutcome::Skipped { .. } => None,
    });
    failed.collect()
}
