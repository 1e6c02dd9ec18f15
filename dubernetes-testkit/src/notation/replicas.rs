//! Replicas: who they are, what they do, and whether requests come to them.

use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};

use dubernetes_core::app::{AppName, AppSpec};
use dubernetes_core::identity;
use dubernetes_core::labels::{PreDeployLabels, ReplicaLabels};
use dubernetes_core::runtime::{ContainerId, ContainerState};
use dubernetes_core::state::{Drain, ObservedPreDeploy, ObservedReplica, Readiness};

use super::apps::image_id;
use super::line::Line;
use super::{NOW, Reading, before};

/// What a line says of each of its replicas.
#[derive(Debug, Clone)]
struct Shared {
    revision: u64,
    restarts: u32,
    consecutive_restarts: u32,
    last_end: Option<String>,
    stop_reasons: Option<String>,
    last_ready_at: Option<Timestamp>,
    life: (ContainerState, Timestamp, Readiness),
    routed: bool,
    evicted: bool,
    drain: Option<Drain>,
    address: Option<Ipv4Addr>,
}

impl Reading {
    /// `web-1 ...`, or `web-1..3 ...`.
    pub(super) fn replicas(&mut self, line: &mut Line) -> Result<(), String> {
        let (app, ordinals) = pods(&line.what)?;
        let stored = self.given.desired.apps.get(&app);
        let restarts = line.value("restarts")?.unwrap_or(0);
        let shared = Shared {
            revision: line.value("rev")?.or(stored.map(|s| s.revision)).unwrap_or(1),
            restarts,
            consecutive_restarts: line.value("streak")?.unwrap_or(restarts),
            last_end: line.value("last")?,
            stop_reasons: line.value("stopped")?,
            last_ready_at: line.span("ready-until")?.map(|ago| before(Some(ago))),
            routed: line.word("routed"),
            evicted: line.word("evicted"),
            drain: drain(line)?,
            address: line.value("address")?,
            life: life(line)?,
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
            life: (state, created_at, readiness),
            ..
        } = shared;
        let spec = self.spec(app, revision)?;
        let address = shared.address.or_else(|| self.free_address(app, ordinal));
        let address = address.ok_or("the subnet has no address left")?;
        self.taken.insert(address);
        let instance = &self.given.desired.instance;
        let name = identity::container_name(instance, app, ordinal, revision, restarts);
        let id = ContainerId(format!("id-of-{name}"));
        let spec_hash = self.hash(app, revision, &spec);
        let observed = &mut self.given.observed;
        if observed.replicas.iter().any(|other| other.id == id) {
            return Err(format!("{name} is there twice"));
        }
        if shared.routed {
            self.routed.insert(id.clone());
        }
        if shared.evicted {
            observed.evicted.insert(id.clone());
        }
        if let Some(why) = shared.stop_reasons {
            observed.stop_reasons.insert(id.clone(), why);
        }
        if let Some(until) = shared.last_ready_at {
            observed.last_ready_at.insert(id.clone(), until);
        }
        if let Some(drain) = shared.drain {
            observed.drains.insert(address, drain);
        }
        observed.replicas.push(ObservedReplica {
            id,
            name,
            labels: ReplicaLabels {
                app: app.clone(),
                revision,
                ordinal,
                spec_hash,
                image: Some(image_id(&spec)),
                address,
                port: spec.port,
                restarts,
                consecutive_restarts,
                last_end: shared.last_end,
            },
            state,
            created_at,
            image_id: image_id(&spec),
            readiness,
        });
        Ok(())
    }

    fn hash(&self, app: &AppName, revision: u64, spec: &AppSpec) -> String {
        let stored = self.given.desired.apps.get(app).filter(|s| s.revision == revision);
        identity::content_hash(spec, stored.map_or(0, |stored| stored.rollout.restart_nonce))
    }

