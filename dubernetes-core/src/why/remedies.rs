//! What a person can do about a cause.

use crate::plan::{Cause, Remedy};
use crate::reconcile::SIGKILL_EXIT;
use crate::runtime::ContainerState;
use crate::state::FailureKind;

use super::chain::failure;
use super::{Known, Subject};

/// Commands and edits that help, the most likely one first.
pub(super) fn of(known: &Known<'_>, subject: &Subject<'_>) -> Vec<String> {
    let app = subject.app;
    match &subject.cause {
        Cause::EngineAway { .. } => {
            vec!["start the engine; the orchestrator goes on by itself once it answers".to_owned()]
        }
        Cause::Blocked(block) => vec![block.row().1.replace("{}", app.as_str())],
        Cause::Paused => vec![format!("`dubernetes rollout resume {app}` lets it go on")],
        Cause::Ingress { .. } => of_failure(known, subject),
        Cause::CrashLooping { .. } => of_end(known, subject),
        Cause::Waits(waiting) => match waiting.wait.row().remedy {
            Remedy::None => Vec::new(),
            Remedy::FailedCall => of_failure(known, subject),
            Remedy::NotReady => vec![of_answer(known, subject)],
            Remedy::Exit => of_end(known, subject),
        },
        Cause::RevisionFailed { .. } if failure(known, subject).is_some() => {
            of_failure(known, subject)
        }
        Cause::RevisionFailed { .. } if has_ended(known, subject) => of_end(known, subject),
        Cause::RevisionFailed { .. } if subject.troubled.is_some() => {
            let stored = known.desired.apps.get(app);
            let deadline = stored.map(|stored| stored.spec.rollout.progress_deadline);
            let slow = deadline.map(|deadline| {
                format!("if it only needs longer, raise `rollout.progress_deadline` ({deadline})")
            });
            [of_answer(known, subject)].into_iter().chain(slow).collect()
        }
        Cause::RevisionFailed { .. } | Cause::RolledBack { .. } => {
            vec![
                format!("correct the file of `{app}` and apply it again"),
                "or mend what it needs, then `dubernetes apply FILE --retry`".to_owned(),
            ]
        }
        Cause::NotRouted | Cause::Deleting { .. } | Cause::None => Vec::new(),
    }
}

fn of_failure(known: &Known<'_>, subject: &Subject<'_>) -> Vec<String> {
    let Some(failure) = failure(known, subject) else { return Vec::new() };
    let stored = known.desired.apps.get(subject.app);
    let image = stored.map(|stored| stored.spec.image.to_string()).unwrap_or_default();
    let help = match failure.kind {
        FailureKind::ImageMissing => {
            format!("correct `image`, or build `{image}` on this engine or push it to its registry")
        }
        FailureKind::ImageDenied => {
            let registry = registry(&image);
            format!(
                "`docker login{registry}` as the user who runs the orchestrator, or correct `image`"
            )
        }
        FailureKind::PortTaken => {
            "free the port, or choose another one with `dubernetes serve --http-port`".to_owned()
        }
        FailureKind::ImageGone | FailureKind::Permanent | FailureKind::Transient
            if stored.is_some_and(|stored| stored.image_id.is_none()) =>
        {
            format!(
                "correct `image`, or build `{image}` on this engine; its registry gave no answer"
            )
        }
        FailureKind::ImageGone | FailureKind::Permanent | FailureKind::Transient => {
            format!("`dubernetes events {}` shows what was tried", subject.app)
        }
    };
    vec![help]
}

/// The registry that a reference names, with a space in front; empty for the engine's own.
fn registry(image: &str) -> String {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
            format!(" {first}")
        }
        Some(_) | None => String::new(),
    }
}

/// Whether the replica in question is down, or was so before the try that is under way.
fn has_ended(known: &Known<'_>, subject: &Subject<'_>) -> bool {
    let Some(replica) = subject.container(known) else { return false };
    match &replica.state {
        ContainerState::Exited { .. } | ContainerState::StartFailed { .. } => true,
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => {
            replica.labels.consecutive_restarts > 0 && replica.labels.last_end.is_some()
        }
    }
}

/// What helps a replica that runs and does not answer as it should.
fn of_answer(known: &Known<'_>, subject: &Subject<'_>) -> String {
    let stored = known.desired.apps.get(subject.app);
    if stored.is_some_and(|stored| stored.spec.health.is_some()) {
        let object = subject.troubled.map_or(subject.app.as_str(), |pod| pod.name.as_str());
        return format!(
            "let it answer as `health` asks, or change `health`; `dubernetes describe {object}` \
             shows the last answers"
        );
    }
    if stored.is_some_and(|stored| stored.spec.access.is_none()) {
        return format!("`dubernetes logs {}` shows what it does", subject.app);
    }
    let port = stored.map_or(80, |stored| stored.spec.port);
    format!("let it listen on port {port} of all addresses, or say `port: N` in its file")
}

const MORE_MEMORY: &str = "raise `resources.memory`, or let the process need less";

/// What helps a replica whose process ends.
fn of_end(known: &Known<'_>, subject: &Subject<'_>) -> Vec<String> {
    let app = subject.app;
    let pod = subject.troubled.map_or(app.as_str(), |pod| pod.name.as_str());
    let mut help = Vec::new();
    let container = subject.container(known);
    if container.is_some_and(|replica| known.observed.stop_reasons.contains_key(&replica.id)) {
        return vec![of_answer(known, subject)];
    }
    let stored = known.desired.apps.get(app);
    let has_limit = stored.is_some_and(|stored| stored.spec.resources.memory.is_some());
    match container.map(|replica| &replica.state) {
        Some(ContainerState::Exited { out_of_memory: true, .. }) => {
            help.push(MORE_MEMORY.to_owned());
        }
        Some(ContainerState::Exited { code: SIGKILL_EXIT, .. }) if has_limit => {
            help.push(MORE_MEMORY.to_owned());
        }
        Some(
            ContainerState::Exited { code: 126 | 127, .. } | ContainerState::StartFailed { .. },
        ) => {
            help.push("correct `command` and `args`, or the image".to_owned());
        }
        Some(
            ContainerState::Exited { .. }
            | ContainerState::Created
            | ContainerState::Running { .. }
            | ContainerState::Paused
            | ContainerState::Removing,
        )
        | None => {}
    }
    // While the next one runs, the output of the one that failed is that before.
    let previous = match container {
        Some(replica) if replica.is_running() => " --previous",
        Some(_) | None => "",
    };
    help.push(format!("`dubernetes logs {pod}{previous}` shows the whole output"));
    help
}
