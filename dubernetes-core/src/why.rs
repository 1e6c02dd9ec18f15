//! Why an app or a pod is as it is: from what is desired and observed, the plan and the events to a
//! causal chain. Pure: it decides nothing, and finds the one thing that everything else waits for.
//!
//! The first line is the status' own message, so that it says the same wherever it is shown.

mod chain;
mod remedies;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppName;
use crate::event::Event;
use crate::plan::{AppStatus, Cause, Plan, PodStatus};
use crate::runtime::ContainerId;
use crate::state::{DesiredState, EngineStatus, ObservedReplica, ObservedState};

/// So many of the last lines of a container's output are told.
pub const OUTPUT_LINES: u32 = 20;
/// So many characters of each.
pub const LINE_LENGTH: usize = 500;

/// What the chain is made of.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What was desired in the last pass.
    pub desired: &'a DesiredState,
    /// What was observed in it.
    pub observed: &'a ObservedState,
    /// What was decided in it.
    pub plan: &'a Plan,
    /// What happened before, in the order of recording.
    pub events: &'a [Event],
    /// When the controller looks again at the latest.
    pub requeue_at: Option<Timestamp>,
    /// When this is asked.
    pub now: Timestamp,
}

/// Why an app or a pod is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What it is about.
    pub kind: SubjectKind,
    /// Its name.
    pub name: String,
    /// How it is, in one word: that of its phase or state.
    pub state: String,
    /// The true cause, as a sentence fragment; empty if all is well.
    pub cause: String,
    /// From what is wanted to what comes next.
    pub chain: Vec<Link>,
    /// The last output of the container that explains it.
    pub output: Option<Output>,
    /// What a person can do.
    pub help: Vec<String>,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// An app.
    App,
    /// One replica.
    Pod,
}

impl SubjectKind {
    /// `app` or `pod`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Pod => "pod",
        }
    }
}

/// One step from what is wanted to what comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Which step it is.
    pub step: Step,
    /// What is so.
    pub text: String,
    /// More about it; may be empty.
    pub detail: String,
    /// When it was or will be so, where that is known.
    pub at: Option<Timestamp>,
}

/// The steps of the chain, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// What is wanted.
    Desired,
    /// What is there.
    Observed,
    /// The rule that fired.
    Rule,
    /// What it has decided.
    Decision,
    /// What has come of it so far.
    Result,
    /// When it is looked at next.
    Next,
}

impl Step {
    /// The word, such as `desired`.
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

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The last output of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its pod.
    pub pod: String,
    /// The lines, oldest first; at most [`OUTPUT_LINES`] of [`LINE_LENGTH`] characters.
    pub lines: Vec<String>,
}

impl Why {
    /// The first line: the cause, or that there is none.
    pub fn headline(&self) -> String {
        let Self { name, state, cause, .. } = self;
        if cause.is_empty() {
            format!("{name} is {state}")
        } else {
            format!("{name} is {state}: {cause}")
        }
    }

    /// The same with the output of what explains it, in the place of any other.
    #[must_use]
    pub fn with_output(mut self, pod: String, lines: &[String]) -> Self {
        if !lines.is_empty() {
            let lines = lines.iter().map(|line| cut(line)).collect();
            self.output = Some(Output { pod, lines });
        }
        self
    }
}

/// A line from outside that cannot act on a terminal, and is not too long.
fn cut(line: &str) -> String {
    let line = crate::error::one_line(line);
    match line.char_indices().nth(LINE_LENGTH) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Why the app is as it is; `None` if nothing is known of that name.
pub fn of_app(known: &Known<'_>, app: &AppName) -> Option<Why> {
    let subject = Subject::app(known, app)?;
    let state = subject.status.map_or("unknown to the store", |status| status.phase.as_str());
    let cause = subject.cause.to_string();
    let why = subject.why(known, SubjectKind::App, app.as_str(), state, cause);
    Some(match known.desired.apps.get(app).and_then(|stored| stored.rollout.last_failure()) {
        Some(failure) if subject.is_about_a_failure() => {
            let pod = failure.pod.clone().unwrap_or_else(|| app.to_string());
            why.with_output(pod, &failure.log)
        }
        _ => why,
    })
}

/// Why the pod is as it is; `None` if there is none of that name. Where two containers have a
/// name, the ready one is meant.
pub fn of_pod(known: &Known<'_>, name: &str) -> Option<Why> {
    let subject = Subject::pod(known, name)?;
    let pod = subject.pod?;
    let cause = match &subject.cause {
        Cause::None => pod.message.clone(),
        Cause::Waits(waiting) => waiting.wait.to_string(),
        other => other.to_string(),
    };
    Some(subject.why(known, SubjectKind::Pod, name, pod.state.as_str(), cause))
}

/// The pod and the container whose output explains why the app is as it is; `None` if no output
/// does.
pub fn app_explained_by(known: &Known<'_>, app: &AppName) -> Option<(String, ContainerId)> {
    Subject::app(known, app)?.explained_by()
}

/// The same for one pod.
pub fn pod_explained_by(known: &Known<'_>, name: &str) -> Option<(String, ContainerId)> {
    Subject::pod(known, name)?.explained_by()
}

/// What a question is about, and what explains it.
#[derive(Debug)]
struct Subject<'a> {
    app: &'a AppName,
    status: Option<&'a AppStatus>,
    /// The pod that is asked about.
    pod: Option<&'a PodStatus>,
    cause: Cause,
    /// The pod that the cause is about.
    troubled: Option<&'a PodStatus>,
}

