//! Hints for unknown keys.

use dubernetes_core::app::escape::quote;

use super::{APP, ObjectKind};
use crate::nearest::nearest;

/// Returns what to do about `key`, which `object` at `path` does not have.
pub(crate) fn unknown_key_hint(object: &ObjectKind, path: &str, key: &str) -> String {
    if let Some(hint) = foreign_key_hint(key) {
        return hint.into();
    }
    let here = path.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
    let others: Vec<_> = objects().filter(|(other, _)| *other != here).collect();
    if let Some((other, _)) = others.iter().find(|(_, names)| names.contains(&key)) {
        return format!("it belongs {}", position(other));
    }
    let names = object.names();
    let own = nearest(key, &names);
    let near = others.iter().filter_map(|(other, names)| Some((nearest(key, names)?, other)));
    match (own, near.min()) {
        (Some((edits, _)), Some(((fewer, near), other))) if fewer < edits => {
            return format!("did you mean `{near}`, {}?", position(other));
        }
        (Some((_, near)), _) => return format!("did you mean `{near}`?"),
        (None, Some(((_, near), other))) => {
            return format!("did you mean `{near}`, {}?", position(other));
        }
        (None, None) => {}
    }
    let names: Vec<String> = names.into_iter().map(quote).collect();
    let whose = if path.is_empty() { "of an app" } else { "here" };
    format!("the keys {whose} are {}", names.join(", "))
}

/// Returns the path of every object, with the names of its keys.
fn objects() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let nested = APP.iter().filter_map(|key| Some((key.name, key.kind.fixed_keys()?.names())));
    std::iter::once(("", ObjectKind::new(APP).names())).chain(nested)
}

fn position(path: &str) -> String {
    if path.is_empty() { "at the top level".into() } else { format!("under `{path}`") }
}

/// Keys that people know from Kubernetes or Compose, separated by spaces, and what to do instead.
const FOREIGN_KEYS: &[(&str, &str)] = &[
    ("apiVersion kind", "apps are the only kind of object: delete this key"),
    ("version", "a manifest has no version: delete this key"),
    ("metadata", "write `name` and `labels` at the top level"),
    ("namespace", "there are no namespaces: use separate instances"),
    ("spec template", "write its keys at the top level"),
    ("selector", "replicas are selected by the app's name: delete this key"),
    ("containers", "an app has one container: write its `image` at the top level"),
    ("services", "write one document per app, separated by `---`"),
    ("service ingress", "write `access: { host: myapp.local }`"),
    ("deploy", "write `replicas` and `resources` at the top level"),
    ("scale", "the key is `replicas`"),
    ("limits requests reservations", "write `cpu` and `memory` directly under `resources`"),
    ("build dockerfile", "images are not built here: build the image, and name it in `image`"),
    ("container_name containerName", "containers are named after the app: use `name`"),
    (
        "containerPort targetPort expose publish",
        "set `port` to the port in the container, route requests to it with `access`, and publish \
            other ports with `ports`",
    ),
    (
        "depends_on links",
        "write `after: [db]`: the app starts once those are ready, and reaches them by their names",
    ),
    (
        "restart restartPolicy restart_policy",
        "replicas are always restarted, with back-off: delete this key",
    ),
    (
        "privileged",
        "not supported, because it switches every protection off: name what the app needs in \
            `cap_add` and `devices`",
    ),
    ("capabilities", "the keys are `cap_add` and `cap_drop`"),
    (
        "security_opt securityContext",
        "not supported, except `no_new_privileges: false`, `user`, `read_only`, `cap_add` and \
            `cap_drop`",
    ),
    ("sysctls", "not supported: those of the whole machine are set with `sysctl` on the host"),
    (
        "gpus runtime device_cgroup_rules device_requests",
        "not supported: every device has to be named in `devices`",
    ),
    ("group_add", "not supported: write the group in `user: \"1000:44\"`"),
    (
        "userns_mode cgroup cgroup_parent isolation uts",
        "not supported: each replica has namespaces of its own",
    ),
    (
        "pid ipc hostPID hostIPC",
        "not supported: each replica has its own process and IPC namespaces, so that one \
            replica cannot touch another",
    ),
    (
        "network_mode hostNetwork",
        "not supported: a replica is probed and routed at its own address",
    ),
    (
        "networks dns dns_search dns_opt mac_address",
        "not supported: the replicas of an instance share one network; separate instances \
            have separate networks",
    ),
    ("external_links", "write `extra_hosts: [\"db:10.0.0.1\"]`"),
    ("workingDir", "the key is `working_dir`"),
    (
        "oom_score_adj oom_kill_disable mem_swappiness memswap_limit pids_limit cpuset cpu_shares \
            blkio_config",
        "not supported: `resources` has `cpu` and `memory`, without swap",
    ),
    (
        "logging log_driver",
        "not supported: `dubernetes logs` needs the engine's own files; three of 10 MB are kept",
    ),
    ("profiles", "not supported: apply only the files that are needed"),
    ("extends include", "not supported: use anchors in one file, or `apply` several files"),
    ("platform", "not supported: the image must fit this machine"),
    (
        "stdin_open tty attach",
        "not supported: run an interactive command with `dubernetes exec -it`",
    ),
    ("volumes_from", "name the same volume in both apps: `volumes: [\"media:/media:shared\"]`"),
    ("tmpfs_size", "write `tmpfs: [\"/run:size=64m\"]`"),
    ("annotations", "the key is `labels`"),
    (
        "develop post_start pre_stop lifecycle initContainers",
        "not supported: `pre_deploy` runs a command before a revision",
    ),
    ("healthcheck livenessProbe readinessProbe startupProbe", "write `health: { http: /healthz }`"),
    ("strategy update_config rollingUpdate", "write `rollout: { max_surge: 1 }`"),
    ("progressDeadlineSeconds", "the key is `progress_deadline`, under `rollout`"),
    ("minReadySeconds", "the key is `min_ready`, under `rollout`"),
    ("revisionHistoryLimit", "the key is `history`, under `rollout`"),
    ("maxSurge", "the key is `max_surge`, under `rollout`"),
    ("maxUnavailable", "the key is `max_unavailable`, under `rollout`"),
    ("environment envFrom", "the key is `env`, a mapping such as `env: { LOG_LEVEL: info }`"),
    ("valueFrom secretKeyRef configMapKeyRef", "write `{ file: ./password }`"),
    ("entrypoint", "the key is `command`"),
    ("content", "the content is read from the file by `apply`: delete this key"),
    (
        "secrets configs",
        "write `files: { /etc/myapp/app.conf: ./app.conf }`, or `env: { KEY: { file: ./key } }`",
    ),
    ("volumeMounts", "write `volumes: [\"cache:/var/cache/myapp\"]`"),
    ("hostname domain domainname", "the key is `host`, under `access`"),
    ("mem_limit", "the key is `memory`, under `resources`"),
    ("cpus", "the key is `cpu`, under `resources`"),
    ("stop_signal", "the key is `signal`, under `stop`"),
    ("stop_grace_period terminationGracePeriodSeconds", "the key is `grace`, under `stop`"),
    ("pull_policy imagePullPolicy", "the key is `pull`"),
];

