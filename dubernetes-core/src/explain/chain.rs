//! The links of an explanation, from what is desired to the next pass.

use jiff::{SignedDuration, Timestamp};

use crate::app::OnFailure;
use crate::call::{CallFailure, OperationKey};
use crate::event::{Event, EventKind};
use crate::format::{exit_code, replicas, restarts, span};
use crate::plan::{Cause, Planned, Rule, Wait, Waiting};
use crate::runtime::{ContainerState, Exit};
use crate::state::{ObservedReplica, Readiness};

use super::why::{ChainLink, ChainStep, Target};

/// Pods that are listed one by one.
const LISTED_PODS: usize = 5;

/// What a link says.
#[derive(Debug)]
struct Statement {
    text: String,
    detail: String,
    at: Option<Timestamp>,
}

impl Statement {
    fn new(text: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { text: text.into(), detail: detail.into(), at: None }
    }

    fn at(self, at: Timestamp) -> Self {
        Self { at: Some(at), ..self }
    }
}

impl From<Rule> for Statement {
    fn from(rule: Rule) -> Self {
        Self::new(rule.text, rule.detail)
    }
}

pub(super) fn links(target: &Target<'_>) -> Vec<ChainLink> {
    let statements = [
        (ChainStep::Desired, Some(desired(target))),
        (ChainStep::Observed, Some(observed(target))),
        (ChainStep::Rule, Some(rule(target))),
        (ChainStep::Decision, Some(decision(target))),
        (ChainStep::Result, result(target)),
        (ChainStep::Next, next(target)),
    ];
    let links = statements.into_iter().filter_map(|(step, statement)| {
        let Statement { text, detail, at } = statement?;
        Some(ChainLink { step, text, detail, at })
    });
    links.collect()
}

fn desired(target: &Target<'_>) -> Statement {
    let Some(stored) = target.stored() else {
        if let Some(at) = target.input.desired.teardown {
            let text = "nothing: the instance is torn down";
            return Statement::new(text, ago(target, at)).at(at);
        }
        return match target.input.desired.tombstones.get(target.app) {
            Some(tombstone) => {
                let at = tombstone.deleted_at;
                Statement::new("nothing: the app was deleted", ago(target, at)).at(at)
            }
            None => Statement::new("nothing: the app is not in the store", ""),
        };
    };
    let revision = target.pod.map_or(stored.revision, |pod| pod.revision);
    let mut kept = target.input.desired.revisions.get(target.app).into_iter().flatten();
    let kept = kept.find(|kept| kept.revision == revision);
    let artifact = kept.map_or(&stored.spec.artifact, |kept| &kept.spec.artifact);
    let text = match target.pod {
        Some(_) => format!("a replica of {artifact}"),
        None => format!("{} of {artifact}", replicas(u32::from(stored.spec.replicas))),
    };
    let ago = ago(target, stored.updated_at);
    Statement::new(text, format!("revision {revision}, applied {ago}")).at(stored.updated_at)
}

fn observed(target: &Target<'_>) -> Statement {
    let replicas = target.input.observed.replicas.iter();
    let own = replicas.filter(|replica| replica.labels.app == *target.app);
    if let Cause::EngineUnreachable { since, .. } = &target.cause {
        let elapsed = elapsed(target, *since);
        let detail = format!("for {elapsed}; containers last seen: {}", own.count());
        return Statement::new("nothing: the engine is unreachable", detail).at(*since);
    }
    if let Some(replica) = target.container() {
        return container(target, replica);
    }
    let Some(status) = target.status else {
        let names: Vec<_> = own.map(|r| r.name.as_str()).take(LISTED_PODS).collect();
        return Statement::new(format!("containers of the app: {}", names.join(", ")), "");
    };
    let pods = status.pods.iter().take(LISTED_PODS);
    let mut pods: Vec<_> = pods.map(|pod| format!("{} {}", pod.name, pod.state)).collect();
    if status.pods.len() > LISTED_PODS {
        pods.push(format!("{} more", status.pods.len() - LISTED_PODS));
    }
    Statement::new(format!("{} of {} ready", status.ready, status.desired), pods.join(", "))
}

