//! The surroundings of an ingress.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use dubernetes_core::app::PodName;
use dubernetes_core::ingress::{Endpoint, HostPort};

use crate::contract::Need;

/// The answer to a request: status and body, or why there is no answer. What precedes the body may
/// be part of the body.
pub type Answer = Result<(u16, String), String>;

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: &'static str,
    /// The header `Host`.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// The body, with its length in `Content-Length`; empty for none.
    pub body: Bytes,
}

impl Request {
    /// Returns a request without a body.
    pub fn get(host: &str, target: &str) -> Self {
        let (host, target) = (host.to_owned(), target.to_owned());
        Self { method: "GET", host, target, body: Bytes::new() }
    }

    /// Returns a request of `/` with a body.
    pub fn post(host: &str, body: Bytes) -> Self {
        Self { method: "POST", body, ..Self::get(host, "/") }
    }
}

/// An upstream that takes requests, and closes each connection without an answer.
#[derive(Debug, Clone)]
pub struct FailingEndpoint {
    /// The address.
    pub endpoint: Endpoint,
    /// The number of requests that it has received.
    pub received: Arc<AtomicU32>,
}

impl FailingEndpoint {
    /// Starts such an upstream on a listener of this host. It ends with the Tokio runtime.
    ///
    /// # Errors
    ///
    /// The listener has no address.
    pub fn start(pod: PodName, listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let received = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let is_request = stream.read(&mut request).await.is_ok_and(|length| length > 0);
                count.fetch_add(u32::from(is_request), Ordering::SeqCst);
            }
        });
        let endpoint = Endpoint { pod, address: address.ip(), port: address.port() };
        Ok(Self { endpoint, received })
    }
}

/// A connection that a client keeps for several requests. It is opened again only where the
/// ingress has said that it closes it.
#[async_trait]
pub trait KeptConnection: fmt::Debug + Send {
    /// Sends a request, and waits for the answer.
    async fn send(&mut self, request: &Request) -> Answer;
}

/// The surroundings of an ingress: upstreams, and a client outside.
#[async_trait]
pub trait World: fmt::Debug + Send + Sync {
    /// Returns three upstreams at different addresses. Each answers every request with 200 and
    /// a body with these lines, among others:
    ///
    /// - `Name: POD`, the name of its pod
    /// - `GET /path?query HTTP/1.1`: method and target as received
    /// - `Host: HOST` as received
    /// - `BodyLength: 7`, the length of the request's body, if there is one
    fn upstreams(&self) -> Vec<Endpoint>;

    /// Sends a request to the ingress over a new connection.
    async fn send(&self, request: &Request) -> Answer;

    /// Returns whether the world has [`Need::SlowRequests`], [`Need::KeptConnections`],
    /// [`Need::Kill`] and [`Need::TakenPort`]: the methods below; and whether the ingress has
    /// [`Need::RequestCounts`]. By default it has none.
    fn offers(&self, need: Need) -> bool {
        let _ = need;
        false
    }

    /// Sends a request with this host that its upstream answers after some seconds, and returns
    /// once the upstream has received the request. The future returned waits for the answer.
    async fn begin_slow_request(&self, host: &str) -> BoxFuture<'static, Answer> {
        let missing = format!("the world sends no slow requests to {host}");
        Box::pin(async { Err(missing) })
    }

    /// Opens a connection to the ingress.
    async fn connect(&self) -> Result<Box<dyn KeptConnection>, String> {
        Err("the world keeps no connections".to_owned())
    }

    /// Kills the proxy, as a crash does. Nothing of its settings is lost.
    async fn kill(&self) -> Result<(), String> {
        Err("the world kills no proxy".to_owned())
    }

    /// Takes the port of the ingress, which does not run, until the value is dropped.
    async fn take_port(&self) -> Result<Box<dyn Any + Send>, String> {
        Err("the world takes no port".to_owned())
    }

    /// Returns an endpoint that refuses connections.
    fn dead_endpoint(&self) -> Option<Endpoint> {
        None
    }

    /// Returns an endpoint that receives requests and never answers.
    fn failing_endpoint(&self) -> Option<FailingEndpoint> {
        None
    }

    /// Returns a free TCP port of this host, and an address that the ingress may take for the name
    /// of its app.
    fn host_port(&self) -> Option<HostPort> {
        None
    }

    /// Sends `GET /` to an address of this host over a new connection.
    async fn get_at(&self, host: SocketAddr) -> Answer {
        Err(format!("the world sends no requests to {host}"))
    }
}
