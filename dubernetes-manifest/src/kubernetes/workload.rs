//! What runs the replicas: a Deployment, or a StatefulSet for a single replica with a volume; and
//! the Job of the pre-deploy hook.

use dubernetes_core::app::{AppSpec, CountOrPercent, OnFailure, PreDeploy};

use super::container::{self, words};
use super::contents::Contents;
use super::names::{Names, metadata, selector};
use super::notes::Notes;
use super::object::Object;
use super::pod::{self, Labels};
use super::probes::{self, ceil_seconds, whole_seconds};
use super::service;
use super::volumes::Volumes;
use crate::out::Out;

/// What pods of an app are made of.
struct Parts<'a> {
    spec: &'a AppSpec,
    labels: Labels,
    metadata: Object,
    /// The keys of the container that replicas and the hook have in common.
    shared: Object,
    before: Object,
    after: Object,
}

/// Returns the Job of the hook, the given Services, and what runs the replicas.
pub(super) fn export(
    spec: &AppSpec,
    names: &Names,
    contents: &Contents,
    volumes: &Volumes,
    services: Vec<Object>,
    notes: &mut Notes,
) -> Vec<Object> {
    let labels = pod::labels(spec, notes);
    let (before, after) = pod::around(spec, contents, volumes, notes);
    let parts = Parts {
        spec,
        metadata: pod::template_metadata(&labels, contents),
        labels,
        shared: container::shared(spec, contents, volumes, notes),
        before,
        after,
    };
    container::note_pull(spec, notes);
    note_order(spec, notes);
    let hook = spec.pre_deploy.as_ref().map(|hook| parts.job(hook, names, notes));
    let mut objects: Vec<Object> = hook.into_iter().chain(services).collect();
    match volumes.templates.is_empty() {
        true => objects.push(parts.deployment(notes)),
        false => {
            let pods = names.part(&spec.name, "pods");
            objects.push(service::headless(&pods, spec));
            objects.push(parts.stateful_set(&pods, volumes, notes));
        }
    }
    objects
}

impl Parts<'_> {
    fn deployment(&self, notes: &mut Notes) -> Object {
        let spec = self.spec;
        let rollout = &spec.rollout;
        let min_ready = whole_seconds("rollout.min_ready", rollout.min_ready, notes);
        let path = "rollout.progress_deadline";
        let mut deadline = whole_seconds(path, rollout.progress_deadline, notes);
        if deadline <= min_ready {
            deadline = min_ready + 1;
            notes.say(path, format!("it becomes {deadline}s: more than `min_ready`"));
        }
        let body = Object::new()
            .with("replicas", spec.replicas)
            .with("revisionHistoryLimit", rollout.history)
            .with("minReadySeconds", min_ready)
            .with("progressDeadlineSeconds", deadline)
            .with("strategy", strategy(spec, notes))
            .and(self.selected(notes));
        self.workload("Deployment", body)
    }

    fn stateful_set(&self, service: &str, volumes: &Volumes, notes: &mut Notes) -> Object {
        let spec = self.spec;
        notes.add(
            "replicas",
            "a StatefulSet runs the app: never two replicas at a time write to its volumes, and \
             with more replicas each has volumes of its own",
            "use a Deployment with claims for volumes that replicas share",
        );
        if spec.rollout.progress_deadline
            != dubernetes_core::app::Rollout::default().progress_deadline
        {
            notes.say("rollout.progress_deadline", "not exported: a StatefulSet has none");
        }
        let body = Object::new()
            .with("replicas", spec.replicas)
            .with("revisionHistoryLimit", spec.rollout.history)
            .with(
                "minReadySeconds",
                whole_seconds("rollout.min_ready", spec.rollout.min_ready, notes),
            )
            .with("serviceName", service)
            .and(self.selected(notes))
            .with("volumeClaimTemplates", volumes.templates.clone());
        self.workload("StatefulSet", body)
    }

    fn workload(&self, kind: &str, body: Object) -> Object {
        let metadata = Object::new()
            .with("name", self.spec.name.as_str())
            .with("labels", self.labels.labels.clone())
            .with("annotations", self.labels.annotations.clone());
        Object::of_kind("apps/v1", kind, metadata).with("spec", body)
    }

    /// Returns the selector and the template of the replicas.
    fn selected(&self, notes: &mut Notes) -> Object {
        let spec = self.spec;
        let stopping = pod::stopping(spec, notes);
        let container = container::with_image(spec.name.as_str(), spec)
            .with("command", words(&spec.command))
            .with("args", words(&spec.args))
            .with("ports", container_ports(spec))
            .and(self.shared.clone())
            .and(probes::export(spec, notes))
            .with("lifecycle", stopping.lifecycle);
        let before = self.before.clone().with("terminationGracePeriodSeconds", stopping.grace);
        let template = self.template(self.metadata.clone(), before, container);
        Object::new()
            .with("selector", Object::new().with("matchLabels", selector(&spec.name)))
            .with("template", template)
    }

    fn template(&self, metadata: Object, before: Object, container: Object) -> Object {
        let pod = before.with("containers", vec![container]).and(self.after.clone());
        Object::new().with("metadata", metadata).with("spec", pod)
    }

    /// The pods of a hook have no label that Services look for.
    fn job(&self, hook: &PreDeploy, names: &Names, notes: &mut Notes) -> Object {
        let spec = self.spec;
        let name = names.part(&spec.name, "pre-deploy");
        notes.add(
            "pre_deploy",
            format!("the Job `{name}` does not hold the other objects back, and runs once"),
            format!(
                "before each update, `kubectl delete job {name}`, apply the Job alone, and \
                     `kubectl wait --for=condition=complete job/{name}`"
            ),
        );
        let container = container::with_image(&name, spec)
            .with("command", words(&hook.command))
            .and(self.shared.clone());
        let before = Object::new().with("restartPolicy", "Never").and(self.before.clone());
        let labels = Object::new().with(super::names::NAME_LABEL, name.as_str());
        let template = self.template(Object::new().with("labels", labels), before, container);
        let body = Object::new()
            .with("backoffLimit", 0_u16)
            .with("activeDeadlineSeconds", ceil_seconds(hook.timeout))
            .with("template", template);
        Object::of_kind("batch/v1", "Job", metadata(&name, &spec.name)).with("spec", body)
    }
}

