//! The input of a decision as text, in the notation of the scenario files.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::app::{HostName, PodName, Resources};
use crate::call::{CallFailure, FailureKind, OperationKey};
use crate::certificate::{IssueFailure, StoredCertificate};
use crate::format::span;
use crate::ingress::{ObservedIngress, PortSupport};
use crate::labels::PreDeployLabels;
use crate::runtime::{ContainerState, PullProgress};
use crate::state::{
    EngineStatus, ObservedOneOff, ObservedPreDeploy, ObservedReplica, OneOff, Readiness,
};
use crate::store::StoredApp;

use super::Decision;

impl Decision {
    /// Formats the desired and the observed state, one object per line.
    pub fn input(&self) -> String {
        let lines = self.surroundings().into_iter().chain(self.wanted()).chain(self.containers());
        lines.map(|line| line + "\n").collect()
    }

    /// The desired state.
    pub(super) fn wanted(&self) -> Vec<String> {
        let desired = &self.desired;
        let mut lines = Vec::new();
        lines.extend(desired.teardown.map(|at| format!("teardown ago={}", self.ago(at))));
        lines.extend(desired.apps.values().map(app));
        lines.extend(desired.tombstones.iter().map(|(name, tombstone)| {
            format!("tombstone {name} ago={}", self.ago(tombstone.deleted_at))
        }));
        lines.extend(desired.one_offs.values().map(wanted_one_off));
        lines
    }

    /// The containers, and the calls that are in flight or failed.
    pub(super) fn containers(&self) -> Vec<String> {
        let observed = &self.observed;
        let mut lines = Vec::new();
        lines.extend(observed.replicas.iter().map(|replica| self.replica(replica)));
        lines.extend(observed.pre_deploys.iter().map(|hook| self.pre_deploy(hook)));
        lines.extend(observed.one_offs.iter().map(|one_off| self.one_off(one_off)));
        let unreadable = observed.unreadable.iter();
        lines.extend(unreadable.map(|(id, reason)| format!("unreadable {id:.12} msg={reason:?}")));
        lines.extend(observed.in_flight.keys().map(|key| format!("in-flight {}", self.call(key))));
        lines.extend(observed.failures.iter().map(|(key, failure)| {
            let CallFailure { count, at, message, .. } = failure;
            let ago = self.ago(*at);
            format!("failed {} times={count} ago={ago} msg={message:?}", self.call(key))
        }));
        lines
    }

    /// The engine, the network and the ingress.
    pub(super) fn surroundings(&self) -> Vec<String> {
        let observed = &self.observed;
        let mut lines = Vec::new();
        if let EngineStatus::Unreachable { since, reason } = &observed.engine {
            lines.push(format!("engine away ago={} msg={reason:?}", self.ago(*since)));
        }
        if let Some(since) = observed.active_since {
            lines.push(format!("active ago={}", self.ago(since)));
        }
        for (app, message) in &observed.quarantined {
            lines.push(format!("quarantined {app} msg={message:?}"));
        }
        for (app, PullProgress { done, total }) in &observed.pulls {
            lines.push(format!("pulling {app} done={done} total={total}"));
        }
        let lacks = observed.lacks.iter().map(|lacked| lacked.as_str());
        lines.extend(lacks.map(|name| match name.contains(' ') {
            true => format!("lacks {name:?}"),
            false => format!("lacks {name}"),
        }));
        if let Some(network) = &observed.network {
            lines.push(format!("network {}", network.subnet));
        }
        lines.push(match &observed.ingress {
            ObservedIngress::Absent => "ingress absent".to_owned(),
            ObservedIngress::Down { reason } => format!("ingress down msg={reason:?}"),
            ObservedIngress::Unknown { reason } => format!("ingress unknown msg={reason:?}"),
            ObservedIngress::Serving { .. } => "ingress serving".to_owned(),
        });
        match &observed.port_support {
            PortSupport::Supported => {}
            PortSupport::Unknown => lines.push("port-support unknown".to_owned()),
            PortSupport::Missing { reason } => {
                lines.push(format!("port-support missing msg={reason:?}"));
            }
        }
        let default =
            self.desired.default_tls.as_ref().map(|tls| format!(" default={}", tls.word()));
        let default = default.unwrap_or_default();
        lines.extend(observed.https_port.map(|port| format!("https {port}{default}")));
        let certificates = self.desired.certificates.iter();
        lines.extend(certificates.map(|(host, stored)| self.certificate(host, stored)));
        let taken = observed.taken_ports.iter();
        lines.extend(taken.map(|(port, message)| format!("taken {port} msg={message:?}")));
        lines
    }

