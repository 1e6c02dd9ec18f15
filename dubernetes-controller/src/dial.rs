//! Probes and connections over TCP, from this process to the endpoints of containers.
//!
//! Whatever goes wrong during a probe is an answer, since it is what the probe has to find out.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::app::Duration as Span;
use dubernetes_core::dial::{Connection, Connector, DialError, Dialer, Probe, ProbeAnswer};
use dubernetes_core::runtime::OpenPorts;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::compat::{TokioAsyncReadCompatExt as _, TokioAsyncWriteCompatExt as _};

/// Maximum bytes read of a body: a status page fits, and an endless response does no harm.
const BODY_LIMIT: usize = 4096;

/// Deadline of a connection that is not a probe.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Dials over TCP, by default from this process.
#[derive(Debug, Clone, Default)]
pub struct TcpDialer {
    connector: Option<Arc<dyn Connector>>,
}

impl TcpDialer {
    /// Creates a dialer whose connections `connector` opens.
    pub fn through(connector: Arc<dyn Connector>) -> Self {
        Self { connector: Some(connector) }
    }

    async fn connect(&self, endpoint: SocketAddr, deadline: Instant) -> Result<TcpStream, Failed> {
        let connected = async {
            let Some(connector) = &self.connector else {
                return TcpStream::connect(endpoint).await;
            };
            let stream = connector.connect(endpoint).await?;
            stream.set_nonblocking(true)?;
            TcpStream::from_std(stream)
        };
        match timeout_at(deadline, connected).await {
            Err(_) => Err(Failed::TimedOut),
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(match error.kind() {
                ErrorKind::ConnectionRefused => Failed::Refused,
                ErrorKind::TimedOut => Failed::TimedOut,
                ErrorKind::HostUnreachable => Failed::Other("no host has this address".to_owned()),
                _ => Failed::Other(format!("connection failed: {error}")),
            }),
        }
    }

    async fn get(
        &self,
        endpoint: SocketAddr,
        host: &str,
        path: &str,
        deadline: Instant,
    ) -> Result<ProbeAnswer, Failed> {
        let request = Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, "dubernetes-probe")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|_| Failed::Other(format!("`{}` is not a path", path.escape_debug())))?;
        exchange(self.connect(endpoint, deadline).await?, request, deadline).await
    }
}

#[async_trait]
impl Dialer for TcpDialer {
    async fn probe(&self, endpoint: SocketAddr, probe: &Probe, timeout: Span) -> ProbeAnswer {
        let deadline = Instant::now() + timeout.to_std();
        let answer = match probe {
            Probe::Tcp => {
                let connected = Self::connect(self, endpoint, deadline).await;
                connected.map(|_| ProbeAnswer::Connected)
            }
            Probe::Http { host, path } => {
                let address = endpoint.ip().to_string();
                self.get(endpoint, host.as_ref().unwrap_or(&address), path, deadline).await
            }
        };
        let port = endpoint.port();
        let reason = match answer {
            Ok(answer) => return answer,
            Err(Failed::Refused) => {
                return ProbeAnswer::Refused { port, open: OpenPorts::Unknown };
            }
            Err(Failed::TimedOut) => format!("port {port}: no answer within {timeout}"),
            Err(Failed::Other(reason)) => reason,
        };
        ProbeAnswer::Failed { reason }
    }

    async fn connect(&self, endpoint: SocketAddr) -> Result<Connection, DialError> {
        let stream = Self::connect(self, endpoint, Instant::now() + CONNECT_LIMIT).await;
        let stream = stream.map_err(|failed| {
            let reason = match failed {
                Failed::Refused => "connection refused".to_owned(),
                Failed::TimedOut => format!("no answer within {}s", CONNECT_LIMIT.as_secs()),
                Failed::Other(reason) => reason,
            };
            DialError { endpoint, reason }
        })?;
        // The caller buffers already; without this option only latency is lost.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        Ok(Connection {
            reader: Box::pin(reader.compat()),
            writer: Box::pin(writer.compat_write()),
        })
    }
}

enum Failed {
    Refused,
    TimedOut,
    Other(String),
}

/// Sends a request, and returns the answer.
async fn exchange(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
    deadline: Instant,
) -> Result<ProbeAnswer, Failed> {
    let exchange = async {
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| not_http(&error))?;
        // The connection transfers the bytes; it ends with the answer, or with this probe.
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| not_http(&error))?;
            let status = response.status().as_u16();
            Ok(ProbeAnswer::Http { status, body: body(response.into_body(), deadline).await })
        };
        let moved = async {
            // An error of the connection shows in the answer as well.
            let _ = connection.await;
            std::future::pending::<Result<ProbeAnswer, Failed>>().await
        };
        tokio::select! {
            // Neither arm is polled again once the other is done.
            answered = answer => answered,
            never = moved => never,
        }
    };
    timeout_at(deadline, exchange).await.map_err(|_| Failed::TimedOut)?
}

/// Returns the start of the body. The status is known by then, so a body that ends early or late
/// does not invalidate the answer.
async fn body(mut incoming: hyper::body::Incoming, deadline: Instant) -> String {
    // A little before the probe's own deadline, so that an endless body is still an answer.
    let deadline = deadline.checked_sub(Duration::from_millis(20)).unwrap_or(deadline);
    let mut body = Vec::new();
    while body.len() < BODY_LIMIT {
        match timeout_at(deadline, incoming.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    body.extend_from_slice(data);
                }
            }
            Ok(None | Some(Err(_))) | Err(_) => break,
        }
    }
    body.truncate(BODY_LIMIT);
    String::from_utf8_lossy(&body).into_owned()
}

fn not_http(error: &hyper::Error) -> Failed {
    Failed::Other(if error.is_parse() {
        "the answer is not HTTP".to_owned()
    } else if error.is_incomplete_message() || error.is_closed() {
        "closed without an answer".to_owned()
    } else {
        dubernetes_core::error::chain(error)
    })
}

#[cfg(test)]
mod tests;
