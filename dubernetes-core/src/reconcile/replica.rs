//! A replica with the facts that stages decide by, computed once in each pass.

use std::net::SocketAddr;

use jiff::Timestamp;

use crate::app::{Duration, Memory, PodName, Resources, Stop};
use crate::labels::ReplicaLabels;
use crate::plan::{Action, Planned, Reason, Wait};
use crate::runtime::ContainerState;
use crate::state::{Drain, ObservedReplica, Readiness};
use crate::store::Revision;

use super::app::App;
use super::backoff::{self, Restart};
use super::context::{Context, Slot};
use super::step::Step;

/// An exit for the third time in a row makes a crash loop.
const CRASH_LOOP_EXITS: u32 = 3;

/// Returns how the limits of a running container differ from those of its revision, and why.
fn changed_limits(observed: &ObservedReplica, wanted: &Resources) -> Option<String> {
    let limits = observed.limits.as_ref().filter(|_| observed.is_running())?;
    let difference = limits.difference(wanted)?;
    // Docker creates containers without limits that its kernel does not support.
    let is_unset = limits.memory.is_none() && wanted.memory.is_some()
        || limits.cpu.is_none() && wanted.cpu.is_some();
    let why = if is_unset { "not supported by the engine, or " } else { "" };
    Some(format!("{difference} as its revision says: {why}changed outside Dubernetes"))
}

/// What becomes of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs the wanted revision: kept, or restarted in its slot.
    Updated,
    /// Runs another revision: kept until it may be replaced.
    Outdated,
    /// Leaves: unrouted, drained, stopped, removed.
    Terminating(Reason),
}

/// An observed replica, classified.
#[derive(Debug)]
pub(super) struct Replica<'a> {
    pub(super) observed: &'a ObservedReplica,
    pod: PodName,
    pub(super) role: Role,
    /// Created, running or paused: the container holds memory, volumes and its address.
    pub(super) live: bool,
    /// Takes requests.
    pub(super) ready: bool,
    /// When a ready replica becomes available if it stays ready for `min_ready`.
    pub(super) available_from: Option<Timestamp>,
    /// Ready for `min_ready` without a break, and routed if its app is.
    pub(super) available: bool,
    /// The ingress may send new requests to it.
    pub(super) routed: bool,
    /// Requests that were accepted before it left the route table, and its endpoint there.
    pub(super) drain: Option<(SocketAddr, &'a Drain)>,
    /// How long these requests may take before it is stopped.
    pub(super) drain_limit: Duration,
    /// A call on its container is in flight.
    pub(super) in_flight: bool,
    /// A user asked for another replica in its place.
    pub(super) evicted: bool,
    /// Revision that it runs, if the store still keeps it.
    pub(super) kept: Option<&'a Revision>,
    /// How it is stopped: as its own revision says, if the store still keeps it.
    pub(super) stop: &'a Stop,
    /// Next restart of a replica that has failed.
    pub(super) restart: Option<Restart>,
    /// Failed, or failed before and not ready since, too often in a row.
    pub(super) crash_looping: bool,
    /// Why the orchestrator stopped it, if it did: the exit code says nothing then.
    pub(super) stop_reason: Option<&'a str>,
    /// Memory limit of its app, for messages.
    pub(super) memory_limit: Option<Memory>,
    /// How its limits differ from those of its own revision, while it runs.
    pub(super) changed_limits: Option<String>,
}

impl<'a> Replica<'a> {
    /// Collects the facts that need no app: of a replica whose app may be deleted.
    pub(super) fn observe(
        context: &Context<'a>,
        observed: &'a ObservedReplica,
        stop: &'a Stop,
        role: Role,
    ) -> Self {
        let sockets = observed.sockets();
        let routed = context.is_routed(sockets.as_ref());
        let in_flight = context.is_busy(&observed.id);
        Self {
            observed,
            pod: observed.pod(),
            role,
            live: observed.is_live(),
            ready: is_ready(observed, routed, in_flight),
            available_from: None,
            available: false,
            routed,
            drain: sockets.and_then(|sockets| context.draining(sockets)),
            drain_limit: stop.drain,
            in_flight,
            evicted: false,
            kept: None,
            stop,
            restart: None,
            crash_looping: false,
            stop_reason: None,
            memory_limit: None,
            changed_limits: None,
        }
    }

