//! What only processes have: programs, ports, groups, output in files, and adoption.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "common/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use dubernetes_core::app::{
    Artifact, ContainerOptions, ImageRef, InstanceName, PullPolicy, Secret, Signal,
};
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exit, LogLine,
    LogOptions, Logs, RuntimeError,
};
use dubernetes_process::ProcessRuntime;
use futures_util::TryStreamExt as _;
use support::{open, program};

/// Maximum time until something happens, for busy machines.
const LIMIT: Duration = Duration::from_secs(30);

async fn create(runtime: &ProcessRuntime, image: &Artifact) -> ContainerId {
    let id = runtime.resolve(image, PullPolicy::Missing).await.unwrap();
    let owner = (labels::INSTANCE.to_owned(), InstanceName::default().to_string());
    let request = ContainerRequest {
        labels: BTreeMap::from([owner]),
        args: vec!["one".to_owned()],
        env: BTreeMap::from([("PLAIN".to_owned(), "two".to_owned())]),
        secret_env: BTreeMap::from([("SECRET".to_owned(), Secret::new("three"))]),
        ..ContainerRequest::new("web-1", id.to_string())
    };
    runtime.create(&request).await.unwrap()
}

async fn start(runtime: &ProcessRuntime, image: &Artifact) -> ContainerId {
    let id = create(runtime, image).await;
    runtime.start(&id).await.unwrap();
    id
}

