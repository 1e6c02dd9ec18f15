//! What is desired and observed, in a few lines of text, for tests of [`dubernetes_core::reconcile()`].
//!
//! One line is one thing. It begins with a word that says what, then come names, `key=value` and
//! bare words, in any order; a value with spaces stands in `"`. What is not said is ordinary.
//! The lines may stand in any order; a word that means nothing there is an error.
//!
//! ```text
//! network                    the network exists; its subnet may follow (10.9.0.0/22)
//! ingress absent             no proxy; the default as long as no replica is routed
//! ingress down says="why"
//! ingress serving            the table of all replicas that are `routed`
//! engine away says="why"
//! acting ago=5s              since when there is somebody who acts; for ever unless given
//! quarantined web says="why" an app whose routes the ingress refused
//! app web rev=2              an app that is wanted. Keys: gen image replicas host path port volume
//!                            memory grace signal pull removed-through http drain pre-deploy, of the
//!                            rollout surge unavailable min-ready deadline; words: unpinned stop-first
//!                            start-first pause-on-failure. How its revision went: complete=5s
//!                            fallback=1 since=1m restart_nonce=1 back-from=2 back-to=1 says="why"; words: progressing
//!                            failed paused pre-deployed; stable unless it is said
//! revision web 1             how an older revision differs from the app; `lost`: not kept; `failed`
//! tombstone web ago=10s      an app that was deleted, 0s ago unless given. Keys: grace signal
//! web-1 ready routed         a replica, or several: web-1..3
//! job web running            the container of the command before the app's revision
//! unreadable ID says="why"   a container with labels that make no sense
//! under-way CALL             a call to the engine that has not returned yet
//! failed CALL says="why"     one that failed. Keys: times ago; words: lasting image-gone
//!                            image-missing
//!                            image-missing image-denied port-taken
//! ```
//!
//! - An app runs the image `NAME:REVISION`, and so did its older revisions. It is
//!   not routed without `host`. Its image is resolved unless it is `unpinned`.
//! - A replica is `created`, `starting`, `ready`, `settling` (ready once it has run for a moment),
//!   `unready says=`, `unhealthy says=` (to be replaced), `unknown` (it runs, and no probe has come back), `paused`, `removing`,
//!   `exited` or `oom` (`code= ran=`), or `start-failed says=`. `ago=` is how long it is so.
//! - A replica that is `ready` is so for 60 s, or `ready-for=1s`.
//! - Further: `rev=` (the app's), `restarts=`, `streak=` (as `restarts`), `last="how the container
//!   before it ended"`, `stopped="why we stopped it"`, `ready-until=5s` (unready since), `address=`, `routed`,
//!   `draining=5s` (no longer routed for so long), `drained`, `evicted`.
//! - A CALL is `network`, `routes`, `image web 2`, `create web-3 2` (the revision, which is the
//!   app's if left out), `forget web` or `container web-1` (with `rev=` and `restarts=` where a pod
//!   has two of them).

mod apps;
mod calls;
mod line;
mod replicas;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::{SignedDuration, Timestamp};

use dubernetes_core::app::{AppName, AppSpec, HostName, RoutePath};
use dubernetes_core::identity;
use dubernetes_core::ingress::{Endpoint, ObservedIngress, Route, RouteTable};
use dubernetes_core::runtime::{ContainerId, Network};
use dubernetes_core::state::{DesiredState, EngineStatus, ObservedState};
use dubernetes_core::store::StoredApp;
use line::Line;

/// The whole input of [`dubernetes_core::reconcile()`].
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What is wanted.
    pub desired: DesiredState,
    /// What is seen.
    pub observed: ObservedState,
    /// When.
    pub now: Timestamp,
}

/// Reads the notation.
///
/// # Errors
///
/// The first line that cannot be read, with what is wrong with it.
pub fn parse(text: &str) -> Result<Scenario, String> {
    let mut lines = Vec::new();
    for text in text.lines().map(str::trim).filter(|text| !text.is_empty()) {
        lines.push((text, Line::parse(text).map_err(|error| at(text, &error))?));
    }
    // Replicas need the apps whose they are, and calls need the replicas.
    lines.sort_by_key(|(_, line)| match line.what.as_str() {
        "network" | "app" => 0,
        "under-way" | "failed" => 3,
        "ingress" | "engine" | "revision" | "tombstone" | "unreadable" => 1,
        _ => 2,
    });
    let mut reading = Reading::new();
    for (text, mut line) in lines {
        reading.read(&mut line).and_then(|()| line.finish()).map_err(|error| at(text, &error))?;
    }
    reading.finish()
}

/// Midday of some day: no test depends on which.
const NOW: Timestamp = Timestamp::constant(1_800_014_400, 0);

/// What has been read so far.
#[derive(Debug)]
struct Reading {
    given: Scenario,
    subnet: Ipv4Net,
    /// What revisions ran, where it is not what the app's name and the number say.
    specs: BTreeMap<(AppName, u64), AppSpec>,
    /// Revisions that the store does not keep.
    lost: BTreeSet<(AppName, u64)>,
    /// Older revisions that have failed.
    failed: BTreeSet<(AppName, u64)>,
    /// Addresses that are in use.
    taken: BTreeSet<Ipv4Addr>,
    routed: BTreeSet<ContainerId>,
}

