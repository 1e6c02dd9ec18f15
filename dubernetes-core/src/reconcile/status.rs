//! The status of each app and pod: computed in each pass, never stored.

use jiff::Timestamp;

use crate::app::{AppName, PodName};
use crate::call::{FailureKind, OperationKey};
use crate::ingress::RouteTable;
use crate::plan::{AppStatus, Cause, Phase, PodState, PodStatus, Wait, Waiting};
use crate::runtime::ContainerState;
use crate::state::EngineStatus;
use crate::store::RevisionCause;

use super::app::App;
use super::certificates;
use super::classify::Replicas;
use super::context::{Context, Observed, Slot};
use super::exit;
use super::limits::count;
use super::one_off;
use super::replica::{Replica, Role};
use super::routes;
use super::step::Steps;

/// A table that could not be served this often in a row needs a person.
const LASTING_FAILURES: u32 = 3;

/// What the status of an app follows from.
struct StatusInputs<'a> {
    context: &'a Context<'a>,
    app: &'a App<'a>,
    replicas: &'a Replicas<'a>,
    /// The steps of all stages.
    steps: &'a Steps,
    /// Ready replicas of the wanted revision.
    updated: u32,
    /// Whether the app has a route or a name.
    has_routes: bool,
    /// Whether the ingress serves just the planned routes, those over HTTPS with their
    /// certificates.
    is_routed: bool,
    /// Whether a result of the rollout is being recorded.
    is_recorded: bool,
}

/// Evaluates the status of an app from the steps and routes that its stages returned.
pub(super) fn evaluate(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    steps: &Steps,
    routes: &RouteTable,
    is_recorded: bool,
) -> AppStatus {
    let Observed { served, listeners, ports, tls, .. } = app.observed;
    // A place that it hands over to another app is not its own any more.
    let has_other_route = served.iter().any(|route| {
        !routes.routes.contains(route) && !routes::is_claimed_by_another(context, route)
    });
    let inputs = StatusInputs {
        context,
        app,
        replicas,
        steps,
        updated: count(replicas.updated().filter(|r| r.ready).count()),
        has_routes: !routes.is_empty(),
        is_routed: routes.routes.iter().all(|route| served.contains(&route))
            && !has_other_route
            && listeners.iter().copied().eq(&routes.listeners)
            && ports.iter().copied().eq(&routes.ports)
            && certificates::are_served(tls, &routes.tls),
        is_recorded,
    };
    let phase = inputs.phase();
    let (cause, next_try) = match phase {
        Phase::Ready => {
            let cause = inputs.rolled_back_from().or_else(|| inputs.changed_limits());
            (cause.unwrap_or_default(), None)
        }
        Phase::Pending | Phase::Progressing | Phase::Degraded | Phase::Failed | Phase::Deleting => {
            inputs.cause()
        }
    };
    AppStatus {
        phase,
        desired: app.limits.desired,
        ready: count(replicas.kept().filter(|r| r.ready).count()),
        updated: inputs.updated,
        revision: app.stored.revision,
        observed_generation: app.stored.generation,
        message: cause.to_string(),
        cause,
        next_try,
        pods: inputs.pods(),
        one_offs: one_off::statuses(app.observed),
    }
}

impl<'a> StatusInputs<'a> {
    fn phase(&self) -> Phase {
        let is_complete = self.updated == self.app.limits.desired
            && self.replicas.iter().all(|replica| replica.role == Role::Updated)
            && self.steps.blocked.is_empty();
        if self.context.is_engine_unreachable() {
            return Phase::Degraded;
        }
        if is_complete && self.is_routed {
            return Phase::Ready;
        }
        if !self.steps.blocked.is_empty() || self.is_failed() {
            return Phase::Failed;
        }
        let has_restarted = self.replicas.updated().any(|r| r.labels().restarts > 0 || r.is_down());
        let is_broken = has_restarted && !self.replicas.has_outdated();
        let is_empty = self.replicas.iter().next().is_none();
        if is_broken || (is_complete && self.ingress_failure().is_some()) {
            Phase::Degraded
        } else if is_empty && self.app.limits.desired > 0 {
            Phase::Pending
        } else {
            Phase::Progressing
        }
    }

    /// Whether a person has to act: a call failed permanently, or a replica of the wanted revision
    /// is crash looping. While the rollout is open, its result says so instead.
    fn is_failed(&self) -> bool {
        if self.app.stored.rollout.outcome.failure().is_some() {
            return true;
        }
        if self.is_recorded {
            return false;
        }
        let is_open = self.app.is_progressing() && !self.app.stored.paused;
        let is_permanent = |kind: FailureKind| kind != FailureKind::Transient;
        let has_failed_call = self.steps.waiting.iter().any(|waiting| {
            let Wait::Retry { failure, .. } = &waiting.wait else { return false };
            is_permanent(failure.kind)
        });
        !is_open && (has_failed_call || self.crash_looping().is_some()) || self.is_unroutable()
    }