fn container_ports(spec: &AppSpec) -> Vec<Object> {
    let own = spec.is_reachable().then_some(spec.port());
    let others = spec.access.iter().filter_map(|access| spec.other_port(access));
    let mut ports: Vec<(u16, &str)> =
        own.into_iter().chain(others).map(|port| (port, "TCP")).collect();
    ports.extend(spec.ports.iter().map(|mapping| match mapping.transport {
        dubernetes_core::app::Transport::Tcp => (mapping.port, "TCP"),
        dubernetes_core::app::Transport::Udp => (mapping.port, "UDP"),
    }));
    ports.sort_unstable();
    ports.dedup();
    let port = |(number, protocol): (u16, &str)| {
        Object::new().with("containerPort", number).with("protocol", protocol)
    };
    ports.into_iter().map(port).collect()
}

fn strategy(spec: &AppSpec, notes: &mut Notes) -> Object {
    let rollout = &spec.rollout;
    let stops_first = spec.stops_first();
    if stops_first && spec.replicas <= 1 {
        return Object::new().with("type", "Recreate");
    }
    let (surge, unavailable) = if stops_first {
        notes.say(
            "rollout.order",
            "a new replica starts when the old one gets its signal, and does not wait for its end",
        );
        let none = rollout.max_unavailable.is_zero();
        (
            CountOrPercent::Count(0),
            if none { CountOrPercent::Count(1) } else { rollout.max_unavailable },
        )
    } else {
        let usual = CountOrPercent::Percent(25);
        (rollout.max_surge.unwrap_or(usual), rollout.max_unavailable)
    };
    let limits =
        Object::new().with("maxSurge", count(surge)).with("maxUnavailable", count(unavailable));
    Object::new().with("type", "RollingUpdate").with("rollingUpdate", limits)
}

fn count(number: CountOrPercent) -> Out {
    match number {
        CountOrPercent::Count(count) => count.into(),
        CountOrPercent::Percent(_) => number.to_string().into(),
    }
}

/// Notes what Kubernetes leaves to others about the order and the failure of a rollout.
fn note_order(spec: &AppSpec, notes: &mut Notes) {
    if !spec.after.is_empty() {
        notes.add(
            "after",
            "not exported: all apps start at the same time",
            "let the program try again until it reaches what it needs",
        );
    }
    if spec.rollout.max_terminating.is_some() {
        notes.say(
            "rollout.max_terminating",
            "not exported: replicas that are stopping are not counted",
        );
    }
    if spec.rollout.on_failure == OnFailure::Rollback {
        notes.add(
            "rollout.on_failure",
            "a rollout that fails stays as it is: Kubernetes does not roll back by itself",
            "watch `kubectl rollout status`, and run `kubectl rollout undo`",
        );
    }
}
