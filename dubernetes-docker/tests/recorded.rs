//! What the adapter makes of an engine's answers: those that Docker 20.10 gave, newer shapes, and
//! failures that no engine gives on demand.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "recorded/deadlines.rs"]
mod deadlines;
#[path = "recorded/server.rs"]
mod server;
#[path = "recorded/survey.rs"]
mod survey;

use dubernetes_core::app::{Duration, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRuntime as _, ContainerState, RuntimeError,
};
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
    ContainerId(name.to_owned())
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
async fn docker_20_10_says_who_it_is() {
    let engine = RecordedEngine::start(&[("GET /version", ok(recorded!("docker_20_10_version")))]);
    let version = engine.runtime().version().await.unwrap();
    assert_eq!(version.name, "Docker Engine");
    assert_eq!(
        (version.version.as_str(), version.api_version.as_str()),
        ("20.10.24+dfsg1", "1.41")
    );
    assert_eq!(version.platform, "linux/amd64");
}

#[tokio::test]
async fn an_engine_older_than_20_10_is_refused_with_what_is_needed() {
    let old = r#"{"Version": "19.03.1", "ApiVersion": "1.40"}"#;
    let engine = RecordedEngine::start(&[("GET /version", ok(old))]);
    let error = engine.runtime().version().await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert!(error.to_string().contains("1.41"), "{error}");
}

#[tokio::test]
async fn each_state_of_docker_20_10_is_read() {
    let engine = start(&all_recorded());
    let listed = engine.runtime().list(&instance()).await.unwrap();
    let shown: Vec<(&str, String)> = listed
        .iter()
        .map(|container| {
            let state = match &container.state {
                ContainerState::Created => "created".to_owned(),
                ContainerState::StartFailed { error, code } => format!("failed {code} {error}"),
                ContainerState::Running { started_at } => format!("running {started_at}"),
                ContainerState::Exited { code, out_of_memory, .. } => {
                    format!("exited {code} {out_of_memory}")
                }
                other => format!("{other:?}"),
            };
            (container.name.as_str(), state)
        })
        .collect();
    let unfound = "failed 127 failed to create shim task: OCI runtime create failed: runc create \
                   failed: unable to start container process: exec: \"/no/such\": stat /no/such: \
                   no such file or directory: unknown";
    let expected = [
        ("recorded-clash", "failed 128 Address already in use"),
        ("recorded-created", "created"),
        ("recorded-exit", "exited 3 false"),
        ("recorded-failed", unfound),
        ("recorded-oom", "exited 137 true"),
        ("recorded-run", "running 2026-11-22T18:00:26.686054134Z"),
    ];
    assert_eq!(shown, expected.map(|(name, state)| (name, state.to_owned())));
}

#[tokio::test]
async fn engine_29_without_a_top_level_address_is_read_alike() {
    let (old, mut new) = (
        inspect(recorded!("docker_20_10_running")).await,
        inspect(recorded!("docker_29_running")).await,
    );
    assert_eq!(new.image_id.0, format!("sha256:{}", "a".repeat(64)));
    new.image_id = old.image_id.clone();
    assert_eq!(old, new);
}

#[tokio::test]
async fn a_quiet_round_lists_once_and_inspects_only_what_is_not_steady() {
    let engine = start(&all_recorded());
    let runtime = engine.runtime();
    let first = runtime.list(&instance()).await.unwrap();
    assert_eq!(engine.count("GET /containers/"), 1 + 6);
    assert_eq!(runtime.list(&instance()).await.unwrap(), first);
    // The three in `created` may have failed to start meanwhile; nothing but inspection tells.
    assert_eq!(engine.count("GET /containers/"), 2 + 6 + 3);
}

