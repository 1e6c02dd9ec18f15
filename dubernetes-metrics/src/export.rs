//! All metrics of an orchestrator as text.

use std::sync::Arc;

use dubernetes_controller::Handle;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

use crate::counts::{Metrics, PREFIX};
use crate::requests::Requests;

/// The form of exported metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus' older text format, 0.0.4, for programs that know only that.
    PrometheusText,
}

impl Format {
    /// Returns the form for a client that sends this header `Accept`: OpenMetrics, unless the
    /// client takes `text/plain` and does not name OpenMetrics.
    pub fn accepted(accept: Option<&str>) -> Self {
        let names = |media: &str| accept.is_some_and(|accept| accept.contains(media));
        match names("text/plain") && !names("application/openmetrics-text") {
            true => Self::PrometheusText,
            false => Self::OpenMetrics,
        }
    }

    /// Returns the media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::PrometheusText => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Exports all metrics of an orchestrator.
#[derive(Debug)]
pub struct Exporter {
    registry: Registry,
    requests: Requests,
    handle: Handle,
}

impl Exporter {
    /// Creates an exporter of these metrics, and of those that are read from the last pass of the
    /// orchestrator of `handle`. `version` is that of the program.
    pub fn new(metrics: &Arc<Metrics>, handle: Handle, version: &str) -> Self {
        let mut registry = Registry::default();
        metrics.register(&mut registry, handle.clone(), version);
        let requests = Requests::default();
        let own = registry.sub_registry_with_prefix(PREFIX);
        own.register_collector(Box::new(requests.clone()));
        Self { registry, requests, handle }
    }

    /// Returns all metrics, as of now. Reads the counts of requests from the ingress, and leaves
    /// them out if it does not answer within 2 s.
    pub async fn export(&self, format: Format) -> String {
        self.requests.read(&self.handle).await;
        let mut text = String::new();
        let written = match format {
            Format::OpenMetrics => text::encode(&mut text, &self.registry),
            Format::PrometheusText => prometheus_text::encode(&mut text, &self.registry),
        };
        // Writing to a string does not fail.
        written.map(|()| text).unwrap_or_default()
    }
}
