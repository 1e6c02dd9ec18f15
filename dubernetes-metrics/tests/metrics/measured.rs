//! An orchestrator on fakes that is measured.

use std::sync::Arc;

use dubernetes_metrics::{Exporter, Format, Metrics};
use dubernetes_testkit::build::TestOrchestrator;
use dubernetes_testkit::{Behaviour, FakeIngress, FakeIssuer, FakeRuntime, TokioClock};

use crate::exposition::Exposition;

/// An orchestrator on fakes, and its metrics.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) orchestrator: TestOrchestrator,
    pub(crate) exporter: Arc<Exporter>,
}

impl Measured {
    /// Starts an orchestrator whose ingress takes requests over HTTPS, too.
    pub(crate) fn start_at(clock: TokioClock) -> Self {
        let (runtime, ingress) = (FakeRuntime::new(clock), FakeIngress::default());
        runtime.add_image("web:1", Behaviour::default());
        ingress.set_https_port(Some(443));
        let issuer = FakeIssuer::new(clock);
        issuer.ask(&ingress);
        let metrics = Arc::new(Metrics::default());
        let meter = Arc::clone(&metrics);
        let orchestrator = TestOrchestrator::start_with_issuer(
            runtime,
            Arc::default(),
            ingress,
            issuer,
            |builder| builder.meter(meter),
        );
        let handle = orchestrator.handle.clone();
        let exporter = Arc::new(Exporter::new(&metrics, handle, "1.2.3"));
        Self { orchestrator, exporter }
    }

    pub(crate) fn start() -> Self {
        Self::start_at(TokioClock::new())
    }

    pub(crate) async fn text(&self) -> String {
        self.exporter.export(Format::OpenMetrics).await
    }

    pub(crate) async fn export(&self) -> Exposition {
        Exposition::read(&self.text().await)
    }
}
