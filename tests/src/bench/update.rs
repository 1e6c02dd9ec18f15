//! Update of five replicas under load.

use dubernetes_api::Client;
use dubernetes_api::client::EventsQuery;
use dubernetes_core::app::AppName;
use dubernetes_core::labels::INSTANCE;
use jiff::Timestamp;

use super::report::{Moment, Row, Target, Unit};
use super::{BASE, BASE_HOST, Bench, Measured, seconds_between};
use crate::load::Load;
use crate::manifest::whoami;
use crate::slots;

const REPLICAS: u32 = 5;
/// Requests per second during an update.
const RATE: u32 = 50;
const FAST: &str = "rollout: { max_surge: '100%', min_ready: 1ms }\nstop: { drain: 1s }";

pub(super) async fn measure(bench: &Bench) -> Measured {
    let request = bench.copy_of_base().await;
    let row = |name, meaning, baseline: &str, limit| {
        Row::new(name, meaning, Unit::Seconds).baseline(baseline).target(Target::AtMost(limit))
    };
    let mut defaults = row(
        "defaults",
        "`dubernetes apply` of a changed environment variable, the whole command. The baseline \
         creates, starts, stops and removes 5 such containers one after the other, and waits for \
         nothing else.",
        "engine API, one at a time",
        12.0,
    );
    let mut fast = row(
        "all at once",
        "the same with `max_surge: 100%`, `min_ready: 1ms` and `drain: 1s`; the baseline does it \
         5 at a time.",
        "engine API, 5 at a time",
        4.0,
    );
    let meaning = format!("failed requests of {RATE} a second during both updates.");
    let mut lost = Row::new("requests lost", &meaning, Unit::Count).target(Target::AtMost(0.0));
    let mut timeline = Vec::new();
    let mut sent = 0;
    for number in 0..bench.runs {
        let _alone = slots::take_all().await;
        let load = Load::start(bench.scenario.port, BASE_HOST, BASE, RATE);
        load.wait_for_requests(RATE).await;
        let bare = bench.engine.cycle_copies(&request, REPLICAS, 1).await;
        let begin = Timestamp::now();
        defaults.push(update(bench, number, "").await, &[bare]);
        let updated = Timestamp::now();
        if number + 1 == bench.runs {
            timeline = events(bench, begin, updated).await;
        }
        let bare = bench.engine.cycle_copies(&request, REPLICAS, 5).await;
        fast.push(update(bench, number, FAST).await, &[bare]);
        let tally = load.stop().await;
        lost.push(f64::from(tally.failed), &[]);
        sent += tally.sent;
    }
    let notes = vec![format!("{sent} requests were sent during the updates.")];
    Measured { rows: vec![defaults, fast, lost], notes, timeline }
}

/// Updates the app, and returns the seconds that the command took.
async fn update(bench: &Bench, number: u32, settings: &str) -> f64 {
    let kind = if settings.is_empty() { "defaults" } else { "fast" };
    let env = format!("env: {{ RUN: '{kind}-{number}' }}\n{settings}");
    let manifest = whoami(BASE, REPLICAS).host(BASE_HOST).with(&env);
    bench.scenario.apply(&manifest).await.took.as_secs_f64()
}

/// Returns what happened in a period: events of the app, and of the engine. Ends with the second
/// container: all replicas are replaced alike. The engine keeps only its last 256 events, so those
/// of the first replicas may be missing.
async fn events(bench: &Bench, begin: Timestamp, end: Timestamp) -> Vec<Moment> {
    let instance = &bench.scenario.instance;
    let client = Client::unix(bench.scenario.state_dir().join("dubernetes.sock")).unwrap();
    let app = Some(AppName::parse(BASE).unwrap());
    let query = EventsQuery { app, since: Some(begin), ..EventsQuery::default() };
    let ours = client.events(&query).await.unwrap().into_iter().map(|event| {
        let object = event.object().unwrap_or_default();
        (event.time, format!("{object} {}: {}", event.reason, event.message))
    });
    let engine = bench.engine.events(&format!("{INSTANCE}={instance}"), begin, end).await;
    let engine = engine.into_iter().filter_map(|(time, name, action)| {
        let name = name.split('.').skip(2).collect::<Vec<_>>().join(".");
        // Commands in nginx are shown once.
        let is_shown = !["exec_create", "exec_die"].iter().any(|other| action.starts_with(other));
        is_shown.then(|| (time, format!("engine: {name} {action}")))
    });
    let mut events: Vec<_> = ours.chain(engine).collect();
    events.sort();
    let creates = events.iter().enumerate().filter(|(_, (_, text))| text.ends_with(" create"));
    let second = creates.map(|(index, _)| index).nth(1);
    events.truncate(second.map_or(events.len(), |index| index + 1));
    let moment = |(time, text)| Moment { at: seconds_between(begin, time), text };
    events.into_iter().map(moment).collect()
}
