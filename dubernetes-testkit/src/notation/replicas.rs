//! Replicas, pre-deploy and one-off containers: identity, state, readiness and routing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use jiff::{SignedDuration, Timestamp};

use dubernetes_core::app::{
    AppName, AppSpec, OneOffId, PodName, PortMapping, Resources, RevisionId,
};
use dubernetes_core::identity;
use dubernetes_core::labels::{OneOffLabels, PreDeployLabels, ReplicaLabels};
use dubernetes_core::runtime::{Capability, ContainerId, ContainerState, Exit, Stdio};
use dubernetes_core::state::{
    Drain, ObservedOneOff, ObservedPreDeploy, ObservedReplica, OneOff, Readiness,
};

use super::apps::image_id;
use super::line::Line;
use super::{NOW, Parser, before};

/// The fields that all replicas of a line share.
#[derive(Debug, Clone)]
struct Shared {
    revision: RevisionId,
    restarts: u32,
    consecutive_restarts: u32,
    last_end: Option<String>,
    stop_reasons: Option<String>,
    last_ready_at: Option<Timestamp>,
    lost_with_engine: bool,
    state: (ContainerState, Timestamp, Readiness),
    routed: bool,
    evicted: bool,
    drain: Option<Drain>,
    address: Option<IpAddr>,
    published: BTreeSet<PortMapping>,
    off_network: bool,
    limits: Option<Resources>,
}

impl Parser {
    /// Reads a line such as `web-1 …` or `web-1..3 …`.
    pub(super) fn replicas(&mut self, line: &mut Line) -> Result<(), String> {
        let (app, ordinals) = pods(&line.subject)?;
        let stored = self.scenario.desired.apps.get(&app);
        let restarts = line.take_value("restarts")?.unwrap_or(0);
        let shared = Shared {
            revision: line
                .take_value("rev")?
                .or(stored.map(|s| s.revision))
                .unwrap_or(RevisionId(1)),
            restarts,
            consecutive_restarts: line.take_value("streak")?.unwrap_or(restarts),
            last_end: line.take_value("last")?,
            stop_reasons: line.take_value("stopped")?,
            last_ready_at: line.take_span("ready-until")?.map(|ago| before(Some(ago))),
            lost_with_engine: line.take_word("lost-with-engine"),
            routed: line.take_word("routed"),
            evicted: line.take_word("evicted"),
            drain: take_drain(line)?,
            address: line.take_value("address")?,
            published: std::iter::from_fn(|| line.take_value("publishes").transpose())
                .collect::<Result<_, _>>()?,
            off_network: line.take_word("off-network"),
            limits: take_limits(line)?,
            state: take_state(line)?,
        };
        for ordinal in ordinals {
            self.replica(&app, ordinal, shared.clone())?;
        }
        Ok(())
    }

    fn replica(&mut self, app: &AppName, ordinal: u32, shared: Shared) -> Result<(), String> {
        let Shared {
            revision,
            restarts,
            consecutive_restarts,
            state: (state, created_at, readiness),
            ..
        } = shared;
        let spec = self.spec(app, revision)?;
        let address = match shared.address {
            Some(address) => Some(address),
            None => self.planned_address(app, ordinal)?,
        };
        self.taken.extend(address);
        let endpoint = self.endpoint(address, spec.port()).filter(|_| !shared.off_network);
        let instance = &self.scenario.desired.instance;
        let name = identity::container_name(instance, app, ordinal, revision, restarts);
        let id = ContainerId(format!("id-of-{name}").into());
        let spec_hash = self.hash(app, revision, &spec);
        if shared.evicted {
            let stored = self.scenario.desired.apps.get_mut(app);
            stored.ok_or("a replica of no app cannot be evicted")?.evicted.insert(id.clone());
        }
        let observed = &mut self.scenario.observed;
        if observed.replicas.iter().any(|other| other.id == id) {
            return Err(format!("{name} is defined twice"));
        }
        if shared.routed {
            self.routed.insert(id.clone());
        }
        if let Some(why) = shared.stop_reasons {
            observed.stop_reasons.insert(id.clone(), why);
        }
        if shared.lost_with_engine {
            observed.lost_with_engine.insert(id.clone());
        }
        if let Some(until) = shared.last_ready_at {
            observed.last_ready_at.insert(id.clone(), until);
        }
        if let Some(drain) = shared.drain {
            let endpoint = endpoint.ok_or("a replica that is off the network does not drain")?;
            observed.drains.insert(endpoint, drain);
        }
        let is_up = matches!(state, ContainerState::Running { .. } | ContainerState::Paused);
        observed.replicas.push(ObservedReplica {
            id,
            name,
            labels: ReplicaLabels {
                app: app.clone(),
                revision,
                ordinal,
                spec_hash: spec_hash.into(),
                image: Some(image_id(&spec)),
                address,
                port: spec.port(),
                published: shared.published,
                restarts,
                consecutive_restarts,
                last_end: shared.last_end,
            },
            state,
            created_at,
            image_id: image_id(&spec),
            endpoint: endpoint.filter(|_| is_up),
            readiness,
            limits: shared.limits,
        });
        Ok(())
    }