/// Describes what a container does, and since when.
fn container(target: &Target<'_>, replica: &ObservedReplica) -> Statement {
    let pod = replica.pod();
    let restarts = match replica.labels.restarts {
        0 => String::new(),
        count => format!("; {}", restarts(count)),
    };
    match &replica.state {
        ContainerState::Running { started_at } => {
            let (text, reason) = match &replica.readiness {
                Readiness::NotReady { reason } => ("is running, but not ready", Some(reason)),
                Readiness::Unhealthy { reason } => ("is running, but unhealthy", Some(reason)),
                Readiness::Unknown => ("is running, without a probe result yet", None),
                Readiness::Ready { .. } | Readiness::Settling { .. } => ("is running", None),
            };
            let reason = reason.map(|reason| format!("; {reason}")).unwrap_or_default();
            let detail = format!("for {}{reason}{restarts}", elapsed(target, *started_at));
            Statement::new(format!("{pod} {text}"), detail).at(*started_at)
        }
        ContainerState::Exited(exit) => {
            let Exit { code, out_of_memory, finished_at, .. } = exit;
            let ran = span(exit.ran());
            let detail = format!("after {ran}, {}{restarts}", ago(target, *finished_at));
            let limit = target.stored().and_then(|stored| stored.spec.resources.memory);
            let stop_reason = target.input.observed.stop_reason(&replica.id);
            let statement = match (out_of_memory, limit, stop_reason) {
                (true, Some(limit), _) => {
                    Statement::new(format!("{pod} exceeded its memory limit of {limit}"), detail)
                }
                (true, None, _) => Statement::new(format!("{pod} ran out of memory"), detail),
                (false, _, Some(reason)) => {
                    Statement::new(format!("{pod} was stopped"), format!("{reason}; {detail}"))
                }
                (false, _, None) => {
                    Statement::new(format!("{pod} ended with {}", exit_code(*code)), detail)
                }
            };
            statement.at(*finished_at)
        }
        ContainerState::StartFailed { error, .. } => {
            let detail = format!("{}: {error}{restarts}", ago(target, replica.created_at));
            Statement::new(format!("{pod} could not be started"), detail).at(replica.created_at)
        }
        ContainerState::Created => Statement::new(format!("{pod} is created, not started"), ""),
        ContainerState::Paused => Statement::new(format!("{pod} is paused"), "outside Dubernetes"),
        ContainerState::Removing => Statement::new(format!("{pod} is being removed"), ""),
    }
}

fn rule(target: &Target<'_>) -> Statement {
    match &target.cause {
        Cause::EngineUnreachable { .. } => Statement::new(
            "an unreachable engine is not an empty engine",
            "nothing changes until it is reachable",
        ),
        Cause::Blocked(block) => block.row().0.into(),
        Cause::Waits(waiting) => waiting.wait.row().rule.into(),
        Cause::CrashLooping { .. } => Rule::RESTART.into(),
        Cause::Ingress { .. } => {
            Statement::new("failed route tables are retried", "after 1s, doubling up to 32s")
        }
        Cause::NotRouted => Statement::new(
            "a ready app is routed",
            "the ingress has to serve exactly the routes of the app",
        ),
        Cause::RevisionFailed { .. } => failed_revision_rule(target),
        Cause::RolledBack { .. } => Rule::FAILED.into(),
        Cause::Paused => Rule::PAUSED.into(),
        Cause::ChangedLimits { .. } => Statement::new(
            "a replica has the limits of its revision",
            "a change outside Dubernetes ends with its container",
        ),
        Cause::Deleting { .. } => {
            Statement::new("a deleted app is removed", "unrouted, drained, stopped, removed")
        }
        Cause::None => match first_action(target) {
            Some(planned) => Statement::new(planned.reason.to_string(), ""),
            None => Statement::new("nothing differs", "observed matches desired"),
        },
    }
}

/// Returns the rule for a failed revision that is still the wanted one.
fn failed_revision_rule(target: &Target<'_>) -> Statement {
    let Some(stored) = target.stored() else { return Rule::FAILED.into() };
    if stored.spec.rollout.on_failure == OnFailure::Pause {
        return Statement::new("a failed rollout is paused", "`rollout.on_failure: pause`");
    }
    match stored.fallback {
        None => Statement::new(
            "there is no earlier revision to roll back to",
            "replicas are restarted as they are",
        ),
        Some(_) => Rule::FAILED.into(),
    }
}

fn decision(target: &Target<'_>) -> Statement {
    let is_failed = matches!(target.cause, Cause::RevisionFailed { .. });
    if let Some(waiting) = recovery(target).filter(|_| is_failed) {
        return wait_decision(target, waiting);
    }
    match &target.cause {
        Cause::EngineUnreachable { .. } => {
            Statement::new("change nothing", "the routes stay as they are")
        }
        Cause::Blocked(_) => Statement::new("change nothing", "until a person acts"),
        Cause::Waits(waiting) => wait_decision(target, waiting),
        Cause::Ingress { .. } => Statement::new("apply the routes again", "replicas keep running"),
        Cause::RevisionFailed { .. } | Cause::RolledBack { .. } => {
            let is_serving = target.status.is_some_and(|status| status.ready > 0);
            let keep = if is_serving { "keep the ready replicas" } else { "change nothing" };
            action_or(target, keep, "until the app is applied again")
        }
        Cause::Paused => Statement::new("replace nothing", "until it is resumed"),
        Cause::ChangedLimits { .. } => action_or(target, "replace nothing", "it serves as it is"),
        Cause::None => action_or(target, "change nothing", ""),
        Cause::CrashLooping { .. } | Cause::NotRouted | Cause::Deleting { .. } => {
            action_or(target, "wait", "calls and probes are in progress")
        }
    }
}

