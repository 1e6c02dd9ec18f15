//! The trait [`Dialer`]: connections from this host to the endpoints of containers.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::app::Duration;
use crate::runtime::OpenPorts;

/// Opens connections to endpoints and probes them.
///
/// The controller and the API come with an implementation for TCP; a test replaces it by a fake.
#[async_trait]
pub trait Dialer: fmt::Debug + Send + Sync {
    /// Sends one probe and returns what came back, within `timeout`. A refused connection, a
    /// timeout or a malformed response is an answer, not an error.
    async fn probe(&self, endpoint: SocketAddr, probe: &Probe, timeout: Duration) -> ProbeAnswer;

    /// Opens a TCP connection.
    ///
    /// # Errors
    ///
    /// [`DialError`], after 5 s at the latest.
    async fn connect(&self, endpoint: SocketAddr) -> Result<Connection, DialError>;
}

/// What a probe sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Probe {
    /// Opens a connection and closes it.
    Tcp,
    /// Sends `GET path` and reads the status and the start of the body.
    Http {
        /// The path.
        path: String,
    },
}

/// What came back from a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeAnswer {
    /// The connection was made.
    Connected,
    /// An HTTP response.
    Http {
        /// The status.
        status: u16,
        /// At most the first 4 KiB of the body.
        body: String,
    },
    /// A command was run instead, and exited.
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
        /// Where the container's processes listen instead.
        open: OpenPorts,
    },
    /// Nothing usable: timed out, closed, or not HTTP.
    Failed {
        /// Why, as a sentence fragment.
        reason: String,
    },
}

/// A TCP connection to an endpoint.
pub struct Connection {
    /// What the container sends, up to its end of stream.
    pub reader: Pin<Box<dyn AsyncRead + Send>>,
    /// What is sent to the container. Closing it ends that direction only.
    pub writer: Pin<Box<dyn AsyncWrite + Send>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A connection that could not be opened: nothing listens there, or the container is gone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no connection to port {} at {}: {reason}", endpoint.port(), endpoint.ip())]
pub struct DialError {
    /// Where the connection should have gone.
    pub endpoint: SocketAddr,
    /// Why, as a sentence fragment.
    pub reason: String,
}
