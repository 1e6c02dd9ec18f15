//! Desired and observed state as a few lines of text, for tests of
//! [`dubernetes_core::reconcile()`].
//!
//! Each line describes one object. The first word is its kind or, for replicas, the pod; names,
//! `key=value` pairs and flags follow in any order. A value with spaces is written in `"`. Omitted
//! fields have ordinary values. Lines may have any order. An unknown word is an error.
//!
//! ```text
//! network                       the network exists; the subnet may follow (10.9.0.0/22)
//! lacks "planned addresses"     a capability that the runtime does not have, as `Capability`
//!                               names it
//! ingress absent                no proxy runs; the default unless a replica is routed
//! ingress down msg="why"
//! ingress serving               the proxy serves the table of all `routed` replicas
//! port-support missing msg="why"  the ingress cannot publish ports; or `unknown`
//! https 443                     the port of the host for HTTPS; none if omitted. `default=auto` is
//!                               for hosts without `tls`
//! certificate a.test acme       what the store has of a host, or `internal`; keys: renew-in or due
//!                               (was due that long ago), times ago msg; flags: served permanent
//! taken 53:53/udp msg="why"     a port of the host that another process has
//! engine away msg="why"
//! active ago=5s                 start of the current active period; unlimited if omitted
//! quarantined web msg="why"     an app whose routes the ingress refused
//! pulling web done=3 total=12   bytes of the pull in flight of an app's image
//! app web rev=2                 a desired app, see below
//! revision web 1                fields in which an older revision differs from the app; flags:
//!                               lost (not kept by the store), failed
//! tombstone web ago=10s         a deleted app; keys: ago grace signal
//! web-1 ready routed            a replica, or several: web-1..3
//! pre-deploy web running        the container of the app's pre-deploy hook
//! teardown ago=10s              the instance is to be torn down
//! unreadable ID msg="why"       a container with our label that is not ours
//! in-flight CALL                a call to the engine that has not returned
//! failed CALL msg="why"         a failed call; keys: times ago; flags: permanent image-gone
//!                               image-missing image-denied port-taken
//! ```
//!
//! - App: the image is `NAME:REVISION`, also of older revisions, or `program=/PATH` takes its
//!   place; without `host`, the app is not routed; `host=*` stands for the hosts that no route has.
//!   The n-th `path`, `tls` and port `to` belong to the n-th `host`. Keys: `gen image program
//!   replicas host path to tls port publish volume memory grace signal pull deleted-through http
//!   drain pre-deploy after`; of the rollout: `surge unavailable min-ready deadline`. Flags:
//!   `unpinned` (the image is not resolved), `stop-first`, `start-first`, `pause-on-failure`,
//!   `paused`, `pre-deployed`.
//! - Rollout of an app: `progressing`, `complete=5s`, `failed msg=`, or stable if omitted. Keys:
//!   `since fallback nonce evicted rollback-from rollback-to msg`.
//! - Replica, one of: `created`, `starting`, `ready`, `settling` (ready in a moment),
//!   `unready msg=`, `unhealthy msg=` (to be replaced), `unknown` (running, not probed yet),
//!   `paused`, `removing`, `exited` or `oom` (`code= ran=`), `start-failed msg=`. `ago=` is the
//!   time in that state. `ready` means for 60 s, or `ready-for=1s`.
//! - Replica, keys: `rev` (the app's), `restarts`, `streak` (as `restarts`), `last="end of the
//!   container before"`, `stopped="why it was stopped"`, `ready-until=5s` (unready since),
//!   `publishes=53:53/udp` (ports of the host that its own container publishes; several times),
//!   `address`, `draining=5s` (unrouted since), `held-by="what its drain waits for"`,
//!   `has-memory` and `has-cpu` (limits of its container; not reported if both are omitted). Flags:
//!   `routed drained evicted off-network lost-with-engine`. A running replica is observed at its
//!   planned address, unless it is `off-network`; without planned addresses each has a port of its
//!   own on 127.0.0.1.
//! - CALL, one of: `network`, `routes`, `image web 2`, `create web-3 2` (the revision, the app's if
//!   omitted), `pre-deploy web 2`, `purge web`, `clear web ID` (an eviction), `teardown`,
//!   `certificate a.test`, `container web-1` (with `rev=` or `restarts=` where a pod has two
//!   containers).
//!
//! ```
//! use dubernetes_testkit::notation;
//!
//! let given = notation::parse("network\napp web replicas=2\nweb-1 ready").unwrap();
//! let plan = dubernetes_core::reconcile(&given.desired, &given.observed, given.now);
//! assert!(plan.to_string().contains("create"), "{plan}");
//! ```

