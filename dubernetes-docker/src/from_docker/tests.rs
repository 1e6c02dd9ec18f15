//! One check for each shape of a response.

use serde_json::json;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[track_caller]
fn check(state: serde_json::Value, expected: ContainerState) {
    let state: DockerState = serde_json::from_value(state).unwrap();
    assert_eq!(parse_state(&state, at("2026-01-01T00:00:00Z")), Ok(expected));
}

#[test]
fn container_that_never_started_is_created() {
    check(
        json!({"Status": "created", "ExitCode": 0, "Error": "",
               "StartedAt": "0001-01-01T00:00:00Z"}),
        ContainerState::Created,
    );
}

#[test]
fn created_with_error_or_code_is_start_failed() {
    check(
        json!({"Status": "created", "ExitCode": 127, "Error": "no such\nfile"}),
        ContainerState::StartFailed { error: "no such file".into(), code: 127 },
    );
    check(
        json!({"Status": "created", "ExitCode": 128, "Error": ""}),
        ContainerState::StartFailed { error: String::new(), code: 128 },
    );
}

#[test]
fn running_and_paused_states_are_parsed() {
    let started_at = at("2026-02-03T04:05:06.123456789Z");
    check(
        json!({"Status": "running", "StartedAt": "2026-02-03T05:05:06.123456789+01:00"}),
        ContainerState::Running { started_at },
    );
    check(json!({"Status": "paused", "Running": true}), ContainerState::Paused);
}

#[test]
fn exit_has_code_times_and_out_of_memory() {
    let started_at = at("2026-02-03T04:05:06Z");
    let finished_at = at("2026-02-03T04:05:07Z");
    check(
        json!({"Status": "exited", "ExitCode": 137, "OOMKilled": true,
               "StartedAt": "2026-02-03T04:05:06Z", "FinishedAt": "2026-02-03T04:05:07Z"}),
        ContainerState::Exited(Exit { code: 137, out_of_memory: true, started_at, finished_at }),
    );
}

#[test]
fn zero_times_fall_back_to_the_previous_time() {
    let created = at("2026-01-01T00:00:00Z");
    check(
        json!({"Status": "exited", "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": ""}),
        ContainerState::Exited(Exit {
            code: 0,
            out_of_memory: false,
            started_at: created,
            finished_at: created,
        }),
    );
}

#[test]
fn removing_state_is_parsed() {
    check(json!({"Status": "removing"}), ContainerState::Removing);
}

#[test]
fn dead_container_is_exited() {
    let state: DockerState = serde_json::from_value(json!({"Status": "dead"})).unwrap();
    let state = parse_state(&state, Timestamp::UNIX_EPOCH);
    assert!(matches!(state, Ok(ContainerState::Exited(_))), "{state:?}");
}

#[test]
fn response_without_state_is_an_error() {
    let state: DockerState = serde_json::from_value(json!({})).unwrap();
    assert!(parse_state(&state, Timestamp::UNIX_EPOCH).is_err());
    assert!(parse_container(serde_json::from_value(json!({"Id": "x"})).unwrap()).is_err());
}

#[test]
fn memory_excludes_page_cache_in_both_cgroup_versions() {
    let parse = |stats: serde_json::Value| {
        let answer = json!({
            "read": "2026-11-22T12:00:00.5Z",
            "cpu_stats": {"cpu_usage": {"total_usage": 7}},
            "memory_stats": {"usage": 100, "stats": stats},
        });
        parse_stats(&serde_json::from_value(answer).unwrap())
    };
    let read_at = "2026-11-22T12:00:00.5Z".parse().unwrap();
    let expected = |memory_bytes| Some(Stats { cpu_nanos: 7, memory_bytes, read_at });
    assert_eq!(parse(json!({"inactive_file": 30})), expected(70));
    assert_eq!(parse(json!({"inactive_file": 1, "total_inactive_file": 40})), expected(60));
    assert_eq!(parse(json!({})), expected(100));
}

