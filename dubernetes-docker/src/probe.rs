//! Probes and other connections from this process straight to a container's address.
//!
//! Whatever goes wrong on the way of a probe is an answer, since it is what the probe was sent to find out.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use dubernetes_core::runtime::{
    ConnectTarget, Connection, OpenPorts, Probe, ProbeAnswer, ProbeTarget, RuntimeError,
};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// So much of a body is read: a status page fits, and an endless answer does no harm.
const BODY_LIMIT: usize = 4096;

/// How long a container may take to take a connection that is not a probe.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Opens a connection to a container.
pub(crate) async fn open(target: &ConnectTarget) -> Result<Connection, RuntimeError> {
    let (address, port) = (target.address, target.port);
    let stream = connect(address, port, Instant::now() + CONNECT_LIMIT).await;
    let stream = stream.map_err(|failed| {
        let reason = match failed {
            Failed::Refused => "connection refused".to_owned(),
            Failed::TimedOut => format!("no answer within {}s", CONNECT_LIMIT.as_secs()),
            Failed::Other(reason) => reason,
        };
        RuntimeError::NotConnected { address, port, reason }
    })?;
    // Whoever forwards has collected its bytes already; that this fails costs only time.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    Ok(Connection { reader: Box::pin(reader), writer: Box::pin(writer) })
}

/// Sends one probe and says what came back.
///
/// Where nobody listens, `open` is asked who listens elsewhere.
pub(crate) async fn send(
    target: &ProbeTarget,
    open: impl AsyncFnOnce() -> OpenPorts,
) -> ProbeAnswer {
    let limit = target.timeout.to_std();
    let deadline = Instant::now() + limit;
    let answer = match &target.probe {
        Probe::Tcp { port } => {
            connect(target.address, *port, deadline).await.map(|_| ProbeAnswer::Connected)
        }
        Probe::Http { port, path } => get(target.address, *port, path, deadline).await,
    };
    let (Probe::Tcp { port } | Probe::Http { port, .. }) = target.probe;
    let reason = match answer {
        Ok(answer) => return answer,
        Err(Failed::Refused) => return ProbeAnswer::Refused { port, open: open().await },
        Err(Failed::TimedOut) => {
            let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            let limit = dubernetes_core::app::Duration::from_millis(limit);
            format!("port {port}: no answer within {limit}")
        }
        Err(Failed::Other(reason)) => reason,
    };
    ProbeAnswer::Failed { reason }
}

enum Failed {
    Refused,
    TimedOut,
    Other(String),
}

async fn connect(address: Ipv4Addr, port: u16, deadline: Instant) -> Result<TcpStream, Failed> {
    match timeout_at(deadline, TcpStream::connect((address, port))).await {
        Err(_) => Err(Failed::TimedOut),
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match error.kind() {
            ErrorKind::ConnectionRefused => Failed::Refused,
            ErrorKind::TimedOut => Failed::TimedOut,
            ErrorKind::HostUnreachable => Failed::Other("nobody has this address".to_owned()),
            _ => Failed::Other(format!("connection failed: {error}")),
        }),
    }
}

async fn get(
    address: Ipv4Addr,
    port: u16,
    path: &str,
    deadline: Instant,
) -> Result<ProbeAnswer, Failed> {
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, "dubernetes-probe")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Failed::Other(format!("`{}` is not a path", path.escape_debug())))?;
    let stream = connect(address, port, deadline).await?;
    let exchange = async {
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| no_http(&error))?;
        // The connection moves the bytes; it ends with the answer, or with this probe.
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| no_http(&error))?;
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

/// The start of the body. The status has come already, so an end that is cut off or late does not
/// make the answer unusable.
async fn body(mut incoming: hyper::body::Incoming, deadline: Instant) -> String {
    // A little before the probe's own deadline, so that an endless body still is an answer.
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

fn no_http(error: &hyper::Error) -> Failed {
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