#[tokio::test]
async fn what_we_touched_is_inspected_again() {
    let engine = start(&all_recorded());
    let runtime = engine.runtime();
    let listed = runtime.list(&instance()).await.unwrap();
    let running = listed.iter().find(|container| container.name == "recorded-run").unwrap();
    let path = format!("GET /containers/{}/json", running.id);
    assert_eq!(engine.count(&path), 1);
    // It answers 404, which is success; what matters is that a stop was tried.
    runtime.stop(&running.id, None, GRACE).await.unwrap();
    runtime.list(&instance()).await.unwrap();
    assert_eq!(engine.count(&path), 2);
}

#[tokio::test]
async fn what_vanishes_between_list_and_inspection_is_left_out() {
    let mut answers = all_recorded();
    answers.retain(|(request, _)| !request.contains("61413820610f"));
    let listed = start(&answers).runtime().list(&instance()).await.unwrap();
    assert_eq!(listed.len(), 5);
}

#[tokio::test]
async fn an_engine_that_ignores_the_filter_shows_nothing_foreign() {
    let engine = start(&all_recorded());
    let stranger = InstanceName::parse("stranger").unwrap();
    assert_eq!(engine.runtime().list(&stranger).await.unwrap(), []);
}

#[tokio::test]
async fn a_failing_inspection_fails_the_list_rather_than_hiding_a_container() {
    let mut answers = all_recorded();
    for (_, answer) in answers.iter_mut().skip(1).take(1) {
        *answer = status(500);
    }
    let error = start(&answers).runtime().list(&instance()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Failed { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_so_already_is_success() {
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
        let asked = engine.last("DELETE /containers/x");
        assert!(asked.contains("force=true") && asked.contains("v=true"), "{asked}");
    }
    let engine = RecordedEngine::start(&[("DELETE /containers/x", status(500))]);
    let error = engine.runtime().remove(&id("x")).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "the container engine failed to remove container `x`: the engine's own text"
    );
}

#[tokio::test]
async fn a_start_that_was_tried_is_told_from_one_that_was_not() {
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
async fn a_stop_by_a_signal_sends_it_by_itself_and_kills_after_the_grace() {
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
async fn a_pull_that_fails_in_its_stream_is_an_image_error() {
    let stream = "{\"status\":\"Pulling from x\",\"id\":\"1\"}\r\n\
                  {\"errorDetail\":{\"message\":\"manifest unknown\"},\"error\":\"manifest unknown\"}\r\n";
    for (answer, text) in [
        (ok(stream), "manifest unknown"),
        (status(404), "the engine's own text"),
        (status(500), "the engine's own text"),
    ] {
        let engine = RecordedEngine::start(&[("POST /images/create", answer)]);
        let image = ImageRef::parse("web").unwrap();
        let error = engine.runtime().ensure_image(&image, PullPolicy::Missing).await.unwrap_err();
        assert!(matches!(error, RuntimeError::Image { .. }), "{error:?}");
        let expected = format!(
            "image `web` not found: it is not on this engine, and cannot be pulled: {text}"
        );
        assert!(error.to_string().starts_with(&expected), "{error}");
        let asked = engine.last("POST /images/create");
        assert!(asked.contains("fromImage=web%3Alatest"), "one tag and not all: {asked}");
    }
}

#[tokio::test]
async fn why_an_image_cannot_be_pulled_is_told_by_the_registrys_status() {
    let image = ImageRef::parse("r.test/web:1").unwrap();
    let no_credentials = r#"{"message": "Head \"https://r.test\": no basic auth credentials"}"#;
    let registry = "GET /distribution/r.test/web:1/json";
    for (pull, asked, expected) in [
        (status(500), status(404), "image `r.test/web:1` not found: "),
        (status(404), status(401), "no rights to pull image `r.test/web:1`: "),
        (status(500), status(403), "no rights to pull image `r.test/web:1`: "),
        (status(500), status(500), "image `r.test/web:1` cannot be had: "),
        (status(500), ok("{}"), "image `r.test/web:1` cannot be had: "),
        (
            Answer::Whole(500, no_credentials.to_owned()),
            Answer::Whole(500, no_credentials.to_owned()),
            "no rights to pull image `r.test/web:1`: ",
        ),
    ] {
        let engine = RecordedEngine::start(&[("POST /images/create", pull), (registry, asked)]);
        let error = engine.runtime().ensure_image(&image, PullPolicy::Missing).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(engine.count(registry), 1);
    }
}

#[tokio::test]
async fn the_pull_policy_decides_who_is_asked() {
    let present = r#"{"Id": "sha256:1"}"#;
    for (policy, pulls) in
        [(PullPolicy::Missing, 0), (PullPolicy::Never, 0), (PullPolicy::Always, 1)]
    {
        let engine = RecordedEngine::start(&[
            ("GET /images/web:1/json", ok(present)),
            ("POST /images/create", ok("{\"status\":\"done\"}\n")),
        ]);
        let image = ImageRef::parse("web:1").unwrap();
        let found = engine.runtime().ensure_image(&image, policy).await.unwrap();
        assert_eq!(found.0, "sha256:1");
        assert_eq!(engine.count("POST /images/create"), pulls, "{policy:?}");
    }
    let engine = RecordedEngine::start(&[]);
    let image = ImageRef::parse("web:1").unwrap();
    let error = engine.runtime().ensure_image(&image, PullPolicy::Never).await.unwrap_err();
    assert!(error.to_string().contains("`pull: never` forbids"), "{error}");
    assert_eq!(engine.count("POST /images/create"), 0);
}

#[tokio::test]
async fn a_subnet_that_overlaps_is_passed_over() {
    let made = r#"{"Id": "new", "Warning": ""}"#;
    let listed = r#"[{"Id": "new", "Name": "dubernetes.recorded",
                      "Labels": {"dubernetes.instance": "recorded"}}]"#;
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok(recorded!("docker_20_10_networks"))),
        ("GET /networks", ok(listed)),
        ("POST /networks/create", status(403)),
        ("POST /networks/create", status(500)),
        ("POST /networks/create", ok(made)),
        ("GET /networks/new", ok(recorded!("docker_20_10_network"))),
    ]);
    let network = engine.runtime().ensure_network(&instance()).await.unwrap();
    assert_eq!(network.subnet.to_string(), "10.201.8.0/22", "the subnet is read back");
    assert_eq!(engine.count("POST /networks/create"), 3);
}

