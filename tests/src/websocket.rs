//! A websocket through the ingress to the example program's `/echo`.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Time limit for the handshake and for an echo.
const LIMIT: Duration = Duration::from_secs(20);

/// An open websocket.
#[derive(Debug)]
pub struct WebSocket(WebSocketStream<TcpStream>);

impl WebSocket {
    /// Opens a websocket to `/echo` of this host.
    ///
    /// # Errors
    ///
    /// A description of the failure.
    pub async fn open(port: u16, host: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
        Self::open_over(stream, host).await
    }

    /// Opens a websocket to `/echo` of this host over an open connection.
    ///
    /// # Errors
    ///
    /// A description of the failure.
    pub async fn open_over(stream: TcpStream, host: &str) -> Result<Self, String> {
        let handshake = client_async(format!("ws://{host}/echo"), stream);
        let opened = timeout(LIMIT, handshake).await.map_err(|_| "handshake timed out")?;
        let (socket, _answer) = opened.map_err(|error| format!("handshake failed: {error}"))?;
        Ok(Self(socket))
    }

    /// Sends a text and waits for its echo.
    ///
    /// # Errors
    ///
    /// What was received instead.
    pub async fn echo(&mut self, text: &str) -> Result<(), String> {
        let sent = self.0.send(Message::text(text)).await;
        sent.map_err(|error| format!("cannot send {text:?}: {error}"))?;
        match timeout(LIMIT, self.0.next()).await {
            Ok(Some(Ok(Message::Text(back)))) if back == text => Ok(()),
            other => Err(format!("expected the echo {text:?}, received {other:?}")),
        }
    }
}
