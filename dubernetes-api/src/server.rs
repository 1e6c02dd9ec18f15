//! The HTTP server: one router over the store, the engine and the controller's snapshots.
//!
//! It decides how a request becomes a call of a trait, and how the answer is told. It never
//! decides what an app should do: that is the controller's, which it only asks and wakes.

mod apps;
mod body;
mod connections;
mod events;
mod exec;
mod extract;
mod forward;
mod logs;
mod peer;
mod plan;
mod pods;
mod revisions;
mod rollout;
mod routes;
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
use dubernetes_core::runtime::ContainerRuntime;
use dubernetes_core::store::Store;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::wire::Mode;
use crate::{openapi, problem};

/// The largest body that is taken, in bytes: 1 MiB, and the contents of an app's files in base64.
const MAX_BODY: usize = (1 << 20) + MAX_CONTENTS_BYTES.div_ceil(3) * 4;

/// How long a new orchestrator may take for its first look before a request is answered without.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// How long requests under way may go on once the server is told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// What the router works on. Clones share it.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// What is desired.
    pub store: Arc<dyn Store>,
    /// The container engine, for output, commands and its version.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// The running orchestrator.
    pub controller: Handle,
    /// Connects to pods, for port forwarding.
    pub dialer: Arc<dyn Dialer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who answers.
    pub about: About,
}

/// Who answers.
#[derive(Debug, Clone)]
pub struct About {
    /// The instance.
    pub instance: InstanceName,
    /// The program's version.
    pub version: String,
    /// The host's address on which the ingress listens.
    pub http_bind: IpAddr,
    /// The host's port on which the ingress listens.
    pub http_port: u16,
    /// Where the container engine is, such as `unix:///var/run/docker.sock`; none for one in memory.
    pub engine: Option<String>,
    /// Where the state is.
    pub state_dir: PathBuf,
    /// The process id.
    pub pid: u32,
    /// Whether the orchestrator stays.
    pub mode: Mode,
}

impl ApiState {
    /// The last look of the controller; a controller that has just begun gets a moment for its
    /// first.
    async fn looked(&self) -> Arc<Snapshot> {
        let mut snapshots = self.controller.snapshots();
        let first = snapshots.wait_for(|snapshot| snapshot.passes > 0);
        match tokio::time::timeout(FIRST_LOOK, first).await {
            Ok(Ok(snapshot)) => Arc::clone(&snapshot),
            // The controller has ended, or is slow: what is known is better than nothing.
            Ok(Err(_)) | Err(_) => self.controller.snapshot(),
        }
    }
}

/// The whole API. It knows no password or token: whoever reaches it may do everything, so serve it
/// with [`serve_unix`], which looks who calls.
///
/// Endless answers end when the token of [`serve_unix`] is cancelled.
pub fn router(state: ApiState) -> Router {
    let (router, document) = described();
    let document = openapi::Text::new(&document);
    router
        .with_state(state)
        .layer(Extension(document))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(peer::refuse_strangers))
        .layer(from_fn(problem::finish))
        .layer(TraceLayer::new_for_http())
}

/// The OpenAPI document of [`router()`], as text.
pub fn openapi_json() -> String {
    openapi::Text::new(&described().1).into_string()
}

fn described() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(apps::list))
        .routes(routes!(apps::get, apps::put, apps::delete))
        .routes(routes!(apps::scale))
        .routes(routes!(rollout::wish))
        .routes(routes!(revisions::list))
        .routes(routes!(why::of_app))
        .routes(routes!(logs::of_app))
        .routes(routes!(pods::list))
        .routes(routes!(pods::get, pods::delete))
        .routes(routes!(why::of_pod))
        .routes(routes!(logs::of_pod))
        .routes(routes!(exec::exec))
        .routes(routes!(forward::forward))
        .routes(routes!(stats::list))
        .routes(routes!(events::list))
        .routes(routes!(watch::watch))
        .routes(routes!(plan::plan))
        .routes(routes!(routes::list))
        .routes(routes!(system::status))
        .routes(routes!(system::version))
        .routes(routes!(system::down))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::schema))
        .routes(routes!(system::document))
        .split_for_parts()
}

/// Serves `router` at a Unix socket until `stop` is cancelled: then endless answers end at once,
/// and other requests under way get 5 s.
///
/// Callers that are neither this process's user nor root are refused with 403. At most 256
/// connections are open at a time, a stream of events being one; more wait until one ends. A
/// request's head may take 10 s, and its body 30 s.
///
/// # Errors
///
/// None while it can accept connections; failures of single ones are theirs.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let router = router.layer(Extension(stream::Stop(stop.clone())));
    let open = connections::serve(&listener, router, &stop).await;
    // From now on nobody is let in.
    drop(listener);
    // Those that are still open are cut when this process ends.
    let _ = tokio::time::timeout(LAST_REQUESTS, open.wait()).await;
    Ok(())
}
