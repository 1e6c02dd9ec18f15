//! The web page of Dubernetes: what `dubernetes ui` serves to a browser on the same machine.
//!
//! It is a client of the HTTP API, wherever the orchestrator runs, and decides nothing: views turn
//! values of the API into pages, and a confirmed form is one call of the API. Pages work without
//! JavaScript; with it they follow what happens.
//!
//! [`Ui`] listens on loopback alone, at [`HOST`]. Its link logs in one browser, once. See
//! [`guard`] for what a request must satisfy.

mod ansi;
mod assets;
mod changes;
pub mod guard;
mod live;
mod pages;
pub mod simulation;
mod views;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use dubernetes_api::Client;
use tokio::net::TcpListener;

pub use guard::{Guard, HOST};

/// Largest accepted form, in bytes.
const MAX_FORM: usize = 4096;
/// Largest accepted form with a file, in bytes.
const MAX_FILE: usize = 256 << 10;
/// How often another port is tried if one is free in IPv4 alone.
const BIND_TRIES: usize = 8;

/// What the pages need. Clones share it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Client of the orchestrator.
    pub client: Client,
    /// Checks every request.
    pub guard: Arc<Guard>,
    /// Name of the program in shown commands, with the options that select the orchestrator, such
    /// as `dubernetes --host ssh://server`.
    pub program: String,
    /// File of the program, whose `simulate` the page *Simulate* runs.
    pub executable: Arc<Path>,
}

/// The web page, listening.
#[derive(Debug)]
pub struct Ui {
    listeners: Vec<TcpListener>,
    site: Site,
}

impl Ui {
    /// Listens at a port of the loopback addresses; 0 is a free one. With `read_only`, no page
    /// changes anything. `program` and `executable` are described at [`Site`].
    ///
    /// # Errors
    ///
    /// If the port is taken, or the system has no randomness.
    pub async fn bind(
        client: Client,
        port: u16,
        read_only: bool,
        program: String,
        executable: &Path,
    ) -> io::Result<Self> {
        let listeners = listen(port).await?;
        let port = listeners.first().map(TcpListener::local_addr).transpose()?;
        let guard = Guard::new(port.map_or(0, |address| address.port()), read_only)?;
        let guard = Arc::new(guard);
        Ok(Self { listeners, site: Site { client, guard, program, executable: executable.into() } })
    }

    /// Returns the link that logs in a browser. It works once.
    pub fn link(&self) -> String {
        self.site.guard.link()
    }

    /// Serves pages until dropped. Requests in flight then end.
    ///
    /// # Errors
    ///
    /// If a listener fails.
    pub async fn serve(self) -> io::Result<()> {
        let router = router(self.site);
        let served = self.listeners.into_iter().map(|listener| {
            let router = router.clone();
            Box::pin(async move { axum::serve(listener, router).await })
        });
        futures_util::future::select_all(served).await.0
    }
}

/// Listens at the same port of 127.0.0.1 and, if the machine has it, of `::1`. Otherwise another
/// user could listen there and receive what a browser sends to [`HOST`].
async fn listen(port: u16) -> io::Result<Vec<TcpListener>> {
    let mut tries = if port == 0 { BIND_TRIES } else { 1 };
    loop {
        tries -= 1;
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let chosen = first.local_addr()?.port();
        match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, chosen))).await {
            Ok(second) => return Ok(vec![first, second]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if tries == 0 {
                    return Err(error);
                }
            }
            // The machine has no IPv6.
            Err(_) => return Ok(vec![first]),
        }
    }
}

/// Returns the router of all pages.
pub fn router(site: Site) -> Router {
    let hub = Arc::new(live::Hub::new(site.client.clone()));
    Router::new()
        .route("/", get(pages::overview))
        .route("/login", get(guard::log_in))
        .route("/routes", get(pages::routes))
        .route("/events", get(pages::events))
        .route("/loop", get(pages::control_loop))
        .route("/live", get(async move |query| live::live(hub, query)))
        .route(
            guard::SIMULATE,
            get(pages::simulate_form).post(pages::simulate).layer(DefaultBodyLimit::max(MAX_FILE)),
        )
        .route("/apps/{name}", get(pages::app))
        .route("/apps/{name}/logs", get(pages::logs))
        .route("/apps/{name}/scale", get(changes::preview_scale).post(changes::scale))
        .route("/apps/{name}/restart", get(changes::preview_restart).post(changes::restart))
        .route("/apps/{name}/rollback", get(changes::preview_rollback).post(changes::roll_back))
        .route("/assets/{name}", get(assets::asset))
        .fallback(pages::not_found)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(from_fn_with_state(site.clone(), guard::check))
        .with_state(site)
}
