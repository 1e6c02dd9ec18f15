//! Several machines: the contract of the runtime on three engines.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::Path;
use std::sync::Arc;

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_docker::DockerRuntime;
use dubernetes_swarm::SwarmRuntime;
use dubernetes_testkit::contract::container_runtime::{Facts, RuntimeSubject};
use dubernetes_testkit::contract::run_all;
use dubernetes_tests::manifest::BUSYBOX;
use dubernetes_tests::swarm::Swarm;

fn runtime(swarm: &Swarm) -> SwarmRuntime {
    let manager = DockerRuntime::new(Some(&swarm.host(1))).unwrap();
    let workers = [2, 3].map(|number| (swarm.name(number), swarm.host(number)));
    let runtime = SwarmRuntime::new(manager);
    workers.iter().fold(runtime, |runtime, (name, host)| runtime.with_node(name, host).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn swarm_passes_the_runtime_contract() {
    let Some(swarm) = Swarm::start("swarm_passes_the_runtime_contract", 3, &[BUSYBOX]) else {
        return;
    };
    let instance = |name: &str| InstanceName::parse(&format!("t-swarm-{name}")).unwrap();
    let facts = Facts {
        instance: instance("a"),
        other_instance: instance("b"),
        image: ImageRef::parse(BUSYBOX).unwrap(),
        missing_image: ImageRef::parse("localhost:1/no/such/image:1").unwrap(),
        real_commands: true,
        folder: "/contract".to_owned(),
        web_server: None,
        volume: Some("t-swarm-volume".to_owned()),
    };
    let (one, second) = (Arc::new(runtime(&swarm)), Arc::new(runtime(&swarm)));
    let subject = RuntimeSubject { runtime: one, second: Some(second), facts };
    let report = run_all(&[subject], &std::env::var("CHECK").unwrap_or_default()).await;
    report.assert_passed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance/swarm.json");
    report.assert_golden(&page);
}
