//! The typed client: one method for each endpoint, over a Unix socket or over HTTP on loopback.
//!
//! It retries nothing and decides nothing. An error says whether somebody answered at all.

mod error;
mod exec;
mod forward;
mod http;
mod lines;
mod requests;
mod socket;
mod streams;

pub use error::ClientError;
pub use exec::ExecSession;
pub use forward::Tunnel;
pub use requests::EventsQuery;
pub use streams::{Items, LogQuery, LogTarget};

use std::fmt;
use std::path::PathBuf;

/// Speaks with one orchestrator. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
}

/// Where an orchestrator is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At a Unix socket.
    Unix(PathBuf),
    /// At `http://address:port`, without a slash at the end.
    Http(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Http(url) => f.write_str(url),
        }
    }
}

impl Client {
    /// A client of the orchestrator at a Unix socket. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Protocol`] if no client can be made.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, ClientError> {
        Self::new(Endpoint::Unix(path.into()))
    }

    /// A client of the orchestrator at an address such as `http://127.0.0.1:8080`. Nothing is
    /// sent yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Protocol`] if `url` is no such address.
    pub fn http(url: &str) -> Result<Self, ClientError> {
        let trimmed = url.trim_end_matches('/');
        match trimmed.strip_prefix("http://") {
            Some(authority)
                if !authority.is_empty() && !authority.contains(['/', '?', '#', '@']) =>
            {
                Self::new(Endpoint::Http(trimmed.to_owned()))
            }
            _ => Err(ClientError::protocol(format!(
                "an address such as `http://127.0.0.1:8080` was expected, not `{}`",
                url.escape_debug()
            ))),
        }
    }

    /// Where the orchestrator is looked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
