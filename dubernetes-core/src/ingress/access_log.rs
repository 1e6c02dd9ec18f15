//! The access log: requests that the proxy took for apps.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{AppName, PodName};
use crate::runtime::RuntimeStream;

/// Requests, oldest first; new ones roughly. An error ends the stream.
pub type AccessLog = RuntimeStream<AccessLogEntry>;

/// Selects requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogQuery {
    /// The app that the requests are for.
    pub app: AppName,
    /// Only those that this pod answered.
    pub pod: Option<PodName>,
    /// Continue with new ones.
    pub follow: bool,
    /// Only this number, the last.
    pub tail: Option<u32>,
    /// Only those answered at or after this time.
    pub since: Option<Timestamp>,
}

impl AccessLogQuery {
    /// Selects all requests for an app.
    pub fn new(app: AppName) -> Self {
        Self { app, pod: None, follow: false, tail: None, since: None }
    }

    /// Returns whether a request is selected, apart from `tail`.
    pub fn selects(&self, entry: &AccessLogEntry) -> bool {
        self.app == entry.app
            && (self.pod.is_none() || self.pod == entry.pod)
            && self.since.is_none_or(|since| entry.time >= since)
    }
}

/// One request, as the proxy logged it when its answer was complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLogEntry {
    /// The time of the end.
    pub time: Timestamp,
    /// The app.
    pub app: AppName,
    /// The pod that got the request; the last one of several. `None` if none did, and the proxy
    /// answered itself.
    pub pod: Option<PodName>,
    /// The address of the client, also behind trusted proxies.
    pub client: IpAddr,
    /// The method. It and the texts below are the client's: any characters may be in them.
    pub method: String,
    /// The host, without a port.
    pub host: String,
    /// The path as the client wrote it, without the query: that may hold secrets.
    pub path: String,
    /// The version of HTTP between client and proxy, such as `HTTP/1.1`.
    pub protocol: String,
    /// The status of the answer. 499: the client closed the connection before.
    pub status: u16,
    /// The size of the body of the answer.
    pub bytes: u64,
    /// Time from the first byte of the request to the end of the answer.
    pub duration_ms: u64,
}
