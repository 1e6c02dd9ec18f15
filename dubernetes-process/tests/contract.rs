//! The contract suite on processes of this machine.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "common/support.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;

use dubernetes_core::app::{Artifact, FilePath, InstanceName};
use dubernetes_testkit::contract::container_runtime::{Facts, RuntimeSubject};
use dubernetes_testkit::contract::run_all;

#[tokio::test]
async fn process_runtime_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let facts = Facts {
        instance: InstanceName::parse("one").unwrap(),
        other_instance: InstanceName::parse("two").unwrap(),
        image: support::program(folder.path(), "sleeper", "exec sleep 86400"),
        missing_image: Artifact::Program(FilePath::parse("/nonexistent/program").unwrap()),
        real_commands: true,
        folder: folder.path().join("files").to_str().unwrap().to_owned(),
        web_server: Some("busybox httpd -f -p 127.0.0.1:$PORT -h".to_owned()),
        volume: None,
    };
    let runtime = Arc::new(support::open(folder.path()));
    // A second value is for the next program: one folder serves one value at a time.
    let subject = RuntimeSubject { runtime, second: None, facts };
    let report = run_all(&[subject], "").await;
    report.assert_passed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance/processes.json");
    report.assert_golden(&page);
}
