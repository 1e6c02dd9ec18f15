//! `--runtime process`: programs as processes, routed by the orchestrator itself. No engine is
//! needed.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dubernetes_tests::checks::{SOON, ensure, eventually};
use dubernetes_tests::http::{self, Request};
use dubernetes_tests::load::Load;
use dubernetes_tests::port::Port;
use dubernetes_tests::program::{CommandResult, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dubernetes-under-test");
const HOST: &str = "whoami.local";

/// An instance of processes, whose orchestrator and processes end with it.
pub(crate) struct Instance {
    folder: TempDir,
    port: Port,
}

impl Instance {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port: Port::take() }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DUBERNETES_") {
                command.env_remove(name);
            }
        }
        command.env("DOCKER_HOST", "unix:///nonexistent/engine.sock").stdin(Stdio::null());
        command.env("DUBERNETES_STATE_DIR", self.state());
        command.env("DUBERNETES_HTTP_PORT", self.port.number.to_string());
        command.args(words).kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, words: &[&str]) -> CommandResult {
        run(self.command(words), format!("dubernetes {}", words.join(" ")), "").await
    }

    fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Returns the path of a file of the instance.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an orchestrator. Its output goes to a file.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        let output = File::create(self.folder.path().join("output")).unwrap();
        let mut command = self.command(words);
        command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap()
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap()
    }

    /// Writes a manifest of three replicas of the program of the examples.
    pub(crate) fn write(&self, more: &str) -> String {
        // Cargo builds it beside the program under test.
        let program = Path::new(PROGRAM).with_file_name("whoami");
        assert!(program.exists(), "build the whole workspace: {} is missing", program.display());
        let path = self.folder.path().join("app.yaml");
        let text = format!(
            "name: whoami\nprogram: {}\nreplicas: 3\naccess: {{ host: {HOST} }}\n\
             rollout: {{ min_ready: 100ms }}\n{more}",
            program.display()
        );
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Returns the ids of all processes by pod.
    fn pids(&self) -> BTreeMap<String, i32> {
        let files = fs::read_dir(self.state().join("processes")).into_iter().flatten();
        let records = files.filter_map(|file| {
            let path = file.unwrap().path();
            let is_record = path.extension().is_some_and(|end| end == "json");
            let text = is_record.then(|| fs::read_to_string(path).ok())??;
            let record: Value = serde_json::from_str(&text).unwrap();
            let pid = record["process"]["pid"].as_i64()?;
            let name = record["container"]["name"].as_str().unwrap();
            Some((name.to_owned(), i32::try_from(pid).unwrap()))
        });
        records.collect()
    }

    /// Waits until three replicas of a revision, and no others, answer.
    pub(crate) async fn until_three_answer(&self, revision: &str) {
        eventually("three replicas answer", 3 * SOON, async || {
            let mut answered = BTreeSet::new();
            for _ in 0..9 {
                let answer = http::once(self.port.number, Request::get(HOST, "/")).await?;
                let field = |name| answer.field(name).unwrap_or_default();
                ensure(field("Revision") == revision, answer.text())?;
                answered.insert(field("Replica"));
            }
            ensure(answered.len() == 3, &answered)
        })
        .await;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for pid in self.pids().into_values() {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn is_running(pid: i32) -> bool {
    // One that its parent has not waited for has ended.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn programs_are_routed_healed_updated_and_adopted_without_an_engine() {
    let instance = Instance::new();
    let file = instance.write("");
    let metrics = Port::take();
    let listen = format!("127.0.0.1:{}", metrics.number);
    let mut up =
        instance.start(&["up", "--runtime", "process", "--metrics-listen", &listen, &file]);
    instance.until_three_answer("1").await;
    assert!(instance.output().contains(&format!(", metrics http://{listen}/metrics")));

    let (name, killed) = instance.pids().pop_first().unwrap();
    kill_process(Pid::from_raw(killed).unwrap(), Signal::KILL).unwrap();
    eventually("the killed replica is replaced", 3 * SOON, async || {
        let pids = instance.pids();
        ensure(pids.len() == 3 && !pids.contains_key(&name), instance.output())
    })
    .await;
    instance.until_three_answer("1").await;
    let logs = instance.run(&["logs", "whoami-1"]).await.assert_success();
    assert!(logs.stdout.contains("listening"), "{}", logs.stdout);

    let load = Load::start(instance.port.number, HOST, "whoami", 100);
    load.wait_for_requests(50).await;
    let file = instance.write("env: { WHOAMI_NAME: second }\n");
    let _ = instance.run(&["apply", &file]).await.assert_success();
    load.wait_for_requests(50).await;
    let tally = load.stop().await;
    assert_eq!(tally.failures, [], "no request fails in an update");
    instance.until_three_answer("2").await;
    check_metrics(metrics.number).await;

    let before = instance.pids();
    signal(&up, Signal::INT);
    assert!(up.wait().await.unwrap().success(), "{}", instance.output());
    assert!(instance.output().contains("nothing routes requests"), "{}", instance.output());
    assert!(before.values().all(|pid| is_running(*pid)), "processes outlive the orchestrator");
    assert!(http::once(instance.port.number, Request::get(HOST, "/")).await.is_err());
    assert!(http::once(metrics.number, Request::get("", "/metrics")).await.is_err());

    let mut serve = instance.start(&["serve", "--runtime", "process"]);
    instance.until_three_answer("2").await;
    assert_eq!(instance.pids(), before, "they are adopted, not replaced");
    let _ = instance.run(&["down", "--yes"]).await.assert_success();
    assert!(!before.values().any(|pid| is_running(*pid)), "nothing runs any more");
    signal(&serve, Signal::TERM);
    assert!(serve.wait().await.unwrap().success(), "{}", instance.output());
    assert!(!instance.output().contains("keep running"), "{}", instance.output());
}

/// Checks what is exported after an exit, an update and requests.
async fn check_metrics(port: u16) {
    let answer = http::once(port, Request::get("localhost", "/metrics")).await.unwrap();
    let kind = answer.header("content-type").unwrap();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let value = |series: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}: {text}")).parse::<f64>().unwrap()
    };
    for (series, expected) in [
        ("dubernetes_engine_up", 1.0),
        ("dubernetes_app_replicas_desired{app=\"whoami\"}", 3.0),
        ("dubernetes_restarts_total{app=\"whoami\"}", 1.0),
        ("dubernetes_rollouts_total{app=\"whoami\",outcome=\"failed\"}", 0.0),
        ("dubernetes_ingress_request_metrics_available", 1.0),
        ("dubernetes_ingress_requests_total{app=\"whoami\",code=\"5xx\"}", 0.0),
    ] {
        assert_eq!(value(series), expected, "{series}");
    }
    let answered = value("dubernetes_ingress_requests_total{app=\"whoami\",code=\"2xx\"}");
    assert!(answered > 100.0, "{answered}");
    let other = http::once(port, Request::get("localhost", "/")).await.unwrap();
    assert_eq!(other.status, 404);
}

#[tokio::test]
async fn what_cannot_work_with_processes_is_refused_with_the_reason() {
    let instance = Instance::new();
    for (words, expected) in [
        (
            &["--ingress", "nginx"][..],
            "the ingress `nginx` cannot run on processes of this machine: it needs container",
        ),
        (&["--https-port", "8443"], "`--https-port` has no effect without `--ingress nginx`"),
        (&["--engine", "unix:///x"], "`--engine` has no effect without `--runtime docker`"),
    ] {
        let words: Vec<_> =
            ["serve", "--runtime", "process"].iter().chain(words).copied().collect();
        let refused = instance.run(&words).await.assert_code(2);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    let taken = Port::take();
    let listen = format!("127.0.0.1:{}", taken.number);
    let _listener = std::net::TcpListener::bind(&listen).unwrap();
    let words = ["serve", "--runtime", "process", "--metrics-listen", &listen];
    let fresh = Instance::new();
    let refused = fresh.run(&words).await.assert_code(1);
    let expected = format!("cannot serve metrics at {listen}: ");
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    assert!(!fresh.state().exists(), "nothing was started");

    let serve = instance.start(&["serve", "--runtime", "process"]);
    eventually("the orchestrator answers", SOON, async || {
        ensure(instance.state().join("dubernetes.sock").exists(), instance.output())
    })
    .await;
    for (key, expected) in [
        ("image: web:1", "write `program: PATH` instead"),
        ("program: sh\nuser: \"1000\"", "user: needs container options"),
        ("program: sh\nports: [\"5432:5432\"]", "ports: needs planned addresses"),
        ("program: sh\naccess: { host: a.test, tls: internal }", "takes no requests over HTTPS"),
    ] {
        let path = instance.folder.path().join("bad.yaml");
        fs::write(&path, format!("name: bad\n{key}\n")).unwrap();
        let refused = instance.run(&["apply", path.to_str().unwrap()]).await.assert_code(1);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    let path = instance.path("gone.yaml");
    fs::write(&path, "name: gone\nprogram: /nonexistent/program\n").unwrap();
    let _ = instance.run(&["apply", "--detach", path.to_str().unwrap()]).await.assert_success();
    eventually("the program is missing", SOON, async || {
        let events = instance.run(&["events", "gone"]).await.stdout;
        let is_named = events.contains("ProgramMissing") && events.contains("/nonexistent/program");
        ensure(is_named, events)
    })
    .await;
    drop(serve);
}
