//! Whether objects are those that Kubernetes accepts.
//!
//! The types are generated from the schemas that Kubernetes publishes, and write only what they
//! know: an unknown field is missing afterwards, a required one that was missing is there, and one
//! of another type is not read. The rest are rules that the server checks beyond its schemas.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, PodTemplateSpec, Secret, Service,
};
use k8s_openapi::api::networking::v1::Ingress;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Checks all documents of a stream.
pub(crate) fn check(yaml: &str) {
    let documents: Vec<Value> =
        serde_yaml::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let mut names = BTreeSet::new();
    for document in &documents {
        check_type(document);
        let name = text(document, "/metadata/name");
        assert!(is_domain(name), "{name} is no name");
        assert!(names.insert((text(document, "/kind"), name)), "{name} is there twice");
        if let Some(template) = document.pointer("/spec/template") {
            check_pod(document, template);
        }
        check_labels(document);
    }
}

fn check_type(document: &Value) {
    match (text(document, "/apiVersion"), text(document, "/kind")) {
        ("apps/v1", "Deployment") => same_as::<Deployment>(document),
        ("apps/v1", "StatefulSet") => same_as::<StatefulSet>(document),
        ("batch/v1", "Job") => same_as::<Job>(document),
        ("v1", "ConfigMap") => same_as::<ConfigMap>(document),
        ("v1", "PersistentVolumeClaim") => same_as::<PersistentVolumeClaim>(document),
        ("v1", "Secret") => same_as::<Secret>(document),
        ("v1", "Service") => {
            same_as::<Service>(document);
            check_service(document);
        }
        ("networking.k8s.io/v1", "Ingress") => same_as::<Ingress>(document),
        (api, kind) => panic!("{kind} of {api} is unknown"),
    }
}

/// Checks that the type reads all of an object, and that nothing that it requires is missing.
fn same_as<T: DeserializeOwned + Serialize>(document: &Value) {
    let read: T = serde_json::from_value(document.clone())
        .unwrap_or_else(|error| panic!("{error}\n{document:#}"));
    let written = serde_json::to_value(read).unwrap();
    assert_eq!(&written, document, "fields are unknown, or missing");
}

fn check_service(document: &Value) {
    let name = text(document, "/metadata/name");
    assert!(name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
    let mut names = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for port in list(document, "/spec/ports") {
        let name = text(port, "/name");
        assert!(name.len() <= 15 && names.insert(name), "{name}");
        assert!(ports.insert((text(port, "/protocol"), port["port"].to_string())), "{port}");
    }
}

fn check_pod(document: &Value, template: &Value) {
    let _: PodTemplateSpec = serde_json::from_value(template.clone()).unwrap();
    if let Some(selector) = document.pointer("/spec/selector/matchLabels") {
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(template["metadata"]["labels"][key], *value, "{key}");
        }
    }
    let volumes = list(template, "/spec/volumes").iter().map(|volume| text(volume, "/name"));
    let volumes: Vec<_> = volumes.collect();
    let known: BTreeSet<_> = volumes.iter().copied().collect();
    assert_eq!(volumes.len(), known.len(), "{volumes:?}");
    let templates = list(document, "/spec/volumeClaimTemplates");
    let templates: BTreeSet<_> =
        templates.iter().map(|claim| text(claim, "/metadata/name")).collect();
    for container in list(template, "/spec/containers") {
        assert!(text(container, "/name").len() <= 63);
        let mut targets = BTreeSet::new();
        for mount in list(container, "/volumeMounts") {
            let name = text(mount, "/name");
            assert!(known.contains(name) || templates.contains(name), "{name} is no volume");
            assert!(targets.insert(text(mount, "/mountPath")), "{mount}");
        }
        check_probes(container);
    }
    for name in known.union(&templates) {
        assert!(is_domain(name) && name.len() <= 63 && !name.contains('.'), "{name}");
    }
    let (ready, deadline) = ("/spec/minReadySeconds", "/spec/progressDeadlineSeconds");
    if let Some(deadline) = document.pointer(deadline) {
        assert!(deadline.as_u64() > document.pointer(ready).and_then(Value::as_u64));
    }
}

fn check_probes(container: &Value) {
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let Some(probe) = container.get(probe) else { continue };
        for field in ["periodSeconds", "timeoutSeconds", "failureThreshold"] {
            assert!(probe[field].as_u64() >= Some(1), "{field}: {probe}");
        }
    }
    for probe in ["startupProbe", "livenessProbe"] {
        assert!(container.pointer(&format!("/{probe}/successThreshold")).is_none());
    }
}

fn check_labels(document: &Value) {
    let places = ["/metadata/labels", "/spec/template/metadata/labels"];
    let labels = places.iter().filter_map(|place| document.pointer(place)?.as_object());
    for (key, value) in labels.flatten() {
        let value = value.as_str().unwrap();
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(value.len() <= 63 && value.chars().all(is_legal), "{key}: {value}");
    }
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty()
            && label.chars().all(is_legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label)
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("{pointer} is missing in {value:#}"))
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
