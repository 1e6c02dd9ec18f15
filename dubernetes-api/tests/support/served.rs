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
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
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
        let router = router(ApiState { runtime, ..api::state::state(&orchestrator) });
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_unix(listener, router, stop.clone()));
        let client = Client::unix(&socket).unwrap();
        Self { orchestrator, client, socket, stop, server, _folder: folder }
    }

    pub(crate) async fn ready(&self, spec: &AppSpec) {
        self.client.apply(spec, None).await.unwrap();
        self.orchestrator.until_ready(spec.name.as_str()).await;
    }

    /// Asserts that a request for `path` that is no WebSocket, or one without a subprotocol, is
    /// refused with an answer that contains `text`.
    pub(crate) async fn refuses_without_subprotocol(&self, path: &str, text: &str) {
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
            sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for (headers, status) in [("", "426"), (upgrade, "400")] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
            let mut socket = UnixStream::connect(&self.socket).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = vec![0; 8192];
            let size = soon(socket.read(&mut answer)).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..size]).into_owned();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(answer.contains(text), "{answer}");
        }
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}
