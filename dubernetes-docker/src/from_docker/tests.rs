//! One check per shape that an engine's answer can have.

use serde_json::json;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[track_caller]
fn check(state: serde_json::Value, expected: ContainerState) {
    let state: DockerState = serde_json::from_value(state).unwrap();
    assert_eq!(container_state(&state, at("2026-01-01T00:00:00Z")), Ok(expected));
}

#[test]
fn a_container_that_never_started_is_created() {
    check(
        json!({"Status": "created", "ExitCode": 0, "Error": "", "StartedAt": "0001-01-01T00:00:00Z"}),
        ContainerState::Created,
    );
}

#[test]
fn a_failed_start_is_told_by_its_text_or_its_code() {
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
fn a_running_container_runs_since_its_start() {
    let started_at = at("2026-02-03T04:05:06.123456789Z");
    check(
        json!({"Status": "running", "StartedAt": "2026-02-03T05:05:06.123456789+01:00"}),
        ContainerState::Running { started_at },
    );
    check(json!({"Status": "paused", "Running": true}), ContainerState::Paused);
}

#[test]
fn an_end_has_its_code_its_times_and_whether_memory_was_lacking() {
    let (started_at, finished_at) = (at("2026-02-03T04:05:06Z"), at("2026-02-03T04:05:07Z"));
    check(
        json!({"Status": "exited", "ExitCode": 137, "OOMKilled": true,
               "StartedAt": "2026-02-03T04:05:06Z", "FinishedAt": "2026-02-03T04:05:07Z"}),
        ContainerState::Exited { code: 137, out_of_memory: true, started_at, finished_at },
    );
}

#[test]
fn zero_times_become_the_time_before_them() {
    let created = at("2026-01-01T00:00:00Z");
    check(
        json!({"Status": "exited", "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": ""}),
        ContainerState::Exited {
            code: 0,
            out_of_memory: false,
            started_at: created,
            finished_at: created,
        },
    );
}

#[test]
fn a_container_that_is_being_removed_is_on_its_way_out() {
    check(json!({"Status": "removing"}), ContainerState::Removing);
}

#[test]
fn a_dead_container_has_ended_and_is_still_to_be_removed() {
    let state: DockerState = serde_json::from_value(json!({"Status": "dead"})).unwrap();
    let state = container_state(&state, Timestamp::UNIX_EPOCH);
    assert!(matches!(state, Ok(ContainerState::Exited { .. })), "{state:?}");
}

#[test]
fn an_answer_without_a_state_is_unreadable() {
    let state: DockerState = serde_json::from_value(json!({})).unwrap();
    assert!(container_state(&state, Timestamp::UNIX_EPOCH).is_err());
    assert!(container(serde_json::from_value(json!({"Id": "x"})).unwrap()).is_err());
}

#[test]
fn memory_is_counted_without_the_page_cache_in_either_version_of_control_groups() {
    let of = |stats: serde_json::Value| {
        let answer = json!({
            "read": "2026-11-22T12:00:00.5Z",
            "cpu_stats": {"cpu_usage": {"total_usage": 7}},
            "memory_stats": {"usage": 100, "stats": stats},
        });
        super::stats(&serde_json::from_value(answer).unwrap())
    };
    let read_at = "2026-11-22T12:00:00.5Z".parse().unwrap();
    let expected = |memory_bytes| Some(Stats { cpu_nanos: 7, memory_bytes, read_at });
    assert_eq!(of(json!({"inactive_file": 30})), expected(70));
    assert_eq!(of(json!({"inactive_file": 1, "total_inactive_file": 40})), expected(60));
    assert_eq!(of(json!({})), expected(100));
}

#[test]
fn a_stopped_container_uses_nothing_that_could_be_told() {
    let answer = json!({"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}});
    assert_eq!(super::stats(&serde_json::from_value(answer).unwrap()), None);
}

#[test]
fn an_event_carries_the_labels_and_not_its_own_attributes() {
    let message = json!({
        "Type": "container", "Action": "die",
        "Actor": {"ID": "abc", "Attributes":
            {"dubernetes.instance": "i", "exitCode": "1", "image": "x", "name": "y"}},
    });
    let event = event(serde_json::from_value(message).unwrap()).unwrap();
    assert_eq!((event.id.0.as_str(), event.action.as_str()), ("abc", "die"));
    assert_eq!(event.labels, BTreeMap::from([("dubernetes.instance".into(), "i".into())]));
}

#[test]
fn commands_and_copies_are_no_events() {
    for action in ["exec_create: nginx -t", "exec_die", "extract-to-dir", "archive-path"] {
        let message = json!({"Action": action, "Actor": {"ID": "abc"}});
        assert_eq!(event(serde_json::from_value(message).unwrap()), None, "{action}");
    }
}

#[test]
fn the_engines_name_is_found_wherever_it_is_written() {
    let name = |answer: serde_json::Value| {
        version(serde_json::from_value(answer).unwrap()).map(|version| version.name)
    };
    let debian = json!({"Platform": {"Name": ""}, "Components": [{"Name": "Engine", "Version": "1"}],
                        "Version": "1", "ApiVersion": "1.41"});
    assert_eq!(name(debian), Ok("Docker Engine".into()));
    let podman = json!({"Components": [{"Name": "Podman Engine", "Version": "1"}],
                        "Version": "1", "ApiVersion": "1.41"});
    assert_eq!(name(podman), Ok("Podman Engine".into()));
    assert!(name(json!({"Version": "1"})).is_err(), "without its API version nothing is known");
}