    fn hash(&self, app: &AppName, revision: RevisionId, spec: &AppSpec) -> String {
        let stored = self.scenario.desired.apps.get(app).filter(|s| s.revision == revision);
        let spec = spec.clone().into();
        identity::content_hash(&spec, stored.map_or(0, |stored| stored.rollout.restart_nonce))
            .into()
    }

    /// Reads a line such as `pre-deploy web running`.
    pub(super) fn pre_deploy(&mut self, line: &mut Line) -> Result<(), String> {
        let app: AppName = line.require_name("the app's name is missing")?;
        let stored = self.scenario.desired.apps.get(&app);
        let revision =
            line.take_value("rev")?.or(stored.map(|s| s.revision)).unwrap_or(RevisionId(1));
        let attempts = line.take_value("attempts")?.unwrap_or(0);
        let name =
            identity::pre_deploy_name(&self.scenario.desired.instance, &app, revision, attempts);
        let address = self.planned_address(&app, 0)?;
        self.taken.extend(address);
        let is_lost = line.take_word("lost-with-engine");
        let state = take_container_state(line)?;
        let id = ContainerId(format!("id-of-{name}").into());
        if is_lost {
            self.scenario.observed.lost_with_engine.insert(id.clone());
        }
        let labels = PreDeployLabels { app, revision, attempts, address };
        self.scenario.observed.pre_deploys.push(ObservedPreDeploy { id, labels, state });
        Ok(())
    }

    /// Reads a line such as `run web-run-qhzkt wanted attached` or `run web-run-qhzkt running`.
    pub(super) fn one_off(&mut self, line: &mut Line) -> Result<(), String> {
        let pod: PodName = line.require_name("the name of the pod is missing")?;
        let (app, id) = one_off(&pod)?;
        if line.take_word("wanted") {
            let is_attached = line.take_word("attached");
            let stdio = Stdio::default();
            let command = vec!["task".to_owned()];
            let wanted = OneOff { app, id, command, stdio, is_attached };
            self.scenario.desired.one_offs.insert(pod, wanted);
            return Ok(());
        }
        let stored = self.scenario.desired.apps.get(&app);
        let revision =
            line.take_value("rev")?.or(stored.map(|s| s.revision)).unwrap_or(RevisionId(1));
        let name = identity::one_off_name(&self.scenario.desired.instance, &app, &id);
        let address = match line.take_value("address")? {
            Some(address) => Some(address),
            None => self.planned_address(&app, 0)?,
        };
        self.taken.extend(address);
        let state = take_container_state(line)?;
        let labels = OneOffLabels { app, revision, id, address };
        let created_at = before(None);
        let id = ContainerId(format!("id-of-{name}").into());
        let observed = ObservedOneOff { id, labels, state, created_at };
        self.scenario.observed.one_offs.push(observed);
        Ok(())
    }

    /// Returns the address that a new container gets, if the runtime has planned addresses.
    pub(super) fn planned_address(
        &self,
        app: &AppName,
        ordinal: u32,
    ) -> Result<Option<IpAddr>, String> {
        if self.scenario.observed.lacks.contains(&Capability::PlannedAddresses) {
            return Ok(None);
        }
        let address = identity::pick_address(self.subnet, app, ordinal, &self.taken);
        address.map(Some).ok_or_else(|| "the subnet has no address left".to_owned())
    }

    /// Returns where a running replica is observed. Without a planned address each has a port of
    /// its own.
    fn endpoint(&self, address: Option<IpAddr>, port: u16) -> Option<SocketAddr> {
        if let Some(address) = address {
            return Some(SocketAddr::new(address, port));
        }
        let port = u16::try_from(20_001 + self.scenario.observed.replicas.len()).ok()?;
        Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
    }
}

/// Returns the app and the id of `web-run-qhzkt`.
pub(super) fn one_off(pod: &PodName) -> Result<(AppName, OneOffId), String> {
    let app = pod.app();
    let id = pod.as_str().strip_prefix(&format!("{app}-run-"));
    let id = id.and_then(|id| OneOffId::parse(id).ok());
    Ok((app, id.ok_or_else(|| format!("`{pod}` is no one-off container"))?))
}

