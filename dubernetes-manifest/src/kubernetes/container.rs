//! The container of a pod: what it runs, and what the program sees.

use dubernetes_core::app::{AppSpec, PullPolicy};

use super::contents::Contents;
use super::notes::Notes;
use super::object::Object;
use super::options;
use super::volumes::Volumes;

/// Returns what the containers of replicas and of the pre-deploy hook have in common, after the
/// command.
pub(super) fn shared(
    spec: &AppSpec,
    contents: &Contents,
    volumes: &Volumes,
    notes: &mut Notes,
) -> Object {
    let mounts = volumes.mounts.iter().chain(&contents.mounts).cloned().collect::<Vec<_>>();
    let working_dir = spec.options.working_dir.as_ref().map(|folder| folder.as_str());
    Object::new()
        .with_some("workingDir", working_dir)
        .with("envFrom", contents.env_from.clone())
        .with("env", contents.env.clone())
        .with("resources", resources(spec, notes))
        .with("securityContext", options::security_context(spec, notes))
        .with("volumeMounts", mounts)
}

/// Returns a container with an image.
pub(super) fn with_image(name: &str, spec: &AppSpec) -> Object {
    let pull = match spec.pull {
        PullPolicy::Missing => "IfNotPresent",
        PullPolicy::Always => "Always",
        PullPolicy::Never => "Never",
    };
    Object::new()
        .with("name", name)
        .with("image", spec.artifact.as_str())
        .with("imagePullPolicy", pull)
}

/// Notes what the key `pull` means on several nodes.
pub(super) fn note_pull(spec: &AppSpec, notes: &mut Notes) {
    match spec.pull {
        PullPolicy::Missing => {}
        PullPolicy::Always => notes.add(
            "pull",
            "the image is pulled for each pod, not once for each revision: a tag that moves may \
             give replicas of one revision different images",
            "write the image with its digest",
        ),
        PullPolicy::Never => notes.add(
            "pull",
            "the image must be on each node of the cluster",
            "push it to a registry, and write `pull: missing`",
        ),
    }
}

/// Returns words of a command. Kubernetes replaces `$(NAME)` in them, and `$$` by `$`.
pub(super) fn literal(text: &str) -> String {
    if text.contains("$(") || text.contains("$$") { text.replace('$', "$$") } else { text.into() }
}

pub(super) fn words(words: &[String]) -> Vec<String> {
    words.iter().map(|word| literal(word)).collect()
}

fn resources(spec: &AppSpec, notes: &mut Notes) -> Object {
    let limits = &spec.resources;
    if !limits.is_empty() {
        notes.add(
            "resources",
            "a limit is also what the scheduler reserves",
            "add `requests` with what the app usually needs",
        );
    }
    let limits = Object::new()
        .with_some("cpu", limits.cpu.map(|cpu| cpu.to_string()))
        .with_some("memory", limits.memory.map(|memory| memory.to_string()));
    Object::new().with("limits", limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_literal_where_kubernetes_would_replace_a_variable() {
        for (text, expected) in
            [("$HOME ${X}", "$HOME ${X}"), ("$(id)", "$$(id)"), ("a$$b$c", "a$$$$b$$c"), ("$", "$")]
        {
            assert_eq!(literal(text), expected);
        }
    }
}