async fn until(
    runtime: &ProcessRuntime,
    id: &ContainerId,
    holds: impl Fn(&ContainerState) -> bool,
) -> Container {
    let seen = async {
        loop {
            let container = runtime.inspect(id).await.unwrap();
            if holds(&container.state) {
                return container;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("the state is reached")
}

async fn exit_code(runtime: &ProcessRuntime, id: &ContainerId) -> i64 {
    let ended = until(runtime, id, |state| matches!(state, ContainerState::Exited(_))).await;
    let ContainerState::Exited(exit) = ended.state else { panic!("it has ended") };
    exit.code
}

async fn read(runtime: &ProcessRuntime, id: &ContainerId, options: LogOptions) -> Vec<LogLine> {
    let lines = Logs::read(runtime, id, &options).await.unwrap();
    tokio::time::timeout(LIMIT, lines.try_collect()).await.unwrap().unwrap()
}

async fn texts(runtime: &ProcessRuntime, id: &ContainerId, options: LogOptions) -> Vec<String> {
    read(runtime, id, options).await.into_iter().map(|line| line.text).collect()
}

fn follow() -> LogOptions {
    LogOptions { follow: true, ..LogOptions::default() }
}

#[tokio::test]
async fn process_gets_arguments_environment_folder_and_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let image = program(
        folder.path(),
        "say",
        "echo $1 $PLAIN $SECRET $HOST; pwd; echo $PORT >&2; echo ${CARGO_MANIFEST_DIR-unset}\n\
         while [ ! -e go ]; do sleep 0.02; done; exit 3",
    );
    let runtime = open(folder.path());
    let id = start(&runtime, &image).await;
    let running =
        until(&runtime, &id, |state| matches!(state, ContainerState::Running { .. })).await;
    let port = running.endpoint.unwrap().port().to_string();
    std::fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(exit_code(&runtime, &id).await, 3);
    let own = folder.path().canonicalize().unwrap().display().to_string();
    let (errors, lines): (Vec<_>, Vec<_>) =
        read(&runtime, &id, follow()).await.into_iter().partition(|line| line.stderr);
    let texts = |lines: Vec<LogLine>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
    assert_eq!(texts(lines), ["one two three 127.0.0.1", &own, "unset"]);
    assert_eq!(texts(errors), [port]);
}

#[tokio::test]
async fn stop_ends_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    // The child ignores the signal that ends the first process.
    let script = "(trap '' TERM; echo $(exec sh -c 'echo $PPID'); sleep 86400) & wait";
    let id = start(&runtime, &program(folder.path(), "pair", script)).await;
    let child = tokio::time::timeout(LIMIT, async {
        loop {
            if let [pid] = &texts(&runtime, &id, LogOptions::default()).await[..] {
                return pid.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let path = Path::new("/proc").join(child.await.unwrap());
    assert!(path.exists());
    runtime.stop(&id, None, Duration::from_secs(10).try_into().unwrap()).await.unwrap();
    assert_eq!(exit_code(&runtime, &id).await, 143);
    let is_over = || {
        let status = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        status.is_empty() || status.contains(") Z ")
    };
    let gone = async {
        while !is_over() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the child ends");
}

#[tokio::test]
async fn next_runtime_adopts_what_runs_and_knows_what_ended() {
    let folder = tempfile::tempdir().unwrap();
    let image = program(folder.path(), "sleeper", "echo begun; exec sleep 86400");
    let former = open(folder.path());
    let id = start(&former, &image).await;
    let printed = async {
        while texts(&former, &id, LogOptions::default()).await != ["begun"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, printed).await.expect("the process runs");
    let before = former.inspect(&id).await.unwrap();
    // Both have the same records, as if the former one were gone.
    let next = open(folder.path());
    assert_eq!(next.list(&InstanceName::default()).await.unwrap(), [before]);
    next.signal(&id, Signal::SigKill).await.unwrap();
    assert_eq!(exit_code(&next, &id).await, Exit::UNKNOWN);
    assert_eq!(texts(&next, &id, LogOptions::default()).await, ["begun"]);
    assert_eq!(exit_code(&former, &id).await, 137);

    let later = open(folder.path());
    assert!(matches!(later.inspect(&id).await.unwrap().state, ContainerState::Exited(_)));
    let again = later.start(&id).await.unwrap_err();
    assert!(matches!(again, RuntimeError::Rejected { .. }), "{again}");
    later.remove(&id).await.unwrap();
    assert_eq!(open(folder.path()).list(&InstanceName::default()).await.unwrap(), []);
    assert_eq!(std::fs::read_dir(folder.path().join("processes")).unwrap().count(), 0);
}

#[tokio::test]
async fn other_process_with_the_same_id_is_not_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let image = program(folder.path(), "sleeper", "exec sleep 86400");
    let runtime = open(folder.path());
    let id = start(&runtime, &image).await;
    let record = folder.path().join("processes").join(format!("{id}.json"));
    let text = std::fs::read_to_string(&record).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let started = value["process"]["start"].as_str().unwrap().to_owned();
    value["process"]["start"] = format!("{started}0").into();
    std::fs::write(&record, value.to_string()).unwrap();

    let next = open(folder.path());
    assert_eq!(exit_code(&next, &id).await, Exit::UNKNOWN);
    next.remove(&id).await.unwrap();
    let still = runtime.inspect(&id).await.unwrap();
    assert!(matches!(still.state, ContainerState::Running { .. }), "it was not touched");
    runtime.signal(&id, Signal::SigKill).await.unwrap();
    assert_eq!(exit_code(&runtime, &id).await, 137);
}

#[tokio::test]
async fn container_that_was_not_started_is_a_failed_start_for_the_next_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let image = program(folder.path(), "sleeper", "exec sleep 86400");
    let id = create(&open(folder.path()), &image).await;
    let found = open(folder.path()).inspect(&id).await.unwrap();
    assert!(matches!(found.state, ContainerState::StartFailed { .. }), "{found:?}");
    let files = std::fs::read_dir(folder.path().join("processes")).unwrap();
    for file in files.map(|file| file.unwrap().path()) {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains("three"), "no secret is written: {text}");
    }
}

#[tokio::test]
async fn failed_start_names_program_and_cause_also_for_the_next_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let image = program(folder.path(), "app", "exit 0");
    let path = folder.path().join("app");
    let working_dir = folder.path().join("missing").to_str().unwrap().parse().unwrap();
    let runtime = open(folder.path());
    let id = runtime.resolve(&image, PullPolicy::Missing).await.unwrap();
    let request = ContainerRequest::new("web-1", id.to_string());
    let options = ContainerOptions { working_dir: Some(working_dir), ..Default::default() };
    let elsewhere = ContainerRequest { options, name: "web-2".into(), ..request.clone() };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    for (request, cause) in [(request, "Permission denied"), (elsewhere, "its folder")] {
        let id = runtime.create(&request).await.unwrap();
        let error = runtime.start(&id).await.unwrap_err().to_string();
        let expected = format!("program `{}` cannot be run: {cause}", path.display());
        assert!(error.contains(&expected), "{error}");
        let found = open(folder.path()).inspect(&id).await.unwrap().state;
        let ContainerState::StartFailed { error, .. } = found else { panic!("{found:?}") };
        assert!(error.contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn changed_program_has_another_id_and_the_former_one_cannot_be_created() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    let image = program(folder.path(), "app", "exit 0");
    let former = runtime.resolve(&image, PullPolicy::Missing).await.unwrap();
    program(folder.path(), "app", "exit 0 # newer");
    assert_ne!(runtime.resolve(&image, PullPolicy::Missing).await.unwrap(), former);
    let created = runtime.create(&ContainerRequest::new("web-1", former.to_string())).await;
    assert!(matches!(created, Err(RuntimeError::Image { .. })), "{created:?}");
    let container = ImageRef::parse("web:1").unwrap().into();
    let refused = runtime.resolve(&container, PullPolicy::Missing).await.unwrap_err();
    assert_eq!(refused.to_string(), "this runtime does not support container images");
}

#[tokio::test]
async fn output_is_bounded_and_read_by_tail_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    // 9 MB in lines of 100 bytes, in three parts: the files are looked at every second.
    let part = "i=0; while [ $i -lt 30 ]; do dd if=block bs=100000 2>/dev/null; i=$((i+1)); done";
    let script = format!("echo first; {part}; sleep 2.5; {part}; sleep 2.5; {part}; echo last");
    let line = format!("{}\n", "x".repeat(99));
    std::fs::write(folder.path().join("block"), line.repeat(1000)).unwrap();
    let before = jiff::Timestamp::now();
    let id = start(&runtime, &program(folder.path(), "loud", &script)).await;
    let followed = texts(&runtime, &id, follow()).await;
    assert_eq!(followed.last().map(String::as_str), Some("last"));
    assert!(followed.len() > 65_000, "{} of 90,002 lines were followed", followed.len());
    assert_eq!(exit_code(&runtime, &id).await, 0);
    let size: u64 = std::fs::read_dir(folder.path().join("processes"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size < 8 << 20, "{size} bytes are kept");
    let tail = LogOptions { tail: Some(1), ..LogOptions::default() };
    assert_eq!(texts(&runtime, &id, tail).await, ["last"]);
    let all = read(&runtime, &id, LogOptions::default()).await;
    assert!(all.is_sorted_by_key(|line| line.time) && all[0].time >= before);
    let reopened = read(&open(folder.path()), &id, LogOptions::default()).await;
    assert!(reopened.iter().map(|line| &line.text).eq(all.iter().map(|line| &line.text)));
    let since = LogOptions { since: all.last().map(|line| line.time), ..LogOptions::default() };
    let later = texts(&runtime, &id, since).await;
    assert!(later.len() < all.len() && later.last().map(String::as_str) == Some("last"));
}
