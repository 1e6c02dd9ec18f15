//! An [`Ingress`] in the program's own process, on hyper: HTTP/1.1 to replicas, without any
//! container.
//!
//! It ends with the program, so no request is routed until the next one has started. A table is
//! replaced in memory: each request is routed by the table of its time, and what is in flight to
//! which endpoint is known exactly.
//!
//! Not offered: HTTPS, HTTP/2, names of apps, ports of the host, kept connections to replicas, and
//! the access log. Routes of an app that need one of these are refused, with a reason.

mod forward;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::{AppName, RouteProtocol};
use dubernetes_core::error::SharedError;
use dubernetes_core::ingress::{
    ApplyOutcome, Drained, Ingress, IngressError, ObservedIngress, PortSupport, RequestCounts,
    Route, RouteTable,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use state::State;

/// How long a connection may be without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long to wait after a connection could not be accepted, such as for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A reverse proxy in this process. Clones share it.
#[derive(Debug, Clone)]
pub struct ProxyIngress {
    addresses: Vec<SocketAddr>,
    state: Arc<State>,
}

impl ProxyIngress {
    /// Creates a proxy that takes requests at these addresses of this machine, from the first table
    /// on.
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, state: Arc::default() }
    }

    /// Listens at all addresses, or at none.
    fn listen(&self) -> Result<Server, IngressError> {
        let mut listeners = Vec::new();
        for address in &self.addresses {
            let opened = open(*address).map_err(|error| refused(*address, error))?;
            listeners.push(opened);
        }
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
        let server = Server { addresses: addresses.collect(), ..Server::default() };
        for listener in listeners {
            let (state, stop) = (Arc::clone(&self.state), server.stop.clone());
            server.listening.spawn(accept(listener, state, stop));
        }
        Ok(server)
    }
}

/// The tasks that take requests.
#[derive(Debug, Default)]
struct Server {
    addresses: Vec<SocketAddr>,
    listening: TaskTracker,
    stop: CancellationToken,
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn refused(address: SocketAddr, error: io::Error) -> IngressError {
    match error.kind() {
        io::ErrorKind::AddrInUse => IngressError::PortTaken {
            port: address.port(),
            address: address.ip().to_string(),
            owner: None,
        },
        io::ErrorKind::PermissionDenied => IngressError::Refused {
            message: format!("this user may not listen at {address}; ports from 1024 on are free"),
        },
        _ => IngressError::Failed(SharedError::new(error)),
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    loop {
        // Both arms are cancel-safe: the token stays cancelled, and a connection in its queue.
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                tokio::spawn(serve(stream, client, Arc::clone(&state), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, client: SocketAddr, state: Arc<State>, stop: CancellationToken) {
    // Small answers are not held back.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, std::convert::Infallible>(state.answer(request, client.ip()).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    // Both arms are cancel-safe: a connection goes on where it was.
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%client, %error, "a connection broke off");
    }
}

/// Returns why the routes of an app cannot be served.
fn unsupported(route: &Route) -> Option<String> {
    if let Some(endpoint) = route.endpoints.iter().find(|endpoint| endpoint.port == 0) {
        return Some(format!("nothing can listen at {}", endpoint.socket()));
    }
    let key = match route {
        Route { protocol: RouteProtocol::H2c, .. } => "access.protocol: h2c",
        Route { keepalive: true, .. } => "access.keepalive: true",
        Route { .. } => return None,
    };
    Some(format!("the ingress `proxy` does not support `{key}`; `nginx` does"))
}

#[async_trait]
impl Ingress for ProxyIngress {
    async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        let mut outcome = ApplyOutcome::default();
        for route in &table.routes {
            if let Some(reason) = unsupported(route) {
                outcome.quarantined.insert(route.app.clone(), reason);
            }
        }
        if !table.listeners.is_empty() {
            let warning = "the ingress `proxy` does not serve the names of apps: no app reaches \
                           another one by its name";
            outcome.warnings.push(warning.to_owned());
        }
        outcome.changed = self.state.replace(table, &outcome.quarantined, || self.listen())?;
        Ok(outcome)
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        let table = self.state.table();
        Ok(table.map_or(ObservedIngress::Absent, |table| ObservedIngress::Serving { table }))
    }

    async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError> {
        Ok(if self.state.reaches(endpoint) { Drained::IN_PROGRESS } else { Drained::Yes })
    }

    async fn repair(&self) -> Result<Option<String>, IngressError> {
        Ok(None)
    }

    fn listening(&self) -> Vec<SocketAddr> {
        self.state.listening()
    }

    async fn port_support(&self) -> Result<PortSupport, IngressError> {
        let reason = "the ingress `proxy` publishes no ports".to_owned();
        Ok(PortSupport::Missing { reason })
    }

    async fn request_counts(
        &self,
    ) -> Result<Option<BTreeMap<AppName, RequestCounts>>, IngressError> {
        Ok(Some(self.state.requests()))
    }

    async fn remove(&self) -> Result<(), IngressError> {
        if let Some(server) = self.state.clear() {
            server.stop.cancel();
            server.listening.close();
            // Then its ports are free again. Requests in flight go on.
            server.listening.wait().await;
        }
        Ok(())
    }
}
