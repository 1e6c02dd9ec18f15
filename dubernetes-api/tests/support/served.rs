//! An orchestrator on fakes behind a real Unix socket, with a client.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::server::{ApiState, router, serve_unix};
use dubernetes_core::app::AppSpec;
use dubernetes_core::runtime::ContainerRuntime;
use dubernetes_testkit::build::TestOrchestrator;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api;

/// Longest wait of any test.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Served {
    pub(crate) orchestrator: TestOrchestrator,
    pub(crate) client: Client,
    pub(crate) socket: PathBuf,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Served {
    pub(crate) fn start() -> Self {
        let orchestrator = api::orchestrator();
        let runtime = Arc::new(orchestrator.runtime.clone());
        Self::serve(orchestrator, runtime)
    }

    pub(crate) fn with_runtime(runtime: impl ContainerRuntime + 'static) -> Self {
        Self::serve(api::orchestrator(), Arc::new(runtime))
    }

    fn serve(orchestrator: TestOrchestrator, runtime: Arc<dyn ContainerRuntime>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let router = router(ApiState { runtime, ..api::state(&orchestrator) });
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_unix(listener, router, stop.clone()));
        let client = Client::unix(&socket).unwrap();
        Self { orchestrator, client, socket, stop, server, _folder: folder }
    }

    pub(crate) async fn ready(&self, spec: &AppSpec) {
        self.client.apply(spec, None).await.unwrap();
        self.orchestrator.until_ready(spec.name.as_str()).await;
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}
