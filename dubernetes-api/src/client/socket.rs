//! WebSockets to the orchestrator.

use dubernetes_core::error::{SharedError, chain};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::{Client, ClientError, Endpoint};

pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// A WebSocket over a Unix or TCP connection.
pub(super) type Socket = WebSocketStream<Box<dyn Pipe>>;

impl Client {
    pub(super) async fn open(
        &self,
        path: &str,
        protocol: &'static str,
    ) -> Result<Socket, ClientError> {
        let host = match &self.endpoint {
            Endpoint::Unix(_) | Endpoint::Forwarded { .. } => "localhost",
            Endpoint::Http(url) => url.trim_start_matches("http://"),
        };
        let mut request = format!("ws://{host}{path}")
            .into_client_request()
            .map_err(|error| ClientError::protocol(chain(&error)))?;
        let protocol = HeaderValue::from_static(protocol);
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        let pipe = self.connect(host).await.map_err(|error| ClientError::Unreachable {
            endpoint: self.endpoint.clone(),
            cause: SharedError::new(error),
        })?;
        match client_async(request, pipe).await {
            Ok((socket, _)) => Ok(socket),
            Err(WsError::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err(self.response_error(response.status().as_u16(), body))
            }
            Err(error) => Err(session_lost(&self.endpoint, &error)),
        }
    }

    async fn connect(&self, host: &str) -> std::io::Result<Box<dyn Pipe>> {
        Ok(match self.endpoint.socket() {
            Some(socket) => Box::new(UnixStream::connect(socket).await?),
            None => Box::new(TcpStream::connect(with_port(host)).await?),
        })
    }
}

fn with_port(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => format!("{host}:80"),
    }
}

/// Returns the error for a session that the orchestrator left.
pub(super) fn session_lost(endpoint: &Endpoint, error: &WsError) -> ClientError {
    ClientError::unreachable(endpoint, &chain(error))
}
