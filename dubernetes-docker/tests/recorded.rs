//! The runtime on recorded answers: those of Docker 20.10, newer shapes, and failures that no
//! engine produces on demand.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "recorded/deadlines.rs"]
mod deadlines;
#[path = "recorded/diagnostics.rs"]
mod diagnostics;
#[path = "recorded/networks.rs"]
mod networks;
#[path = "recorded/server.rs"]
mod server;

use dubernetes_core::app::{Duration, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRuntime as _, ContainerState, Exit, RuntimeError,
    StatsReader as _,
};
use dubernetes_docker::DockerRuntime;
use futures_util::StreamExt as _;

use self::server::{Answer, RecordedEngine};

const GRACE: Duration = Duration::from_secs(1);

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("recorded/", $name, ".json"))
    };
}

fn ok(body: &str) -> Answer {
    Answer::Whole(200, body.to_owned())
}

fn status(status: u16) -> Answer {
    Answer::Whole(status, r#"{"message":"the engine's\nown text"}"#.to_owned())
}

fn instance() -> InstanceName {
    InstanceName::parse("recorded").unwrap()
}

fn id(name: &str) -> ContainerId {
    ContainerId(name.into())
}

/// The recorded list, and an inspection for each container in it.
fn all_recorded() -> Vec<(String, Answer)> {
    let inspections = [
        recorded!("docker_20_10_running"),
        recorded!("docker_20_10_exited"),
        recorded!("docker_20_10_created"),
        recorded!("docker_20_10_failed"),
        recorded!("docker_20_10_out_of_memory"),
        recorded!("docker_20_10_clash"),
    ];
    let list = ("GET /containers/json".to_owned(), ok(recorded!("docker_20_10_list")));
    let one = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        (format!("GET /containers/{}/json", json["Id"].as_str().unwrap()), ok(text))
    };
    std::iter::once(list).chain(inspections.into_iter().map(one)).collect()
}

fn start(answers: &[(String, Answer)]) -> RecordedEngine {
    let answers: Vec<_> = answers.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    RecordedEngine::start(&answers)
}

async fn inspect(recorded: &str) -> Container {
    let engine = RecordedEngine::start(&[("GET /containers/x/json", ok(recorded))]);
    engine.runtime().inspect(&id("x")).await.unwrap()
}

#[tokio::test]
async fn docker_20_10_info_is_read() {
    let engine = RecordedEngine::start(&[("GET /version", ok(recorded!("docker_20_10_version")))]);
    let info = engine.runtime().info().await.unwrap();
    assert_eq!(info.name, "Docker Engine");
    assert_eq!((info.version.as_str(), info.api_version.as_str()), ("20.10.24+dfsg1", "1.41"));
    assert_eq!(info.platform, "linux/amd64");
}

#[tokio::test]
async fn engine_older_than_20_10_is_rejected_with_required_api() {
    let old = r#"{"Version": "19.03.1", "ApiVersion": "1.40"}"#;
    let engine = RecordedEngine::start(&[("GET /version", ok(old))]);
    let error = engine.runtime().info().await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert!(error.to_string().contains("1.41"), "{error}");
}

#[tokio::test]
async fn podman_older_than_5_is_rejected_and_5_is_not() {
    let podman = |version: &str| {
        let answer = serde_json::json!({
            "Platform": {"Name": "linux/amd64/debian-12"},
            "Components": [
                {"Name": "Podman Engine", "Version": version},
                {"Name": "Conmon", "Version": "conmon version 2.1.6, commit: unknown"},
            ],
            "Version": version,
            "ApiVersion": "1.41",
            "MinAPIVersion": "1.24",
        });
        RecordedEngine::start(&[("GET /version", ok(&answer.to_string()))])
    };
    let error = podman("4.3.1").runtime().info().await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert!(error.to_string().contains("Podman 4.3.1; upgrade to Podman 5"), "{error}");
    assert_eq!(podman("5.4.2").runtime().info().await.unwrap().name, "Podman Engine");
}

