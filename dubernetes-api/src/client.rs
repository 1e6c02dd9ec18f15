//! Typed client: one method for each endpoint, over a Unix socket or over HTTP on loopback.
//!
//! The client never retries. Its errors distinguish an orchestrator that does not answer from one
//! that answers with a problem.

mod error;
mod exec;
mod forward;
mod http;
mod lines;
mod requests;
mod socket;
mod streams;

pub use error::ClientError;
pub use exec::{ExecSession, RunSession};
pub use forward::Tunnel;
pub use requests::EventsQuery;
pub use streams::{Items, LogQuery, LogTarget};

use std::fmt;
use std::path::{Path, PathBuf};

/// Client of one orchestrator. Clones share its connections.
///
/// # Examples
///
/// ```no_run
/// # async fn apply() -> Result<(), Box<dyn std::error::Error>> {
/// use dubernetes_api::Client;
/// use dubernetes_core::app::{AppName, AppSpec, ImageRef};
///
/// let client = Client::unix("/var/lib/dubernetes/default/socket")?;
/// let web = AppSpec::new(AppName::parse("web")?, ImageRef::parse("nginx:1.27")?);
/// let applied = client.apply(&web, None).await?;
/// println!("revision {}", applied.app.status.revision);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
}

/// Address of an orchestrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A local Unix socket that is forwarded to an orchestrator elsewhere.
    Forwarded {
        /// The local end.
        socket: PathBuf,
        /// The orchestrator, as shown in errors, such as `ssh://server`.
        to: String,
    },
    /// A URL `http://address:port`, without a trailing slash.
    Http(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Forwarded { to, .. } => f.write_str(to),
            Self::Http(url) => f.write_str(url),
        }
    }
}

impl Endpoint {
    /// Returns the Unix socket to connect to, if it is one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match self {
            Self::Unix(socket) | Self::Forwarded { socket, .. } => Some(socket),
            Self::Http(_) => None,
        }
    }
}

impl Client {
    /// Creates a client for the orchestrator at a Unix socket. Does not connect yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Protocol`] if the HTTP client cannot be set up.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, ClientError> {
        Self::new(Endpoint::Unix(path.into()))
    }

    /// Creates a client for the orchestrator behind a forwarded Unix socket. Errors name `to`, such
    /// as `ssh://server`. Does not connect yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Protocol`] if the HTTP client cannot be set up.
    pub fn forwarded(
        socket: impl Into<PathBuf>,
        to: impl Into<String>,
    ) -> Result<Self, ClientError> {
        Self::new(Endpoint::Forwarded { socket: socket.into(), to: to.into() })
    }

    /// Creates a client for the orchestrator at a URL such as `http://127.0.0.1:8080`. Does not
    /// connect yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Protocol`] if `url` is not such a URL.
    pub fn http(url: &str) -> Result<Self, ClientError> {
        let trimmed = url.trim_end_matches('/');
        match trimmed.strip_prefix("http://") {
            Some(authority)
                if !authority.is_empty() && !authority.contains(['/', '?', '#', '@']) =>
            {
                Self::new(Endpoint::Http(trimmed.to_owned()))
            }
            _ => Err(ClientError::protocol(format!(
                "expected an address such as `http://127.0.0.1:8080`, found `{}`",
                url.escape_debug()
            ))),
        }
    }

    /// Returns the address of the orchestrator.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
