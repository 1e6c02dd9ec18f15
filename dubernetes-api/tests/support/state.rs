//! What the router needs of an orchestrator on fakes.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use dubernetes_api::server::{ApiState, OrchestratorInfo, SocketAccess};
use dubernetes_api::wire::Mode;
use dubernetes_core::app::InstanceName;
use dubernetes_testkit::build::TestOrchestrator;
use dubernetes_testkit::{FakeIngress, FakeRuntime, MemoryJournal, MemoryStore, TokioClock};

/// Starts an orchestrator on fakes, and returns it with the state of a router that has its journal.
pub(crate) fn recorded() -> (TestOrchestrator, ApiState) {
    let (clock, journal) = (TokioClock::new(), Arc::new(MemoryJournal::default()));
    let (runtime, ingress) = (FakeRuntime::new(clock), FakeIngress::default());
    let recorder = Arc::clone(&journal);
    let orchestrator =
        TestOrchestrator::start_with(runtime, Arc::default(), ingress, clock, |builder| {
            builder.recorder(recorder)
        });
    let state = ApiState { journal: Some(journal), ..state(&orchestrator) };
    (orchestrator, state)
}

/// Returns the state of the router of an orchestrator.
pub(crate) fn state(orchestrator: &TestOrchestrator) -> ApiState {
    ApiState {
        store: Arc::<MemoryStore>::clone(&orchestrator.store),
        runtime: Arc::new(orchestrator.runtime.clone()),
        controller: orchestrator.handle.clone(),
        dialer: Arc::new(orchestrator.runtime.clone()),
        clock: Arc::new(orchestrator.clock),
        journal: None,
        info: OrchestratorInfo {
            instance: InstanceName::default(),
            version: "1.2.3".to_owned(),
            http_bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            http_port: 8080,
            https_port: None,
            trusted_proxies: dubernetes_core::ingress::TrustedProxies::default(),
            proxy_protocol: false,
            engine: None,
            state_dir: PathBuf::from("/var/lib/dubernetes"),
            pid: 7,
            mode: Mode::Serve,
            access: SocketAccess::SameUser,
        },
    }
}
