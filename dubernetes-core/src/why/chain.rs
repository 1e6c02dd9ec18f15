//! The links of the chain, from what is wanted to when it is looked at next.

use jiff::{SignedDuration, Timestamp};

use crate::app::OnFailure;
use crate::event::{Event, EventKind};
use crate::plan::{Cause, OperationKey, Planned, Rule, Wait, Waiting};
use crate::reconcile::span;
use crate::runtime::ContainerState;
use crate::state::{CallFailure, ObservedReplica, Readiness};

use super::{Known, Link, Step, Subject};

/// So many pods are named one by one.
const PODS: usize = 5;

/// A link without its step: text, detail, time.
type Said = (String, String, Option<Timestamp>);

pub(super) fn links(known: &Known<'_>, subject: &Subject<'_>) -> Vec<Link> {
    let steps = [
        (Step::Desired, Some(desired(known, subject))),
        (Step::Observed, Some(observed(known, subject))),
        (Step::Rule, Some(rule(known, subject))),
        (Step::Decision, Some(decision(known, subject))),
        (Step::Result, result(known, subject)),
        (Step::Next, next(known)),
    ];
    let links = steps.into_iter().filter_map(|(step, said)| Some((step, said?)));
    links.map(|(step, (text, detail, at))| Link { step, text, detail, at }).collect()
}

fn desired(known: &Known<'_>, subject: &Subject<'_>) -> Said {
    if let Some(stored) = known.desired.apps.get(subject.app) {
        let revision = subject.pod.map_or(stored.revision, |pod| pod.revision);
        let older = known.desired.revisions.get(subject.app).into_iter().flatten();
        let image = older
            .filter(|kept| kept.revision == revision)
            .map(|kept| &kept.spec.image)
            .next()
            .unwrap_or(&stored.spec.image);
        let text = match (subject.pod, stored.spec.replicas) {
            (Some(_), _) => format!("a replica of {image}"),
            (None, 1) => format!("1 replica of {image}"),
            (None, n) => format!("{n} replicas of {image}"),
        };
        let ago = ago(known, stored.updated_at);
        return (text, format!("revision {revision}, applied {ago}"), Some(stored.updated_at));
    }
    match known.desired.tombstones.get(subject.app) {
        Some(tombstone) => {
            let at = tombstone.deleted_at;
            ("nothing: the app was deleted".to_owned(), ago(known, at), Some(at))
        }
        None => ("nothing: the store does not know the app".to_owned(), String::new(), None),
    }
}

fn observed(known: &Known<'_>, subject: &Subject<'_>) -> Said {
    if let Cause::EngineAway { since, .. } = &subject.cause {
        let own = known.observed.replicas.iter().filter(|r| r.labels.app == *subject.app).count();
        let detail = format!("for {}; containers last seen: {own}", since_then(known, *since));
        return ("nothing: the engine does not answer".to_owned(), detail, Some(*since));
    }
    if let Some(replica) = subject.container(known) {
        return container(known, subject, replica);
    }
    let Some(status) = subject.status else {
        let own = known.observed.replicas.iter().filter(|r| r.labels.app == *subject.app);
        let names: Vec<_> = own.map(|replica| replica.name.as_str()).take(PODS).collect();
        return (format!("containers with its label: {}", names.join(", ")), String::new(), None);
    };
    let pods = status.pods.iter().take(PODS).map(|pod| format!("{} {}", pod.name, pod.state));
    let mut pods: Vec<_> = pods.collect();
    if status.pods.len() > PODS {
        pods.push(format!("{} more", status.pods.len() - PODS));
    }
    (format!("{} of {} ready", status.ready, status.desired), pods.join(", "), None)
}

