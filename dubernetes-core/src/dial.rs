//! The trait [`Dialer`]: connections from this host to the endpoints of containers.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::app::Duration;
use crate::runtime::OpenPorts;

/// Opens connections to endpoints, and probes endpoints.
///
/// `dubernetes_controller::TcpDialer` is the implementation for TCP; tests use a fake.
#[async_trait]
pub trait Dialer: fmt::Debug + Send + Sync {
    /// Sends one probe and returns the answer within `timeout`. A refused connection, a timeout or
    /// a malformed response is an answer, not an error.
    async fn probe(&self, endpoint: SocketAddr, probe: &Probe, timeout: Duration) -> ProbeAnswer;

    /// Opens a TCP connection.
    ///
    /// # Errors
    ///
    /// [`DialError`], after 5 s at the latest.
    async fn connect(&self, endpoint: SocketAddr) -> Result<Connection, DialError>;
}

/// Opens the connections of a dialer from another place than this process, such as the network of a
/// container.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// Opens a TCP connection, within 5 s. Callers may drop the call earlier.
    ///
    /// # Errors
    ///
    /// Those of a connection, or why there is no such place now.
    async fn connect(&self, endpoint: SocketAddr) -> io::Result<TcpStream>;
}

/// The kind of a probe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Probe {
    /// Opens a TCP connection and closes it.
    Tcp,
    /// Sends `GET path` and reads the status and the start of the body.
    Http {
        /// The `Host` header; the endpoint's address if `None`.
        host: Option<String>,
        /// The path.
        path: String,
    },
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeAnswer {
    /// The connection was opened.
    Connected,
    /// An HTTP response.
    Http {
        /// The status.
        status: u16,
        /// At most the first 4 KiB of the body.
        body: String,
    },
    /// A command probe exited.
    Exited {
        /// Its exit code.
        code: i64,
        /// The start of its output.
        output: String,
    },
    /// Connection refused: nothing listens at the endpoint.
    Refused {
        /// The port that was probed.
        port: u16,
        /// The ports on which the container's processes do listen.
        open: OpenPorts,
    },
    /// No usable answer: timed out, closed, or not HTTP.
    Failed {
        /// Why, as a sentence fragment.
        reason: String,
    },
}

/// A TCP connection to an endpoint.
pub struct Connection {
    /// Reads what the container sends.
    pub reader: Pin<Box<dyn AsyncRead + Send>>,
    /// Writes to the container. Closing the writer ends this direction only.
    pub writer: Pin<Box<dyn AsyncWrite + Send>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no connection to port {} at {}: {reason}", endpoint.port(), endpoint.ip())]
pub struct DialError {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// Why, as a sentence fragment.
    pub reason: String,
}