mod apps;
mod calls;
mod certificates;
mod line;
mod replicas;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use jiff::{SignedDuration, Timestamp};

use dubernetes_core::app::{AppName, AppSpec, HostName, HostPattern, RevisionId, RoutePath, Tls};
use dubernetes_core::identity;
use dubernetes_core::ingress::{
    Endpoint, HostPort, Listener, ObservedIngress, PortSupport, Route, RouteTable,
};
use dubernetes_core::reconcile::name_addresses;
use dubernetes_core::runtime::{Capability, ContainerId, Network, PullProgress};
use dubernetes_core::state::{DesiredState, EngineStatus, ObservedReplica, ObservedState};
use line::Line;

/// The input of [`dubernetes_core::reconcile()`].
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The desired state.
    pub desired: DesiredState,
    /// The observed state.
    pub observed: ObservedState,
    /// The time of the decision.
    pub now: Timestamp,
}

/// Parses the notation.
///
/// # Errors
///
/// Names the first bad line by its number, with its text and the reason.
pub fn parse(text: &str) -> Result<Scenario, String> {
    let mut lines = Vec::new();
    for (number, text) in
        (1..).zip(text.lines().map(str::trim)).filter(|(_, text)| !text.is_empty())
    {
        let source = Source { number, text };
        lines.push((source, Line::parse(text).map_err(|error| source.locate(&error))?));
    }
    // Replicas refer to apps, and calls refer to replicas.
    lines.sort_by_key(|(_, line)| match line.subject.as_str() {
        "network" | "lacks" | "app" => 0,
        "in-flight" | "failed" => 3,
        "ingress" | "engine" | "revision" | "tombstone" | "teardown" | "unreadable" => 1,
        _ => 2,
    });
    let mut parser = Parser::new();
    for (source, mut line) in lines {
        let read = parser.read(&mut line).and_then(|()| line.finish());
        read.map_err(|error| source.locate(&error))?;
    }
    parser.finish()
}

/// An arbitrary time.
const NOW: Timestamp = Timestamp::constant(1_800_014_400, 0);

/// The state of parsing.
#[derive(Debug)]
struct Parser {
    scenario: Scenario,
    subnet: Ipv4Net,
    /// Specifications of revisions with a line of their own.
    specs: BTreeMap<(AppName, RevisionId), AppSpec>,
    /// Revisions that the store has dropped.
    lost: BTreeSet<(AppName, RevisionId)>,
    /// Older revisions that failed.
    failed: BTreeSet<(AppName, RevisionId)>,
    /// Addresses in use.
    taken: BTreeSet<IpAddr>,
    routed: BTreeSet<ContainerId>,
    /// Hosts whose certificate the ingress serves.
    served_hosts: BTreeSet<HostName>,
}

impl Parser {
    fn new() -> Self {
        let subnet = Ipv4Net::new_assert(Ipv4Addr::new(10, 9, 0, 0), 22);
        let (desired, observed) = (DesiredState::default(), ObservedState::default());
        Self {
            scenario: Scenario { desired, observed, now: NOW },
            subnet,
            specs: BTreeMap::new(),
            lost: BTreeSet::new(),
            failed: BTreeSet::new(),
            taken: [identity::ingress_address(subnet).into()].into(),
            routed: BTreeSet::new(),
            served_hosts: BTreeSet::new(),
        }
    }