/// What a container does, and since when.
fn container(known: &Known<'_>, subject: &Subject<'_>, replica: &ObservedReplica) -> Said {
    let pod = replica.pod();
    let restarts = match replica.labels.restarts {
        0 => String::new(),
        1 => "; 1 restart".to_owned(),
        n => format!("; {n} restarts"),
    };
    match &replica.state {
        ContainerState::Running { started_at } => {
            let runs = since_then(known, *started_at);
            let (text, more) = match &replica.readiness {
                Readiness::NotReady { reason } => {
                    (format!("{pod} runs and takes no requests"), format!("; {reason}"))
                }
                Readiness::Unhealthy { reason } => {
                    (format!("{pod} runs and is to be replaced"), format!("; {reason}"))
                }
                Readiness::Unknown => (format!("{pod} runs, not probed yet"), String::new()),
                Readiness::Ready { .. } | Readiness::Settling { .. } => {
                    (format!("{pod} runs"), String::new())
                }
            };
            (text, format!("for {runs}{more}{restarts}"), Some(*started_at))
        }
        ContainerState::Exited { code, out_of_memory, started_at, finished_at } => {
            let stored = known.desired.apps.get(subject.app);
            let limit = stored.and_then(|stored| stored.spec.resources.memory);
            let text = match (out_of_memory, limit) {
                (true, Some(limit)) => {
                    format!("{pod} needed more memory than its limit of {limit}")
                }
                (true, None) => format!("{pod} needed more memory than there is"),
                (false, _) => format!("{pod} exited with code {code}"),
            };
            let ran = span(finished_at.duration_since(*started_at));
            let ago = ago(known, *finished_at);
            let detail = format!("after {ran}, {ago}{restarts}");
            match known.observed.stop_reasons.get(&replica.id) {
                Some(why) if !out_of_memory => {
                    (format!("{pod} was stopped"), format!("{why}; {detail}"), Some(*finished_at))
                }
                _ => (text, detail, Some(*finished_at)),
            }
        }
        ContainerState::StartFailed { error, .. } => {
            let ago = ago(known, replica.created_at);
            let text = format!("{pod} could not be started");
            (text, format!("{ago}: {error}{restarts}"), Some(replica.created_at))
        }
        ContainerState::Created => {
            (format!("{pod} is created and not started"), String::new(), None)
        }
        ContainerState::Paused => (format!("{pod} is paused"), "by somebody else".to_owned(), None),
        ContainerState::Removing => (format!("{pod} is being removed"), String::new(), None),
    }
}

/// The rule that fired.
fn rule(known: &Known<'_>, subject: &Subject<'_>) -> Said {
    let (text, detail) = match &subject.cause {
        Cause::EngineAway { .. } => {
            ("a failed look is no empty look", "while the engine is away nothing is changed")
        }
        Cause::Blocked(block) => pair(block.row().0),
        Cause::Waits(waiting) => pair(waiting.wait.row().rule),
        Cause::CrashLooping { .. } => pair(Rule::RESTART),
        Cause::Ingress { .. } => {
            ("a route table that failed is tried again", "after 1s, doubling up to 32s")
        }
        Cause::NotRouted => {
            ("ready means reachable", "once the ingress serves just the routes of the app")
        }
        Cause::RevisionFailed { .. } => rule_of_failed(known, subject),
        Cause::RolledBack { .. } => pair(Rule::FAILED),
        Cause::Paused => pair(Rule::PAUSED),
        Cause::Deleting { .. } => ("a deleted app goes", "unrouted, drained, stopped, removed"),
        Cause::None => match first_action(known, subject) {
            Some(planned) => return (planned.reason.to_string(), String::new(), None),
            None => ("nothing differs", "what is there is what is wanted"),
        },
    };
    (text.to_owned(), detail.to_owned(), None)
}

fn pair(rule: Rule) -> (&'static str, &'static str) {
    (rule.text, rule.detail)
}

/// What holds of a revision that failed and is still the wanted one.
fn rule_of_failed(known: &Known<'_>, subject: &Subject<'_>) -> (&'static str, &'static str) {
    let Some(stored) = known.desired.apps.get(subject.app) else { return pair(Rule::FAILED) };
    if stored.spec.rollout.on_failure == OnFailure::Pause {
        return ("a rollout that failed is held", "`rollout.on_failure: pause`");
    }
    match stored.fallback {
        None => {
            ("there is no earlier revision to go back to", "replicas are restarted as they are")
        }
        Some(_) => pair(Rule::FAILED),
    }
}

/// What is done about it.
fn decision(known: &Known<'_>, subject: &Subject<'_>) -> Said {
    if let (Cause::RevisionFailed { .. }, Some(waiting)) =
        (&subject.cause, next_try(known, subject))
    {
        return decision_of_wait(known, waiting);
    }
    let nothing = |text: &str, detail: &str| (text.to_owned(), detail.to_owned(), None);
    match &subject.cause {
        Cause::EngineAway { .. } => nothing("change nothing", "the routes stay as they are"),
        Cause::Blocked(_) => nothing("change nothing", "until a person acts"),
        Cause::Waits(waiting) => decision_of_wait(known, waiting),
        Cause::Ingress { .. } => nothing("apply the routes again", "replicas go on meanwhile"),
        Cause::RevisionFailed { .. } | Cause::RolledBack { .. } => {
            let serves = subject.status.is_some_and(|status| status.ready > 0);
            match first_action(known, subject) {
                Some(planned) => said_of(planned),
                None if serves => {
                    nothing("go on with the replicas that serve", "until the app is applied again")
                }
                None => nothing("change nothing", "until the app is applied again"),
            }
        }
        Cause::Paused => nothing("replace nobody", "until it is resumed"),
        Cause::CrashLooping { .. } | Cause::NotRouted | Cause::Deleting { .. } | Cause::None => {
            match first_action(known, subject) {
                Some(planned) => said_of(planned),
                None if subject.cause == Cause::None => nothing("change nothing", ""),
                None => nothing("wait", "calls and probes are under way"),
            }
        }
    }
}