#[tokio::test]
async fn an_engine_that_takes_no_subnet_is_not_asked_for_ever() {
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("POST /networks/create", status(403)),
    ]);
    let error = engine.runtime().ensure_network(&instance()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert_eq!(engine.count("POST /networks/create"), 64);
}

#[tokio::test]
async fn of_two_networks_made_at_once_the_older_stays() {
    let both = r#"[
        {"Id": "new", "Name": "dubernetes.recorded", "Created": "2026-01-02T00:00:00Z",
         "Labels": {"dubernetes.instance": "recorded"}},
        {"Id": "old", "Name": "dubernetes.recorded", "Created": "2026-01-01T00:00:00Z",
         "Labels": {"dubernetes.instance": "recorded"}}]"#;
    let old = r#"{"Id": "old", "IPAM": {"Config": [{"Subnet": "10.202.0.0/22"}]}}"#;
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok("[]")),
        ("GET /networks", ok(both)),
        ("POST /networks/create", ok(r#"{"Id": "new", "Warning": ""}"#)),
        ("GET /networks/old", ok(old)),
        ("DELETE /networks/new", Answer::Whole(204, String::new())),
    ]);
    assert_eq!(engine.runtime().ensure_network(&instance()).await.unwrap().id, "old");
    assert_eq!(engine.count("DELETE /networks/new"), 1);
}

