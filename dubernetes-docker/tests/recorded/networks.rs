//! The instance's network and its owner on recorded answers.

use std::path::Path;

use dubernetes_core::runtime::{ContainerRuntime, Networks as _, RuntimeError};

use super::server::{Answer, RecordedEngine};
use super::{instance, ok, status};

#[tokio::test]
async fn rejected_subnets_are_skipped() {
    let made = r#"{"Id": "new", "Warning": ""}"#;
    let listed = r#"[{"Id": "new", "Name": "dubernetes.recorded",
                      "Labels": {"dubernetes.instance": "recorded"}}]"#;
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok(include_str!("docker_20_10_networks.json"))),
        ("GET /networks", ok(listed)),
        ("POST /networks/create", status(403)),
        ("POST /networks/create", status(500)),
        ("POST /networks/create", ok(made)),
        ("GET /networks/new", ok(include_str!("docker_20_10_network.json"))),
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
         "Labels": {"dubernetes.instance": "recorded"}}]"#;
    let old = r#"{"Id": "old", "IPAM": {"Config": [{"Subnet": "10.202.0.0/22"}]}}"#;
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok(both)),
        ("POST /networks/create", ok(r#"{"Id": "new", "Warning": ""}"#)),
        ("GET /networks/old", ok(old)),
        ("DELETE /networks/new", Answer::Whole(204, String::new())),
    ]);
    assert_eq!(engine.runtime().ensure(&instance()).await.unwrap().id, "old");
    assert_eq!(engine.count("DELETE /networks/new"), 1);
}

#[tokio::test]
async fn concurrent_calls_create_one_network() {
    let made = r#"[{"Id": "new", "Name": "dubernetes.recorded",
                    "Labels": {"dubernetes.instance": "recorded"}}]"#;
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
        ("GET /networks/new", ok(include_str!("docker_20_10_network.json"))),
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

/// An engine with the instance's network, which belongs to the state directory `owner`.
fn start_owned_by(owner: &Path) -> RecordedEngine {
    let listed = r#"[{"Id": "net", "Name": "dubernetes.recorded",
                      "Labels": {"dubernetes.instance": "recorded"}}]"#;
    let network = serde_json::json!({
        "Id": "net",
        "IPAM": {"Config": [{"Subnet": "10.202.0.0/22"}]},
        "Labels": {"dubernetes.instance": "recorded", "dubernetes.state-dir": owner},
    });
    RecordedEngine::start(&[
        ("GET /networks", ok(listed)),
        ("GET /networks/net", ok(&network.to_string())),
        ("DELETE /networks/net", Answer::Whole(204, String::new())),
    ])
}

#[tokio::test]
async fn claim_fails_while_another_owner_exists() {
    let owner = tempfile::tempdir().unwrap();
    let engine = start_owned_by(owner.path());
    let runtime = engine.runtime();
    let own = owner.path().to_str().unwrap();
    runtime.claim(&instance(), own).await.unwrap();
    let error = runtime.claim(&instance(), "/tmp").await.unwrap_err();
    assert!(matches!(error, RuntimeError::OwnedByOtherState { .. }), "{error:?}");
    assert!(error.to_string().contains(own), "{error}");
    runtime.find(&instance()).await.unwrap();

    let other = engine.runtime().with_state_dir(Path::new("/tmp"));
    let error = other.find(&instance()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::OwnedByOtherState { .. }), "{error:?}");
}

#[tokio::test]
async fn claim_succeeds_once_the_other_owner_is_deleted() {
    let owner = tempfile::tempdir().unwrap();
    let engine = start_owned_by(owner.path());
    let runtime = engine.runtime();
    runtime.claim(&instance(), owner.path().to_str().unwrap()).await.unwrap();
    owner.close().unwrap();
    runtime.claim(&instance(), "/tmp").await.unwrap();
    runtime.find(&instance()).await.unwrap();
}

#[tokio::test]
async fn claimed_owner_becomes_the_label_of_the_network() {
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("POST /networks/create", status(403)),
    ]);
    let runtime = engine.runtime();
    runtime.claim(&instance(), "/tmp").await.unwrap();
    let error = runtime.claim(&instance(), "/").await.unwrap_err();
    assert!(matches!(error, RuntimeError::OwnedByOtherState { .. }), "{error:?}");
    runtime.ensure(&instance()).await.unwrap_err();
    let sent = engine.last("POST /networks/create");
    assert!(sent.contains(r#""dubernetes.state-dir":"/tmp""#), "{sent}");
}