impl Reading {
    fn new() -> Self {
        let subnet = Ipv4Net::new_assert(Ipv4Addr::new(10, 9, 0, 0), 22);
        let (desired, observed) = (DesiredState::default(), ObservedState::default());
        Self {
            given: Scenario { desired, observed, now: NOW },
            subnet,
            specs: BTreeMap::new(),
            lost: BTreeSet::new(),
            failed: BTreeSet::new(),
            taken: [identity::ingress_address(subnet)].into(),
            routed: BTreeSet::new(),
        }
    }

    fn read(&mut self, line: &mut Line) -> Result<(), String> {
        let observed = &mut self.given.observed;
        match line.what.as_str() {
            "network" => {
                self.subnet = line.name()?.unwrap_or(self.subnet);
                observed.network = Some(Network { id: "network".to_owned(), subnet: self.subnet });
            }
            "ingress" => observed.ingress = ingress(line)?,
            "engine" => {
                if !line.word("away") {
                    return Err("an engine that answers needs no line".to_owned());
                }
                observed.engine = EngineStatus::Unreachable {
                    since: before(line.span("ago")?),
                    reason: line.says()?,
                };
            }
            "acting" => observed.active_since = Some(before(line.span("ago")?)),
            "quarantined" => {
                let app = line.name_or("the app's name is missing")?;
                observed.quarantined.insert(app, line.says()?);
            }
            "app" => self.app(line)?,
            "revision" => self.revision(line)?,
            "tombstone" => self.tombstone(line)?,
            "unreadable" => {
                let id = line.name_or("the id of the container is missing")?;
                observed.unreadable.insert(ContainerId(id), line.says()?);
            }
            "under-way" | "failed" => self.call(line)?,
            "job" => self.job(line)?,
            _ => self.replicas(line)?,
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Scenario, String> {
        self.keep_revisions();
        let routed = !self.routed.is_empty();
        let ingress = &self.given.observed.ingress;
        let serving = matches!(ingress, ObservedIngress::Serving { .. });
        match ingress {
            ObservedIngress::Down { .. } if routed => {
                return Err("no replica is routed by an ingress that is down".to_owned());
            }
            _ if routed || serving => {
                let table = RouteTable { routes: self.routes() };
                self.given.observed.ingress = ObservedIngress::Serving { table };
            }
            _ => {}
        }
        Ok(self.given)
    }

    /// The routes of all apps to the replicas that are routed, in the order of a planned table.
    /// An app that is no longer wanted had the host `NAME.local`.
    fn routes(&self) -> Vec<Route> {
        let mut found: BTreeMap<_, (AppName, BTreeSet<Endpoint>)> = BTreeMap::new();
        for stored in self.given.desired.apps.values() {
            for (host, path) in hosts(stored) {
                let name = stored.spec.name.clone();
                found.entry((host, path)).or_insert((name, BTreeSet::new()));
            }
        }
        let replicas = self.given.observed.replicas.iter();
        for replica in replicas.filter(|replica| self.routed.contains(&replica.id)) {
            let labels = &replica.labels;
            let places = match self.given.desired.apps.get(&labels.app) {
                Some(stored) => hosts(stored),
                None => Vec::from_iter(
                    HostName::parse(&format!("{}.local", labels.app))
                        .map(|host| (host, RoutePath::default())),
                ),
            };
            for place in places {
                let (name, port) = (labels.app.clone(), labels.port);
                let (_, endpoints) = found.entry(place).or_insert((name, BTreeSet::new()));
                endpoints.insert(Endpoint { pod: replica.pod(), address: labels.address, port });
            }
        }
        let route = |((host, path), (app, endpoints)): (_, (_, BTreeSet<_>))| Route {
            host,
            path,
            app,
            endpoints: endpoints.into_iter().collect(),
        };
        found.into_iter().map(route).collect()
    }
}

fn hosts(stored: &StoredApp) -> Vec<(HostName, RoutePath)> {
    let access = stored.spec.access.iter();
    access
        .flat_map(|access| access.hosts.iter().map(|host| (host.clone(), access.path.clone())))
        .collect()
}

fn ingress(line: &mut Line) -> Result<ObservedIngress, String> {
    if line.word("absent") {
        Ok(ObservedIngress::Absent)
    } else if line.word("down") {
        Ok(ObservedIngress::Down { reason: line.says()? })
    } else if line.word("serving") {
        Ok(ObservedIngress::Serving { table: RouteTable::default() })
    } else {
        Err("an ingress is `absent`, `down` or `serving`".to_owned())
    }
}

/// The moment that lies `span` back, or at hand.
fn before(span: Option<SignedDuration>) -> Timestamp {
    NOW.saturating_sub(span.unwrap_or_default()).unwrap_or(NOW)
}

fn at(text: &str, error: &str) -> String {
    format!("`{text}`: {error}")
}

#[cfg(test)]
mod tests;