#[test]
fn stopped_container_has_no_stats() {
    let answer = json!({"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}});
    assert_eq!(parse_stats(&serde_json::from_value(answer).unwrap()), None);
}

#[test]
fn event_has_labels_without_event_attributes() {
    let message = json!({
        "Type": "container", "Action": "die",
        "Actor": {"ID": "abc", "Attributes":
            {"dubernetes.instance": "i", "exitCode": "1", "image": "x", "name": "y"}},
    });
    let event = parse_event(serde_json::from_value(message).unwrap()).unwrap();
    assert_eq!((event.id.0.as_str(), event.action.as_str()), ("abc", "die"));
    assert_eq!(event.labels, BTreeMap::from([("dubernetes.instance".into(), "i".into())]));
}

#[test]
fn exec_and_copy_actions_are_ignored() {
    for action in ["exec_create: nginx -t", "exec_die", "extract-to-dir", "archive-path"] {
        let message = json!({"Action": action, "Actor": {"ID": "abc"}});
        assert_eq!(parse_event(serde_json::from_value(message).unwrap()), None, "{action}");
    }
}

#[test]
fn engine_name_is_read_from_platform_or_component() {
    let name = |answer: serde_json::Value| {
        parse_info(serde_json::from_value(answer).unwrap()).map(|info| info.name)
    };
    let debian = json!({"Platform": {"Name": ""},
                        "Components": [{"Name": "Engine", "Version": "1"}],
                        "Version": "1", "ApiVersion": "1.41"});
    assert_eq!(name(debian), Ok("Docker Engine".into()));
    let podman = json!({"Platform": {"Name": "linux/amd64/debian-13"},
                        "Components": [{"Name": "Podman Engine", "Version": "1"}],
                        "Version": "1", "ApiVersion": "1.41"});
    assert_eq!(name(podman), Ok("Podman Engine".into()));
    assert!(name(json!({"Version": "1"})).is_err(), "the API version is required");
}

#[test]
fn only_a_line_of_the_init_is_an_init_error() {
    let line = "[FATAL tini (7)] exec /no such failed: No such file or directory\n";
    let error = parse_init_error(line, "");
    assert_eq!(
        error.as_deref(),
        Some("program `/no such` cannot be run: no such file or directory")
    );
    let line = "ERROR (catatonit:6): failed to exec pid1: No such file or directory\n";
    let error = parse_init_error(line, "/no such");
    assert_eq!(
        error.as_deref(),
        Some("program `/no such` cannot be run: no such file or directory")
    );
    for line in ["sh: nosuch: not found", "[FATAL tini (7)] Unexpected error", "exec x failed: y"] {
        assert_eq!(parse_init_error(line, "x"), None, "{line}");
    }
}

#[test]
fn start_error_names_the_program() {
    let start = "failed to create shim task: OCI runtime create failed: runc create failed: \
                 unable to start container process: ";
    for (reason, expected) in [
        (
            r#"exec: "/app": stat /app: no such file or directory: unknown"#,
            "no such file or directory",
        ),
        (r#"exec: "/app": permission denied: unknown"#, "permission denied"),
        (
            r#"exec: "/app": executable file not found in $PATH"#,
            "executable file not found in $PATH",
        ),
    ] {
        let expected = format!("program `/app` cannot be run: {expected}");
        assert_eq!(simplify_start_error(format!("{start}{reason}")), expected);
    }
    let other = format!("{start}error during container init: no space left on device");
    assert_eq!(simplify_start_error(other.clone()), other);
}

#[test]
fn limits_are_those_that_an_update_has_set() {
    let limits = |host: serde_json::Value| parse_limits(&serde_json::from_value(host).unwrap());
    let expected = |cpu: Option<&str>, memory: Option<&str>| Resources {
        cpu: cpu.map(|text| Cpu::parse(text).unwrap()),
        memory: memory.map(|text| Memory::parse(text).unwrap()),
    };
    let created = json!({"Memory": 134_217_728, "NanoCpus": 1_500_000_000, "CpuQuota": 0});
    assert_eq!(limits(created), expected(Some("1500m"), Some("128Mi")));
    let updated = json!({"Memory": 100_000_001, "NanoCpus": 0, "CpuQuota": 25_000, "CpuPeriod": 0});
    assert_eq!(limits(updated), expected(Some("250m"), Some("97656Ki")));
    let unlimited = json!({"Memory": 0, "NanoCpus": 0, "CpuQuota": -1});
    assert_eq!(limits(unlimited), expected(None, None));
}

#[test]
fn update_of_a_container_is_an_event() {
    let message = json!({"Type": "container", "Action": "update", "Actor": {"ID": "abc"}});
    let event = parse_event(serde_json::from_value(message).unwrap()).unwrap();
    assert_eq!(event.action, "update");
}
