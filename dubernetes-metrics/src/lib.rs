//! Metrics of an orchestrator, for Prometheus and every other program that reads OpenMetrics.
//!
//! [`Metrics`] counts what an orchestrator does, as its `Meter`. An [`Exporter`] adds what the last
//! pass has seen, and writes all of it as text. A program that embeds an orchestrator and has a
//! registry of its own adds the same metrics to that, with [`Metrics::register`].
//!
//! No label is about one replica: the number of series is bounded by that of apps, hosts and the
//! few words that the other labels know. The series of a deleted app end with it.
//!
//! # Examples
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use std::sync::Arc;
//!
//! use dubernetes_metrics::{Exporter, Format, Metrics};
//! use dubernetes_testkit::build::TestOrchestrator;
//! # use dubernetes_testkit::{FakeIngress, FakeRuntime, TokioClock};
//! # let clock = TokioClock::new();
//! # let (runtime, ingress) = (FakeRuntime::new(clock), FakeIngress::default());
//!
//! let metrics = Arc::new(Metrics::default());
//! let meter = Arc::clone(&metrics);
//! // With real adapters, the builder of the orchestrator gets the meter.
//! let web = TestOrchestrator::start_with(runtime, Arc::default(), ingress, clock, |builder| {
//!     builder.meter(meter)
//! });
//! web.deploy_web("web:1", 3).await;
//!
//! let exporter = Exporter::new(&metrics, web.handle.clone(), "1.0.0");
//! let text = exporter.export(Format::OpenMetrics).await;
//! assert!(text.contains("dubernetes_app_replicas_ready{app=\"web\"} 3\n"));
//! # }
//! ```

mod collector;
mod counts;
mod export;
mod families;
mod requests;

pub use counts::Metrics;
pub use export::{Exporter, Format};
