//! What a person can do about a cause.

use crate::app::Artifact;
use crate::call::{CallFailure, FailureKind};
use crate::format::{SIGKILL_EXIT, join};
use crate::plan::{Cause, Remedy, Wait, Waiting};
use crate::runtime::{ContainerState, Exit};

use super::chain::failed_call;
use super::why::Target;

const MORE_MEMORY: &str = "raise `resources.memory`, or reduce the memory that the process needs";

/// Returns commands and edits that help, the most likely one first.
pub(super) fn help(target: &Target<'_>) -> Vec<String> {
    match &target.cause {
        Cause::EngineUnreachable { .. } => {
            vec!["start the engine; the orchestrator reconnects by itself".to_owned()]
        }
        Cause::Blocked(block) => vec![block.row().1.replace("{}", target.app.as_str())],
        Cause::Paused => {
            vec![format!("resume it with `dubernetes rollout resume {}`", target.app)]
        }
        Cause::Ingress { .. } => of_failed_call(target, failed_call(target)),
        Cause::CrashLooping { .. } => of_exit(target),
        Cause::Waits(Waiting { wait: Wait::After { unknown, .. }, .. }) if !unknown.is_empty() => {
            vec![format!("apply {} too, or change `after`", join(unknown))]
        }
        Cause::Waits(waiting) => match waiting.wait.row().remedy {
            Remedy::None => Vec::new(),
            Remedy::FailedCall => of_failed_call(target, failed_call(target)),
            Remedy::NotReady => vec![of_not_ready(target)],
            Remedy::Exit => of_exit(target),
        },
        Cause::ChangedLimits { pod, .. } => vec![
            format!(
                "replace it with `dubernetes delete pods {pod}`, or all replicas with `dubernetes \
                 rollout restart {}`",
                target.app
            ),
            "or write the limits that it needs in `resources`".to_owned(),
        ],
        Cause::RevisionFailed { .. } => of_failed_revision(target),
        Cause::RolledBack { .. } => of_failed_content(target),
        Cause::NotRouted | Cause::Deleting { .. } | Cause::None => Vec::new(),
    }
}

fn of_failed_revision(target: &Target<'_>) -> Vec<String> {
    let failed_call = failed_call(target);
    if failed_call.is_some() {
        of_failed_call(target, failed_call)
    } else if has_exited(target) {
        of_exit(target)
    } else if target.culprit.is_some() {
        let deadline = target.stored().map(|stored| stored.spec.rollout.progress_deadline);
        let slow = deadline.map(|deadline| {
            format!("if it only needs longer, raise `rollout.progress_deadline` ({deadline})")
        });
        [of_not_ready(target)].into_iter().chain(slow).collect()
    } else {
        of_failed_content(target)
    }
}

fn of_failed_content(target: &Target<'_>) -> Vec<String> {
    vec![
        format!("correct the file of `{}` and apply it again", target.app),
        "or fix what it depends on, then run `dubernetes apply FILE --retry`".to_owned(),
    ]
}

fn of_failed_call(target: &Target<'_>, failure: Option<&CallFailure>) -> Vec<String> {
    let Some(failure) = failure else { return Vec::new() };
    let stored = target.stored();
    let artifact = stored.map(|stored| &stored.spec.artifact);
    let registry = artifact.and_then(|artifact| artifact.image()?.registry());
    let runs_program = artifact.is_some_and(|artifact| artifact.program().is_some());
    let name = artifact.map(Artifact::as_str).unwrap_or_default();
    let help = match failure.kind {
        FailureKind::ImageMissing | FailureKind::ImageGone if runs_program => {
            "correct `program`, or put an executable file in its place".to_owned()
        }
        FailureKind::ImageMissing => {
            format!("correct `image`, build `{name}` on this engine, or push it to its registry")
        }
        FailureKind::ImageDenied => format!(
            "run `docker login{}` as the user of the orchestrator, or correct `image`",
            registry.map(|registry| format!(" {registry}")).unwrap_or_default()
        ),
        FailureKind::PortTaken => {
            "free the port, or choose another with `dubernetes serve --http-port`".to_owned()
        }
        FailureKind::ImageGone | FailureKind::Permanent | FailureKind::Transient
            if stored.is_some_and(|stored| stored.image_id.is_none()) =>
        {
            format!(
                "correct `image`, or build `{name}` on this engine; its registry is unreachable"
            )
        }
        FailureKind::ImageGone | FailureKind::Permanent | FailureKind::Transient => {
            format!("see the attempts with `dubernetes events {}`", target.app)
        }
    };
    vec![help]
}

/// Whether the culprit is down, or was before its current attempt.
fn has_exited(target: &Target<'_>) -> bool {
    let Some(replica) = target.container() else { return false };
    let labels = &replica.labels;
    match &replica.state {
        ContainerState::Exited(_) | ContainerState::StartFailed { .. } => true,
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => labels.consecutive_restarts > 0 && labels.last_end.is_some(),
    }
}

/// Helps a replica that runs and does not become ready.
fn of_not_ready(target: &Target<'_>) -> String {
    let spec = target.stored().map(|stored| &stored.spec);
    if spec.is_some_and(|spec| spec.health.is_some()) {
        let object = target.culprit.map_or(target.app.as_str(), |pod| pod.name.as_str());
        return format!(
            "make it pass the `health` check, or change `health`; see the probe results with \
             `dubernetes describe {object}`"
        );
    }
    if spec.is_some_and(|spec| !spec.is_reachable()) {
        return format!("see what it does with `dubernetes logs {}`", target.app);
    }
    let port = spec.map_or(80, |spec| spec.port());
    format!("make it listen on port {port} of all addresses, or set `port` in its file")
}

/// Helps a replica whose process exits.
fn of_exit(target: &Target<'_>) -> Vec<String> {
    let pod = target.culprit.map_or(target.app.as_str(), |pod| pod.name.as_str());
    let container = target.container();
    let observed = &target.input.observed;
    if container.is_some_and(|replica| observed.stop_reason(&replica.id).is_some()) {
        return vec![of_not_ready(target)];
    }
    let has_limit = target.stored().is_some_and(|stored| stored.spec.resources.memory.is_some());
    let edit = match container.map(|replica| &replica.state) {
        Some(ContainerState::Exited(Exit { out_of_memory: true, .. })) => Some(MORE_MEMORY),
        Some(ContainerState::Exited(Exit { code: SIGKILL_EXIT, .. })) if has_limit => {
            Some(MORE_MEMORY)
        }
        Some(
            ContainerState::Exited(Exit { code: 126 | 127, .. })
            | ContainerState::StartFailed { .. },
        ) => Some("correct `command` and `args`, or the image"),
        Some(
            ContainerState::Exited(_)
            | ContainerState::Created
            | ContainerState::Running { .. }
            | ContainerState::Paused
            | ContainerState::Removing,
        )
        | None => None,
    };
    // While the next container runs, the failed one is the previous one.
    let is_running = container.is_some_and(|replica| replica.is_running());
    let previous = if is_running { " --previous" } else { "" };
    let logs = format!("see the whole output with `dubernetes logs {pod}{previous}`");
    edit.map(str::to_owned).into_iter().chain([logs]).collect()
}