    /// `job web exited code=0`: the container of the command before the app's revision.
    pub(super) fn job(&mut self, line: &mut Line) -> Result<(), String> {
        let app: AppName = line.name_or("the app's name is missing")?;
        let stored = self.given.desired.apps.get(&app);
        let revision = line.value("rev")?.or(stored.map(|s| s.revision)).unwrap_or(1);
        let attempts = line.value("attempts")?.unwrap_or(0);
        let name =
            identity::pre_deploy_name(&self.given.desired.instance, &app, revision, attempts);
        let address = self.free_address(&app, 0).ok_or("the subnet has no address left")?;
        self.taken.insert(address);
        let state = match line.word("running") {
            true => ContainerState::Running { started_at: before(line.span("ago")?) },
            false => life(line)?.0,
        };
        let id = ContainerId(format!("id-of-{name}"));
        let labels = PreDeployLabels { app, revision, attempts, address };
        self.given.observed.pre_deploys.push(ObservedPreDeploy { id, labels, state });
        Ok(())
    }

    /// The address that a new replica gets.
    pub(super) fn free_address(&self, app: &AppName, ordinal: u32) -> Option<Ipv4Addr> {
        identity::pick_address(self.subnet, app, ordinal, &self.taken)
    }
}

/// The app and the ordinals of `web-1` or `web-1..3`.
pub(super) fn pods(text: &str) -> Result<(AppName, std::ops::RangeInclusive<u32>), String> {
    let wrong = || format!("`{text}` is neither a word of the notation nor a pod such as `web-1`");
    let (app, ordinals) = text.rsplit_once('-').ok_or_else(wrong)?;
    let (first, last) = ordinals.split_once("..").unwrap_or((ordinals, ordinals));
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
    let ordinals = number(first)?..=number(last)?;
    if ordinals.is_empty() {
        return Err(wrong());
    }
    Ok((app.parse().map_err(|_| wrong())?, ordinals))
}

/// What its container does, when that was created, and what the probes say.
fn life(line: &mut Line) -> Result<(ContainerState, Timestamp, Readiness), String> {
    let ago = line.span("ago")?;
    if let Some(readiness) = readiness(line)? {
        let started_at = before(ago.or(Some(LONG)));
        return Ok((ContainerState::Running { started_at }, started_at, readiness));
    }
    let at = before(ago);
    let out_of_memory = line.word("oom");
    if line.word("exited") || out_of_memory {
        let code = line.value("code")?.unwrap_or(if out_of_memory { 137 } else { 1 });
        let ran = line.span("ran")?.unwrap_or(LONG);
        let started_at = at.saturating_sub(ran).unwrap_or(at);
        let state = ContainerState::Exited { code, out_of_memory, started_at, finished_at: at };
        return Ok((state, started_at, Readiness::Unknown));
    }
    let state = if line.word("start-failed") {
        let code = line.value("code")?.unwrap_or(127);
        ContainerState::StartFailed { error: line.says()?, code }
    } else if line.word("created") {
        ContainerState::Created
    } else if line.word("paused") {
        ContainerState::Paused
    } else if line.word("removing") {
        ContainerState::Removing
    } else {
        return Err("it is not said what it does".to_owned());
    };
    Ok((state, at, Readiness::Unknown))
}

/// What the probes say of a replica that runs; `None` if it does not.
fn readiness(line: &mut Line) -> Result<Option<Readiness>, String> {
    let readiness = if line.word("ready") {
        let since = line.span("ready-for")?.unwrap_or(LONG);
        Readiness::Ready { since: before(Some(since)) }
    } else if line.word("settling") {
        let until = NOW.saturating_add(SignedDuration::from_secs(1)).unwrap_or(NOW);
        Readiness::Settling { until }
    } else if line.word("starting") {
        Readiness::NotReady { reason: "nothing listens on its port".to_owned() }
    } else if line.word("unready") {
        Readiness::NotReady { reason: line.says()? }
    } else if line.word("unhealthy") {
        Readiness::Unhealthy { reason: line.says()? }
    } else if line.word("unknown") {
        Readiness::Unknown
    } else {
        return Ok(None);
    };
    Ok(Some(readiness))
}

/// So long a replica runs, is ready, ran before it ended, or is drained, where nothing is said.
pub(super) const LONG: SignedDuration = SignedDuration::from_secs(60);

fn drain(line: &mut Line) -> Result<Option<Drain>, String> {
    if line.word("drained") {
        return Ok(Some(Drain { done: true, ..Drain::new(before(Some(LONG))) }));
    }
    let span = line.span("draining")?;
    Ok(span.map(|span| Drain::new(before(Some(span)))))
}
