//! The input of a decision as text, in the notation of the scenario files.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::call::OperationKey;
use crate::format::span;
use crate::ingress::ObservedIngress;
use crate::runtime::ContainerState;
use crate::state::{EngineStatus, ObservedReplica, Readiness};
use crate::store::StoredApp;

use super::Decision;

impl Decision {
    /// Formats the desired and the observed state, one object per line.
    pub fn input(&self) -> String {
        let mut lines = Vec::new();
        self.world(&mut lines);
        lines.extend(self.desired.apps.values().map(app));
        for (name, tombstone) in &self.desired.tombstones {
            lines.push(format!("tombstone {name} ago={}", self.ago(tombstone.deleted_at)));
        }
        lines.extend(self.observed.replicas.iter().map(|replica| self.replica(replica)));
        for job in &self.observed.pre_deploys {
            let (app, revision) = (&job.labels.app, job.labels.revision);
            lines.push(format!(
                "job {app} rev={revision} attempts={} {:?}",
                job.labels.attempts, job.state
            ));
        }
        for (id, reason) in &self.observed.unreadable {
            lines.push(format!("unreadable {id:.12} says={reason:?}"));
        }
        for key in self.observed.in_flight.keys() {
            lines.push(format!("under-way {}", self.call(key)));
        }
        for (key, failure) in &self.observed.failures {
            let (call, ago) = (self.call(key), self.ago(failure.at));
            let text = &failure.message;
            lines.push(format!("failed {call} times={} ago={ago} says={text:?}", failure.count));
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    fn world(&self, lines: &mut Vec<String>) {
        if let EngineStatus::Unreachable { since, reason } = &self.observed.engine {
            lines.push(format!("engine away ago={} says={reason:?}", self.ago(*since)));
        }
        if let Some(since) = self.observed.active_since {
            lines.push(format!("acting ago={}", self.ago(since)));
        }
        for (app, text) in &self.observed.quarantined {
            lines.push(format!("quarantined {app} says={text:?}"));
        }
        if let Some(network) = &self.observed.network {
            lines.push(format!("network {}", network.subnet));
        }
        lines.push(match &self.observed.ingress {
            ObservedIngress::Absent => "ingress absent".to_owned(),
            ObservedIngress::Down { reason } => format!("ingress down says={reason:?}"),
            ObservedIngress::Serving { .. } => "ingress serving".to_owned(),
        });
    }

    fn replica(&self, replica: &ObservedReplica) -> String {
        let labels = &replica.labels;
        let mut line = format!("{} rev={}", replica.pod(), labels.revision);
        // Writing to a text cannot fail.
        let _ = write!(line, " {}", self.life(replica));
        if labels.restarts > 0 {
            let _ = write!(
                line,
                " restarts={} streak={}",
                labels.restarts, labels.consecutive_restarts
            );
        }
        let _ = write!(line, " address={}", labels.address);
        let table = self.observed.ingress.table();
        if table.is_some_and(|table| table.holds(labels.address)) {
            line.push_str(" routed");
        }
        match self.observed.drains.get(&labels.address) {
            Some(drain) if drain.done => line.push_str(" drained"),
            Some(drain) => drop(write!(line, " draining={}", self.ago(drain.since))),
            None => {}
        }
        if let Some(why) = self.observed.stop_reasons.get(&replica.id) {
            let _ = write!(line, " stopped={why:?}");
        }
        if let Some(until) = self.observed.last_ready_at.get(&replica.id) {
            let _ = write!(line, " ready-until={}", self.ago(*until));
        }
        if self.observed.evicted.contains(&replica.id) {
            line.push_str(" evicted");
        }
        line
    }

    fn life(&self, replica: &ObservedReplica) -> String {
        match &replica.state {
            ContainerState::Created => format!("created ago={}", self.ago(replica.created_at)),
            ContainerState::StartFailed { error, code } => {
                format!("start-failed code={code} says={error:?}")
            }
            ContainerState::Running { started_at } => {
                let ago = self.ago(*started_at);
                match &replica.readiness {
                    Readiness::Unknown => format!("unknown ago={ago}"),
                    Readiness::Settling { .. } => format!("settling ago={ago}"),
                    Readiness::Ready { .. } => format!("ready ago={ago}"),
                    Readiness::NotReady { reason } | Readiness::Unhealthy { reason } => {
                        format!("unready ago={ago} says={reason:?}")
                    }
                }
            }
            ContainerState::Paused => "paused".to_owned(),
            ContainerState::Exited { code, out_of_memory, started_at, finished_at } => {
                let word = if *out_of_memory { "oom" } else { "exited" };
                let ran = span(finished_at.duration_since(*started_at).max(SignedDuration::ZERO));
                format!("{word} code={code} ran={ran} ago={}", self.ago(*finished_at))
            }
            ContainerState::Removing => "removing".to_owned(),
        }
    }

    fn call(&self, key: &OperationKey) -> String {
        match key {
            OperationKey::Network => "network".to_owned(),
            OperationKey::Image { app, revision } => format!("image {app} {revision}"),
            OperationKey::Create { app, ordinal, revision } => {
                format!("create {app}-{ordinal} {revision}")
            }
            OperationKey::Container(id) => {
                let found = self.observed.replicas.iter().find(|replica| replica.id == *id);
                match found {
                    Some(replica) => format!(
                        "container {} rev={} restarts={}",
                        replica.pod(),
                        replica.labels.revision,
                        replica.labels.restarts
                    ),
                    None => format!("container {id:.12}"),
                }
            }
            OperationKey::CreatePreDeploy { app, revision } => {
                format!("create-job {app} {revision}")
            }
            OperationKey::RecordRollout { app, .. } => format!("conclude {app}"),
            OperationKey::PurgeTombstone(app) => format!("forget {app}"),
            OperationKey::Routes => "routes".to_owned(),
            OperationKey::DrainCheck(address) => format!("drain {address}"),
        }
    }

    fn ago(&self, then: Timestamp) -> String {
        span(self.at.duration_since(then).max(SignedDuration::ZERO))
    }
}

fn app(stored: &StoredApp) -> String {
    let (spec, generation) = (&stored.spec, stored.generation);
    let mut line = format!(
        "app {} rev={} gen={generation} image={} replicas={}",
        spec.name, stored.revision, spec.image, spec.replicas
    );
    if let Some(access) = &spec.access {
        for host in &access.hosts {
            let _ = write!(line, " host={host}");
        }
        if !access.path.is_root() {
            let _ = write!(line, " path={}", access.path);
        }
    }
    let _ = write!(line, " port={}", spec.port);
    if stored.image_id.is_none() {
        line.push_str(" unpinned");
    }
    line
}
