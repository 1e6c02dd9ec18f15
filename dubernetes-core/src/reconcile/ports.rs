//! Who publishes the ports of an app on the host: the ingress, or where it cannot, the container of
//! the app's only replica.
//!
//! A container's ports are fixed when it is created, and a port of the host has one owner. So where
//! a replica publishes, the old one stops first, and it is stopped only once the new ports are
//! known to be free.

use std::collections::BTreeSet;

use crate::app::{AppName, PortMapping, Transport};
use crate::ingress::{ObservedIngress, PortSupport};
use crate::plan::{Block, Wait};
use crate::runtime::Capability;
use crate::state::{DesiredState, ObservedReplica};
use crate::store::StoredApp;

use super::context::{Context, Observed};
use super::step::Step;

/// Who publishes the ports of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publisher<'a> {
    /// The ingress, if the app has ports.
    Ingress,
    /// Its only replica.
    Replica {
        /// What the ingress lacks.
        why: &'a str,
    },
    /// It is not known yet.
    Unknown,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(context: &Context<'a>, stored: &StoredApp) -> Self {
        let support = &context.observed.port_support;
        match support {
            PortSupport::Unknown if !stored.spec.ports.is_empty() => Self::Unknown,
            PortSupport::Supported | PortSupport::Unknown | PortSupport::Missing { .. } => {
                support.why_direct(&stored.spec).map_or(Self::Ingress, |why| Self::Replica { why })
            }
        }
    }

    /// Returns why the replica publishes the ports, if it does.
    pub(super) fn why_direct(self) -> Option<&'a str> {
        if let Self::Replica { why } = self { Some(why) } else { None }
    }

    /// Returns the ports that the container of a new replica publishes.
    pub(super) fn of_replica(self, stored: &StoredApp) -> BTreeSet<PortMapping> {
        match self {
            Self::Replica { .. } => stored.spec.ports.iter().copied().collect(),
            Self::Ingress | Self::Unknown => BTreeSet::new(),
        }
    }

    /// Whether the container of a replica publishes what it should.
    pub(super) fn has_ports(self, stored: &StoredApp, replica: &ObservedReplica) -> bool {
        self == Self::Unknown || replica.labels.published == self.of_replica(stored)
    }

    /// Whether the ports belong into the table of the ingress: not while a replica has them, and
    /// not before an ingress that does not exist has said that it can publish them.
    pub(super) fn is_in_table(self, context: &Context<'_>, observed: &Observed<'_>) -> bool {
        let is_possible = match self {
            Self::Ingress => true,
            Self::Unknown => context.observed.ingress != ObservedIngress::Absent,
            Self::Replica { .. } => false,
        };
        let publishes =
            |replica: &&ObservedReplica| replica.is_live() && !replica.labels.published.is_empty();
        is_possible && !observed.replicas.iter().any(publishes)
    }

    /// Returns why no replica may be created or replaced now, if there is a reason.
    pub(super) fn hold(self, context: &Context<'_>, stored: &StoredApp) -> Option<Step> {
        let spec = &stored.spec;
        let why = match self {
            _ if spec.replicas == 0 => return None,
            Self::Ingress => return None,
            Self::Unknown => return Some(Step::wait(&spec.name, None, Wait::PortSupport, None)),
            Self::Replica { why } => why,
        };
        if context.observed.lacks.contains(&Capability::Ports) {
            let lacks = Capability::Ports.as_str();
            let text = format!("`ports` needs {lacks}, which this runtime does not support: {why}");
            return Some(Step::block(
                Some(&spec.name),
                Block::Unsupported { problems: vec![text] },
            ));
        }
        if spec.replicas > 1 {
            let block = Block::SharedPorts { replicas: spec.replicas, why: why.to_owned() };
            return Some(Step::block(Some(&spec.name), block));
        }
        let replicas = &context.observed.replicas;
        to_check(stored, replicas).find_map(|port| hold_port(context, &spec.name, port))
    }
}

/// Returns why the replica of an app cannot have a port of the host yet.
fn hold_port(context: &Context<'_>, app: &AppName, port: PortMapping) -> Option<Step> {
    let observed = context.observed;
    let wait = |by: String| Step::wait(app, None, Wait::PortInUse { port, by }, None);
    let table = observed.ingress.table();
    if table.is_some_and(|table| table.ports.iter().any(|own| own.mapping.overlaps(&port))) {
        return Some(wait("the ingress".to_owned()));
    }
    let mut others = observed.replicas.iter().filter(|replica| replica.labels.app != *app);
    if let Some(other) = others.find(|replica| publishes(replica, port)) {
        return Some(wait(other.pod().to_string()));
    }
    let message = observed.taken_ports.get(&port)?.clone();
    Some(Step::block(Some(app), Block::PortTaken { message }))
}

/// Whether the container of a replica has a port of the host.
fn publishes(replica: &ObservedReplica, port: PortMapping) -> bool {
    replica.is_live() && replica.labels.published.iter().any(|own| own.overlaps(&port))
}

/// Returns the ports of an app that its own replicas do not have yet.
fn to_check<'a>(
    stored: &'a StoredApp,
    replicas: &'a [ObservedReplica],
) -> impl Iterator<Item = PortMapping> {
    let name = &stored.spec.name;
    let ports = stored.spec.ports.iter().copied();
    ports.filter(move |port| {
        let mut own = replicas.iter().filter(|replica| replica.labels.app == *name);
        !own.any(|replica| publishes(replica, *port))
    })
}

/// Returns the ports of the host that replicas will publish and do not have yet. The caller looks
/// who has them, and reports in [`crate::state::ObservedState::taken_ports`].
pub fn ports_to_check(
    desired: &DesiredState,
    support: &PortSupport,
    replicas: &[ObservedReplica],
) -> BTreeSet<PortMapping> {
    let direct = desired.apps.values().filter(|stored| support.why_direct(&stored.spec).is_some());
    direct.flat_map(|stored| to_check(stored, replicas)).collect()
}

/// Names a port of the host, such as `TCP port 53 on 0.0.0.0`.
pub(crate) fn port_text(port: &PortMapping) -> String {
    let transport = match port.transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    format!("{transport} port {} on {}", port.host_port, port.host().ip())
}
