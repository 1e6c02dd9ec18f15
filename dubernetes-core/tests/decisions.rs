//! Decisions that the text of a scenario does not show, or that lead to no end that it could state.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use dubernetes_core::plan::{Action, Plan, RouteStep};
use dubernetes_testkit::notation;

fn plan(given: &str) -> Plan {
    let given = notation::parse(given).unwrap();
    dubernetes_core::reconcile(&given.desired, &given.observed, given.now)
}

/// A table without a replica that was served would answer 503.
#[test]
fn unknown_table_is_replaced_once_each_replica_is_probed() {
    let given = "network\ningress unknown msg=damaged\napp web host=web.local\nweb-1";
    assert_eq!(plan(&format!("{given} unknown")).routes.step, RouteStep::Unknown);
    assert_eq!(plan(&format!("{given} ready")).routes.step, RouteStep::Apply);
}

/// Four containers may be live, and one more may terminate. Four are, two of them terminating: of
/// two crashed replicas only one restarts.
#[test]
fn restarts_share_the_free_places() {
    let plan = plan(
        "network
         app web rev=2 replicas=3 paused progressing fallback=1
         revision web 1
         web-1 rev=1 ready
         web-1 rev=1 ready restarts=1
         web-4 ready
         web-4 ready restarts=1
         web-2..3 rev=1 exited code=1 ago=60s",
    );
    let creates = plan.actions.iter().filter(|step| matches!(step.action, Action::Create(_)));
    assert_eq!(creates.count(), 1, "{plan}");
}

#[test]
fn one_off_container_is_a_pod_of_its_app() {
    let plan = plan(
        "network
         app job replicas=0
         run job-run-qhzkt wanted attached
         run job-run-qhzkt running",
    );
    let pods = plan.statuses.values().flat_map(|status| &status.one_offs);
    assert_eq!(Vec::from_iter(pods.map(|pod| pod.name.as_str())), ["job-run-qhzkt"]);
}

#[test]
fn successor_carries_how_the_former_container_ended() {
    let plan = plan("network\napp web replicas=1\nweb-1 exited code=3 ago=60s");
    let ends = plan.actions.iter().filter_map(|step| match &step.action {
        Action::Create(replica) => Some(replica.labels.last_end.clone().unwrap_or_default()),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), ["exit code 3 after 1m0s"], "{plan}");
}

/// Its replicas run, but not as the specification asks.
#[test]
fn rollout_that_is_blocked_is_not_complete() {
    let given = |lacks| {
        format!(
            "{lacks}lacks \"planned addresses\"
             app web replicas=1 volume=data:/data progressing
             web-1 ready ago=60s"
        )
    };
    let is_complete = |plan: &Plan| {
        plan.actions.iter().any(|step| matches!(step.action, Action::RecordRollout { .. }))
    };
    assert!(is_complete(&plan(&given(""))));
    assert!(!is_complete(&plan(&given("lacks volumes\n"))));
}
