//! The pod: what surrounds the container of a replica.

use dubernetes_core::app::AppSpec;

use super::contents::Contents;
use super::names::{NAME_LABEL, is_label_key, is_label_value, selector};
use super::notes::Notes;
use super::object::Object;
use super::options;
use super::probes::{ceil_seconds, whole_seconds};
use super::volumes::Volumes;

/// How long a pod that ends still gets requests at most: routes need that time to change.
const ROUTES_CHANGE: u64 = 5;

/// Returns the metadata of the template of pods: labels, and a hash of the contents.
pub(super) fn template_metadata(labels: &Labels, contents: &Contents) -> Object {
    let hash = contents.hash.clone();
    let annotations = labels.annotations.clone().with_some("checksum/contents", hash);
    Object::new().with("labels", labels.labels.clone()).with("annotations", annotations)
}

/// Returns the keys of a pod around its containers: before them, and after them.
pub(super) fn around(
    spec: &AppSpec,
    contents: &Contents,
    volumes: &Volumes,
    notes: &mut Notes,
) -> (Object, Object) {
    let has_volumes =
        contents.volume.is_some() || !volumes.volumes.is_empty() || !volumes.templates.is_empty();
    let group = options::group_of_files(spec).filter(|_| has_volumes);
    let security = Object::new()
        .with_some("fsGroup", group)
        .with("seccompProfile", Object::new().with("type", "RuntimeDefault"));
    let before = Object::new()
        .with("enableServiceLinks", false)
        .with("automountServiceAccountToken", false)
        .with("securityContext", security)
        .with("hostAliases", options::host_aliases(spec, notes));
    let all: Vec<Object> = volumes.volumes.iter().chain(&contents.volume).cloned().collect();
    (before, Object::new().with("volumes", all))
}

/// How a pod is stopped: the hook before the signal, and the time limit for both.
pub(super) struct Stopping {
    pub(super) lifecycle: Object,
    pub(super) grace: u64,
}

/// A pod gets its signal and leaves the routes at the same time. So the signal waits until the
/// routes have changed, if something routes to the app.
pub(super) fn stopping(spec: &AppSpec, notes: &mut Notes) -> Stopping {
    let grace = whole_seconds("stop.grace", spec.stop.grace, notes);
    if let Some(signal) = spec.stop.signal {
        notes.add(
            "stop.signal",
            format!("{signal} is not exported: pods are stopped by the signal of the image"),
            format!("write `STOPSIGNAL {signal}` into the image's Dockerfile"),
        );
    }
    if !spec.has_name() {
        return Stopping { lifecycle: Object::new(), grace };
    }
    let sleep = ceil_seconds(spec.stop.drain).min(ROUTES_CHANGE);
    notes.add(
        "stop.drain",
        format!(
            "requests in progress are not waited for: the stop signal comes {sleep}s after a \
                 pod leaves the routes"
        ),
        "let the program finish its requests after the signal, within \
         `terminationGracePeriodSeconds`",
    );
    let seconds = Object::new().with("seconds", sleep);
    let lifecycle = Object::new().with("preStop", Object::new().with("sleep", seconds));
    Stopping { lifecycle, grace: grace + sleep }
}

/// The labels of an app, and what can only be an annotation.
pub(super) struct Labels {
    pub(super) labels: Object,
    pub(super) annotations: Object,
}

pub(super) fn labels(spec: &AppSpec, notes: &mut Notes) -> Labels {
    let mut labels = selector(&spec.name);
    let mut annotations = Object::new();
    for (key, value) in &spec.labels {
        let path = format!("labels.{key}");
        if key == NAME_LABEL {
            notes.say(path, format!("not exported: the label is `{}`", spec.name));
        } else if !is_label_key(key) {
            notes.say(path, "not exported: Kubernetes does not accept the key");
        } else if is_label_value(value) {
            labels = labels.with(key, value.as_str());
        } else {
            notes.say(path, "it is an annotation: Kubernetes does not accept the value in a label");
            annotations = annotations.with(key, value.as_str());
        }
    }
    Labels { labels, annotations }
}