#[tokio::test]
async fn every_state_of_docker_20_10_is_read() {
    let engine = start(&all_recorded());
    let listed = engine.runtime().list(&instance()).await.unwrap();
    let shown: Vec<(&str, String)> = listed
        .iter()
        .map(|container| {
            let state = match &container.state {
                ContainerState::Created => "created".to_owned(),
                ContainerState::StartFailed { error, code } => format!("failed {code} {error}"),
                ContainerState::Running { started_at } => format!("running {started_at}"),
                ContainerState::Exited(Exit { code, out_of_memory, .. }) => {
                    format!("exited {code} {out_of_memory}")
                }
                ContainerState::Paused => "paused".to_owned(),
                ContainerState::Removing => "removing".to_owned(),
            };
            (container.name.as_str(), state)
        })
        .collect();
    let not_found = "failed 127 program `/no/such` cannot be run: no such file or directory";
    let expected = [
        ("recorded-clash", "failed 128 Address already in use"),
        ("recorded-created", "created"),
        ("recorded-exit", "exited 3 false"),
        ("recorded-failed", not_found),
        ("recorded-oom", "exited 137 true"),
        ("recorded-run", "running 2026-11-22T18:00:26.686054134Z"),
    ];
    assert_eq!(shown, expected.map(|(name, state)| (name, state.to_owned())));
}

#[tokio::test]
async fn docker_29_container_is_read_like_20_10() {
    let old = inspect(recorded!("docker_20_10_running")).await;
    let mut new = inspect(recorded!("docker_29_running")).await;
    assert_eq!(new.image_id.0, format!("sha256:{}", "a".repeat(64)));
    new.image_id = old.image_id.clone();
    assert_eq!(old, new);
}

#[tokio::test]
async fn second_list_inspects_only_uncacheable_states() {
    let engine = start(&all_recorded());
    let runtime = engine.runtime();
    let first = runtime.list(&instance()).await.unwrap();
    assert_eq!(engine.count("GET /containers/"), 1 + 6);
    assert_eq!(runtime.list(&instance()).await.unwrap(), first);
    // Only an inspection shows whether one of the three in `created` has failed to start.
    assert_eq!(engine.count("GET /containers/"), 2 + 6 + 3);
}

#[tokio::test]
async fn stopped_container_is_inspected_again() {
    let engine = start(&all_recorded());
    let runtime = engine.runtime();
    let listed = runtime.list(&instance()).await.unwrap();
    let running = listed.iter().find(|container| container.name == "recorded-run").unwrap();
    let path = format!("GET /containers/{}/json", running.id);
    assert_eq!(engine.count(&path), 1);
    // The answer is 404, which is success; the attempt alone invalidates the entry.
    runtime.stop(&running.id, None, GRACE).await.unwrap();
    runtime.list(&instance()).await.unwrap();
    assert_eq!(engine.count(&path), 2);
}

#[tokio::test]
async fn container_removed_during_list_is_left_out() {
    let mut answers = all_recorded();
    answers.retain(|(request, _)| !request.contains("61413820610f"));
    let listed = start(&answers).runtime().list(&instance()).await.unwrap();
    assert_eq!(listed.len(), 5);
}

#[tokio::test]
async fn foreign_containers_are_left_out_if_engine_ignores_filter() {
    let engine = start(&all_recorded());
    let stranger = InstanceName::parse("stranger").unwrap();
    assert_eq!(engine.runtime().list(&stranger).await.unwrap(), []);
}

#[tokio::test]
async fn failed_inspection_fails_the_list() {
    let mut answers = all_recorded();
    for (_, answer) in answers.iter_mut().skip(1).take(1) {
        *answer = status(500);
    }
    let error = start(&answers).runtime().list(&instance()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Failed { .. }), "{error:?}");
}

#[tokio::test]
async fn repeated_start_stop_and_remove_succeed() {
    for code in [204, 304] {
        let engine = RecordedEngine::start(&[
            ("POST /containers/x/start", Answer::Whole(code, String::new())),
            ("POST /containers/x/stop", Answer::Whole(code, String::new())),
        ]);
        engine.runtime().start(&id("x")).await.unwrap();
        engine.runtime().stop(&id("x"), None, GRACE).await.unwrap();
    }
    for code in [204, 404, 409] {
        let engine = RecordedEngine::start(&[("DELETE /containers/x", status(code))]);
        engine.runtime().remove(&id("x")).await.unwrap();
        let sent = engine.last("DELETE /containers/x");
        assert!(sent.contains("force=true") && sent.contains("v=true"), "{sent}");
    }
    let engine = RecordedEngine::start(&[("DELETE /containers/x", status(500))]);
    let error = engine.runtime().remove(&id("x")).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "the container engine failed to remove container `x`: the engine's own text"
    );
}

