//! Serves the metrics of an orchestrator, for `--metrics-listen`.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_api::server::{ExportedMetrics, MetricsSource, serve_metrics};
use dubernetes_controller::{Handle, Meter};
use dubernetes_metrics::{Exporter, Format, Metrics};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::report::{CliError, Result};
use crate::version::VERSION;

/// Parses the address at which metrics are served.
pub(crate) fn parse_metrics_address(text: &str) -> std::result::Result<SocketAddr, String> {
    let text = text.trim().replace("localhost:", "127.0.0.1:");
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) | Err(_) => Err("expected an address of this machine with a port, such as \
                               `127.0.0.1:9464` or `[::1]:9464`"
            .to_owned()),
    }
}

/// The metrics of an orchestrator that does not run yet, and where they will be served.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    listener: TcpListener,
    metrics: Arc<Metrics>,
}

impl MetricsServer {
    /// Listens at the address. Clients wait until [`MetricsServer::serve`].
    ///
    /// # Errors
    ///
    /// The address is taken, or not of this machine.
    pub(crate) async fn listen(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            CliError::with_io_source(&format!("cannot serve metrics at {address}"), &error)
                .help("choose another address with `--metrics-listen`, or omit it")
        })?;
        if !address.ip().is_loopback() {
            tracing::warn!(
                "metrics are served at {address}: the names of apps and hosts are shown to \
                 every client that can connect"
            );
        }
        Ok(Self { listener, metrics: Arc::default() })
    }

    /// Returns what counts for these metrics.
    pub(crate) fn meter(&self) -> Arc<dyn Meter> {
        Arc::<Metrics>::clone(&self.metrics)
    }

    /// Serves the metrics of the orchestrator of `handle`, until `stop` is cancelled.
    pub(crate) fn serve(self, handle: Handle, stop: CancellationToken) -> JoinHandle<()> {
        let source = Source(Exporter::new(&self.metrics, handle, VERSION));
        tokio::spawn(serve_metrics(self.listener, Arc::new(source), stop))
    }
}

#[derive(Debug)]
struct Source(Exporter);

#[async_trait]
impl MetricsSource for Source {
    async fn export(&self, accept: Option<&str>) -> ExportedMetrics {
        let format = Format::accepted(accept);
        let text = self.0.export(format).await;
        ExportedMetrics { content_type: format.content_type(), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_address_has_a_port() {
        let parse = |text: &str| parse_metrics_address(text).map(|address| address.to_string());
        for (text, expected) in [
            ("127.0.0.1:9464", "127.0.0.1:9464"),
            ("localhost:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::]:9464"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "9464", ":9464", "127.0.0.1", "127.0.0.1:0", "example.org:9464"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