fn action_or(target: &Target<'_>, text: &str, detail: &str) -> Statement {
    match first_action(target) {
        Some(planned) => {
            let text = format!("{} {}", planned.action.verb(), planned.object());
            Statement::new(text, planned.reason.to_string())
        }
        None => Statement::new(text, detail),
    }
}

/// Returns the wait after which a failed revision may recover.
fn recovery<'a>(target: &Target<'a>) -> Option<&'a Waiting> {
    let own = || target.input.plan.waiting.iter().filter(|w| w.app.as_ref() == Some(target.app));
    let is_probed = target
        .stored()
        .is_some_and(|stored| stored.spec.is_reachable() || stored.spec.health.is_some());
    let restart = own().find(|waiting| matches!(waiting.wait, Wait::BackOff { .. }));
    restart.or_else(|| {
        own().find(|waiting| {
            let is_probe = is_probed && matches!(waiting.wait, Wait::Ready { .. });
            is_probe || matches!(waiting.wait, Wait::Retry { .. })
        })
    })
}

fn wait_decision(target: &Target<'_>, waiting: &Waiting) -> Statement {
    let text = waiting.wait.row().decision.replace("{}", &waiting.object());
    let detail = waiting.until.map(|until| {
        format!("at {}, in {}", until.strftime("%H:%M:%S UTC"), remaining(target, until))
    });
    Statement { text, detail: detail.unwrap_or_default(), at: waiting.until }
}

/// Returns what came of it so far: the failed call, or the newest event about it.
fn result(target: &Target<'_>) -> Option<Statement> {
    if let Some(failure) = failed_call(target) {
        let text = match failure.count {
            1 => "the call failed".to_owned(),
            count => format!("the call failed {count} times"),
        };
        return Some(
            Statement::new(text, format!("last {}", ago(target, failure.at))).at(failure.at),
        );
    }
    if matches!(target.cause, Cause::EngineUnreachable { .. } | Cause::Paused) {
        return None;
    }
    let event = newest_event(target)?;
    let times = if event.count > 1 { format!(", {} times", event.count) } else { String::new() };
    let detail = format!("{}, {}", event.message, ago(target, event.time));
    Some(Statement::new(format!("{}{times}", event.reason), detail).at(event.time))
}

/// Returns the failed call that the cause is about.
pub(super) fn failed_call<'a>(target: &'a Target<'_>) -> Option<&'a CallFailure> {
    let failures = &target.input.observed.failures;
    match &target.cause {
        Cause::Ingress { .. } => failures.get(&OperationKey::Routes),
        Cause::Waits(Waiting { wait: Wait::Retry { failure, .. }, .. }) => Some(failure),
        Cause::RevisionFailed { .. } => {
            let failure = target.stored()?.rollout.outcome.failure()?;
            failures.get(failure.call.as_ref()?)
        }
        Cause::Waits(_)
        | Cause::None
        | Cause::EngineUnreachable { .. }
        | Cause::Blocked(_)
        | Cause::CrashLooping { .. }
        | Cause::NotRouted
        | Cause::RolledBack { .. }
        | Cause::Paused
        | Cause::ChangedLimits { .. }
        | Cause::Deleting { .. } => None,
    }
}

/// Returns the newest warning, or else the newest event, about the culprit or the app.
fn newest_event<'a>(target: &Target<'a>) -> Option<&'a Event> {
    let is_own = |event: &Event| match target.culprit {
        Some(pod) => event.pod.as_ref() == Some(&pod.name),
        None => event.app.as_ref() == Some(target.app),
    };
    // Events of an earlier specification do not follow from this one.
    let since = target.stored().map(|stored| stored.updated_at);
    let is_fresh = |event: &Event| since.is_none_or(|since| event.time >= since);
    let newest = target.input.events.iter().rev().filter(|e| is_fresh(e) && is_own(e));
    let is_warning =
        |event: &&Event| target.cause != Cause::None && event.kind == EventKind::Warning;
    newest.clone().find(is_warning).or_else(|| newest.clone().next())
}

fn next(target: &Target<'_>) -> Option<Statement> {
    let at = target.input.requeue_at.or_else(|| target.input.plan.requeue_at())?;
    let text = format!("in {} at the latest", remaining(target, at));
    Some(Statement::new(text, "at once if something changes").at(at))
}

/// Returns the first action of the plan for the target.
fn first_action<'a>(target: &Target<'a>) -> Option<&'a Planned> {
    target.input.plan.actions.iter().find(|planned| match target.pod {
        Some(pod) => planned.pod.as_ref() == Some(&pod.name),
        None => planned.app.as_ref() == Some(target.app),
    })
}

fn ago(target: &Target<'_>, then: Timestamp) -> String {
    format!("{} ago", elapsed(target, then))
}

fn elapsed(target: &Target<'_>, since: Timestamp) -> String {
    span(target.input.now.duration_since(since).max(SignedDuration::ZERO))
}

fn remaining(target: &Target<'_>, until: Timestamp) -> String {
    span(until.duration_since(target.input.now).max(SignedDuration::ZERO))
}
