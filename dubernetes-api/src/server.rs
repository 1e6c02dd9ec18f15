//! The HTTP server: one router over the orchestrator's handle, the store and the engine.
//!
//! The server maps requests to calls and results to responses. It never decides what happens to an
//! app: the orchestrator does.

mod access_log;
mod apps;
mod body;
mod certificates;
mod connections;
mod decisions;
mod events;
mod exec;
mod extract;
mod forward;
mod history;
mod images;
mod logs;
mod metrics;
mod moved_image;
mod nodes;
mod peer;
mod plan;
mod pods;
mod revisions;
mod rollout;
mod routes;
mod run;
mod secrets;
mod standby;
mod stats;
mod stream;
mod system;
mod view;
mod watch;
mod why;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension};
use axum::middleware::from_fn;
use dubernetes_controller::{Handle, Snapshot};
use dubernetes_core::app::{InstanceName, MAX_CONTENTS_BYTES};
use dubernetes_core::clock::Clock;
use dubernetes_core::dial::Dialer;
use dubernetes_core::ingress::TrustedProxies;
use dubernetes_core::replay::Journal;
use dubernetes_core::runtime::ContainerRuntime;
use dubernetes_core::store::Store;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::wire::Mode;
use crate::{openapi, problem};
use connections::Limits;
pub use metrics::{ExportedMetrics, MetricsSource, serve_metrics};
pub use standby::standby_router;

/// Largest accepted body, in bytes: 1 MiB plus the contents of an app's files in base64.
const MAX_BODY: usize = (1 << 20) + MAX_CONTENTS_BYTES.div_ceil(3) * 4;

/// Longest wait for the first pass of an orchestrator that has just started.
const FIRST_PASS_LIMIT: Duration = Duration::from_secs(5);

/// Limits of [`serve_unix`].
const LIMITS: Limits = Limits { connections: 256, head: Duration::from_secs(10) };

/// How long requests in flight may continue after the server is asked to stop.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Everything that the router needs. Clones share it.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Holds the desired state, its revisions and events; for reading.
    pub store: Arc<dyn Store>,
    /// Runs the containers; for logs, commands and statistics.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// Handle of the running orchestrator; changes go through it.
    pub controller: Handle,
    /// Connects to pods, for port forwarding.
    pub dialer: Arc<dyn Dialer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The recorded decisions, if any are recorded.
    pub journal: Option<Arc<dyn Journal>>,
    /// Identity of this orchestrator, for `/v1/status`.
    pub info: OrchestratorInfo,
}

/// Who may use the socket of an orchestrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketAccess {
    /// The user of this process, and root.
    SameUser,
    /// All users that the permissions of the socket allow to connect.
    Permissions,
}

/// Identity and settings of an orchestrator.
#[derive(Debug, Clone)]
pub struct OrchestratorInfo {
    /// Name of the instance.
    pub instance: InstanceName,
    /// Version of the program.
    pub version: String,
    /// Host addresses on which the ingress listens, at least one.
    pub http_bind: Vec<IpAddr>,
    /// Host port on which the ingress listens.
    pub http_port: u16,
    /// Host port on which the ingress listens for HTTPS, if it does.
    pub https_port: Option<u16>,
    /// Proxies in front of the ingress that are believed about clients.
    pub trusted_proxies: TrustedProxies,
    /// Whether connections to the ingress have to start with the PROXY protocol.
    pub proxy_protocol: bool,
    /// Address of the container engine, such as `unix:///var/run/docker.sock`; `None` for one in
    /// memory.
    pub engine: Option<String>,
    /// State directory.
    pub state_dir: PathBuf,
    /// Process id.
    pub pid: u32,
    /// Whether the orchestrator runs permanently or for one command.
    pub mode: Mode,
    /// Who may use the socket.
    pub access: SocketAccess,
}

