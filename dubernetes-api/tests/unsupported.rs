//! Requests for an optional part that the runtime does not have.

#[path = "support/api.rs"]
mod api;

use api::Api;
use axum::http::StatusCode;
use dubernetes_core::app::{Artifact, InstanceName, PullPolicy, Signal};
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, ContainerRuntime, ImageId, RuntimeError, RuntimeInfo,
};

const WEB: &str = r#"{"name":"web","image":"web:1","replicas":2,"access":{"host":"web.local"}}"#;

/// A runtime without optional parts.
#[derive(Debug)]
struct MinimalRuntime;

#[dubernetes_core::async_trait]
impl ContainerRuntime for MinimalRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        Err(UNUSED)
    }
    async fn list(&self, _: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        Err(UNUSED)
    }
    async fn inspect(&self, _: &ContainerId) -> Result<Container, RuntimeError> {
        Err(UNUSED)
    }
    async fn resolve(&self, _: &Artifact, _: PullPolicy) -> Result<ImageId, RuntimeError> {
        Err(UNUSED)
    }
    async fn create(&self, _: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        Err(UNUSED)
    }
    async fn start(&self, _: &ContainerId) -> Result<(), RuntimeError> {
        Err(UNUSED)
    }
    async fn stop(
        &self,
        _: &ContainerId,
        _: Option<Signal>,
        _: dubernetes_core::app::Duration,
    ) -> Result<(), RuntimeError> {
        Err(UNUSED)
    }
    async fn remove(&self, _: &ContainerId) -> Result<(), RuntimeError> {
        Err(UNUSED)
    }
}

const UNUSED: RuntimeError = RuntimeError::Unsupported { what: "calls" };

#[tokio::test(start_paused = true)]
async fn missing_part_of_runtime_is_unsupported() {
    let api = Api::with_runtime(MinimalRuntime);
    api.ready(WEB).await;
    for (uri, missing) in [
        ("/v1/apps/web/logs", "logs"),
        ("/v1/pods/web-1/logs?follow=true", "logs"),
        ("/v1/stats", "statistics"),
    ] {
        let reply = api.get(uri).await;
        assert_eq!(reply.error(), "501 unsupported", "{uri}");
        assert_eq!(reply.problem().detail, format!("this runtime does not support {missing}"));
    }
    assert_eq!(api.get("/v1/apps/web/why").await.status, StatusCode::OK);
}
