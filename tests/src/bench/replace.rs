//! A replica dies: until its successor runs.

use jiff::Timestamp;
use serde_json::json;

use super::report::{Row, Target, Unit};
use super::{Bench, Measured, seconds_between};
use crate::checks::{SOON, eventually};
use crate::manifest::whoami;
use crate::slots;

/// Replacements per run. They are short, so other work matters more.
const TIMES: u32 = 4;

pub(super) async fn measure(bench: &Bench) -> Measured {
    let request = bench.copy_of_base().await;
    let mut always = request.clone();
    always["HostConfig"]["RestartPolicy"] = json!({ "Name": "always" });
    // A signal that is not the stop signal: otherwise the engine would not restart the container.
    always["StopSignal"] = json!("SIGQUIT");
    let meaning = "from the call that kills the only replica, a kill of the engine's API, until \
                   the engine has started its successor. The baselines are: create and start of \
                   one such container; and a container with the restart policy `always` that ends \
                   by a signal, until its next start.";
    let mut row = Row::new("a dead replica is replaced", meaning, Unit::Seconds)
        .baseline("engine API, one container")
        .baseline("restart policy always")
        .target(Target::ratio(1.15));
    for number in 0..bench.runs * TIMES {
        let _alone = slots::take_all().await;
        let bare = bench.engine.run_copies(&request, 1, 1).await;
        let value = replace(bench, &format!("solo{number}")).await;
        let id = bench.engine.create(&always).await;
        bench.engine.start(&id).await;
        bench.engine.wait_until_listening(&id).await;
        let begin = Timestamp::now();
        bench.engine.kill(&id, "SIGTERM").await;
        let restarted = bench.engine.wait_for_restart(&id, begin).await;
        bench.engine.remove(&id).await;
        row.push(value, &[bare, restarted]);
    }
    let notes = vec![format!("Each run measures {TIMES} of each.")];
    Measured { rows: vec![row], notes, ..Measured::default() }
}

/// Kills the only replica of a new app, and returns the seconds until its successor runs. Each app
/// is killed once: a second death would have to wait for the back-off.
async fn replace(bench: &Bench, name: &str) -> f64 {
    let Bench { scenario, engine, .. } = bench;
    let _ = scenario.apply(&whoami(name, 1)).await;
    let killed = scenario.containers_of(name).await[0].id.to_string();
    let begin = Timestamp::now();
    engine.kill(&killed, "SIGKILL").await;
    let successor = eventually("the successor runs", SOON, async || {
        let containers = scenario.containers_of(name).await;
        let mut started = containers.iter().filter_map(|container| container.state.started_at());
        let started = started.find(|at| *at > begin);
        started.ok_or_else(|| format!("{containers:?}"))
    })
    .await;
    let _ = scenario.run(&["delete", name]).await.assert_success();
    seconds_between(begin, successor)
}
