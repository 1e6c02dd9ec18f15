//! Work of which `cargo xtask instructions` counts the instructions. Without arguments it lists the
//! scenarios; with the name of one it does its work once.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the list of scenarios is its output")]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;

use dubernetes_controller::Snapshot;
use dubernetes_core::app;
use dubernetes_core::reconcile;
use dubernetes_manifest::{Source, parse};
use dubernetes_nginx::config::{Proxies, RenderContext, write};
use dubernetes_nginx::features::{Features, Stream};
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::{self, TestOrchestrator, converged};
use jiff::Timestamp;

type Scenario = fn();

const SCENARIOS: [(&str, Scenario); 5] = [
    ("a pass over 100 converged apps of 10 replicas", pass),
    ("nginx's files for 100 apps of 5 replicas", nginx_files),
    ("a manifest with every key", manifest),
    ("an exit of one of 30 replicas, until its app is ready again", container_event),
    ("a minute at rest with 10 apps of 3 replicas", rest),
];

fn main() {
    match std::env::args().nth(1).filter(|argument| !argument.starts_with("--")) {
        None => SCENARIOS.iter().for_each(|(name, _)| println!("{name}")),
        Some(wanted) => {
            let found = SCENARIOS.iter().find(|(name, _)| *name == wanted);
            let (_, scenario) = found.expect("`xtask instructions` passes the name of a scenario");
            scenario();
        }
    }
}

/// Does the work that is counted: the instructions of this function and what it calls.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

fn pass() {
    let (desired, observed) = converged(100, 10, Timestamp::UNIX_EPOCH);
    counted(|| reconcile(&desired, &observed, Timestamp::UNIX_EPOCH));
}

fn nginx_files() {
    let (desired, observed) = converged(100, 5, Timestamp::UNIX_EPOCH);
    let table = reconcile(&desired, &observed, Timestamp::UNIX_EPOCH).routes.table;
    let context = RenderContext {
        address: Ipv4Addr::new(10, 0, 0, 2),
        any_address: false,
        gateway: Ipv4Addr::new(10, 0, 0, 1),
        version: None,
        features: Features { names: true, stream: Some(Stream::BuiltIn), js: None },
        keepalive_window: app::Duration::from_secs(1),
        https_port: None,
        access_log: true,
        count_requests: false,
        proxies: Proxies::default(),
    };
    counted(|| write(&table, &context)).unwrap();
}

fn manifest() {
    let text = include_str!("../../dubernetes-manifest/tests/manifests/good/everything.yaml");
    let source = [Source { name: "everything.yaml".into(), text: text.into() }];
    counted(|| parse(&source)).unwrap();
}

fn container_event() {
    on_fakes(async |orchestrator| {
        orchestrator.runtime.kill("dubernetes.default.app7-2.r1", 1);
        let is_seen = |seen: &Snapshot| {
            seen.plan.statuses.values().any(|status| status.ready < status.desired)
        };
        orchestrator.until("the exit is seen", Duration::from_secs(60), is_seen).await;
        orchestrator.until_ready("app7").await;
    });
}

fn rest() {
    on_fakes(async |_| tokio::time::sleep(Duration::from_secs(60)).await);
}

/// Counts work on an orchestrator with 10 stable apps of 3 replicas, in virtual time.
fn on_fakes(work: impl AsyncFnOnce(&TestOrchestrator)) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let orchestrator = runtime.block_on(async {
        let orchestrator = TestOrchestrator::start();
        orchestrator.runtime.add_image("app:1", Behaviour::default());
        for n in 0..10 {
            orchestrator.apply(&build::app(&format!("app{n}"), "app:1", 3)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(90)).await;
        orchestrator
    });
    counted(|| runtime.block_on(work(&orchestrator)));
}
