//! First start of an app: until its containers run, and until nginx leads to each of them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::compose::Compose;
use super::report::{Row, Target, Unit};
use super::{Bench, Measured, seconds_between};
use crate::manifest::whoami;
use crate::scenario::Scenario;
use crate::slots;

/// Starts of a single replica per run. They are short, so other work matters more.
const ONE_REPLICA: u32 = 4;
/// Time between two requests that look for a route.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

pub(super) async fn measure(bench: &Bench) -> Measured {
    let request = bench.copy_of_base().await;
    let parallel = bench.engine.best_parallelism(&request, 10).await;
    let compose = Compose::find(bench).await;
    let mut measured = Measured::default();
    for (count, times, routed_target) in [(1, ONE_REPLICA, 1.8), (10, 1, 1.25)] {
        let replicas = if count == 1 { "1 replica" } else { "10 replicas" };
        let [mut running, mut routed] = rows(replicas, compose.as_ref().ok());
        running.target = Some(Target::ratio(1.1));
        routed.target = Some(Target::ratio(routed_target));
        for number in 0..bench.runs * times {
            let _alone = slots::take_all().await;
            let bare = bench.engine.run_copies(&request, count, parallel).await;
            let name = format!("web{count}-{number}");
            let (runs, answers) = deploy(&bench.scenario, &name, count).await;
            let mut baselines = vec![bare];
            if let Ok(compose) = &compose {
                baselines.push(compose.start(bench, count).await);
            }
            running.push(runs, &baselines);
            routed.push(answers, &baselines);
        }
        measured.rows.extend([running, routed]);
    }
    measured.notes.push(format!(
        "The engine API creates and starts the same containers, {parallel} at a time, the fastest \
         of 2, 4 and 8 for 10 containers. Each run starts one replica {ONE_REPLICA} times."
    ));
    measured.notes.extend(compose.err());
    measured.notes.push(
        "Docker Swarm is not measured: `docker swarm init` would change the mode of the engine for \
         everything on it."
            .to_owned(),
    );
    measured
}

fn rows(replicas: &str, compose: Option<&Compose>) -> [Row; 2] {
    let meanings = [
        (
            "running",
            "from the start of `dubernetes apply` until the engine has started the last container, \
             by its own `StartedAt`. nginx and the image exist.",
        ),
        ("routed", "from the same start until each replica has answered a request through nginx."),
    ];
    meanings.map(|(what, meaning)| {
        let name = format!("{replicas} {what}");
        let row = Row::new(&name, meaning, Unit::Seconds).baseline("engine API, running");
        match compose {
            Some(compose) => row.baseline(&format!("{}, running", compose.name)),
            None => row,
        }
    })
}

/// Applies an app, and returns the seconds until its containers run and until all answer. Deletes
/// the app.
async fn deploy(scenario: &Scenario, name: &str, replicas: u32) -> (f64, f64) {
    let host = format!("{name}.test");
    let manifest = whoami(name, replicas).host(&host);
    let begin = Timestamp::now();
    let answered = async {
        all_answer(scenario, &host, replicas).await;
        seconds_between(begin, Timestamp::now())
    };
    let (_, routed) = tokio::join!(scenario.apply(&manifest), answered);
    let containers = scenario.containers_of(name).await;
    let started = containers.iter().filter_map(|container| container.state.started_at());
    let running = started.max().unwrap();
    let _ = scenario.run(&["delete", name]).await.assert_success();
    (seconds_between(begin, running), routed)
}

/// Waits until `replicas` replicas have answered requests for `host`.
async fn all_answer(scenario: &Scenario, host: &str, replicas: u32) {
    let mut seen = BTreeSet::new();
    while u32::try_from(seen.len()).unwrap() < replicas {
        if let Ok(answer) = scenario.get(host, "/").await
            && answer.status == 200
        {
            seen.extend(answer.field("Replica"));
        } else {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