    fn certificate(&self, host: &HostName, stored: &StoredCertificate) -> String {
        let StoredCertificate { issued, failure } = stored;
        let authority = issued.as_ref().map(|issued| issued.authority);
        let authority = authority.or(failure.as_ref().map(|failed| failed.authority));
        let mut line = format!("certificate {host}");
        if let Some(authority) = authority {
            // Writing to a text cannot fail.
            let _ = write!(line, " {authority}");
        }
        if let Some(issued) = issued {
            let _ = match issued.renew_at > self.at {
                true => write!(line, " renew-in={}", span(issued.renew_at.duration_since(self.at))),
                false => write!(line, " due={}", self.ago(issued.renew_at)),
            };
            let served = self.observed.ingress.table().into_iter().flat_map(|table| &table.tls);
            let mut own = served.filter(|tls| tls.host.name() == Some(host));
            if own.any(|tls| tls.certificate.as_ref() == Some(&issued.pair)) {
                line.push_str(" served");
            }
        }
        if let Some(IssueFailure { failure, .. }) = failure {
            let permanent = if failure.kind == FailureKind::Permanent { " permanent" } else { "" };
            let ago = self.ago(failure.at);
            let CallFailure { count, message, .. } = failure;
            let _ = write!(line, "{permanent} times={count} ago={ago} msg={message:?}");
        }
        line
    }

    fn replica(&self, replica: &ObservedReplica) -> String {
        let labels = &replica.labels;
        let observed = &self.observed;
        let state = match (&replica.state, &replica.readiness) {
            (ContainerState::Running { started_at }, readiness) => {
                self.running(*started_at, readiness)
            }
            (state, _) => self.state(state, replica.created_at),
        };
        let mut line = format!("{} rev={} {state}", replica.pod(), labels.revision);
        if labels.restarts > 0 {
            let streak = labels.consecutive_restarts;
            // Writing to a text cannot fail.
            let _ = write!(line, " restarts={} streak={streak}", labels.restarts);
        }
        if let Some(address) = labels.address {
            let _ = write!(line, " address={address}");
        }
        for port in &labels.published {
            let _ = write!(line, " publishes={port}");
        }
        if replica.is_off_network() {
            line.push_str(" off-network");
        }
        if let Some(Resources { cpu, memory }) = &replica.limits {
            let cpu = cpu.map(|cpu| format!(" has-cpu={cpu}")).unwrap_or_default();
            let memory = memory.map(|memory| format!(" has-memory={memory}")).unwrap_or_default();
            line.push_str(&(memory + &cpu));
        }
        if observed.ingress.table().is_some_and(|table| replica.is_in(table)) {
            line.push_str(" routed");
        }
        let drains = replica.sockets().map(|sockets| observed.drains.range(sockets));
        let drains = drains.into_iter().flatten().map(|(_, drain)| drain);
        match drains.max_by_key(|drain| (!drain.done, drain.since)) {
            Some(drain) if drain.done => line.push_str(" drained"),
            Some(drain) => {
                let _ = write!(line, " draining={}", self.ago(drain.since));
                if let Some(held_by) = &drain.held_by {
                    let _ = write!(line, " held-by={held_by:?}");
                }
            }
            None => {}
        }
        if let Some(reason) = observed.stop_reasons.get(&replica.id) {
            let _ = write!(line, " stopped={reason:?}");
        }
        if observed.lost_with_engine.contains(&replica.id) {
            line.push_str(" lost-with-engine");
        }
        if let Some(at) = observed.last_ready_at.get(&replica.id) {
            let _ = write!(line, " ready-until={}", self.ago(*at));
        }
        let stored = self.desired.apps.get(&labels.app);
        if stored.is_some_and(|stored| stored.evicted.contains(&replica.id)) {
            line.push_str(" evicted");
        }
        line
    }

