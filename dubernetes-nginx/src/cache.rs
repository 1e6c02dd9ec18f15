//! What the ingress remembers between calls, to save queries of nginx.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dubernetes_core::ingress::RouteTable;
use dubernetes_core::runtime::ContainerId;
use tokio::time::Instant;

use crate::config::{Digest, RenderContext};
use crate::features::Features;
use crate::proxy::RunningNginx;
use crate::quarantine::Candidate;
use crate::version::Build;

/// The state of the ingress as of the last calls.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// The acknowledged table.
    pub(crate) served: Option<Served>,
    /// The last successful apply.
    pub(crate) last_apply: Option<LastApply>,
    /// The table that nginx was last given and did not acknowledge. It is checked at the next try.
    pub(crate) unacknowledged: Option<RouteTable>,
    /// What nginx in a container says about itself.
    pub(crate) build: Option<(ContainerId, Build)>,
    /// The run of nginx that was last observed serving.
    pub(crate) running: Option<RunningNginx>,
    /// What a run of nginx offers for names.
    pub(crate) features: Option<(RunningNginx, Features)>,
    /// The run of nginx whose access log is bounded.
    pub(crate) rotating: Option<RunningNginx>,
    /// When the files of the served generation were last found intact.
    pub(crate) verified_at: Option<Instant>,
    /// When endpoints left the acknowledged table.
    pub(crate) unrouted_at: BTreeMap<SocketAddr, Instant>,
    /// When this value first saw nginx. Endpoints may have left the table right before.
    pub(crate) first_seen_at: Option<Instant>,
    /// Where the observed container publishes nginx on the host.
    pub(crate) listening: Vec<SocketAddr>,
    /// The image of the container was compared with that of its tag.
    pub(crate) image_checked: bool,
    /// Largest possible number of old workers; `None` until they are counted.
    pub(crate) old_workers: Option<usize>,
    /// Number of changes.
    pub(crate) changes: u32,
}

/// The table that a run of nginx serves, and the generation that it is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) nginx: RunningNginx,
    pub(crate) digest: Digest,
    pub(crate) table: RouteTable,
}

/// A requested table, and the generation that serves it.
#[derive(Debug)]
pub(crate) struct LastApply {
    pub(crate) requested: RouteTable,
    pub(crate) context: RenderContext,
    pub(crate) candidate: Candidate,
}

impl Cache {
    /// Replaces the acknowledged table, and records which endpoints left it.
    pub(crate) fn acknowledge(&mut self, served: Served, now: Instant) {
        self.first_seen_at.get_or_insert(now);
        if let Some(former) = &self.served {
            for endpoint in former.table.endpoints() {
                self.unrouted_at.entry(endpoint).or_insert(now);
            }
        }
        self.unrouted_at.retain(|endpoint, _| !served.table.holds(*endpoint));
        self.served = Some(served);
    }
}
