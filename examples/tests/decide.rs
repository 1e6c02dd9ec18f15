//! Tests single decisions: desired and observed state go in as plain data, the plan comes out as
//! text. There is no engine, no clock and nothing to wait for.

#![expect(clippy::unwrap_used, reason = "in a test, what cannot go on panics")]

use dubernetes_core::app::AppSpec;
use dubernetes_core::identity;
use dubernetes_core::labels::ReplicaLabels;
use dubernetes_core::reconcile;
use dubernetes_core::runtime::{ContainerId, ContainerState, ImageId, Network};
use dubernetes_core::state::{DesiredState, ObservedReplica, ObservedState, Readiness};
use dubernetes_core::store::{Outcome, StoredApp};
use dubernetes_testkit::build::worker;
use jiff::Timestamp;

const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// Two replicas are wanted, of an image that the engine has.
fn desired() -> DesiredState {
    let mut app = StoredApp::first(spec(), NOW);
    app.image_id = Some(ImageId("sha256:abc".into()));
    app.rollout.outcome = Outcome::Stable;
    DesiredState { apps: [(app.spec.name.clone(), app)].into(), ..DesiredState::default() }
}

fn spec() -> AppSpec {
    worker("web", "web:1", 2)
}

fn observed(replicas: impl IntoIterator<Item = ObservedReplica>) -> ObservedState {
    let network = Network { id: "net".into(), subnet: "10.1.0.0/24".parse().unwrap() };
    let replicas = replicas.into_iter().collect();
    ObservedState { network: Some(network), replicas, ..ObservedState::default() }
}

/// A replica that is ready and just as it is wanted.
fn ready(ordinal: u32) -> ObservedReplica {
    ObservedReplica {
        id: ContainerId(format!("id-{ordinal}")),
        name: format!("dubernetes.default.web-{ordinal}.r1"),
        labels: ReplicaLabels {
            app: spec().name,
            revision: 1,
            ordinal,
            spec_hash: identity::spec_hash(&spec()),
            image: Some(ImageId("sha256:abc".into())),
            address: format!("10.1.0.{}", 100 + ordinal).parse().unwrap(),
            port: 80,
            restarts: 0,
            consecutive_restarts: 0,
            last_end: None,
        },
        state: ContainerState::Running { started_at: NOW },
        created_at: NOW,
        image_id: ImageId("sha256:abc".into()),
        readiness: Readiness::Ready { since: NOW },
    }
}

/// The actions as text, in the order of the plan.
fn actions(desired: &DesiredState, observed: &ObservedState) -> Vec<String> {
    let plan = reconcile(desired, observed, NOW);
    plan.actions.iter().map(|planned| planned.to_string()).collect()
}

#[test]
fn what_is_missing_is_created() {
    let plan = actions(&desired(), &observed([ready(1)]));
    assert_eq!(plan, ["create   web-2        2 wanted, 1 exist"]);
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    assert_eq!(actions(&desired(), &observed([ready(1), ready(2)])), Vec::<String>::new());
}

#[test]
fn what_has_ended_gets_a_successor_at_once_the_first_time() {
    let ended =
        ContainerState::Exited { code: 3, out_of_memory: false, started_at: NOW, finished_at: NOW };
    let ended = ObservedReplica { state: ended, ..ready(2) };
    let plan = actions(&desired(), &observed([ready(1), ended]));
    assert_eq!(plan, ["create   web-2        exit code 3; restart 1"]);
}

#[test]
fn the_order_of_what_is_observed_does_not_matter() {
    let one = reconcile(&desired(), &observed([ready(1), ready(2), ready(3)]), NOW);
    let other = reconcile(&desired(), &observed([ready(3), ready(1), ready(2)]), NOW);
    assert_eq!(one, other);
    assert!(!one.actions.is_empty(), "one of the three is too much");
}
