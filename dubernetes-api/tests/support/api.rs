//! The router of an orchestrator on fakes, with shortcuts for requests.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

#[path = "state.rs"]
pub(crate) mod state;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use dubernetes_api::server::{ApiState, router};
use dubernetes_api::wire::{PROBLEM_JSON, Problem};
use dubernetes_controller::Orchestrator;
use dubernetes_core::app::InstanceName;
use dubernetes_core::runtime::ContainerRuntime;
use dubernetes_core::store::Store;
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::TestOrchestrator;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::Value;
use tower::ServiceExt as _;

use state::state;

/// Starts an orchestrator with the images `web:1`, `web:2` and `crash:1`.
pub(crate) fn orchestrator() -> TestOrchestrator {
    let orchestrator = TestOrchestrator::start();
    add_images(&orchestrator);
    orchestrator
}

fn add_images(orchestrator: &TestOrchestrator) {
    let crash = Behaviour::exits(std::time::Duration::from_millis(100), 1);
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    orchestrator.runtime.add_image("web:2", Behaviour::default());
    orchestrator.runtime.add_image("crash:1", crash);
}

/// The router and its orchestrator.
pub(crate) struct Api {
    pub(crate) orchestrator: TestOrchestrator,
    pub(crate) router: Router,
}

impl Api {
    pub(crate) fn start() -> Self {
        let (orchestrator, state) = state::recorded();
        add_images(&orchestrator);
        Self { orchestrator, router: router(state) }
    }

    /// Serves another store than that of the running orchestrator. Changes go through the handle
    /// of an orchestrator on that store, which is never run.
    pub(crate) fn with_store(store: impl Store + 'static) -> Self {
        let orchestrator = orchestrator();
        let store: Arc<dyn Store> = Arc::new(store);
        let idle = Orchestrator::builder(InstanceName::default())
            .runtime(Arc::new(orchestrator.runtime.clone()))
            .store(Arc::clone(&store))
            .ingress(Arc::new(orchestrator.ingress.clone()))
            .clock(Arc::new(orchestrator.clock))
            .build();
        let controller = idle.handle();
        let router = router(ApiState { store, controller, ..state(&orchestrator) });
        Self { orchestrator, router }
    }

    pub(crate) fn with_runtime(runtime: impl ContainerRuntime + 'static) -> Self {
        let orchestrator = orchestrator();
        let router = router(ApiState { runtime: Arc::new(runtime), ..state(&orchestrator) });
        Self { orchestrator, router }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, uri: &str) -> Reply {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn delete(&self, uri: &str) -> Reply {
        self.send(Request::delete(uri).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn put(&self, uri: &str, body: &str) -> Reply {
        self.send(json(Request::put(uri), body)).await
    }

    pub(crate) async fn post(&self, uri: &str, body: &str) -> Reply {
        self.send(json(Request::post(uri), body)).await
    }

    /// Applies an app and waits until it is ready.
    pub(crate) async fn ready(&self, json: &str) {
        let name: Value = serde_json::from_str(json).unwrap();
        let name = name["name"].as_str().unwrap().to_owned();
        let reply = self.put(&format!("/v1/apps/{name}"), json).await;
        assert!(reply.status.is_success(), "{reply:?}");
        self.orchestrator.until_ready(&name).await;
    }

    /// Requests a stream, and returns its lines.
    pub(crate) async fn lines(&self, uri: &str, accept: &str) -> Lines {
        let request = Request::get(uri).header("accept", accept).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let parts = response.into_body().into_data_stream().map(Result::unwrap).boxed();
        Lines { parts, buffer: String::new() }
    }
}

pub(crate) fn json(request: axum::http::request::Builder, body: &str) -> Request<Body> {
    request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// Returns the body of a success.
    pub(crate) fn json(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the body of an error, which must be a complete problem.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.headers["content-type"], PROBLEM_JSON, "{self:?}");
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16(), "{problem:?}");
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{problem:?}");
        assert!(problem.instance.starts_with('/'), "{problem:?}");
        problem
    }

    /// Returns status and kind of an error, such as `404 not-found`.
    pub(crate) fn error(&self) -> String {
        let problem = self.problem();
        let kind = problem.kind.strip_prefix("urn:dubernetes:error:").unwrap();
        format!("{} {kind}", problem.status)
    }
}

pub(crate) struct Lines {
    parts: BoxStream<'static, Bytes>,
    buffer: String,
}

impl Lines {
    /// Returns the next non-empty line, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.buffer.split_once('\n') {
                let line = line.to_owned();
                self.buffer = rest.to_owned();
                if !line.is_empty() {
                    return Some(line);
                }
                continue;
            }
            let part = self.parts.next().await?;
            self.buffer.push_str(std::str::from_utf8(&part).unwrap());
        }
    }

    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.next().await.unwrap()).unwrap()
    }
}
