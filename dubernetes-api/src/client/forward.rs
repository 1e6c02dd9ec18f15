//! Port forwarding: a connection to a port of a pod, over a WebSocket.

use std::fmt;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::client::socket::Socket;
use crate::client::{Client, ClientError};
use crate::path;
use crate::tunnel::{self, TunnelBroken};

/// An open connection to a pod.
pub struct Tunnel {
    socket: Socket,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to a port of a pod.
    ///
    /// # Errors
    ///
    /// Those of every call; a problem `not-connected` if the pod refuses the connection, and
    /// `not-running` if it is not running.
    pub async fn forward(&self, pod: &str, port: u16) -> Result<Tunnel, ClientError> {
        let path = format!("{}?port={port}", path::named(path::POD_FORWARD, pod));
        let socket = self.open(&path, path::FORWARD_PROTOCOL).await?;
        Ok(Tunnel { socket })
    }
}

impl Tunnel {
    /// Copies data between the tunnel and a local connection until both directions have ended.
    /// Returns `false` if the tunnel broke before that.
    pub async fn join(self, connection: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
        let (reader, writer) = tokio::io::split(connection);
        let (mut sink, mut stream) = self.socket.split();
        let parts = (&mut sink)
            .with(|part: Bytes| std::future::ready(Ok::<_, WsError>(Message::Binary(part))));
        let answers = (&mut stream).filter_map(|message| {
            std::future::ready(match message {
                Ok(Message::Binary(part)) => Some(Some(part)),
                Ok(Message::Ping(_) | Message::Pong(_)) => None,
                Ok(Message::Text(_) | Message::Close(_) | Message::Frame(_)) | Err(_) => Some(None),
            })
        });
        let joined = tunnel::relay(reader, writer, parts, answers).await;
        // The orchestrator may have closed the connection already.
        let _ = sink.close().await;
        joined != Err(TunnelBroken)
    }
}
