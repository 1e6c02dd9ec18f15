//! What to say of a key that there is not. Which ones there are stands in [`super::reference`].

use strsim::osa_distance;

use super::reference::{self, names};
use dubernetes_core::app::escape::quoted;

/// The keys of an app.
pub(super) const APP: [&str; 18] = names(&reference::APP);
/// The keys of `access`.
pub(super) const ACCESS: [&str; 2] = names(&reference::ACCESS);
/// The keys of `resources`.
pub(super) const RESOURCES: [&str; 2] = names(&reference::RESOURCES);
/// The keys of `stop`.
pub(super) const STOP: [&str; 3] = names(&reference::STOP);
/// The keys of `health`.
pub(super) const HEALTH: [&str; 10] = names(&reference::HEALTH);
/// The keys of `rollout`.
pub(super) const ROLLOUT: [&str; 7] = names(&reference::ROLLOUT);
/// The keys of `pre_deploy`.
pub(super) const PRE_DEPLOY: [&str; 2] = names(&reference::PRE_DEPLOY);

const LEVELS: [(&str, &[&str]); 7] = [
    ("", &APP),
    ("access", &ACCESS),
    ("resources", &RESOURCES),
    ("stop", &STOP),
    ("health", &HEALTH),
    ("rollout", &ROLLOUT),
    ("pre_deploy", &PRE_DEPLOY),
];

/// How the field at `path` is written, such as `replicas: 3`.
pub(super) fn example(path: &str) -> &'static str {
    reference::example(path).unwrap_or("name: myapp")
}

/// The keys of a reference to a file.
const FILE_REF: [&str; 2] = names(&reference::FILE_REF);
/// The keys of an entry of `files`.
const CONFIG_FILE: [&str; 3] = names(&reference::CONFIG_FILE);

