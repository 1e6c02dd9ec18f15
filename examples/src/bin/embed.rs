//! Runs a whole orchestrator inside a program.
//!
//! The orchestrator is the real one. Engine, store and ingress are fakes; an embedding program
//! passes its own implementations of these three traits instead.

#![expect(clippy::print_stdout, reason = "the example prints what happens")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use dubernetes::app::InstanceName;
use dubernetes::manifest::{self, Source};
use dubernetes::plan::Phase;
use dubernetes::{CancellationToken, Orchestrator, Snapshot};
use dubernetes_testkit::{Behaviour, FakeIngress, FakeRuntime, MemoryStore, TokioClock};

const LIMIT: Duration = Duration::from_secs(60);

// Time is virtual, so waiting for a probe or a back-off takes no time.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock = TokioClock::new();
    let runtime = FakeRuntime::new(clock);
    let ingress = FakeIngress::default();
    runtime.add_image("dubernetes-whoami:1", Behaviour::default());
    let orchestrator = Orchestrator::builder(InstanceName::default())
        .runtime(Arc::new(runtime.clone()))
        .store(Arc::new(MemoryStore::new()))
        .ingress(Arc::new(ingress.clone()))
        .dialer(Arc::new(runtime.clone()))
        .clock(Arc::new(clock))
        .build();
    let handle = orchestrator.handle();
    let stop = CancellationToken::new();
    let running = tokio::spawn(orchestrator.run(stop.clone()));

    let file = Source::read("app.yaml", &include_bytes!("../../whoami/app.yaml")[..])?;
    let app = manifest::parse(&[file])?.apps.swap_remove(0).spec;
    println!("{} is {}", app.name, handle.apply(&app).await?.change.as_str());

    let is_ready = |snapshot: &Snapshot| {
        snapshot.plan.statuses.get(&app.name).is_some_and(|status| status.phase == Phase::Ready)
    };
    for moment in ["at first", "after a crash"] {
        handle.until_ready(&app.name, LIMIT).await?;
        println!("{moment}: {} containers, a request goes to", runtime.containers().len());
        println!("  {:?}", ingress.request("whoami.local", "/"));
        runtime.kill(&runtime.containers()[0].name, 137);
        handle.snapshots().wait_for(|snapshot| !is_ready(snapshot)).await?;
    }
    stop.cancel();
    Ok(running.await?)
}
