//! The plan as text: the log, the output of `dubernetes plan`, and the oracle of the tests.

use std::fmt;

use crate::state::CallFailure;

use super::{Action, Block, Blocked, Plan, Planned, Reason, RolloutResult, Wait, Waiting};

impl Action {
    /// The verb, such as `create`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::EnsureNetwork => "network",
            Self::EnsureImage { .. } => "pull",
            Self::Create(_) | Self::CreatePreDeploy(_) => "create",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Remove { .. } => "remove",
            Self::PurgeTombstone { .. } => "forget",
            Self::RecordRollout { result, .. } => match result {
                RolloutResult::PreDeployed { .. }
                | RolloutResult::Complete
                | RolloutResult::Stable => "record",
                RolloutResult::Failed { roll_back_to: Some(_), .. } => "rollback",
                RolloutResult::Failed { roll_back_to: None, .. } => "fail",
            },
        }
    }

    /// What it is done to: a pod, an image, an app.
    pub fn object(&self) -> String {
        match self {
            Self::EnsureNetwork => "network".to_owned(),
            Self::EnsureImage { image, .. } => image.to_string(),
            Self::Create(replica) => replica.pod.clone(),
            Self::CreatePreDeploy(job) => job.pod.clone(),
            Self::Start { pod, .. } | Self::Stop { pod, .. } | Self::Remove { pod, .. } => {
                pod.clone()
            }
            Self::PurgeTombstone { app } | Self::RecordRollout { app, .. } => app.to_string(),
        }
    }

    /// The pod that it is done to, if it is done to one.
    pub fn pod(&self) -> Option<&str> {
        match self {
            Self::Create(replica) => Some(&replica.pod),
            Self::CreatePreDeploy(job) => Some(&job.pod),
            Self::Start { pod, .. } | Self::Stop { pod, .. } | Self::Remove { pod, .. } => {
                Some(pod)
            }
            Self::EnsureNetwork
            | Self::EnsureImage { .. }
            | Self::PurgeTombstone { .. }
            | Self::RecordRollout { .. } => None,
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<12} {}", self.action.verb(), self.action.object(), self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetwork => f.write_str("the instance has no network yet"),
            Self::ImageUnresolved => f.write_str("its image is not resolved yet"),
            Self::ImageGone => f.write_str("the engine no longer has the image"),
            Self::BelowReplicas { desired, existing }
            | Self::AboveReplicas { desired, existing } => {
                write!(f, "{desired} wanted, {existing} exist")
            }
            Self::NewRevision { revision, existing, desired } => {
                write!(f, "revision {revision}: {existing} of {desired}")
            }
            Self::Replaced { by } => write!(f, "replaced by revision {by}"),
            Self::Exited { out_of_memory: true, restart, .. } => {
                write!(f, "it ran out of memory; restart {restart}")
            }
            Self::Exited { code, restart, .. } => write!(f, "exit code {code}; restart {restart}"),
            Self::Stopped { why, restart } => write!(f, "{why}; restart {restart}"),
            Self::StartFailed { error, restart } => {
                write!(f, "its start failed: {error}; restart {restart}")
            }
            Self::Paused => f.write_str("somebody paused it"),
            Self::Unhealthy { reason } => write!(f, "unhealthy: {reason}"),
            Self::BeforeRevision { revision } => write!(f, "revision {revision}: pre_deploy"),
            Self::TimedOut { limit } => write!(f, "it took longer than {limit}"),
            Self::PreDeployDone => f.write_str("its command is over"),
            Self::RolloutRecorded { revision, what } => write!(f, "revision {revision}: {what}"),
            Self::NotStarted => f.write_str("created, not started"),
            Self::Superseded => f.write_str("a newer container has its place"),
            Self::Evicted => f.write_str("a user asked for another one"),
            Self::AppDeleted => f.write_str("the app was deleted"),
            Self::NothingLeft => f.write_str("nothing of the deleted app is left"),
        }
    }
}

impl Waiting {
    /// What is waited for, with the pod's name in front if it is about one.
    pub fn text(&self) -> String {
        match &self.pod {
            Some(pod) => format!("{pod}: {}", self.wait),
            None => self.wait.to_string(),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.pod.as_deref().unwrap_or(self.app.as_str());
        write!(f, "{:<8} {object:<12} {}", "wait", self.wait)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress => f.write_str("a call to the engine is under way"),
            Self::Ready { reason } => write!(f, "not ready: {reason}"),
            Self::AwaitingUnroute => f.write_str("until the ingress has taken it out"),
            Self::Drained { .. } => f.write_str("requests under way"),
            Self::BackOff { cause, restarts } => write!(f, "{cause}, {}", counted(*restarts)),
            Self::Retry(CallFailure { message, count, .. }) if *count > 1 => {
                write!(f, "{message} ({count} tries)")
            }
            Self::Retry(failure) => f.write_str(&failure.message),
            Self::SurgeLimit { limit } => write!(f, "at most {limit} at one time"),
            Self::Tombstone => f.write_str("a late container may still appear"),
            Self::PreDeploy => f.write_str("until its command has succeeded"),
            Self::MinReady => f.write_str("ready, and counts if it stays so"),
            Self::Deadline => f.write_str("the revision fails without progress until then"),
            Self::Stable => f.write_str("stable if no replica exits until then"),
            Self::Paused { by_user: true } => f.write_str("the rollout is paused"),
            Self::Paused { by_user: false } => f.write_str("the rollout has failed and is held"),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = self.app.as_ref().map_or("instance", |app| app.as_str());
        let object = self.pod.as_deref().unwrap_or(app);
        write!(f, "{:<8} {object:<12} {}", "blocked", self.block)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphans { containers } => write!(
                f,
                "the store knows no such app, but these run: {}; apply its file to take them over",
                containers.join(", ")
            ),
            Self::Unreadable { id, reason } => {
                write!(f, "container {id:.12} has our label, but {reason}; it is left alone")
            }
            Self::NewerThanStore { stored, running } => write!(
                f,
                "revision {running} runs, but the store knows only {stored}: it is an old copy; apply the file again"
            ),
            Self::RouteTaken { conflict } => f.write_str(conflict),
            Self::NoAddress { capacity } => {
                write!(f, "all {capacity} addresses of the instance's network are in use")
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for planned in &self.actions {
            writeln!(f, "{planned}")?;
        }
        for waiting in &self.waiting {
            writeln!(f, "{waiting}")?;
        }
        for blocked in &self.blocked {
            writeln!(f, "{blocked}")?;
        }
        for route in &self.routes.routes {
            let path = if route.path.is_root() { "" } else { route.path.as_str() };
            let pods: Vec<_> = route.endpoints.iter().map(|e| e.pod.as_str()).collect();
            let pods = if pods.is_empty() { "503".to_owned() } else { pods.join(" ") };
            writeln!(f, "{:<8} {}{path} {pods}", "route", route.host)?;
        }
        Ok(())
    }
}

/// `1 restart`, `2 restarts`.
pub(super) fn counted(restarts: u32) -> String {
    if restarts == 1 { "1 restart".to_owned() } else { format!("{restarts} restarts") }
}
