//! What becomes of each key: the decisions of the export, for people.

/// What becomes of some keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The keys, with those above them and without positions in lists, such as `access.host`.
    pub keys: &'static [&'static str],
    /// The objects and fields that they become, or why there are none.
    pub becomes: &'static str,
}

const fn row(keys: &'static [&'static str], becomes: &'static str) -> Row {
    Row { keys, becomes }
}

/// Every key of an app, and what becomes of it. Where an equivalent is missing, the export has a
/// note.
pub const KEYS: &[Row] = &[
    row(&["name"], "the name of all objects, and the label app.kubernetes.io/name"),
    row(&["image"], "image"),
    row(&["program"], "none: the app is left out"),
    row(&["replicas"], "a Deployment; a StatefulSet for one replica that writes to a volume"),
    row(&["port"], "a Service with the app's name; its readiness probe"),
    row(&["ports"], "a Service of type LoadBalancer; none for 127.0.0.1"),
    row(&["access"], "an Ingress"),
    row(&["access.host", "access.path"], "rules with pathType Prefix"),
    row(&["access.port"], "the port of the Service that a path leads to"),
    row(&["access.strip_prefix"], "none: for the ingress controller"),
    row(&["access.protocol"], "appProtocol of the port of the Service"),
    row(&["access.keepalive", "access.buffer_requests"], "none: for the ingress controller"),
    row(&["access.tls"], "tls of the Ingress; auto and internal need an issuer on the cluster"),
    row(
        &["access.tls.cert", "access.tls.key", "access.tls.cert.file", "access.tls.key.file"],
        "a Secret of type kubernetes.io/tls",
    ),
    row(&["access.tls.cert.secret", "access.tls.key.secret"], "such a Secret, on the cluster"),
    row(&["env"], "env, with $( and $$ escaped"),
    row(&["env.file"], "a Secret with the content"),
    row(&["env.secret"], "the key `value` of the Secret of that name, on the cluster"),
    row(&["env_file", "env_file.file"], "a Secret with the variables, and envFrom"),
    row(&["env_file.secret"], "envFrom the Secret of that name, on the cluster"),
    row(
        &["files", "files.file"],
        "a ConfigMap; a Secret without read permission for others or below /run/secrets",
    ),
    row(&["files.secret"], "the key `value` of the Secret of that name, on the cluster"),
    row(&["files.mode"], "mode of the file in the volume"),
    row(&["files.owner"], "none: files of volumes belong to root"),
    row(
        &[
            "env.sha256",
            "env_file.sha256",
            "files.sha256",
            "access.tls.cert.sha256",
            "access.tls.key.sha256",
        ],
        "none: checked when the file is read",
    ),
    row(&["command"], "command: it replaces the entry point here, too"),
    row(&["args"], "args"),
    row(&["health"], "startup, readiness and liveness probe"),
    row(
        &["health.http", "health.tcp", "health.exec", "health.port", "health.host"],
        "httpGet with the header Host, tcpSocket, or exec",
    ),
    row(&["health.interval", "health.timeout"], "periodSeconds, timeoutSeconds"),
    row(&["health.start_period"], "failureThreshold of the startup probe, once a second"),
    row(&["health.success", "health.failures"], "thresholds of the readiness probe"),
    row(&["health.replace_after"], "failureThreshold of the liveness probe"),
    row(&["rollout"], "strategy of the Deployment"),
    row(&["rollout.max_surge", "rollout.max_unavailable"], "maxSurge, maxUnavailable"),
    row(&["rollout.max_terminating"], "none"),
    row(&["rollout.min_ready"], "minReadySeconds"),
    row(&["rollout.progress_deadline"], "progressDeadlineSeconds; none in a StatefulSet"),
    row(&["rollout.order"], "stop-first: Recreate, or maxSurge 0 with several replicas"),
    row(&["rollout.on_failure"], "none: a failed rollout stays as it is"),
    row(&["rollout.history"], "revisionHistoryLimit"),
    row(&["pre_deploy", "pre_deploy.command"], "a Job, which is to be applied before the rest"),
    row(&["pre_deploy.timeout"], "activeDeadlineSeconds of the Job"),
    row(&["after"], "none: all apps start at the same time"),
    row(&["stop"], "terminationGracePeriodSeconds"),
    row(&["stop.signal"], "none: for the image"),
    row(&["stop.grace"], "terminationGracePeriodSeconds, with the time of preStop"),
    row(&["stop.drain"], "preStop: up to 5 s for the routes to change"),
    row(&["resources", "resources.cpu", "resources.memory"], "limits"),
    row(
        &["volumes"],
        "PersistentVolumeClaims of 1Gi; :external one on the cluster; hostPath for a folder",
    ),
    row(&["labels"], "labels of pods; annotations where the value is no label"),
    row(&["pull"], "imagePullPolicy"),
    row(&["user"], "runAsUser, runAsGroup and fsGroup, for numbers"),
    row(&["working_dir"], "workingDir"),
    row(&["init"], "none: for the image"),
    row(&["read_only"], "readOnlyRootFilesystem"),
    row(&["no_new_privileges"], "allowPrivilegeEscalation"),
    row(&["cap_add", "cap_drop"], "capabilities"),
    row(&["devices"], "none: for a device plugin"),
    row(&["tmpfs", "shm_size"], "emptyDir with medium Memory"),
    row(&["ulimits", "ulimits.soft", "ulimits.hard"], "none: for the container runtime"),
    row(&["extra_hosts"], "hostAliases; none for host-gateway"),
];
