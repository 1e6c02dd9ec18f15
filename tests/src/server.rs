//! Servers in the test's own process.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    task: JoinHandle<()>,
    /// The port on all addresses of this machine.
    pub port: u16,
}

impl Server {
    /// Starts a server at a free port. Each connection is served by `serve`, which also gets its
    /// number, from 1.
    ///
    /// # Errors
    ///
    /// No port can be opened.
    pub(crate) async fn start<F>(
        serve: impl Fn(u64, TcpStream) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                tokio::spawn(serve(number, stream));
            }
        });
        Ok(Self { task, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