    /// Whether the ingress cannot serve the app until a person acts. One failure in the middle of
    /// a change may pass: the port of a container that was just replaced is free a moment later.
    fn is_unroutable(&self) -> bool {
        let Some((_, kind)) = self.ingress_failure() else { return false };
        let observed = self.context.observed;
        let failures = observed.failures.get(&OperationKey::Routes).map_or(0, |f| f.count);
        let lasts = failures >= LASTING_FAILURES || !observed.quarantined.is_empty();
        self.has_routes && kind != FailureKind::Transient && lasts
    }

    fn crash_looping(&self) -> Option<&Replica<'a>> {
        self.replicas.updated().find(|replica| replica.crash_looping)
    }

    /// Why the ingress does not serve the app: it refused the app's routes, or serves no new table
    /// at all.
    fn ingress_failure(&self) -> Option<(&'a str, FailureKind)> {
        let observed = self.context.observed;
        if !observed.quarantined.is_empty() {
            let message = observed.quarantined.get(self.app.name())?;
            return Some((message, FailureKind::Permanent));
        }
        let failure = observed.failures.get(&OperationKey::Routes)?;
        Some((&failure.message, failure.kind))
    }

    /// The most important thing to say, and when the next try is.
    fn cause(&self) -> (Cause, Option<Timestamp>) {
        if let EngineStatus::Unreachable { reason, since } = &self.context.observed.engine {
            return (Cause::EngineUnreachable { since: *since, reason: reason.clone() }, None);
        }
        if let Some(blocked) = self.steps.blocked.first() {
            return (Cause::Blocked(blocked.block.clone()), None);
        }
        let retry = self.first_wait(|wait| matches!(wait, Wait::Retry { .. }));
        let back_off = self.first_wait(|wait| matches!(wait, Wait::BackOff { .. }));
        if let Some(failure) = self.app.stored.rollout.outcome.failure() {
            let next =
                self.first_wait(|wait| matches!(wait, Wait::Retry { .. } | Wait::BackOff { .. }));
            let cause = Cause::RevisionFailed {
                revision: self.app.stored.revision,
                reason: failure.reason.clone(),
            };
            return (cause, next.and_then(|w| w.until));
        }
        if let Some(waiting) = retry.or(back_off) {
            return (Cause::Waits(waiting.clone()), waiting.until);
        }
        (self.cause_without_failed_call(), None)
    }

    fn cause_without_failed_call(&self) -> Cause {
        if let Some(looping) = self.crash_looping() {
            return Cause::CrashLooping {
                pod: looping.pod(),
                last: exit::last_failure(looping),
                restarts: looping.labels().restarts,
            };
        }
        if let (false, Some((message, _))) = (self.is_routed, self.ingress_failure()) {
            return Cause::Ingress { message: message.to_owned() };
        }
        if self.app.stored.paused && self.replicas.has_outdated() {
            return Cause::Paused;
        }
        if let Some(cause) = self.rolled_back_from() {
            return cause;
        }
        let not_ready = self.first_wait(|wait| matches!(wait, Wait::Ready { .. }));
        match not_ready.or_else(|| self.first_wait(|wait| !wait.is_steady())) {
            Some(waiting) => Cause::Waits(waiting.clone()),
            None if !self.is_routed => Cause::NotRouted,
            None => Cause::None,
        }
    }

    fn first_wait(&self, is_meant: impl Fn(&Wait) -> bool) -> Option<&'a Waiting> {
        self.steps.waiting.iter().find(|waiting| is_meant(&waiting.wait))
    }

    /// Which revision failed, if the wanted one is a rollback from it.
    fn rolled_back_from(&self) -> Option<Cause> {
        let cause = &self.app.stored.rollout.cause;
        let RevisionCause::RollBack { from, to, failure } = cause else { return None };
        Some(Cause::RolledBack {
            from: *from,
            to: *to,
            revision: self.app.stored.revision,
            reason: failure.reason.clone(),
        })
    }

    /// The first replica whose limits were changed.
    fn changed_limits(&self) -> Option<Cause> {
        let changed = self.replicas.kept().filter(|replica| replica.changed_limits.is_some());
        let first = changed.min_by_key(|replica| replica.labels().ordinal)?;
        let message = first.changed_limits.clone()?;
        Some(Cause::ChangedLimits { pod: first.pod(), message })
    }

    /// The pods in the order of their ordinals.
    fn pods(&self) -> Vec<PodStatus> {
        let kept = self.replicas.kept().map(|replica| self.pod_status_kept(replica));
        let terminating = self.replicas.terminating().map(|(replica, _)| replica);
        let terminating = terminating.filter(|replica| !self.is_superseded(replica));
        let terminating = terminating.map(|r| pod_status_terminating(self.context, r));
        let mut pods = Vec::with_capacity(self.app.observed.replicas.len());
        pods.extend(kept.chain(terminating));
        let creating = self.replicas.creating.iter();
        let pending = creating.map(|slot| pod_status_pending(self.app.name(), *slot));
        let is_new = |new: &PodStatus| pods.iter().all(|pod| pod.name != new.name);
        let pending: Vec<_> = pending.filter(is_new).collect();
        pods.extend(pending);
        for pod in pods.iter_mut().filter(|pod| !pod.ready) {
            self.add_wait(pod);
        }
        pods.sort_by(|a, b| {
            (a.name.as_str().len(), &a.name, a.revision).cmp(&(
                b.name.as_str().len(),
                &b.name,
                b.revision,
            ))
        });
        pods
    }

    /// Whether a container that is down is only the predecessor of another one of the same pod.
    fn is_superseded(&self, replica: &Replica<'_>) -> bool {
        let is_successor = |other: &Replica<'_>| {
            let is_newer = match other.role {
                Role::Updated | Role::Outdated => true,
                Role::Terminating(_) => other.labels().restarts > replica.labels().restarts,
            };
            is_newer && other.labels().ordinal == replica.labels().ordinal
        };
        !replica.observed.is_running() && self.replicas.iter().any(is_successor)
    }

    /// Adds what the pod waits for: before anything else its next try.
    fn add_wait(&self, pod: &mut PodStatus) {
        let is_own = |wait: &&Waiting| wait.pod.as_ref() == Some(&pod.name);
        let mut waits = self.steps.waiting.iter().filter(is_own);
        let is_retry =
            |wait: &Waiting| matches!(wait.wait, Wait::BackOff { .. } | Wait::Retry { .. });
        let retry = waits.clone().find(|wait| is_retry(wait));
        if let Some(retry) = retry {
            pod.message = retry.wait.to_string();
            pod.next_try = retry.until;
        } else if let (true, Some(wait)) = (pod.message.is_empty(), waits.next()) {
            pod.message = wait.wait.to_string();
        }
    }

    fn pod_status_kept(&self, replica: &Replica<'_>) -> PodStatus {
        let pod = replica.pod();
        let wait = self.steps.waiting.iter().find(|w| w.pod.as_ref() == Some(&pod));
        let (state, message) = match &replica.observed.state {
            ContainerState::Created => (PodState::Starting, exit::cause(replica)),
            ContainerState::Running { .. } if replica.ready => {
                (PodState::Running, replica.changed_limits.clone().unwrap_or_default())
            }
            ContainerState::Running { .. } => (PodState::Running, replica.not_ready_reason()),
            ContainerState::Paused => (PodState::Stopping, exit::cause(replica)),
            ContainerState::Removing => (PodState::Stopping, String::new()),
            ContainerState::Exited(_) | ContainerState::StartFailed { .. } => {
                let is_waiting = wait.is_some_and(|w| matches!(w.wait, Wait::BackOff { .. }));
                let state = if is_waiting { PodState::BackOff } else { PodState::Exited };
                (state, exit::cause(replica))
            }
        };
        pod_status(self.context, replica, state, message)
    }
}