#[tokio::test]
async fn failed_start_is_rejected_only_if_attempted() {
    let class = async |recorded: &str| {
        let engine = RecordedEngine::start(&[
            ("POST /containers/x/start", status(500)),
            ("GET /containers/x/json", ok(recorded)),
        ]);
        match engine.runtime().start(&id("x")).await {
            Ok(()) => "runs",
            Err(RuntimeError::Rejected { message, .. }) => {
                assert_eq!(message, "the engine's own text");
                "report"
            }
            Err(RuntimeError::Failed { .. }) => "retry",
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(class(recorded!("docker_20_10_clash")).await, "report");
    assert_eq!(class(recorded!("docker_20_10_created")).await, "retry");
    assert_eq!(class(recorded!("docker_20_10_running")).await, "runs");
    let engine = RecordedEngine::start(&[("POST /containers/x/start", status(404))]);
    let error = engine.runtime().start(&id("x")).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn stop_with_signal_sends_it_and_kills_after_grace() {
    let engine = RecordedEngine::start(&[
        ("POST /containers/x/kill", Answer::Whole(204, String::new())),
        ("POST /containers/x/stop", Answer::Whole(204, String::new())),
        ("GET /containers/x/json", ok(recorded!("docker_20_10_running"))),
    ]);
    let grace = Duration::from_millis(150);
    engine.runtime().stop(&id("x"), Some(Signal::SigQuit), grace).await.unwrap();
    assert!(engine.last("POST /containers/x/kill").contains("signal=SIGQUIT"));
    assert!(engine.last("POST /containers/x/stop").contains("t=0"));
}

#[tokio::test]
async fn failed_pull_is_an_image_error() {
    let stream = "{\"status\":\"Pulling from x\",\"id\":\"1\"}\r\n\
                  {\"errorDetail\":{\"message\":\"manifest unknown\"},\
                  \"error\":\"manifest unknown\"}\r\n";
    for (answer, text) in [
        (ok(stream), "manifest unknown"),
        (status(404), "the engine's own text"),
        (status(500), "the engine's own text"),
    ] {
        let engine = RecordedEngine::start(&[("POST /images/create", answer)]);
        let image = ImageRef::parse("web").unwrap().into();
        let error = engine.runtime().resolve(&image, PullPolicy::Missing).await.unwrap_err();
        assert!(matches!(error, RuntimeError::Image { .. }), "{error:?}");
        let expected = format!("image `web` not found: pull failed: {text}");
        assert!(error.to_string().starts_with(&expected), "{error}");
        let sent = engine.last("POST /images/create");
        assert!(sent.contains("fromImage=web%3Alatest"), "{sent}");
    }
}

#[tokio::test]
async fn registry_status_decides_the_image_problem() {
    let image = ImageRef::parse("r.test/web:1").unwrap().into();
    let no_credentials = r#"{"message": "Head \"https://r.test\": no basic auth credentials"}"#;
    let registry = "GET /distribution/r.test/web:1/json";
    for (pull, lookup, expected) in [
        (status(500), status(404), "image `r.test/web:1` not found: "),
        (status(404), status(401), "no rights to pull image `r.test/web:1`: "),
        (status(500), status(403), "no rights to pull image `r.test/web:1`: "),
        (status(500), status(500), "image `r.test/web:1` is not available: "),
        (status(500), ok("{}"), "image `r.test/web:1` is not available: "),
        (
            Answer::Whole(500, no_credentials.to_owned()),
            Answer::Whole(500, no_credentials.to_owned()),
            "no rights to pull image `r.test/web:1`: ",
        ),
    ] {
        let engine = RecordedEngine::start(&[("POST /images/create", pull), (registry, lookup)]);
        let error = engine.runtime().resolve(&image, PullPolicy::Missing).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(engine.count(registry), 1);
    }
}

#[tokio::test]
async fn pull_policy_decides_whether_to_pull() {
    let present = r#"{"Id": "sha256:1"}"#;
    for (policy, pulls) in
        [(PullPolicy::Missing, 0), (PullPolicy::Never, 0), (PullPolicy::Always, 1)]
    {
        let engine = RecordedEngine::start(&[
            ("GET /images/web:1/json", ok(present)),
            ("POST /images/create", ok("{\"status\":\"done\"}\n")),
        ]);
        let image = ImageRef::parse("web:1").unwrap().into();
        let found = engine.runtime().resolve(&image, policy).await.unwrap();
        assert_eq!(found.0, "sha256:1");
        assert_eq!(engine.count("POST /images/create"), pulls, "{policy:?}");
    }
    let engine = RecordedEngine::start(&[]);
    let image = ImageRef::parse("web:1").unwrap().into();
    let error = engine.runtime().resolve(&image, PullPolicy::Never).await.unwrap_err();
    assert!(error.to_string().contains("`pull: never`"), "{error}");
    assert_eq!(engine.count("POST /images/create"), 0);
}

#[tokio::test]
async fn stats_are_read_and_stopped_container_is_not_running() {
    let read = async |recorded: &str| {
        let engine = RecordedEngine::start(&[("GET /containers/x/stats", ok(recorded))]);
        engine.runtime().read(&id("x")).await
    };
    let stats = read(recorded!("docker_20_10_stats")).await.unwrap();
    assert!(stats.memory_bytes > 0 && stats.cpu_nanos > 0, "{stats:?}");
    let stopped = read(recorded!("docker_20_10_stats_stopped")).await.unwrap_err();
    assert!(matches!(stopped, RuntimeError::NotRunning { .. }), "{stopped:?}");
}

#[tokio::test]
async fn unreachable_engine_and_unreadable_response_are_distinct() {
    let engine = RecordedEngine::start(&[
        ("GET /containers/json", Answer::HangUp),
        ("GET /version", ok("this is not JSON")),
        ("GET /containers/x/json", ok("{}")),
    ]);
    let runtime = engine.runtime();
    let closed = runtime.list(&instance()).await.unwrap_err();
    assert!(closed.is_unreachable(), "{closed:?}");
    assert!(
        chain(&closed).ends_with("does not answer: connection closed before message completed")
    );
    for error in [runtime.info().await.unwrap_err(), runtime.inspect(&id("x")).await.unwrap_err()] {
        assert!(matches!(error, RuntimeError::Failed { .. }), "{error:?}");
    }
    let endpoint = runtime.endpoint();
    drop(engine);
    let gone = runtime.list(&instance()).await.unwrap_err();
    assert!(gone.is_unreachable(), "{gone:?}");
    assert_eq!(
        chain(&gone),
        format!("the container engine at {endpoint} does not answer: the socket does not exist")
    );
}

#[tokio::test]
async fn refused_connection_is_named_without_the_client_library() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let runtime = DockerRuntime::new(socket.to_str()).unwrap();
    let error = runtime.info().await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert!(chain(&error).ends_with("does not answer: connection refused"), "{}", chain(&error));
}

#[test]
fn capabilities_lack_programs_and_several_hosts() {
    let runtime = DockerRuntime::new(Some("/engine.sock")).unwrap();
    let missing: Vec<_> = Capability::ALL
        .into_iter()
        .filter(|capability| !runtime.capabilities().contains(capability))
        .collect();
    assert_eq!(missing, [Capability::Programs, Capability::SeveralHosts]);
}

#[tokio::test]
async fn event_stream_ends_at_a_malformed_event() {
    let body = r#"
        {"Type":"container","Action":"exec_start: sh","Actor":{"ID":"a"}}
        {"Type":"container","Action":"die","Actor":{"ID":"a","Attributes":{"exitCode":"1"}}}
        nonsense
    "#;
    let engine = RecordedEngine::start(&[("GET /_ping", ok("OK")), ("GET /events", ok(body))]);
    let stream = engine.runtime().events(&instance()).await.unwrap();
    let events: Vec<_> = stream.collect().await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].as_ref().unwrap().action, "die");
    assert!(matches!(events[1], Err(RuntimeError::Failed { .. })), "{events:?}");
    let sent = engine.last("GET /events");
    assert!(sent.contains("dubernetes.instance%3Drecorded") && sent.contains("since="), "{sent}");
    drop(engine);
}

#[tokio::test]
async fn events_of_an_unreachable_engine_fail_at_once() {
    let engine = RecordedEngine::start(&[("GET /_ping", Answer::HangUp)]);
    let Err(error) = engine.runtime().events(&instance()).await else {
        panic!("expected an error")
    };
    assert!(error.is_unreachable(), "{error:?}");
}