fn said_of(planned: &Planned) -> Said {
    let text = format!("{} {}", planned.action.verb(), planned.object());
    (text, planned.reason.to_string(), None)
}

/// What a failed revision is still waited for: it may get well.
fn next_try<'k>(known: &Known<'k>, subject: &Subject<'_>) -> Option<&'k Waiting> {
    let own = || known.plan.waiting.iter().filter(|waiting| waiting.app == *subject.app);
    let restart = own().find(|waiting| matches!(waiting.wait, Wait::BackOff { .. }));
    // Where nothing is asked, running on is all that can be waited for.
    let stored = known.desired.apps.get(subject.app);
    let asks = stored.is_some_and(|s| s.spec.access.is_some() || s.spec.health.is_some());
    restart.or_else(|| {
        own().find(|waiting| match waiting.wait {
            Wait::Retry { .. } => true,
            Wait::Ready { .. } => asks,
            _ => false,
        })
    })
}

fn decision_of_wait(known: &Known<'_>, waiting: &Waiting) -> Said {
    let text = waiting.wait.row().decision.replace("{}", waiting.object());
    let detail = waiting.until.map(|until| when(known, until)).unwrap_or_default();
    (text, detail, waiting.until)
}

/// What has come of it so far: the failed call, or the newest event that says something.
fn result(known: &Known<'_>, subject: &Subject<'_>) -> Option<Said> {
    if let Some(failure) = failure(known, subject) {
        let text = match failure.count {
            1 => "the call failed".to_owned(),
            n => format!("the call failed {n} times"),
        };
        return Some((text, format!("last {}", ago(known, failure.at)), Some(failure.at)));
    }
    if matches!(subject.cause, Cause::EngineAway { .. } | Cause::Paused) {
        return None;
    }
    let event = last_event(known, subject)?;
    let times = if event.count > 1 { format!(", {} times", event.count) } else { String::new() };
    let text = format!("{}{times}", event.reason);
    Some((text, format!("{}, {}", event.message, ago(known, event.time)), Some(event.time)))
}

/// The failed call that the cause speaks of.
pub(super) fn failure<'k>(
    known: &'k Known<'_>,
    subject: &'k Subject<'_>,
) -> Option<&'k CallFailure> {
    let failures = &known.observed.failures;
    match &subject.cause {
        Cause::Ingress { .. } => failures.get(&OperationKey::Routes),
        Cause::Waits(Waiting { wait: Wait::Retry(failure), .. }) => Some(failure),
        Cause::RevisionFailed { reason, .. } => {
            let own = failures.iter().filter(|(call, _)| call.app() == Some(subject.app));
            own.map(|(_, failure)| failure).find(|failure| reason.ends_with(&failure.message))
        }
        _ => None,
    }
}

fn last_event<'k>(known: &Known<'k>, subject: &Subject<'_>) -> Option<&'k Event> {
    let pod = subject.troubled.map(|pod| pod.name.as_str());
    let own = |event: &&&Event| match pod {
        Some(pod) => event.pod.as_deref() == Some(pod),
        None => event.app.as_ref() == Some(subject.app),
    };
    // What happened to an earlier specification has not come of this one.
    let since = known.desired.apps.get(subject.app).map(|stored| stored.updated_at);
    let fresh = |event: &&Event| since.is_none_or(|since| event.time >= since);
    let mut newest = known.events.iter().rev().filter(fresh).filter(|event| own(&event));
    let troubled = subject.cause != Cause::None;
    let warning = newest.clone().find(|event| troubled && event.kind == EventKind::Warning);
    warning.or_else(|| newest.next())
}

fn next(known: &Known<'_>) -> Option<Said> {
    let at = known.requeue_at.or_else(|| known.plan.requeue_at())?;
    let left = span(at.duration_since(known.now).max(SignedDuration::ZERO));
    Some((format!("in {left} at the latest"), "at once if something changes".to_owned(), Some(at)))
}

/// The first action of the plan for the app, or for the pod if one is asked about.
fn first_action<'k>(known: &Known<'k>, subject: &Subject<'_>) -> Option<&'k Planned> {
    known.plan.actions.iter().find(|planned| match subject.pod {
        Some(pod) => planned.pod.as_ref() == Some(&pod.name),
        None => planned.app.as_ref() == Some(subject.app),
    })
}

fn ago(known: &Known<'_>, then: Timestamp) -> String {
    format!("{} ago", since_then(known, then))
}

fn since_then(known: &Known<'_>, then: Timestamp) -> String {
    span(known.now.duration_since(then).max(SignedDuration::ZERO))
}

/// A time to come, as people read it.
fn when(known: &Known<'_>, at: Timestamp) -> String {
    let left = span(at.duration_since(known.now).max(SignedDuration::ZERO));
    format!("at {}, in {left}", at.strftime("%H:%M:%S UTC"))
}
