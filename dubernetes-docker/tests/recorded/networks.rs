//! The instance's network and its owner on recorded answers.

use dubernetes_core::runtime::{ContainerRuntime, Networks, Owner, RuntimeError};

use super::server::{Answer, RecordedEngine};
use super::{instance, ok, status};

#[tokio::test]
async fn rejected_subnets_are_skipped() {
    let id = "a1941b5f4a075427f57985acfd4e2ff4eb63ba8887ec436312368bff3848cd39";
    let made = format!(r#"{{"Id": "{id}", "Warning": ""}}"#);
    let listed = format!("[{}]", include_str!("docker_20_10_network.json"));
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok(include_str!("docker_20_10_networks.json"))),
        ("GET /networks", ok(&listed)),
        ("POST /networks/create", status(403)),
        ("POST /networks/create", status(500)),
        ("POST /networks/create", ok(&made)),
    ]);
    let network = engine.runtime().ensure(&instance()).await.unwrap();
    assert_eq!(network.subnet.to_string(), "10.201.8.0/22", "the subnet is read back");
    assert_eq!(engine.count("POST /networks/create"), 3);
}

#[tokio::test]
async fn tries_of_subnets_are_limited() {
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("POST /networks/create", status(403)),
    ]);
    let error = engine.runtime().ensure(&instance()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert_eq!(engine.count("POST /networks/create"), 64);
}

#[tokio::test]
async fn newer_of_two_networks_created_at_once_is_removed() {
    let both = r#"[
        {"Id": "new", "Name": "dubernetes.recorded", "Created": "2026-01-02T00:00:00Z",
         "Labels": {"dubernetes.instance": "recorded"}},
        {"Id": "old", "Name": "dubernetes.recorded", "Created": "2026-01-01T00:00:00Z",
         "Labels": {"dubernetes.instance": "recorded"},
         "IPAM": {"Config": [{"Subnet": "10.202.0.0/22"}]}}]"#;
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok(both)),
        ("POST /networks/create", ok(r#"{"Id": "new", "Warning": ""}"#)),
        ("DELETE /networks/new", Answer::Whole(204, String::new())),
    ]);
    assert_eq!(engine.runtime().ensure(&instance()).await.unwrap().id, "old");
    assert_eq!(engine.count("DELETE /networks/new"), 1);
}

#[tokio::test]
async fn concurrent_calls_create_one_network() {
    let made = r#"[{"Id": "new", "Name": "dubernetes.recorded",
                    "Labels": {"dubernetes.instance": "recorded"},
                    "IPAM": {"Config": [{"Subnet": "10.202.0.0/22"}]}}]"#;
    let empty = || ("GET /networks", ok("[]"));
    let engine = RecordedEngine::start(&[
        // Each call looks for the network; the first to hold the lock looks again and lists the
        // subnets.
        empty(),
        empty(),
        empty(),
        empty(),
        ("GET /networks", ok(made)),
        ("POST /networks/create", ok(r#"{"Id": "new", "Warning": ""}"#)),
    ]);
    let runtime = engine.runtime();
    let instance = instance();
    let (one, other) = tokio::join!(runtime.ensure(&instance), runtime.ensure(&instance));
    assert_eq!(one.unwrap().id, other.unwrap().id);
    assert_eq!(engine.count("POST /networks/create"), 1);
}

#[tokio::test]
async fn foreign_network_with_the_same_name_is_rejected() {
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("POST /networks/create", status(409)),
    ]);
    let error = engine.runtime().ensure(&instance()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert_eq!(engine.count("POST /networks/create"), 1);
}

fn owner(id: &str) -> Owner {
    Owner { id: id.into(), folder: "/srv/state".into() }
}

#[tokio::test]
async fn claim_fails_while_another_state_owns_the_network() {
    let listed = serde_json::json!([{
        "Id": "net",
        "Name": "dubernetes.recorded",
        "IPAM": {"Config": [{"Subnet": "10.202.0.0/22"}]},
        "Labels": {"dubernetes.instance": "recorded", "dubernetes.state-id": "a",
                   "dubernetes.state-dir": "/nonexistent"},
    }]);
    let engine = RecordedEngine::start(&[("GET /networks", ok(&listed.to_string()))]);
    let runtime = engine.runtime();
    runtime.claim(&instance(), &owner("a")).await.unwrap();
    let error = engine.runtime().claim(&instance(), &owner("b")).await.unwrap_err();
    assert!(matches!(&error, RuntimeError::OwnedByOtherState { id: Some(id), .. } if id == "a"));
    assert!(error.to_string().contains("`/nonexistent`"), "{error}");
    runtime.find(&instance()).await.unwrap();
}

#[tokio::test]
async fn claimed_owner_becomes_the_labels_of_the_network() {
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("POST /networks/create", status(403)),
    ]);
    let runtime = engine.runtime();
    runtime.claim(&instance(), &owner("a")).await.unwrap();
    let error = runtime.claim(&instance(), &owner("b")).await.unwrap_err();
    assert!(matches!(error, RuntimeError::OwnedByOtherState { .. }), "{error:?}");
    runtime.ensure(&instance()).await.unwrap_err();
    let sent = engine.last("POST /networks/create");
    for label in [r#""dubernetes.state-id":"a""#, r#""dubernetes.state-dir":"/srv/state""#] {
        assert!(sent.contains(label), "{sent}");
    }
}

#[tokio::test]
async fn removal_of_a_used_network_names_the_containers_on_it() {
    let listed = r#"[{"Id": "net", "Name": "dubernetes.recorded",
                      "Labels": {"dubernetes.instance": "recorded"}}]"#;
    let network = r#"{"Id": "net", "Containers": {"0a1b": {"Name": "stranger"}}}"#;
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok(listed)),
        ("GET /networks/net", ok(network)),
        ("DELETE /networks/net", status(403)),
    ]);
    let error = Networks::remove(&engine.runtime(), &instance()).await.unwrap_err().to_string();
    assert!(error.contains("in use by container `stranger`"), "{error}");
}
