//! A websocket through the ingress, to the example program's echo.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long an echo may take.
const LIMIT: Duration = Duration::from_secs(20);

/// An open websocket.
#[derive(Debug)]
pub struct WebSocket(WebSocketStream<TcpStream>);

impl WebSocket {
    /// Opens one to `/echo` of this host.
    ///
    /// # Errors
    ///
    /// What went wrong, as text.
    pub async fn open(port: u16, host: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
        let opening = client_async(format!("ws://{host}/echo"), stream);
        let opened = timeout(LIMIT, opening).await.map_err(|_| "it does not open".to_owned())?;
        let (socket, _answer) = opened.map_err(|error| format!("it does not open: {error}"))?;
        Ok(Self(socket))
    }

    /// Sends a text, which comes back.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub async fn echo(&mut self, text: &str) -> Result<(), String> {
        let sent = self.0.send(Message::text(text)).await;
        sent.map_err(|error| format!("{text:?} cannot be sent: {error}"))?;
        match timeout(LIMIT, self.0.next()).await {
            Ok(Some(Ok(Message::Text(back)))) if back == text => Ok(()),
            other => Err(format!("instead of {text:?} came {other:?}")),
        }
    }
}
