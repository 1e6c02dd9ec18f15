//! An orchestrator on fakes behind a real Unix socket, and a client of it.
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

/// No test waits longer than this for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Served {
    pub(crate) bed: TestOrchestrator,
    pub(crate) client: Client,
    pub(crate) socket: PathBuf,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Served {
    pub(crate) fn start() -> Self {
        let bed = api::bed();
        let runtime = Arc::new(bed.runtime.clone());
        Self::on(bed, runtime)
    }

    pub(crate) fn with_runtime(runtime: impl ContainerRuntime + 'static) -> Self {
        Self::on(api::bed(), Arc::new(runtime))
    }

    fn on(bed: TestOrchestrator, runtime: Arc<dyn ContainerRuntime>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let router = router(ApiState { runtime, ..api::state(&bed) });
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_unix(listener, router, stop.clone()));
        let client = Client::unix(&socket).unwrap();
        Self { bed, client, socket, stop, server, _folder: folder }
    }

    pub(crate) async fn ready(&self, spec: &AppSpec) {
        self.client.apply(spec, None).await.unwrap();
        self.bed.until_ready(spec.name.as_str()).await;
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}