    fn pre_deploy(&self, hook: &ObservedPreDeploy) -> String {
        let PreDeployLabels { app, revision, attempts, .. } = &hook.labels;
        let state = self.state(&hook.state, self.at);
        format!("pre-deploy {app} rev={revision} attempts={attempts} {state}")
    }

    fn one_off(&self, one_off: &ObservedOneOff) -> String {
        let state = self.state(&one_off.state, one_off.created_at);
        let address = one_off.labels.address.map(|address| format!(" address={address}"));
        let address = address.unwrap_or_default();
        format!("run {} rev={} {state}{address}", one_off.pod(), one_off.labels.revision)
    }

    fn running(&self, started_at: Timestamp, readiness: &Readiness) -> String {
        let ago = self.ago(started_at);
        match readiness {
            Readiness::Unknown => format!("unknown ago={ago}"),
            Readiness::Settling { .. } => format!("settling ago={ago}"),
            Readiness::Ready { .. } => format!("ready ago={ago}"),
            Readiness::NotReady { reason } => format!("unready ago={ago} msg={reason:?}"),
            Readiness::Unhealthy { reason } => format!("unhealthy ago={ago} msg={reason:?}"),
        }
    }

    fn state(&self, state: &ContainerState, created_at: Timestamp) -> String {
        match state {
            ContainerState::Created => format!("created ago={}", self.ago(created_at)),
            ContainerState::StartFailed { error, code } => {
                format!("start-failed code={code} msg={error:?}")
            }
            ContainerState::Running { started_at } => {
                format!("running ago={}", self.ago(*started_at))
            }
            ContainerState::Paused => "paused".to_owned(),
            ContainerState::Exited(exit) => {
                let word = if exit.out_of_memory { "oom" } else { "exited" };
                let (ran, ago) = (span(exit.ran()), self.ago(exit.finished_at));
                format!("{word} code={} ran={ran} ago={ago}", exit.code)
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
                match self.observed.replicas.iter().find(|replica| replica.id == *id) {
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
                format!("pre-deploy {app} {revision}")
            }
            OperationKey::CreateOneOff { app, id } => {
                format!("run {}", PodName::one_off(app, id))
            }
            OperationKey::RecordRollout { app, revision } => format!("record {app} {revision}"),
            OperationKey::PurgeTombstone(app) => format!("purge {app}"),
            OperationKey::ClearEviction { app, id } => format!("clear {app} {id:.12}"),
            OperationKey::Teardown => "teardown".to_owned(),
            OperationKey::Certificate(host) => format!("certificate {host}"),
            OperationKey::Routes => "routes".to_owned(),
            OperationKey::DrainCheck(address) => format!("drain {address}"),
        }
    }

    fn ago(&self, then: Timestamp) -> String {
        span(self.at.duration_since(then).max(SignedDuration::ZERO))
    }
}

fn wanted_one_off(one_off: &OneOff) -> String {
    let attached = if one_off.is_attached { " attached" } else { "" };
    format!("run {} wanted{attached}", one_off.pod())
}

fn app(stored: &StoredApp) -> String {
    let spec = &stored.spec;
    let mut line = format!(
        "app {} rev={} gen={} {}={} replicas={}",
        spec.name,
        stored.revision,
        stored.generation,
        spec.artifact.key(),
        spec.artifact,
        spec.replicas
    );
    let is_one = spec.routes().len() == 1;
    for access in &spec.access {
        for host in access.patterns() {
            // Writing to a text cannot fail.
            let _ = write!(line, " host={host}");
            if !is_one || !access.path.is_root() {
                let _ = write!(line, " path={}", access.path);
            }
            if !is_one || spec.other_port(access).is_some() {
                let _ = write!(line, " to={}", access.port.unwrap_or(spec.port()));
            }
            if let Some(tls) = &access.tls {
                let _ = write!(line, " tls={}", tls.word());
            }
        }
    }
    if let Some(port) = spec.port {
        let _ = write!(line, " port={port}");
    }
    for mapping in &spec.ports {
        let _ = write!(line, " publish={mapping}");
    }
    for name in &spec.after {
        let _ = write!(line, " after={name}");
    }
    if stored.image_id.is_none() {
        line.push_str(" unpinned");
    }
    line
}
