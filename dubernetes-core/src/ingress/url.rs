//! The URLs of routes, for people.

use crate::app::{HostPattern, RoutePath};

/// The host's ports on which the ingress listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlPorts {
    /// For requests over HTTP.
    pub http: u16,
    /// For requests over HTTPS, if it takes any.
    pub https: Option<u16>,
}

/// Returns the URL of a route; `has_tls` says whether its host is to be served over HTTPS. A user
/// can open it, unless the host has a wildcard.
pub fn url(host: &HostPattern, path: &RoutePath, ports: UrlPorts, has_tls: bool) -> String {
    let (scheme, port, usual) = match ports.https.filter(|_| has_tls) {
        Some(https) => ("https", https, 443),
        None => ("http", ports.http, 80),
    };
    let port = if port == usual { String::new() } else { format!(":{port}") };
    let path = if path.is_root() { "" } else { path.as_str() };
    match host {
        HostPattern::Exact(_) | HostPattern::AnyLabel(_) => {
            format!("{scheme}://{host}{port}{path}")
        }
        HostPattern::Any => format!("{scheme}://{}{port}{path}", host.example()),
    }
}
