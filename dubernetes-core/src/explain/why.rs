//! Why an app or a pod is in its state, as a causal chain: what is desired, what is observed,
//! which rule applies, what was decided, and what follows.
//!
//! The cause is the message of the status, so every view says the same.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::{AppName, PodName};
use crate::event::Event;
use crate::format::span;
use crate::ingress::AnswerProblem;
use crate::plan::{AppStatus, Cause, Plan, PodStatus};
use crate::runtime::ContainerId;
use crate::state::{DesiredState, EngineStatus, ObservedReplica, ObservedState};
use crate::store::RevisionFailure;
use crate::store::StoredApp;

use super::{chain, remedies};

/// Last lines of a container's output that are shown.
pub const OUTPUT_LINES: u32 = 20;
/// Characters of a line that are shown.
pub const LINE_LENGTH: usize = 500;

/// What an explanation follows from: one pass, and the events before it.
#[derive(Debug, Clone, Copy)]
pub struct ExplainInput<'a> {
    /// The desired state of the pass.
    pub desired: &'a DesiredState,
    /// The observed state of the pass.
    pub observed: &'a ObservedState,
    /// The plan of the pass.
    pub plan: &'a Plan,
    /// Earlier events, in the order of recording.
    pub events: &'a [Event],
    /// When the next pass is due at the latest.
    pub requeue_at: Option<Timestamp>,
    /// The time of the question.
    pub now: Timestamp,
}

/// Why an app or a pod is in its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Whether it is about an app or a pod.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
    /// Its phase or state, in one word.
    pub state: String,
    /// The cause, as a sentence fragment; empty if nothing is wrong.
    pub cause: String,
    /// From what is desired to the next pass.
    pub chain: Vec<ChainLink>,
    /// The last output of the container that shows the cause.
    pub output: Option<Output>,
    /// What a person can do.
    pub help: Vec<String>,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// An app.
    App,
    /// One replica.
    Pod,
}

impl TargetKind {
    /// Returns `app` or `pod`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Pod => "pod",
        }
    }
}

/// One link from what is desired to the next pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// Its place in the chain.
    pub step: ChainStep,
    /// The statement.
    pub text: String,
    /// More about it; may be empty.
    pub detail: String,
    /// Its time, past or future, if that is known.
    pub at: Option<Timestamp>,
}

/// The places of the chain, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainStep {
    /// What is desired.
    Desired,
    /// What is observed.
    Observed,
    /// The rule that applies.
    Rule,
    /// What was decided.
    Decision,
    /// What came of it so far.
    Result,
    /// When the next pass is due.
    Next,
}

impl ChainStep {
    /// Returns the step as a word, such as `desired`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Observed => "observed",
            Self::Rule => "rule",
            Self::Decision => "decision",
            Self::Result => "result",
            Self::Next => "next",
        }
    }
}

impl fmt::Display for ChainStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The last output of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its pod.
    pub pod: PodName,
    /// The lines, oldest first; at most [`OUTPUT_LINES`] of [`LINE_LENGTH`] characters.
    pub lines: Vec<String>,
}

impl Why {
    /// Returns the first line: the state, and its cause if something is wrong.
    pub fn headline(&self) -> String {
        let Self { name, state, cause, .. } = self;
        if cause.is_empty() {
            format!("{name} is {state}")
        } else {
            format!("{name} is {state}: {cause}")
        }
    }

    /// Adds the answers of the app, or of the pod, that the ingress could not pass on.
    #[must_use]
    pub fn with_answer_problems(
        mut self,
        input: &ExplainInput<'_>,
        problems: &[AnswerProblem],
    ) -> Self {
        for problem in problems {
            let answers = |replica: &&ObservedReplica| {
                // An earlier container may have had the address.
                replica.created_at <= problem.last
                    && replica.endpoint.is_some_and(|own| own.ip() == problem.endpoint.ip())
            };
            let Some(replica) = input.observed.replicas.iter().find(answers) else { continue };
            let pod = replica.pod();
            let is_meant = match self.kind {
                TargetKind::App => replica.labels.app == *self.name,
                TargetKind::Pod => pod == *self.name,
            };
            if !is_meant {
                continue;
            }
            let text = format!("the ingress answered in place of {pod}: {}", problem.what);
            let ago = span(input.now.duration_since(problem.last).max(SignedDuration::ZERO));
            let detail = match problem.count {
                1 => format!("once, {ago} ago"),
                count => {
                    let within = span(problem.last.duration_since(problem.first));
                    format!("{count} times within {within}, last {ago} ago")
                }
            };
            let at = self.chain.partition_point(|link| link.step <= ChainStep::Observed);
            let link =
                ChainLink { step: ChainStep::Observed, text, detail, at: Some(problem.last) };
            self.chain.insert(at, link);
            if !self.help.contains(&problem.remedy) {
                self.help.push(problem.remedy.clone());
            }
        }
        self
    }

    /// Replaces the output, unless there are no lines.
    #[must_use]
    pub fn with_output(mut self, pod: PodName, lines: &[String]) -> Self {
        if !lines.is_empty() {
            let lines = lines.iter().map(|line| truncated(line)).collect();
            self.output = Some(Output { pod, lines });
        }
        self
    }
}

