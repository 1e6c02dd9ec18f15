//! Tests of single decisions: desired and observed state go in as a few lines of text, the plan
//! comes out as text. No engine, no clock, no waiting.
//!
//! The module [`notation`] documents the words. What a line does not mention has its usual value.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use dubernetes::reconcile;
use dubernetes_testkit::notation;

/// Asserts that this input leads to a plan with exactly these lines.
fn check(given: &str, expected: &[&str]) {
    let given = notation::parse(given).unwrap();
    let plan = reconcile(&given.desired, &given.observed, given.now).to_string();
    assert_eq!(plan.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn missing_replica_is_created() {
    let given = "network
                 app web replicas=2
                 web-1 ready";
    check(given, &["create   web-2        2 replicas wanted, 1 exists"]);
}

#[test]
fn converged_app_is_left_alone() {
    let given = "network
                 app web replicas=2
                 web-1..2 ready";
    check(given, &[]);
}

#[test]
fn first_crash_is_restarted_at_once() {
    let given = "network
                 app web replicas=2
                 web-1 ready
                 web-2 exited code=3 ran=5s";
    check(given, &["create   web-2        exit code 3; restart 1"]);
}

#[test]
fn fourth_crash_waits_for_back_off() {
    let given = "network
                 app web replicas=1
                 web-1 exited code=3 ran=5s ago=1s restarts=3";
    check(given, &["wait     web-1        exit code 3 after 5.0s, 3 restarts"]);
}

#[test]
fn order_of_observed_replicas_does_not_matter() {
    let given = notation::parse("network\n app web replicas=2\n web-1..3 ready").unwrap();
    let mut reversed = given.observed.clone();
    reversed.replicas.reverse();
    let plan = reconcile(&given.desired, &given.observed, given.now);
    assert_eq!(plan, reconcile(&given.desired, &reversed, given.now));
    assert!(!plan.actions.is_empty(), "one of the three replicas is surplus");
}