/// Returns the status of a pod that leaves.
pub(super) fn pod_status_terminating(context: &Context<'_>, replica: &Replica<'_>) -> PodStatus {
    let is_draining = replica.observed.is_running() && !replica.in_flight;
    let state = if is_draining { PodState::Draining } else { PodState::Stopping };
    PodStatus { ready: false, ..pod_status(context, replica, state, String::new()) }
}

/// Returns the status of a pod whose container is being created.
pub(super) fn pod_status_pending(app: &AppName, slot: Slot) -> PodStatus {
    PodStatus {
        name: PodName::replica(app, slot.ordinal),
        app: app.clone(),
        revision: slot.revision,
        state: PodState::Pending,
        ready: false,
        restarts: 0,
        address: None,
        endpoint: None,
        container_id: None,
        started_at: None,
        created_at: None,
        changed_limits: None,
        message: String::new(),
        next_try: None,
    }
}

fn pod_status(
    context: &Context<'_>,
    replica: &Replica<'_>,
    state: PodState,
    message: String,
) -> PodStatus {
    let is_unreachable = context.is_engine_unreachable();
    let labels = replica.labels();
    PodStatus {
        name: replica.pod(),
        app: labels.app.clone(),
        revision: labels.revision,
        state: if is_unreachable { PodState::Unknown } else { state },
        ready: !is_unreachable && replica.ready,
        restarts: labels.restarts,
        address: replica.observed.endpoint.map(|found| found.ip()).or(labels.address),
        endpoint: replica.observed.endpoint,
        container_id: Some(replica.observed.id.clone()),
        started_at: replica.observed.state.started_at(),
        created_at: Some(replica.observed.created_at),
        changed_limits: replica.changed_limits.clone(),
        message,
        next_try: None,
    }
}
