//! Dubernetes as a library: keeps containers running as small specifications say.
//!
//! ```text
//!  app.yaml ──► Store (desired state) ──┐
//!                                       ├──► reconcile(desired, observed, now) ──► Plan
//!  ContainerRuntime (observed state) ───┘                                           │
//!          ▲                                                                        ▼
//!          └────────── Orchestrator: executes actions, applies routes ──► Ingress
//! ```
//!
//! This crate re-exports the crates that a program needs to embed an orchestrator; the adapters
//! are behind the features `docker`, `swarm`, `process`, `sqlite`, `nginx`, `proxy` and `tls` (or
//! `full`).
//!
//! | To … | read |
//! |---|---|
//! | decide without side effects, or unit-test a decision | [`reconcile()`], [`plan`], [`state`] |
//! | run an orchestrator | [`Orchestrator`], [`Handle`] |
//! | read a specification from YAML or JSON | [`manifest`] |
//! | write an adapter | [`runtime::ContainerRuntime`], [`store::Store`], [`ingress::Ingress`] |
//! | test on fakes, or check an adapter | the crate `dubernetes-testkit` |
//!
//! # Examples
//!
//! A decision is a pure function of values. The test kit writes them as text:
//!
//! ```
//! use dubernetes::reconcile;
//! use dubernetes_testkit::notation;
//!
//! let case = notation::parse(
//!     "network
//!      app web replicas=2
//!      web-1 ready",
//! )?;
//! let plan = reconcile(&case.desired, &case.observed, case.now);
//! assert_eq!(plan.actions.len(), 1);
//! assert_eq!(plan.actions[0].action.verb(), "create");
//! assert_eq!(plan.actions[0].object(), "web-2");
//! # Ok::<(), String>(())
//! ```
//!
//! An orchestrator gets its adapters from a builder. Here they are fakes, and time is virtual:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use dubernetes::app::InstanceName;
//! use dubernetes::manifest::{self, Source};
//! use dubernetes::{CancellationToken, Orchestrator};
//! use dubernetes_testkit::{Behaviour, FakeIngress, FakeRuntime, MemoryStore, TokioClock};
//!
//! let file = "name: web\nimage: web:1\nreplicas: 3\naccess: { host: web.local }\n";
//! let file = Source { name: "app.yaml".into(), text: file.into() };
//! let web = manifest::parse(&[file])?.apps.remove(0).spec;
//!
//! let clock = TokioClock::new();
//! let runtime = FakeRuntime::new(clock);
//! runtime.add_image("web:1", Behaviour::default());
//! let orchestrator = Orchestrator::builder(InstanceName::default())
//!     .runtime(Arc::new(runtime.clone()))
//!     .store(Arc::new(MemoryStore::default()))
//!     .ingress(Arc::new(FakeIngress::default()))
//!     .dialer(Arc::new(runtime))
//!     .clock(Arc::new(clock))
//!     .build();
//! let handle = orchestrator.handle();
//! tokio::spawn(orchestrator.run(CancellationToken::new()));
//!
//! handle.apply(&web).await?;
//! let status = handle.until_ready(&web.name, Duration::from_secs(60)).await?;
//! assert_eq!(status.ready, 3);
//! # Ok(())
//! # }
//! ```

#[doc(inline)]
pub use dubernetes_controller::{
    AdapterKind, Approval, Approver, Builder, CallOutcome, Handle, Measurement, Meter, Mode,
    NextStep, Orchestrator, PendingStep, ProbeOutcome, ProbeResult, RolloutOutcome, RoutesOutcome,
    Snapshot, TcpDialer, TeardownError, WaitError,
};
#[doc(inline)]
pub use dubernetes_core::reconcile::reconcile;
#[doc(inline)]
pub use dubernetes_core::{
    app, async_trait, clock, dial, error, event, forecast, identity, ingress, labels, plan, replay,
    runtime, selector, state, store, why,
};
/// The crates whose types are in public signatures.
#[doc(no_inline)]
pub use dubernetes_core::{bytes, futures_core, futures_io, ipnet, jiff, smol_str};
/// Reads specifications from YAML and JSON, with every problem located.
pub use dubernetes_manifest as manifest;
/// Cancels [`Orchestrator::run`].
pub use tokio_util::sync::CancellationToken;

/// Containers on a Docker engine.
#[cfg(feature = "docker")]
pub use dubernetes_docker as docker;
/// Routes in nginx.
#[cfg(feature = "nginx")]
pub use dubernetes_nginx as nginx;
/// Programs as processes of this machine.
#[cfg(feature = "process")]
pub use dubernetes_process as process;
/// Routes in this process.
#[cfg(feature = "proxy")]
pub use dubernetes_proxy as proxy;
/// Desired state in SQLite.
#[cfg(feature = "sqlite")]
pub use dubernetes_sqlite as sqlite;
/// Containers on the nodes of a Docker swarm.
#[cfg(feature = "swarm")]
pub use dubernetes_swarm as swarm;
/// Certificates of an instance's own authority, and of others by ACME.
#[cfg(feature = "tls")]
pub use dubernetes_tls as tls;