/// Returns the app and the ordinals of `web-1` or `web-1..3`.
pub(super) fn pods(text: &str) -> Result<(AppName, std::ops::RangeInclusive<u32>), String> {
    let unknown = || format!("`{text}` is neither a kind of line nor a pod such as `web-1`");
    let (app, ordinals) = text.rsplit_once('-').ok_or_else(unknown)?;
    let (first, last) = ordinals.split_once("..").unwrap_or((ordinals, ordinals));
    let number = |text: &str| text.parse::<u32>().map_err(|_| unknown());
    let ordinals = number(first)?..=number(last)?;
    if ordinals.is_empty() {
        return Err(unknown());
    }
    Ok((app.parse().map_err(|_| unknown())?, ordinals))
}

/// Takes the state of a container that is no replica.
fn take_container_state(line: &mut Line) -> Result<ContainerState, String> {
    match line.take_word("running") {
        true => Ok(ContainerState::Running { started_at: before(line.take_span("ago")?) }),
        false => Ok(take_state(line)?.0),
    }
}

/// Takes the state of the container, its time of creation, and the readiness.
fn take_state(line: &mut Line) -> Result<(ContainerState, Timestamp, Readiness), String> {
    let ago = line.take_span("ago")?;
    if let Some(readiness) = take_readiness(line)? {
        let started_at = before(ago.or(Some(LONG)));
        return Ok((ContainerState::Running { started_at }, started_at, readiness));
    }
    let at = before(ago);
    let out_of_memory = line.take_word("oom");
    if line.take_word("exited") || out_of_memory {
        let code = line.take_value("code")?.unwrap_or(if out_of_memory { 137 } else { 1 });
        let ran = line.take_span("ran")?.unwrap_or(LONG);
        let started_at = at.saturating_sub(ran).unwrap_or(at);
        let state =
            ContainerState::Exited(Exit { code, out_of_memory, started_at, finished_at: at });
        return Ok((state, started_at, Readiness::Unknown));
    }
    let state = if line.take_word("start-failed") {
        let code = line.take_value("code")?.unwrap_or(127);
        ContainerState::StartFailed { error: line.take_message()?, code }
    } else if line.take_word("created") {
        ContainerState::Created
    } else if line.take_word("paused") {
        ContainerState::Paused
    } else if line.take_word("removing") {
        ContainerState::Removing
    } else {
        return Err("the state is missing, such as `ready`".to_owned());
    };
    Ok((state, at, Readiness::Unknown))
}

/// Takes the readiness of a running replica; `None` if the replica does not run.
fn take_readiness(line: &mut Line) -> Result<Option<Readiness>, String> {
    let readiness = if line.take_word("ready") {
        let since = line.take_span("ready-for")?.unwrap_or(LONG);
        Readiness::Ready { since: before(Some(since)) }
    } else if line.take_word("settling") {
        let until = NOW.saturating_add(SignedDuration::from_secs(1)).unwrap_or(NOW);
        Readiness::Settling { until }
    } else if line.take_word("starting") {
        Readiness::NotReady { reason: "nothing listens on its port".to_owned() }
    } else if line.take_word("unready") {
        Readiness::NotReady { reason: line.take_message()? }
    } else if line.take_word("unhealthy") {
        Readiness::Unhealthy { reason: line.take_message()? }
    } else if line.take_word("unknown") {
        Readiness::Unknown
    } else {
        return Ok(None);
    };
    Ok(Some(readiness))
}

/// How long a replica runs, is ready, ran before its exit, or is drained, if omitted.
pub(super) const LONG: SignedDuration = SignedDuration::from_secs(60);

/// Takes the limits that the runtime reports; `None` if there is no key.
fn take_limits(line: &mut Line) -> Result<Option<Resources>, String> {
    let limits =
        Resources { cpu: line.take_value("has-cpu")?, memory: line.take_value("has-memory")? };
    Ok((!limits.is_empty()).then_some(limits))
}

fn take_drain(line: &mut Line) -> Result<Option<Drain>, String> {
    if line.take_word("drained") {
        return Ok(Some(Drain { done: true, ..Drain::new(before(Some(LONG))) }));
    }
    let span = line.take_span("draining")?;
    let held_by = line.take_value("held-by")?;
    Ok(span.map(|span| Drain { held_by, ..Drain::new(before(Some(span))) }))
}