/// Returns a line of foreign output that cannot act on a terminal and is not too long.
fn truncated(line: &str) -> String {
    let line = crate::error::one_line(line);
    match line.char_indices().nth(LINE_LENGTH) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Explains the phase of an app; `None` if nothing is known of it.
pub fn explain_app(input: &ExplainInput<'_>, app: &AppName) -> Option<Why> {
    let target = Target::app(input, app)?;
    let state = target.status.map_or("unknown", |status| status.phase.as_str());
    let why = target.why(TargetKind::App, app.as_str(), state, target.cause.to_string());
    let is_about_failure =
        matches!(target.cause, Cause::RevisionFailed { .. } | Cause::RolledBack { .. });
    Some(match target.stored().and_then(|stored| stored.rollout.last_failure()) {
        Some(RevisionFailure { pod: Some(pod), log, .. }) if is_about_failure => {
            why.with_output(pod.clone(), log)
        }
        Some(_) | None => why,
    })
}

/// Explains the state of a pod; `None` if there is none of that name. If two containers have the
/// name, the ready one is meant.
pub fn explain_pod(input: &ExplainInput<'_>, name: &str) -> Option<Why> {
    let target = Target::pod(input, name)?;
    let pod = target.pod?;
    let cause = if let Cause::Waits(waiting) = &target.cause {
        waiting.wait.to_string()
    } else if matches!(target.cause, Cause::None | Cause::ChangedLimits { .. }) {
        pod.message.clone()
    } else {
        target.cause.to_string()
    };
    Some(target.why(TargetKind::Pod, name, pod.state.as_str(), cause))
}

/// Returns the pod and the container whose output shows why an app is in its phase, if any does.
pub fn app_evidence(input: &ExplainInput<'_>, app: &AppName) -> Option<(PodName, ContainerId)> {
    Target::app(input, app)?.evidence()
}

/// Returns the pod and the container whose output shows why a pod is in its state, if any does.
pub fn pod_evidence(input: &ExplainInput<'_>, name: &str) -> Option<(PodName, ContainerId)> {
    Target::pod(input, name)?.evidence()
}

/// The app or pod that is explained.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) input: &'a ExplainInput<'a>,
    pub(super) app: &'a AppName,
    pub(super) status: Option<&'a AppStatus>,
    /// The pod, unless the app is explained.
    pub(super) pod: Option<&'a PodStatus>,
    pub(super) cause: Cause,
    /// The pod that the cause is about.
    pub(super) culprit: Option<&'a PodStatus>,
}

impl<'a> Target<'a> {
    fn app(input: &'a ExplainInput<'a>, app: &'a AppName) -> Option<Self> {
        let Some(status) = input.plan.statuses.get(app) else {
            let mut blocked = input.plan.blocked.iter().filter(|b| b.app.as_ref() == Some(app));
            let cause = Cause::Blocked(blocked.next()?.block.clone());
            return Some(Self { input, app, status: None, pod: None, cause, culprit: None });
        };
        let cause = status.cause.clone();
        let name = if let Cause::Waits(waiting) = &cause {
            waiting.pod.as_ref()
        } else if let Cause::CrashLooping { pod, .. } | Cause::ChangedLimits { pod, .. } = &cause {
            Some(pod)
        } else {
            None
        };
        let failed = if let Cause::RevisionFailed { revision, .. } = &cause {
            Some(*revision)
        } else {
            None
        };
        let is_culprit = |pod: &&PodStatus| {
            Some(&pod.name) == name || (Some(pod.revision) == failed && !pod.ready)
        };
        // If two containers have the name, the unready one is meant.
        let culprit = status.pods.iter().filter(is_culprit).min_by_key(|pod| pod.ready);
        Some(Self { input, app, status: Some(status), pod: None, cause, culprit })
    }

    fn pod(input: &'a ExplainInput<'a>, name: &str) -> Option<Self> {
        let (app, status, pod) = input
            .plan
            .statuses
            .iter()
            .flat_map(|(app, status)| status.pods.iter().map(move |pod| (app, status, pod)))
            .filter(|(_, _, pod)| pod.name == name)
            .max_by_key(|(_, _, pod)| (pod.ready, pod.started_at))?;
        let waiting = input.plan.waiting.iter().find(|w| w.pod.as_ref() == Some(&pod.name));
        let cause = match (&input.observed.engine, waiting) {
            (EngineStatus::Unreachable { since, reason }, _) => {
                Cause::EngineUnreachable { since: *since, reason: reason.clone() }
            }
            (EngineStatus::Reachable, Some(waiting)) => Cause::Waits(waiting.clone()),
            (EngineStatus::Reachable, None) => match pod.changed_limits.clone() {
                Some(message) => Cause::ChangedLimits { pod: pod.name.clone(), message },
                None => Cause::None,
            },
        };
        Some(Self { input, app, status: Some(status), pod: Some(pod), cause, culprit: Some(pod) })
    }

    fn why(&self, kind: TargetKind, name: &str, state: &str, cause: String) -> Why {
        Why {
            kind,
            name: name.to_owned(),
            state: state.to_owned(),
            cause,
            chain: chain::links(self),
            output: None,
            help: remedies::help(self),
        }
    }

    fn evidence(&self) -> Option<(PodName, ContainerId)> {
        let pod = self.culprit.filter(|pod| !pod.ready)?;
        Some((pod.name.clone(), pod.container_id.clone()?))
    }

    pub(super) fn stored(&self) -> Option<&'a StoredApp> {
        self.input.desired.apps.get(self.app)
    }

    /// The container of the culprit.
    pub(super) fn container(&self) -> Option<&'a ObservedReplica> {
        let id = self.culprit?.container_id.as_ref()?;
        self.input.observed.replicas.iter().find(|replica| replica.id == *id)
    }
}
