//! An orchestrator like that of `serve`, on an engine, an ingress and a store in memory.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_api::server::{ApiState, OrchestratorInfo, SocketAccess, router, serve_unix};
use dubernetes_api::wire::Mode;
use dubernetes_core::app::InstanceName;
use dubernetes_core::store::Store;
use dubernetes_testkit::{Behaviour, FakeIngress, FakeRuntime, MemoryStore, TokioClock};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A running orchestrator, stopped when dropped.
pub(crate) struct Orchestrator {
    folder: TempDir,
    _runtime: Runtime,
}

impl Orchestrator {
    /// Starts an orchestrator whose engine has the images `web:1`, `web:2`, `crash:1` (exits at
    /// once) and `slow:1` (never accepts a connection).
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let guard = runtime.enter();
        start(folder.path());
        drop(guard);
        Self { folder, _runtime: runtime }
    }

    /// Returns the state folder with the socket.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Must be called inside a tokio runtime.
fn start(folder: &Path) {
    let crash = Behaviour { ready_after: None, ..Behaviour::exits(Duration::ZERO, 3) };
    // The program compares ages with its own clock.
    let clock = TokioClock::starting_at(jiff::Timestamp::now());
    let engine = FakeRuntime::new(clock);
    engine.add_image("web:1", Behaviour::default());
    engine.add_image("web:2", Behaviour::default());
    engine.add_image("crash:1", crash);
    engine.add_image("slow:1", Behaviour::never_ready());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let instance = InstanceName::default();
    let orchestrator = dubernetes_controller::Orchestrator::builder(instance.clone())
        .runtime(Arc::new(engine.clone()))
        .store(Arc::clone(&store))
        .ingress(Arc::new(FakeIngress::default()))
        .dialer(Arc::new(engine.clone()))
        .clock(Arc::new(clock))
        .build();
    let info = OrchestratorInfo {
        instance,
        version: "0.0.0".to_owned(),
        http_bind: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        http_port: 80,
        https_port: None,
        trusted_proxies: dubernetes_core::ingress::TrustedProxies::default(),
        proxy_protocol: false,
        engine: None,
        state_dir: "/state".into(),
        pid: 1,
        mode: Mode::Serve,
        access: SocketAccess::SameUser,
    };
    let router = router(ApiState {
        store,
        runtime: Arc::new(engine.clone()),
        controller: orchestrator.handle(),
        dialer: Arc::new(engine),
        clock: Arc::new(clock),
        journal: None,
        info,
    });
    let listener = UnixListener::bind(folder.join("dubernetes.sock")).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(orchestrator.run(stop.clone()));
    tokio::spawn(serve_unix(listener, router, stop));
}
