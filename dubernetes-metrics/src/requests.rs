//! Requests to apps, as the ingress counts them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dubernetes_controller::Handle;
use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{REQUEST_SECONDS, RequestCounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::families::{Families, Family};

/// How long an export waits for the counts. Without them, it has the rest.
const LIMIT: Duration = Duration::from_secs(2);
/// Names of the classes of status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counts that were read last; `None` if there are none. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Option<BTreeMap<AppName, RequestCounts>>>>);

impl Requests {
    /// Reads the counts of apps that exist.
    pub(crate) async fn read(&self, handle: &Handle) {
        let read = tokio::time::timeout(LIMIT, handle.request_counts()).await;
        let mut counts = read.ok().and_then(Result::ok).flatten();
        let snapshot = handle.snapshot();
        if let Some(counts) = &mut counts {
            counts.retain(|app, _| snapshot.plan.statuses.contains_key(app));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

impl Collector for Requests {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Whether the ingress counts requests. nginx needs its module for JavaScript.";
        let available = Family::new("ingress_request_metrics_available", help);
        families.gauges(&available, [([], u32::from(counts.is_some()))])?;
        let counts = || counts.iter().flatten();
        let help = "Answered requests through the ingress, by the class of their status.";
        let requests = Family::new("ingress_requests", help);
        let series = counts().flat_map(|(app, own)| {
            let classes = CLASSES.into_iter().zip(own.by_class);
            classes.map(|(class, count)| ([("app", app.as_str()), ("code", class)], count))
        });
        families.counters(&requests, series)?;
        let help = "Time from the first byte of a request to the end of its answer, without \
                    switched protocols such as websockets.";
        let durations = Family::seconds("ingress_request_duration", help);
        let bounds = || REQUEST_SECONDS.into_iter().chain([f64::INFINITY]);
        let series = counts().map(|(app, own)| {
            let buckets: Vec<_> = bounds().zip(own.durations).collect();
            ([("app", app.as_str())], own.seconds, buckets)
        });
        families.distributions(&durations, series)
    }
}
