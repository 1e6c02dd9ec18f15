//! Routes requests to replicas through an nginx container: [`NginxIngress`] implements
//! [`Ingress`](dubernetes_core::ingress::Ingress) on any
//! [`ContainerRuntime`](dubernetes_core::runtime::ContainerRuntime) with networks, commands and
//! files.
//!
//! # Routing
//!
//! - A request belongs to the app with the same host (ignoring case and port) and the longest
//!   path prefix that matches on segment boundaries. nginx passes it on unchanged, over a new
//!   connection, to one of the endpoints in turn. Of a route with `keepalive`, GET, HEAD and
//!   OPTIONS requests without a body share connections.
//! - Unknown host or path: 404. App without endpoints: 503 with `Retry-After`. An endpoint that
//!   does not accept the connection within 0.5 s: the next one, or the same one if there is no
//!   other, four attempts in all, then the same 503. If the app breaks off, 502. A request that was
//!   already sent is repeated only if its method is idempotent.
//! - Apps receive `Host` as the client sent it, `X-Real-IP` and `X-Forwarded-For` with the
//!   client's address, `X-Forwarded-Host` and `X-Forwarded-Proto`. Values of these headers and of
//!   `Forwarded` that the client sent are dropped.
//! - Websocket upgrades are passed through, other upgrades are not. Request and response bodies
//!   are not limited, and not buffered unless the route says so. A silent connection is closed
//!   after one hour, a connection without a request after 20 s.
//!
//! # Applying a table
//!
//! The files of a new generation go into a directory of their own, are read back, and are checked
//! by nginx itself. Then a symbolic link is switched and nginx reloads. The table is acknowledged
//! when new connections are answered by the new generation. If nginx refuses the files, each app
//! is checked alone, and an app that fails keeps its last good routes. A check never affects what
//! is being served.
//!
//! # Reloads and draining
//!
//! A reload closes no connection. Connections that stay open, such as websockets, keep a worker of
//! the former generation alive. At most 64 old workers are kept; beyond that, the workers with the
//! fewest connections are terminated. An address is drained when no connection leads to it and no
//! old worker has a client that may still send a request. [`NginxIngress`] limits reloads by its
//! [`pace`](dubernetes_core::ingress::Ingress::pace).
//!
//! # Guarantees
//!
//! - No raw text reaches a configuration file, see `directive.rs`.
//! - Dropping the value stops nothing. A new value asks nginx what is being served.
//! - An unchanged table makes no changing call.
//! - A killed container restarts with its last good files; a removed one is created with them.

mod access_log;
mod answers;
mod cache;
mod challenges;
mod command;
pub mod config;
mod counts;
mod directive;
mod error;
pub mod features;
mod ingress;
pub mod port_owner;
mod ports;
mod proxy;
mod quarantine;
mod request;
mod strays;
pub mod version;
mod workers;

pub use ingress::NginxIngress;
pub use proxy::NginxConfig;