impl<'a> Subject<'a> {
    fn app(known: &Known<'a>, app: &'a AppName) -> Option<Self> {
        let Some(status) = known.plan.statuses.get(app) else {
            let mut blocked = known.plan.blocked.iter().filter(|b| b.app.as_ref() == Some(app));
            let cause = Cause::Blocked(blocked.next()?.block.clone());
            return Some(Self { app, status: None, pod: None, cause, troubled: None });
        };
        let cause = status.cause.clone();
        let name = match &cause {
            Cause::Waits(waiting) => waiting.pod.as_deref(),
            Cause::CrashLooping { pod, .. } => Some(pod.as_str()),
            Cause::None
            | Cause::EngineAway { .. }
            | Cause::Blocked(_)
            | Cause::Ingress { .. }
            | Cause::NotRouted
            | Cause::RevisionFailed { .. }
            | Cause::RolledBack { .. }
            | Cause::Paused
            | Cause::Deleting { .. } => None,
        };
        let failed = match &cause {
            Cause::RevisionFailed { revision, .. } => Some(*revision),
            _ => None,
        };
        // Of two containers with the name, the one that is not ready is meant.
        let own = |pod: &&PodStatus| {
            Some(pod.name.as_str()) == name || (Some(pod.revision) == failed && !pod.ready)
        };
        let troubled = status.pods.iter().filter(own).min_by_key(|pod| pod.ready);
        Some(Self { app, status: Some(status), pod: None, cause, troubled })
    }

    fn pod(known: &Known<'a>, name: &str) -> Option<Self> {
        let all = known.plan.statuses.iter();
        let (app, status, pod) = all
            .flat_map(|(app, status)| status.pods.iter().map(move |pod| (app, status, pod)))
            .filter(|(_, _, pod)| pod.name == name)
            .max_by_key(|(_, _, pod)| (pod.ready, pod.started_at))?;
        let own = |waiting: &&crate::plan::Waiting| waiting.pod.as_deref() == Some(name);
        let cause = match (&known.observed.engine, known.plan.waiting.iter().find(own)) {
            (EngineStatus::Unreachable { since, reason }, _) => {
                Cause::EngineAway { since: *since, reason: reason.clone() }
            }
            (EngineStatus::Reachable, Some(waiting)) => Cause::Waits(waiting.clone()),
            (EngineStatus::Reachable, None) => Cause::None,
        };
        Some(Self { app, status: Some(status), pod: Some(pod), cause, troubled: Some(pod) })
    }

    fn why(
        &self,
        known: &Known<'_>,
        kind: SubjectKind,
        name: &str,
        state: &str,
        cause: String,
    ) -> Why {
        Why {
            kind,
            name: name.to_owned(),
            state: state.to_owned(),
            cause,
            chain: chain::links(known, self),
            output: None,
            help: remedies::of(known, self),
        }
    }

    fn is_about_a_failure(&self) -> bool {
        matches!(self.cause, Cause::RevisionFailed { .. } | Cause::RolledBack { .. })
    }

    fn explained_by(&self) -> Option<(String, ContainerId)> {
        let pod = self.troubled.filter(|pod| !pod.ready)?;
        Some((pod.name.clone(), pod.container_id.clone()?))
    }

    /// The container of the pod that the cause is about.
    fn container<'k>(&self, known: &Known<'k>) -> Option<&'k ObservedReplica> {
        let id = self.troubled?.container_id.as_ref()?;
        known.observed.replicas.iter().find(|replica| replica.id == *id)
    }
}