    /// Collects all facts about a replica of an app.
    pub(super) fn of_app(
        context: &Context<'a>,
        app: &App<'a>,
        observed: &'a ObservedReplica,
        role: Role,
    ) -> Self {
        let labels = &observed.labels;
        let kept = context.revision(app.name(), labels.revision);
        let stop = kept.map_or(&app.stored.spec.stop, |kept| &kept.spec.stop);
        let replica = Self::observe(context, observed, stop, role);
        let available_from = available_from(app, observed);
        // Failures from before the rollout began, or was resumed, do not count against it.
        let is_wanted = app.has_wanted_spec(observed);
        let own_spec = if is_wanted { Some(&app.stored.spec) } else { kept.map(|kept| &kept.spec) };
        let since = if is_wanted { app.stored.rollout_started_at } else { Timestamp::MIN };
        let restart = backoff::restart(context, observed, since);
        let consecutive_restarts = match &restart {
            Some(restart) => restart.consecutive_restarts,
            None if observed.created_at < since || replica.ready => 0,
            None => labels.consecutive_restarts,
        };
        Self {
            available_from,
            available: replica.ready
                && available_from.is_some_and(|from| from <= context.now)
                && (replica.routed || !app.stored.spec.is_reachable()),
            drain_limit: drain_limit(app, stop),
            evicted: app.stored.evicted.contains(&observed.id),
            kept,
            restart,
            crash_looping: consecutive_restarts >= CRASH_LOOP_EXITS,
            stop_reason: context.observed.stop_reason(&observed.id),
            memory_limit: app.stored.spec.resources.memory,
            changed_limits: own_spec.and_then(|spec| changed_limits(observed, &spec.resources)),
            ..replica
        }
    }

    /// The same replica, leaving.
    pub(super) fn terminate(self, reason: Reason) -> Self {
        Self { role: Role::Terminating(reason), ..self }
    }

    pub(super) fn labels(&self) -> &'a ReplicaLabels {
        &self.observed.labels
    }

    pub(super) fn pod(&self) -> PodName {
        self.pod.clone()
    }

    pub(super) fn slot(&self) -> Slot {
        Slot::of(self.labels())
    }

    /// Returns an action on its container, or what that has to wait for.
    pub(super) fn attempt(&self, context: &Context<'_>, action: Action, reason: Reason) -> Step {
        let ReplicaLabels { app, revision, .. } = self.labels();
        let planned = Planned::for_pod(app, *revision, self.pod(), action, reason);
        backoff::attempt(context, app, planned)
    }

    pub(super) fn wait(&self, wait: Wait, until: Option<Timestamp>) -> Step {
        Step::wait(&self.labels().app, Some(self.pod()), wait, until)
    }

    /// Says why a running replica is not ready.
    pub(super) fn not_ready_reason(&self) -> String {
        if self.observed.is_off_network() {
            return Reason::OffNetwork.to_string();
        }
        match &self.observed.readiness {
            Readiness::NotReady { reason } | Readiness::Unhealthy { reason } => reason.clone(),
            Readiness::Unknown => "no probe result yet".to_owned(),
            Readiness::Settling { .. } => "just started".to_owned(),
            // Only while a call on its container is in flight.
            Readiness::Ready { .. } => Wait::InProgress.to_string(),
        }
    }

    /// Whether its process has ended, or could not be started.
    pub(super) fn is_down(&self) -> bool {
        matches!(
            self.observed.state,
            ContainerState::Exited(_) | ContainerState::StartFailed { .. }
        )
    }

    /// Whether it is already unrouted. Among equals such a replica goes first, so that a choice
    /// once made stays made.
    pub(super) fn is_leaving(&self) -> bool {
        self.observed.is_running() && self.drain.is_some() && !self.routed
    }
}

/// Whether a replica takes requests. Not while a call on it is in flight. Before the first probe
/// result a replica is ready iff it is already routed: the previous orchestrator found it ready.
fn is_ready(observed: &ObservedReplica, routed: bool, in_flight: bool) -> bool {
    observed.is_running()
        && !observed.is_off_network()
        && !in_flight
        && match observed.readiness {
            Readiness::Ready { .. } => true,
            Readiness::Unknown => routed,
            Readiness::Settling { .. }
            | Readiness::NotReady { .. }
            | Readiness::Unhealthy { .. } => false,
        }
}

/// Returns how long a replica may handle what was accepted before it left the route table.
///
/// Connections of pools do not end by themselves. If no other replica can take over before this
/// one is stopped, waiting for them would only lengthen the outage.
fn drain_limit(app: &App<'_>, stop: &Stop) -> Duration {
    let spec = &app.stored.spec;
    if spec.access.is_empty() && app.limits.stops_first {
        Duration::from_millis(0)
    } else {
        stop.drain
    }
}

fn available_from(app: &App<'_>, observed: &ObservedReplica) -> Option<Timestamp> {
    let Readiness::Ready { since } = observed.readiness else { return None };
    let started_at = observed.state.started_at()?;
    let spec = &app.stored.spec;
    // Without a probe, running for a while is all that ready means.
    let is_probed = spec.is_reachable() || spec.health.is_some();
    let begin = if is_probed { since } else { started_at };
    Some(begin.saturating_add(spec.rollout.min_ready.to_signed()).ok()?.max(since))
}
