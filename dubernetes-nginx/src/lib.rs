//! Routes requests to replicas through an nginx container: [`NginxIngress`] implements
//! [`Ingress`](dubernetes_core::ingress::Ingress) over any
//! [`ContainerRuntime`](dubernetes_core::runtime::ContainerRuntime).
//!
//! # What is served
//!
//! - A request belongs to the app whose host is equal (without case or port) and whose path
//!   prefix is the longest that matches on segment boundaries. It is passed on unchanged, over a fresh
//!   connection to one of the endpoints, in turn.
//! - An unknown host or path: 404. An app without endpoints: 503 with `Retry-After`. Endpoints that
//!   cannot be connected to within 2 s: the next one, three tries in all, then 502 or 504. A request
//!   that was sent is repeated only if its method is idempotent.
//! - Apps see `Host` as it was sent, `X-Real-IP` and `X-Forwarded-For` (the peer's address), `-Host`
//!   and `-Proto`; what the client claims in these or in `Forwarded` is dropped.
//! - Websockets are passed through, other upgrades are not. Answers are not buffered; bodies of
//!   requests are, without a limit. A silent connection lives one hour.
//!
//! # How a table gets there
//!
//! Files of a new generation are put into a folder of their own, read back and checked by nginx
//! itself, then a link is switched and nginx reloads. The table is acknowledged when new connections are answered
//! by the new generation. If nginx refuses the files, each app is checked by itself, and one that
//! does not pass keeps its last good routes. A check that fails never touches what serves.
//!
//! # Guarantees
//!
//! - No raw text reaches a configuration file, see `directive.rs`.
//! - Dropping the value stops nothing; a new one finds what is served, by asking nginx.
//! - An unchanged table makes no changing call.
//! - A container that was killed starts with its last good files; one that was removed gets them again.

pub mod config;
mod directive;
mod error;
pub mod holder;
mod ingress;
mod proxy;
mod quarantine;
pub mod version;
mod workers;

pub use ingress::NginxIngress;
pub use proxy::NginxConfig;