/// The keys of a file that is referred to, and what beside them.
pub(super) fn of_file(json: bool, others: &[&'static str]) -> Vec<&'static str> {
    let content = json.then_some(reference::CONTENT[0].name);
    FILE_REF.into_iter().chain(content).chain(others.iter().copied()).collect()
}

/// The keys of the level `path`.
fn level(path: &str) -> &'static [&'static str] {
    if let Some((_, keys)) = LEVELS.iter().find(|(level, _)| *level == path) {
        return keys;
    }
    match path.split_once('.') {
        Some(("env" | "env_file", _)) => &FILE_REF,
        Some(("files", _)) => &CONFIG_FILE,
        Some(_) | None => &[],
    }
}

/// What to do about an unknown `key` at the level `path`.
pub(super) fn advice(path: &str, key: &str) -> String {
    let here = level(path);
    if let Some(hint) = foreign(key) {
        return hint.into();
    }
    let elsewhere =
        || LEVELS.iter().filter(|(level, keys)| *level != path && !std::ptr::eq(*keys, here));
    if let Some((level, _)) = elsewhere().find(|(_, keys)| keys.contains(&key)) {
        return format!("it belongs {}", under(level));
    }
    if let Some((_, near)) = nearest(key, here) {
        return format!("did you mean `{near}`?");
    }
    let far = elsewhere().filter_map(|(level, keys)| Some((nearest(key, keys)?, level))).min();
    if let Some(((_, near), level)) = far {
        return format!("did you mean `{near}`, {}?", under(level));
    }
    let list: Vec<String> = here.iter().map(|key| quoted(key)).collect();
    format!(
        "the keys {} are {}",
        if path.is_empty() { "of an app" } else { "here" },
        list.join(", ")
    )
}

/// The candidate at most two edits away, and the number of edits.
pub(super) fn nearest<'k>(key: &str, candidates: &[&'k str]) -> Option<(usize, &'k str)> {
    // A long key is near to none of ours, and its distance would cost time.
    if key.len() > 64 {
        return None;
    }
    let lower = key.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (osa_distance(&lower, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= 2 && distance * 2 < candidate.len())
        .min_by_key(|(distance, _)| *distance)
}

fn under(level: &str) -> String {
    if level.is_empty() { "at the top level".into() } else { format!("under `{level}`") }
}

/// Keys that people know from Kubernetes and Compose, and what takes their place here.
fn foreign(key: &str) -> Option<&'static str> {
    let hint = match key {
        "apiVersion" | "kind" => "there is one kind of object, an app: delete this key",
        "version" => "a file has no version: delete this key",
        "metadata" => "write `name` and `labels` at the top level",
        "namespace" => "there are no namespaces: separate instances have their own apps",
        "spec" | "template" => "write its keys at the top level",
        "selector" => "replicas are found by the app's name: delete this key",
        "containers" => "an app has one container: write its `image` at the top level",
        "services" => "write one document for each app, separated by `---`",
        "service" | "ingress" => "write `access: { host: myapp.local }`",
        "deploy" => "write `replicas` and `resources` at the top level",
        "scale" => "the key is `replicas`",
        "limits" | "requests" | "reservations" => {
            "write `cpu` and `memory` directly under `resources`"
        }
        "build" | "dockerfile" => "images are not built here: build one, and name it with `image`",
        "container_name" | "containerName" => "containers are named after the app: use `name`",
        "ports" | "containerPort" | "targetPort" | "expose" | "publish" => {
            "replicas publish no port of the host: `port` is the one in the container, `access` the way to it"
        }
        "depends_on" | "links" => {
            "apps start independently of each other: let the app retry until what it needs answers"
        }
        "restart" | "restartPolicy" | "restart_policy" => {
            "replicas are always restarted, with growing pauses: delete this key"
        }
        "privileged" | "cap_add" | "cap_drop" | "capabilities" | "security_opt"
        | "securityContext" | "devices" | "sysctls" | "userns_mode" | "ulimits" => {
            "not offered: replicas have the engine's default privileges"
        }
        "network_mode" | "networks" | "hostNetwork" | "dns" | "extra_hosts" => {
            "not offered: all replicas of an instance share one network of its own"
        }
        "pid" | "ipc" | "hostPID" | "hostIPC" => {
            "not offered: each replica has processes and memory of its own"
        }
        "user" | "working_dir" | "workingDir" => "not offered: set it when the image is built",
        "healthcheck" | "livenessProbe" | "readinessProbe" | "startupProbe" => {
            "write `health: { http: /healthz }`"
        }
        "strategy" | "update_config" | "rollingUpdate" => "write `rollout: { max_surge: 1 }`",
        "progressDeadlineSeconds" => "the key is `progress_deadline`, under `rollout`",
        "minReadySeconds" => "the key is `min_ready`, under `rollout`",
        "revisionHistoryLimit" => "the key is `history`, under `rollout`",
        "maxSurge" => "the key is `max_surge`, under `rollout`",
        "maxUnavailable" => "the key is `max_unavailable`, under `rollout`",
        "environment" | "envFrom" => {
            "the key is `env`, a mapping such as `env: { LOG_LEVEL: info }`"
        }
        "valueFrom" | "secretKeyRef" | "configMapKeyRef" => "write `{ file: ./password }`",
        "entrypoint" => "the key is `command`",
        "content" => "the file is read when it is applied: delete this key",
        "secrets" | "configs" => {
            "write `files: { /etc/myapp/app.conf: ./app.conf }`, or `env: { KEY: { file: ./key } }`"
        }
        "volumeMounts" => "write `volumes: [\"cache:/var/cache/myapp\"]`",
        "hostname" | "domain" | "domainname" => "the key is `host`, under `access`",
        "mem_limit" => "the key is `memory`, under `resources`",
        "cpus" => "the key is `cpu`, under `resources`",
        "stop_signal" => "the key is `signal`, under `stop`",
        "stop_grace_period" | "terminationGracePeriodSeconds" => "the key is `grace`, under `stop`",
        "pull_policy" | "imagePullPolicy" => "the key is `pull`",
        _ => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_specification() {
        let body = r#"{"name": "a", "image": "b", "access": {"host": "a.test", "path": "/x"},
            "port": 1, "command": ["a"], "args": ["a"], "env": {"A": "b"}, "labels": {"a": "b"},
            "resources": {"cpu": "1", "memory": "64Mi"}, "volumes": ["a:/b"], "pull": "never",
            "stop": {"signal": "SIGINT", "grace": "1s", "drain": "1s"},
            "health": {"http": "/", "port": 1, "interval": "4s", "timeout": "1s", "success": 2,
                "start_period": "1s", "failures": 3, "replace_after": 9},
            "rollout": {"max_surge": 2, "max_unavailable": "10%", "min_ready": "1s", "history": 3,
                "progress_deadline": "1m", "order": "start-first", "on_failure": "pause"},
            "pre_deploy": {"command": ["a"], "timeout": "1s"},
            "env_file": "a", "files": {"/a": "b"}}"#;
        let spec = crate::from_json(body.as_bytes()).unwrap();
        let written = serde_json::to_value(spec).unwrap();
        for (level, keys) in LEVELS {
            let object = if level.is_empty() { &written } else { &written[level] };
            let mut found: Vec<&str> = object.as_object().unwrap().keys().map(|k| &**k).collect();
            if level == "health" {
                // One of the three at a time.
                found.extend(["tcp", "exec"]);
            }
            let mut keys = keys.to_vec();
            found.sort_unstable();
            keys.sort_unstable();
            assert_eq!(found, keys, "{level}");
        }
    }

    #[test]
    fn an_unknown_key_leads_to_the_one_that_was_meant() {
        let cases = [
            ("", "replcias", "did you mean `replicas`?"),
            ("", "Image", "did you mean `image`?"),
            ("access", "hots", "did you mean `host`?"),
            ("", "host", "it belongs under `access`"),
            ("access", "replicas", "it belongs at the top level"),
            ("", "memroy", "did you mean `memory`, under `resources`?"),
            ("", "hosts", "did you mean `host`, under `access`?"),
            ("stop", "zzz", "the keys here are `signal`, `grace`, `drain`"),
            ("", "build", "images are not built here: build one, and name it with `image`"),
        ];
        for (path, key, advised) in cases {
            assert_eq!(advice(path, key), advised, "{key} in {path:?}");
        }
    }
}