    fn read(&mut self, line: &mut Line) -> Result<(), String> {
        let observed = &mut self.scenario.observed;
        match line.subject.as_str() {
            "network" => {
                self.subnet = line.take_name()?.unwrap_or(self.subnet);
                observed.network = Some(Network { id: "network".to_owned(), subnet: self.subnet });
            }
            "lacks" => {
                let name: String = line.require_name("the capability is missing")?;
                let capability = Capability::ALL.into_iter().find(|c| c.as_str() == name);
                let unknown = || format!("`{name}` is not a capability");
                observed.lacks.insert(capability.ok_or_else(unknown)?);
            }
            "ingress" => observed.ingress = ingress(line)?,
            "port-support" => observed.port_support = port_support(line)?,
            "taken" => {
                let port = line.require_name("the port is missing")?;
                observed.taken_ports.insert(port, line.take_message()?);
            }
            "https" => {
                observed.https_port = Some(line.require_name("the port is missing")?);
                self.scenario.desired.default_tls = line.take_value("default")?.map(Tls::Issued);
            }
            "certificate" => self.certificate(line)?,
            "engine" => {
                if !line.take_word("away") {
                    return Err("an engine is `away`, or has no line".to_owned());
                }
                observed.engine = EngineStatus::Unreachable {
                    since: before(line.take_span("ago")?),
                    reason: line.take_message()?,
                };
            }
            "active" => observed.active_since = Some(before(line.take_span("ago")?)),
            "quarantined" => {
                let app = line.require_name("the app's name is missing")?;
                observed.quarantined.insert(app, line.take_message()?);
            }
            "pulling" => {
                let app = line.require_name("the app's name is missing")?;
                let done = line.take_value("done")?.unwrap_or(0);
                let total = line.take_value("total")?.unwrap_or(0);
                observed.pulls.insert(app, PullProgress { done, total });
            }
            "app" => self.app(line)?,
            "revision" => self.revision(line)?,
            "tombstone" => self.tombstone(line)?,
            "teardown" => {
                self.scenario.desired.teardown = Some(before(line.take_span("ago")?));
            }
            "unreadable" => {
                let id = line.require_name("the id of the container is missing")?;
                observed.unreadable.insert(ContainerId(id), line.take_message()?);
            }
            "in-flight" | "failed" => self.call(line)?,
            "pre-deploy" => self.pre_deploy(line)?,
            "run" => self.one_off(line)?,
            _ => self.replicas(line)?,
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Scenario, String> {
        self.keep_revisions();
        let routed = !self.routed.is_empty();
        let ingress = &self.scenario.observed.ingress;
        let serving = matches!(ingress, ObservedIngress::Serving { .. });
        match ingress {
            ObservedIngress::Down { .. } | ObservedIngress::Unknown { .. } if routed => {
                return Err("only an ingress that serves routes to a replica".to_owned());
            }
            _ if routed || serving => {
                let names = name_addresses(&self.scenario.desired, &self.scenario.observed);
                let ports = names.iter().flat_map(|(app, address)| self.ports(app, *address));
                let table = RouteTable {
                    routes: self.routes(),
                    listeners: self.listeners(),
                    ports: ports.collect(),
                    tls: self.tls(),
                };
                self.scenario.observed.ingress = ObservedIngress::Serving { table };
            }
            _ => {}
        }
        Ok(self.scenario)
    }

    /// Returns the routes of all apps to routed replicas, in the order of a planned table. An app
    /// that is not desired has the host `NAME.local`.
    fn routes(&self) -> Vec<Route> {
        let observed = &self.scenario.observed;
        let of_app = |app: &AppName| -> Vec<Endpoint> {
            let routed = observed.replicas.iter().filter(|r| self.routed.contains(&r.id));
            let own = routed.filter(|replica| replica.labels.app == *app);
            own.filter_map(endpoint).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let apps = &self.scenario.desired.apps;
        let routes =
            apps.iter().flat_map(|(app, stored)| Route::of_app(&stored.spec, &of_app(app)));
        let mut found: Vec<_> = routes.collect();
        let routed = observed.replicas.iter().filter(|r| self.routed.contains(&r.id));
        let others = routed.map(|replica| &replica.labels.app);
        for app in others.filter(|app| !apps.contains_key(*app)).collect::<BTreeSet<_>>() {
            let host = HostPattern::parse(&format!("{app}.local")).ok();
            let route = |host| Route::new(host, RoutePath::default(), app.clone(), of_app(app));
            found.extend(host.map(route));
        }
        found.sort_by(|a, b| (&a.host, &a.path, &a.app).cmp(&(&b.host, &b.path, &b.app)));
        found.dedup_by(|later, first| later.is_at_place_of(first));
        found
    }
}

impl Parser {
    /// Returns the ports of an app that the ingress publishes: none that it cannot, or that a
    /// replica has.
    fn ports(&self, app: &AppName, address: Ipv4Addr) -> Vec<HostPort> {
        let Scenario { desired, observed, .. } = &self.scenario;
        let stored = desired.apps.get(app).filter(|_| {
            let mut own = observed.replicas.iter().filter(|replica| replica.labels.app == *app);
            observed.port_support == PortSupport::Supported
                && own.all(|replica| replica.labels.published.is_empty())
        });
        stored.map(|stored| HostPort::of_app(&stored.spec, address)).unwrap_or_default()
    }

    /// Returns the listeners for the names of all apps, in the order of a planned table.
    fn listeners(&self) -> Vec<Listener> {
        let Scenario { desired, observed, .. } = &self.scenario;
        let of_app = |(app, address): (AppName, Ipv4Addr)| {
            let routed = observed.replicas.iter().filter(|r| self.routed.contains(&r.id));
            let own = routed.filter(|replica| replica.labels.app == app);
            let endpoints: BTreeSet<_> = own.filter_map(endpoint).collect();
            let spec = desired.apps.get(&app).map(|stored| &stored.spec);
            spec.map(|spec| Listener::of_app(spec, address, &Vec::from_iter(endpoints)))
        };
        name_addresses(desired, observed).into_iter().filter_map(of_app).flatten().collect()
    }
}

fn endpoint(replica: &ObservedReplica) -> Option<Endpoint> {
    let endpoint = replica.endpoint?;
    Some(Endpoint { pod: replica.pod(), address: endpoint.ip(), port: endpoint.port() })
}

fn port_support(line: &mut Line) -> Result<PortSupport, String> {
    if line.take_word("unknown") {
        Ok(PortSupport::Unknown)
    } else if line.take_word("missing") {
        Ok(PortSupport::Missing { reason: line.take_message()? })
    } else {
        Err("the support of ports is `unknown` or `missing`, or has no line".to_owned())
    }
}

fn ingress(line: &mut Line) -> Result<ObservedIngress, String> {
    if line.take_word("absent") {
        Ok(ObservedIngress::Absent)
    } else if line.take_word("down") {
        Ok(ObservedIngress::Down { reason: line.take_message()? })
    } else if line.take_word("unknown") {
        Ok(ObservedIngress::Unknown { reason: line.take_message()? })
    } else if line.take_word("serving") {
        Ok(ObservedIngress::Serving { table: RouteTable::default() })
    } else {
        Err("an ingress is `absent`, `down`, `unknown` or `serving`".to_owned())
    }
}

/// Returns the time `span` ago; `None` is 0.
fn before(span: Option<SignedDuration>) -> Timestamp {
    NOW.saturating_sub(span.unwrap_or_default()).unwrap_or(NOW)
}

/// A line of the text, for errors.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    number: u32,
    text: &'a str,
}

impl Source<'_> {
    fn locate(self, error: &str) -> String {
        format!("line {}: `{}`: {error}", self.number, self.text)
    }
}

#[cfg(test)]
mod tests;