/// Returns what to do about a key that people know from Kubernetes or Compose.
pub(crate) fn foreign_key_hint(key: &str) -> Option<&'static str> {
    let mut rows = FOREIGN_KEYS.iter();
    rows.find(|(keys, _)| keys.split(' ').any(|known| known == key)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::super::{ACCESS, STOP};
    use super::*;

    /// The keys of a service in the specification of Compose that are no keys here.
    const COMPOSE: &str = "annotations attach blkio_config build cgroup cgroup_parent configs \
        container_name cpu_shares cpus cpuset depends_on deploy develop device_cgroup_rules dns \
        dns_opt dns_search domainname entrypoint environment expose extends external_links gpus \
        group_add healthcheck hostname ipc isolation links logging mac_address mem_limit \
        mem_swappiness memswap_limit network_mode networks oom_kill_disable oom_score_adj pid \
        pids_limit platform privileged profiles pull_policy restart runtime scale secrets \
        security_opt stdin_open stop_grace_period stop_signal sysctls tty userns_mode uts \
        volumes_from";

    #[test]
    fn key_of_compose_that_is_not_offered_says_why() {
        for key in COMPOSE.split_whitespace() {
            assert!(APP.iter().all(|known| known.name != key), "{key} is offered");
            assert!(foreign_key_hint(key).is_some(), "{key} has no hint");
        }
    }

    #[test]
    fn unknown_key_hint_names_the_key_that_was_meant() {
        let cases = [
            ("", APP, "replcias", "did you mean `replicas`?"),
            ("", APP, "Image", "did you mean `image`?"),
            ("access", ACCESS, "hots", "did you mean `host`?"),
            ("", APP, "host", "it belongs under `access`"),
            ("access", ACCESS, "replicas", "it belongs at the top level"),
            ("", APP, "memroy", "did you mean `memory`, under `resources`?"),
            ("", APP, "hosts", "did you mean `host`, under `access`?"),
            ("stop", STOP, "zzz", "the keys here are `signal`, `grace`, `drain`"),
            ("", APP, "scale", "the key is `replicas`"),
        ];
        for (path, keys, key, expected) in cases {
            let hint = unknown_key_hint(&ObjectKind::new(keys), path, key);
            assert_eq!(hint, expected, "{key} in {path:?}");
        }
    }
}
