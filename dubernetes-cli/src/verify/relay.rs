//! Opens connections to an ingress that expects the PROXY protocol.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::report::{CliError, Result};

/// Says that the connection itself is the client's.
const HEAD: &[u8] = b"PROXY UNKNOWN\r\n";

/// A listener of this process whose connections lead to the ingress. Dropping it closes them.
pub(super) struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts to listen.
    pub(super) async fn start(ingress: SocketAddr) -> Result<Self> {
        let failed = |error| CliError::with_source("cannot send requests", &error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { address, task: tokio::spawn(accept(listener, ingress)) })
    }

    /// Returns the address at which it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, ingress: SocketAddr) {
    let mut open = JoinSet::new();
    loop {
        // A client that has gone is no reason to stop.
        let Ok((client, _)) = listener.accept().await else { continue };
        open.spawn(pass_on(client, ingress));
        while open.try_join_next().is_some() {}
    }
}

/// An error ends both connections, which the client counts as a failed request.
async fn pass_on(mut client: TcpStream, ingress: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(ingress).await?;
    server.write_all(HEAD).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn connection_starts_with_the_protocol_and_goes_on_both_ways() {
        let ingress = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let relay = Relay::start(ingress.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(relay.address()).await.unwrap();
        client.write_all(b"GET").await.unwrap();
        let (mut server, _) = ingress.accept().await.unwrap();
        let mut got = [0; 18];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"PROXY UNKNOWN\r\nGET");
        server.write_all(b"200").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "200");
    }
}
