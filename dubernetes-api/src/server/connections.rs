//! The connections of a Unix socket: how many there may be, and how long a request's head may take.

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
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::Peer;

/// So many connections may be open, whatever they are used for.
const OPEN: usize = 256;
/// How long the head of a request may take, and how long a connection may wait for the next one.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// The pause after a failure to accept: this process has too many open files, most probably.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled, and gives back what is still open then.
pub(super) async fn serve(
    listener: &UnixListener,
    router: Router,
    stop: &CancellationToken,
) -> TaskTracker {
    let open = TaskTracker::new();
    let places = Arc::new(Semaphore::new(OPEN));
    loop {
        // Cancel-safe: a connection that is not accepted yet stays with the kernel.
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            stream = accept(listener, &places) => stream,
        };
        open.spawn(connection(stream, router.clone(), stop.clone()));
    }
    open.close();
    open
}

/// The next connection, once there is a place for it.
async fn accept(listener: &UnixListener, places: &Arc<Semaphore>) -> Counted {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Counted { stream, _place: place },
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: Counted, router: Router, stop: CancellationToken) {
    let router = router.layer(Extension(ConnectInfo(Peer::of(&stream.stream))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    // Cancel-safe: the connection is kept and goes on below.
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A connection with its place, which is free again when the last user of it is gone: one that was
/// upgraded, too, is open.
struct Counted {
    stream: UnixStream,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
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
