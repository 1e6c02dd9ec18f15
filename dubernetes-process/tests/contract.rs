//! The contract suite on processes of this machine.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "common/support.rs"]
mod support;

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_testkit::contract::container_runtime::{Facts, run_all};

#[tokio::test]
async fn process_runtime_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let facts = Facts {
        instance: InstanceName::parse("one").unwrap(),
        other_instance: InstanceName::parse("two").unwrap(),
        image: support::program(folder.path(), "sleeper", "exec sleep 86400"),
        missing_image: ImageRef::parse("program=/nonexistent/program").unwrap(),
        // The suite's commands write to paths of the container, which here are those of the host.
        real_commands: false,
    };
    let report = run_all(&support::open(folder.path()), &facts).await;
    report.assert_passed();
    assert!(!report.skipped().contains(&"end_of_container_is_an_event"), "{report}");
}
