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
//! - Websockets are passed through, other upgrades are not. Neither answers nor bodies of requests
//!   are buffered, and there is no limit to them. A silent connection lives one hour, and one
//!   without a request 20 s.
//!
//! # How a table gets there
//!
//! Files of a new generation are put into a folder of their own, read back and checked by nginx
//! itself, then a link is switched and nginx reloads. The table is acknowledged when new connections are answered
//! by the new generation. If nginx refuses the files, each app is checked by itself, and one that
//! does not pass keeps its last good routes. A check that fails never touches what serves.
//!
//! # What lives on
//!
//! A reload ends no connection. Those that do not end, such as websockets, keep a worker of the former
//! generation alive; of these there are 64 at most, and then those with the fewest connections end.
//! An address is drained when no connection leads to it and no older worker has a client whose
//! request is yet to come. How often there is a reload is the caller's choice.
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
