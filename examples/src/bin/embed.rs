//! Runs a whole orchestrator inside a program.
//!
//! The controller is the real one. Engine, store and ingress are fakes; an embedding program passes
//! its own implementations of these three traits instead.

#![expect(clippy::print_stdout, reason = "the example prints what happens")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_controller::{Adapters, Controller, Options};
use dubernetes_core::app::InstanceName;
use dubernetes_core::clock::Clock as _;
use dubernetes_core::plan::Phase;
use dubernetes_core::store::{PutApp, Store as _};
use dubernetes_manifest::Source;
use dubernetes_testkit::{Behaviour, FakeIngress, FakeRuntime, MemoryStore, TokioClock};
use tokio_util::sync::CancellationToken;

// Time is virtual, so waiting for a probe or a back-off takes no time.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock = TokioClock::new();
    let runtime = FakeRuntime::new(clock);
    let store = Arc::new(MemoryStore::new());
    let ingress = FakeIngress::default();
    runtime.add_image("dubernetes-whoami:1", Behaviour::default());
    let adapters = Adapters {
        runtime: Arc::new(runtime.clone()),
        store: Arc::<MemoryStore>::clone(&store),
        ingress: Arc::new(ingress.clone()),
        clock: Arc::new(clock),
    };
    let (controller, handle) = Controller::new(Options::new(InstanceName::default()), adapters);
    let stop = CancellationToken::new();
    let running = tokio::spawn(controller.run(stop.clone()));

    let file = Source::read("app.yaml", &include_bytes!("../../whoami/app.yaml")[..])?;
    let app = dubernetes_manifest::parse(&[file])?.apps.swap_remove(0).spec;
    let name = app.name.clone();
    let put = PutApp::new(app, clock.now());
    println!("{name} is {}", store.put(put).await?.change.as_str());

    let is_ready = |phase| phase == Some(Phase::Ready);
    for moment in ["at first", "after a crash"] {
        let mut snapshots = handle.snapshots();
        let wait = snapshots.wait_for(|s| is_ready(s.plan.statuses.get(&name).map(|a| a.phase)));
        drop(tokio::time::timeout(Duration::from_secs(60), wait).await??);
        println!("{moment}: {} containers, a request goes to", runtime.containers().len());
        println!("  {:?}", ingress.request("whoami.local", "/"));
        runtime.kill(&runtime.containers()[0].name, 137);
        let mut snapshots = handle.snapshots();
        snapshots.wait_for(|s| !is_ready(s.plan.statuses.get(&name).map(|a| a.phase))).await?;
    }
    stop.cancel();
    Ok(running.await?)
}
