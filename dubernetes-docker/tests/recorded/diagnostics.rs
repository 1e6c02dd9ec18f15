//! Diagnostics on recorded answers.

use std::net::IpAddr;
use std::path::Path;

use dubernetes_core::app::ImageRef;
use dubernetes_core::runtime::RuntimeError;
use dubernetes_docker::HostInfo;

use super::server::{Answer, RecordedEngine};
use super::{instance, ok, status};

fn nginx() -> ImageRef {
    ImageRef::parse("nginx:stable-alpine").unwrap()
}

#[tokio::test]
async fn host_info_has_what_the_engine_reports() {
    let body = r#"{"DockerRootDir":"/var/lib/docker","SystemTime":"2026-11-26T13:00:00.5Z"}"#;
    let engine = RecordedEngine::start(&[("GET /info", ok(body)), ("GET /info", ok("{}"))]);
    let host = engine.runtime().host_info().await.unwrap();
    assert_eq!(host.data_root.as_deref(), Some(Path::new("/var/lib/docker")));
    assert_eq!(host.time.unwrap().to_string(), "2026-11-26T13:00:00.5Z");
    let host = engine.runtime().host_info().await.unwrap();
    assert_eq!(host, HostInfo { data_root: None, time: None });
}

#[tokio::test]
async fn image_env_is_none_for_a_missing_image() {
    let path = "GET /images/nginx:stable-alpine/json";
    let body = r#"{"Id":"sha256:1","Config":{"Env":["NGINX_VERSION=1.30.6"]}}"#;
    let engine = RecordedEngine::start(&[(path, ok(body)), (path, status(404))]);
    let env = engine.runtime().image_env(&nginx()).await.unwrap();
    assert_eq!(env, Some(vec!["NGINX_VERSION=1.30.6".to_owned()]));
    assert_eq!(engine.runtime().image_env(&nginx()).await.unwrap(), None);
}

#[tokio::test]
async fn can_pull_reports_the_registrys_status() {
    let path = "GET /distribution/nginx:stable-alpine/json";
    let found = r#"{"Descriptor":{},"Platforms":[]}"#;
    let engine = RecordedEngine::start(&[(path, ok(found)), (path, status(403))]);
    engine.runtime().can_pull(&nginx()).await.unwrap();
    let error = engine.runtime().can_pull(&nginx()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Image { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "no rights to pull image `nginx:stable-alpine`: the engine's own text"
    );
}

#[tokio::test]
async fn free_subnet_is_none_once_all_are_taken() {
    let taken = r#"[{"IPAM":{"Config":[{"Subnet":"10.192.0.0/10"}]}}]"#;
    let engine =
        RecordedEngine::start(&[("GET /networks", ok("[]")), ("GET /networks", ok(taken))]);
    let subnet = engine.runtime().free_subnet(&instance()).await.unwrap().unwrap();
    assert_eq!(subnet.prefix_len(), 22);
    assert_eq!(engine.runtime().free_subnet(&instance()).await.unwrap(), None);
}

#[tokio::test]
async fn publisher_is_found_by_address_and_port() {
    let body = r#"[
        {"Names":["/dns"],"Ports":[{"PrivatePort":53,"PublicPort":53,"Type":"udp"}]},
        {"Names":["/other"],
         "Ports":[{"PrivatePort":80,"PublicPort":81,"Type":"tcp","IP":"0.0.0.0"}]},
        {"Names":["/web"],
         "Ports":[{"PrivatePort":80,"PublicPort":80,"Type":"tcp","IP":"127.0.0.1"}]}]"#;
    let engine = RecordedEngine::start(&[("GET /containers/json", ok(body))]);
    let find = async |bind: &str, port| {
        let bind: IpAddr = bind.parse().unwrap();
        engine.runtime().publisher(bind, port).await.unwrap()
    };
    assert_eq!(find("127.0.0.1", 80).await.as_deref(), Some("web"));
    assert_eq!(find("0.0.0.0", 80).await.as_deref(), Some("web"));
    assert_eq!(find("127.0.0.1", 81).await.as_deref(), Some("other"));
    assert_eq!(find("127.0.0.2", 80).await, None);
    assert_eq!(find("127.0.0.1", 82).await, None);
    assert_eq!(find("127.0.0.1", 53).await, None);
}

#[tokio::test]
async fn closed_connection_is_unreachable() {
    let engine = RecordedEngine::start(&[("GET /info", Answer::HangUp)]);
    assert!(engine.runtime().host_info().await.unwrap_err().is_unreachable());
}
