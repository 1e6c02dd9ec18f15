//! The core of Dubernetes, a declarative container orchestrator for one machine: its vocabulary,
//! its planner, and the traits of the outside world.
//!
//! The planner is [`reconcile()`], a pure function. A controller calls it in a loop:
//!
//! ```text
//!     users                                   containers          proxy
//!       │ put, delete                              │                 │
//!   ┌───▼───┐                              ┌───────▼──────────┐  ┌───▼─────┐
//!   │ Store │                              │ ContainerRuntime │  │ Ingress │
//!   └───┬───┘                              └───────┬──────────┘  └───┬─────┘
//!       │ DesiredState                             │ ObservedState   │
//!       └───────────────────┐       ┌──────────────┴─────────────────┘
//!                       ┌───▼───────▼───┐
//!                       │ reconcile(now)│   no clock, no I/O, no state, no failure
//!                       └───────┬───────┘
//!                               │ Plan: actions, waits, blocks, routes, statuses
//!                       ┌───────▼───────┐
//!                       │  controller   │   carries out the actions, and starts the next pass
//!                       └───────────────┘   when something changes or a wait ends
//! ```
//!
//! # Example
//!
//! A first apply creates the replicas that are wanted, and says why:
//!
//! ```
//! use dubernetes_core::{
//!     AppName, AppSpec, DesiredState, ImageId, ImageRef, Network, ObservedState, StoredApp,
//!     reconcile,
//! };
//! use jiff::Timestamp;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Timestamp::UNIX_EPOCH;
//! let mut spec = AppSpec::new(AppName::parse("web")?, ImageRef::parse("web:1")?);
//! spec.replicas = 2;
//! let mut web = StoredApp::first(spec, now);
//! web.image_id = Some(ImageId("sha256:1".into()));
//!
//! let apps = [(web.spec.name.clone(), web)].into();
//! let desired = DesiredState { apps, ..DesiredState::default() };
//! let network = Network { id: "net".into(), subnet: "10.9.0.0/22".parse()? };
//! let observed = ObservedState { network: Some(network), ..ObservedState::default() };
//!
//! let plan = reconcile(&desired, &observed, now);
//! assert_eq!(
//!     plan.to_string(),
//!     "create   web-1        2 replicas wanted, 0 exist\n\
//!      create   web-2        2 replicas wanted, 0 exist\n"
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! - What users want: [`app`] is the specification of an app, [`selector`] selects apps by label.
//! - The input: [`state`], with [`labels`] and [`identity`] of containers, and the [`call`]s that
//!   are in flight or failed.
//! - The decision: [`reconcile`](mod@reconcile).
//! - The output: [`plan`].
//! - Its explanation: [`forecast`], [`why`] and [`replay`].
//! - The outside world: [`store`], [`runtime`] and [`ingress`] are the traits of adapters;
//!   [`clock`], [`dial`] and [`sockets`] are small parts of it. [`event`] is what is recorded, and
//!   [`error`] and [`format`](mod@format) make texts.

pub mod app;
pub mod call;
pub mod certificate;
pub mod clock;
pub mod dial;
pub mod error;
pub mod event;
mod explain;
pub mod format;
pub mod identity;
pub mod ingress;
pub mod labels;
pub mod plan;
pub mod reconcile;
pub mod runtime;
pub mod selector;
pub mod sockets;
pub mod state;
pub mod store;

/// The crates whose types are in public signatures.
#[doc(no_inline)]
pub use {bytes, futures_core, futures_io, ipnet, jiff, smol_str};

pub use app::{AppName, AppSpec, Artifact, ImageRef, InstanceName};
pub use async_trait::async_trait;
pub use event::{Event, EventReason};
pub use explain::{forecast, replay, why};
pub use ingress::{Ingress, IngressError, RouteTable};
pub use plan::{Action, AppStatus, Phase, Plan, Planned};
pub use reconcile::reconcile;
pub use runtime::{ContainerId, ContainerRuntime, ImageId, Network, RuntimeError};
pub use state::{DesiredState, ObservedState};
pub use store::{Store, StoreError, StoredApp};
