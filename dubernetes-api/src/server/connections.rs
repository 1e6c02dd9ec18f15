//! Connections of a listener, limited in number and in the time of a request's head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::extract::connect_info::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::Peer;

/// Pause after a failed accept, most likely caused by too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much a listener takes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Maximum number of open connections, of any kind.
    pub(super) connections: usize,
    /// Deadline for the head of a request, also while an idle connection waits for the next one.
    pub(super) head: Duration,
}

/// Takes connections.
pub(super) trait Listener: Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Takes the next connection. Cancel-safe: one that is not taken yet stays in the kernel's
    /// queue.
    fn take(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Adds what requests of a connection have in common.
    fn route(router: Router, stream: &Self::Stream) -> Router;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn take(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn route(router: Router, stream: &UnixStream) -> Router {
        router.layer(Extension(ConnectInfo(Peer::from_stream(stream))))
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn take(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn route(router: Router, _: &TcpStream) -> Router {
        router
    }
}

/// Serves until `stop` is cancelled. Returns the connections that are still open.
pub(super) async fn serve<L: Listener>(
    listener: &L,
    router: Router,
    limits: Limits,
    stop: &CancellationToken,
) -> TaskTracker {
    let open = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(limits.connections));
    loop {
        // Cancel-safe: a connection that is not accepted yet stays in the kernel's queue.
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            stream = accept(listener, &permits) => stream,
        };
        let router = L::route(router.clone(), &stream.stream);
        open.spawn(connection(stream, router, limits.head, stop.clone()));
    }
    open.close();
    open
}

/// Accepts the next connection once a permit is free.
async fn accept<L: Listener>(listener: &L, permits: &Arc<Semaphore>) -> PermittedStream<L::Stream> {
    // The semaphore is never closed.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match listener.take().await {
            Ok(stream) => return PermittedStream { stream, _permit: permit },
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: PermittedStream<S>,
    router: Router,
    head_limit: Duration,
    stop: CancellationToken,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_limit)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    // Cancel-safe: the connection is kept and continues below.
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection closed with an error");
    }
}

/// A connection with its permit. The permit is returned when the connection is dropped; an upgraded
/// connection keeps it.
struct PermittedStream<S> {
    stream: S,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S: AsyncRead + Unpin> AsyncRead for PermittedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PermittedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