#[tokio::test]
async fn of_two_that_want_the_network_at_once_one_makes_it() {
    let made = r#"[{"Id": "new", "Name": "dubernetes.recorded",
                    "Labels": {"dubernetes.instance": "recorded"}}]"#;
    let empty = || ("GET /networks", ok("[]"));
    let engine = RecordedEngine::start(&[
        // Each looks; then the one that goes ahead looks again, and lists the subnets.
        empty(),
        empty(),
        empty(),
        empty(),
        ("GET /networks", ok(made)),
        ("POST /networks/create", ok(r#"{"Id": "new", "Warning": ""}"#)),
        ("GET /networks/new", ok(recorded!("docker_20_10_network"))),
    ]);
    let (runtime, instance) = (engine.runtime(), instance());
    let (one, other) =
        tokio::join!(runtime.ensure_network(&instance), runtime.ensure_network(&instance));
    assert_eq!(one.unwrap().id, other.unwrap().id);
    assert_eq!(engine.count("POST /networks/create"), 1);
}

#[tokio::test]
async fn a_name_that_a_stranger_has_is_reported() {
    let engine = RecordedEngine::start(&[
        ("GET /networks", ok("[]")),
        ("POST /networks/create", status(409)),
    ]);
    let error = engine.runtime().ensure_network(&instance()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert_eq!(engine.count("POST /networks/create"), 1);
}

#[tokio::test]
async fn what_a_container_uses_is_read_and_a_stopped_one_is_refused() {
    let of = async |recorded: &str| {
        let engine = RecordedEngine::start(&[("GET /containers/x/stats", ok(recorded))]);
        engine.runtime().stats(&id("x")).await
    };
    let stats = of(recorded!("docker_20_10_stats")).await.unwrap();
    assert!(stats.memory_bytes > 0 && stats.cpu_nanos > 0, "{stats:?}");
    let stopped = of(recorded!("docker_20_10_stats_stopped")).await.unwrap_err();
    assert!(matches!(stopped, RuntimeError::Rejected { .. }), "{stopped:?}");
}

#[tokio::test]
async fn no_answer_is_told_from_one_that_cannot_be_read() {
    let engine = RecordedEngine::start(&[
        ("GET /containers/json", Answer::HangUp),
        ("GET /version", ok("this is not JSON")),
        ("GET /containers/x/json", ok("{}")),
    ]);
    let runtime = engine.runtime();
    assert!(runtime.list(&instance()).await.unwrap_err().is_unreachable());
    for error in
        [runtime.version().await.unwrap_err(), runtime.inspect(&id("x")).await.unwrap_err()]
    {
        assert!(matches!(error, RuntimeError::Failed { .. }), "{error:?}");
    }
    drop(engine);
    assert!(runtime.list(&instance()).await.unwrap_err().is_unreachable());
}

#[tokio::test]
async fn events_are_read_until_one_cannot_be() {
    let stream = "{\"Type\":\"container\",\"Action\":\"exec_start: sh\",\"Actor\":{\"ID\":\"a\"}}\n\
                  {\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"a\",\"Attributes\":\
                  {\"dubernetes.instance\":\"recorded\",\"exitCode\":\"1\"}}}\nnonsense\n";
    let engine = RecordedEngine::start(&[("GET /_ping", ok("OK")), ("GET /events", ok(stream))]);
    let events = engine.runtime().events(&instance()).await.unwrap();
    let events: Vec<_> = events.collect().await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].as_ref().unwrap().action, "die");
    assert!(matches!(events[1], Err(RuntimeError::Failed { .. })), "{events:?}");
    let asked = engine.last("GET /events");
    assert!(
        asked.contains("dubernetes.instance%3Drecorded") && asked.contains("since="),
        "{asked}"
    );
    drop(engine);
}

#[tokio::test]
async fn events_of_an_engine_that_is_away_fail_at_once() {
    let engine = RecordedEngine::start(&[("GET /_ping", Answer::HangUp)]);
    let Err(error) = engine.runtime().events(&instance()).await else { panic!("it is away") };
    assert!(error.is_unreachable(), "{error:?}");
}