impl ApiState {
    /// Returns the snapshot of the last pass; waits for the first pass if there is none yet.
    async fn latest_snapshot(&self) -> Arc<Snapshot> {
        let mut snapshots = self.controller.snapshots();
        let first = snapshots.wait_for(|snapshot| snapshot.passes > 0);
        match tokio::time::timeout(FIRST_PASS_LIMIT, first).await {
            Ok(Ok(snapshot)) => Arc::clone(&snapshot),
            // The orchestrator has ended or is slow: return what is known.
            Ok(Err(_)) | Err(_) => self.controller.snapshot(),
        }
    }
}

/// Returns the router of the whole API. It has no authentication: every caller may do everything.
/// Serve it with [`serve_unix`]: unless [`OrchestratorInfo::access`] says otherwise, the user of
/// each caller is checked.
///
/// Streams end when the token of [`serve_unix`] is cancelled.
///
/// # Examples
///
/// ```no_run
/// use dubernetes_api::server::{ApiState, router, serve_unix};
/// use tokio::net::UnixListener;
/// use tokio_util::sync::CancellationToken;
///
/// async fn serve(state: ApiState, stop: CancellationToken) -> std::io::Result<()> {
///     serve_unix(UnixListener::bind("/run/dubernetes.sock")?, router(state), stop).await
/// }
/// ```
pub fn router(state: ApiState) -> Router {
    let (router, document) = routes_and_document();
    let document = openapi::DocumentText::new(&document);
    let access = state.info.access;
    let router =
        router.with_state(state).layer(Extension(document)).layer(DefaultBodyLimit::max(MAX_BODY));
    let router = match access {
        SocketAccess::SameUser => router.layer(from_fn(peer::require_same_user)),
        SocketAccess::Permissions => router,
    };
    router.layer(from_fn(problem::render_problem)).layer(TraceLayer::new_for_http())
}

/// Returns the OpenAPI document of [`router()`] as text.
pub fn openapi_json() -> String {
    openapi::DocumentText::new(&routes_and_document().1).into_string()
}

fn routes_and_document() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(apps::list))
        .routes(routes!(apps::get, apps::put, apps::delete))
        .routes(routes!(apps::scale))
        .routes(routes!(rollout::update))
        .routes(routes!(revisions::list))
        .routes(routes!(decisions::list))
        .routes(routes!(history::get))
        .routes(routes!(why::explain_app))
        .routes(routes!(logs::read_app))
        .routes(routes!(access_log::read))
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::root))
        .routes(routes!(certificates::renew))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::set, secrets::delete))
        .routes(routes!(secrets::rotate_key))
        .routes(routes!(run::run))
        .routes(routes!(pods::list))
        .routes(routes!(pods::get, pods::delete))
        .routes(routes!(why::explain_pod))
        .routes(routes!(logs::read_pod))
        .routes(routes!(exec::exec))
        .routes(routes!(forward::forward))
        .routes(routes!(images::list, images::load))
        .routes(routes!(stats::list))
        .routes(routes!(events::list))
        .routes(routes!(watch::watch))
        .routes(routes!(plan::plan))
        .routes(routes!(plan::rollout::plan_rollout))
        .routes(routes!(plan::rollout::forecast_app))
        .routes(routes!(routes::list))
        .routes(routes!(nodes::list))
        .routes(routes!(system::status))
        .routes(routes!(system::version))
        .routes(routes!(system::down))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::schema))
        .routes(routes!(system::document))
        .split_for_parts()
}

/// Serves `router` on a Unix socket until `stop` is cancelled. Then streams end at once, and other
/// requests in flight get 5 s to complete.
///
/// With [`SocketAccess::SameUser`], callers that are neither this process's user nor root are
/// refused with 403. At most 256 connections are open at a time, streams included; further ones
/// wait. A request's head may take 10 s, and its body 30 s.
///
/// # Errors
///
/// Never fails: errors of single connections are logged.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let router = router.layer(Extension(stream::Stop(stop.clone())));
    let open = connections::serve(&listener, router, LIMITS, &stop).await;
    // Accept no further connections.
    drop(listener);
    // Connections that are still open are closed when the process exits.
    let _ = tokio::time::timeout(SHUTDOWN_LIMIT, open.wait()).await;
    Ok(())
}
