//! Failures of an app, each with the same cause in every command: the first line of `why`, the
//! reason in `get apps`, the status in `describe`, and the error of `apply`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::{Duration, Instant};

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::program::CommandResult;
use dubernetes_tests::registry::{Registry, Reply};
use dubernetes_tests::{Scenario, app, busybox, e2e, eventually, whoami};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Time limit for `why`, with a wide margin for a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Checks that the line contains all texts.
fn ensure_contains(line: &str, texts: &[&str]) -> Result<(), String> {
    ensure(texts.iter().all(|text| line.contains(text)), format!("{texts:?} in {line}"))
}

/// Returns the first line of `text` that starts with `start`.
fn find_line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(start)).unwrap_or("no such line")
}

/// Waits until `why`, `get apps` and `describe` show a cause with all texts, and returns the output
/// of `why`.
async fn wait_for_cause(s: &Scenario, app: &str, texts: &[&str]) -> String {
    let why = eventually(&format!("every command shows the cause of {app}"), SOON, async || {
        let why = s.run(&["why", app]).await.assert_success().stdout;
        ensure_contains(why.lines().next().unwrap_or_default(), texts)?;
        let apps = s.run(&["get", "apps"]).await.assert_success().stdout;
        ensure_contains(find_line(&apps, app), texts)?;
        let described = s.run(&["describe", app]).await.assert_success().stdout;
        ensure_contains(find_line(&described, "Status:"), texts)?;
        Ok(why)
    })
    .await;
    for step in ["desired", "observed", "rule", "decision", "next"] {
        assert!(why.contains(&format!("\n  {step}  ")), "`{step}` is missing in:\n{why}");
    }
    let json = s.run(&["why", app, "-o", "json"]).await.assert_success().json();
    assert_eq!((&json["kind"], &json["name"]), (&"app".into(), &app.into()));
    assert!(json["chain"].as_array().is_some_and(|chain| chain.len() >= 5), "{json}");
    assert_why_is_fast(s, app).await;
    why
}

/// Asserts that the API explains an app within [`LIMIT`], in the fastest of five requests.
async fn assert_why_is_fast(s: &Scenario, app: &str) {
    let request =
        format!("GET /v1/apps/{app}/why HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut took = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let mut stream = UnixStream::connect(s.state_dir().join("dubernetes.sock")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        took.push(start.elapsed());
    }
    took.sort();
    report(&format!("why {app}: {took:?}"));
    assert!(took[0] < LIMIT, "{took:?}");
}

/// Prints a measurement.
#[expect(clippy::print_stderr, reason = "the test runner captures only the print macros")]
fn report(text: &str) {
    eprintln!("{text}");
}

/// Applies a manifest and asserts that `apply` and then all other commands show a cause with all
/// texts.
async fn assert_fails_with(
    s: &Scenario,
    manifest: &Manifest,
    texts: &[&str],
) -> (CommandResult, String) {
    s.serve().await;
    let applied = s.try_apply(manifest).await.assert_code(1);
    ensure_contains(find_line(&applied.stderr, "error:"), texts).unwrap();
    let why = wait_for_cause(s, &manifest.name, texts).await;
    (applied, why)
}

#[test]
fn why_names_missing_image() {
    e2e!().run(async |s| {
        let registry = Registry::start(Reply::NotFound).await;
        let image = registry.image_ref("none");
        let text = format!("image `{image}` not found");
        let (_, why) = assert_fails_with(s, &app("web", &image, 1), &[&text]).await;
        assert!(why.contains("help: correct `image`"), "{why}");
    });
}

#[test]
fn why_names_denied_image() {
    e2e!().run(async |s| {
        let registry = Registry::start(Reply::Unauthorized).await;
        let image = registry.image_ref("private");
        let text = format!("no rights to pull image `{image}`");
        let (_, why) = assert_fails_with(s, &app("web", &image, 1), &[&text]).await;
        let login = format!("docker login {}", image.split('/').next().unwrap());
        assert!(why.contains(&login), "{why}");

        let registry = Registry::start(Reply::Forbidden).await;
        let image = registry.image_ref("private");
        let text = format!("no rights to pull image `{image}`");
        let applied = s.try_apply(&app("api", &image, 1)).await.assert_code(1);
        ensure_contains(find_line(&applied.stderr, "error:"), &[&text]).unwrap();
        wait_for_cause(s, "api", &[&text]).await;
    });
}

#[test]
fn why_names_port_that_process_listens_on() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).host("web.test").with("port: 81");
        let path = s.write_file("web.yaml", &web.to_string());
        let applied = s.run(&["apply", &path, "--timeout", "8s"]).await.assert_code(4);
        let texts = ["nothing listens on port 81; the process listens on 80"];
        ensure_contains(find_line(&applied.stderr, "  now:"), &texts).unwrap();
        let why = wait_for_cause(s, "web", &texts).await;
        assert!(why.contains("set `port`"), "{why}");
        let pod = s.run(&["why", "web-1"]).await.assert_success().stdout;
        ensure_contains(find_line(&pod, "web-1 is"), &texts).unwrap();

        // The right port, but only on the loopback address.
        let inside = busybox("inside", 1, "exec httpd -f -p 127.0.0.1:80 -h /").host("in.test");
        s.apply_detached(&inside).await;
        wait_for_cause(s, "inside", &["port 80 of 127.0.0.1 only"]).await;
    });
}

#[test]
fn why_names_memory_limit() {
    e2e!().run(async |s| {
        let hungry = busybox("hungry", 1, "x=xxxxxxxxxxxxxxxx; while true; do x=$x$x; done");
        let hungry = hungry.with("resources: { memory: 8Mi }");
        assert_fails_with(s, &hungry, &["hungry-1", ", limit 8Mi"]).await;
        // The next restart may be running for a moment.
        eventually("`why` shows the help", SOON, async || {
            let why = s.run(&["why", "hungry"]).await.assert_success().stdout;
            ensure_contains(&why, &["help: raise `resources.memory`"])
        })
        .await;
    });
}

#[test]
fn why_names_exit_code_and_output_of_crash_loop() {
    e2e!().run(async |s| {
        let script = "echo starting; echo 'Error: DATABASE_URL is not set' >&2; exit 7";
        let (applied, _) =
            assert_fails_with(s, &busybox("worker", 1, script), &["worker-1", "exit code 7 after"])
                .await;
        assert!(applied.stderr.contains("| Error: DATABASE_URL is not set"), "{}", applied.stderr);
        // During back-off `why` shows the last log lines and the time of the next restart.
        eventually("`why` shows the next restart", SOON, async || {
            let why = s.run(&["why", "worker"]).await.assert_success().stdout;
            let apps = s.run(&["get", "apps"]).await.assert_success().stdout;
            ensure_contains(
                &why,
                &["| Error: DATABASE_URL is not set", "wait, then restart worker-1", "UTC, in "],
            )?;
            ensure_contains(find_line(&apps, "worker"), &["exit code 7"])?;
            Ok(why)
        })
        .await;
        let json = s.run(&["why", "pod/worker-1", "-o", "json"]).await.assert_success().json();
        assert_eq!(json["kind"], "pod", "{json}");
        assert!(json["cause"].as_str().unwrap().contains("exit code 7"), "{json}");
    });
}

#[test]
fn why_names_missing_command() {
    e2e!().run(async |s| {
        let text = "program `/nosuch` cannot be run: no such file or directory";
        let web = whoami("web", 1).with("command: [/nosuch]");
        let (_, why) = assert_fails_with(s, &web, &["web-1", text]).await;
        assert!(why.contains("help: correct `command`"), "{why}");
        // Without the engine's init, the engine itself does not find it.
        let bare = whoami("bare", 1).with("command: [/nosuch]\ninit: false");
        s.apply_detached(&bare).await;
        wait_for_cause(s, "bare", &["bare-1", text]).await;
        // The same code of a program that ran has another text.
        let shell = busybox("shell", 1, "exit 127");
        s.apply_detached(&shell).await;
        wait_for_cause(s, "shell", &["shell-1: exit code 127 (by convention: it did not"]).await;
    });
}

#[test]
fn why_names_app_that_owns_host() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("blog", 1).host("blog.test")).await;
        let texts = ["the host `blog.test` is taken by app `blog`"];
        let refused = s.try_apply(&whoami("web", 1).host("blog.test")).await.assert_code(1);
        ensure_contains(find_line(&refused.stderr, "error:"), &texts).unwrap();
        // The refused app is not stored, but other commands show the refusal.
        for command in [&["why", "web"][..], &["get", "apps", "web"], &["describe", "web"]] {
            let answer = s.run(command).await.assert_code(1);
            ensure_contains(find_line(&answer.stderr, "error:"), &texts).unwrap();
        }
        assert!(s.containers_of("web").await.is_empty());
    });
}

#[test]
fn why_names_process_that_holds_ingress_port() {
    e2e!().run(async |s| {
        let listener = std::net::TcpListener::bind(("127.0.0.1", s.port)).unwrap();
        let port = format!("port {} on 127.0.0.1, which the ingress needs, is taken by", s.port);
        let process = format!("(process {})", std::process::id());
        let web = whoami("web", 1).host("web.test");
        let (_, why) = assert_fails_with(s, &web, &[&port, &process]).await;
        assert!(why.contains("--http-port"), "{why}");
        drop(listener);
        s.wait_for_phase("web", "Ready", Duration::from_secs(60)).await;
    });
}

#[test]
fn why_names_container_that_holds_ingress_port() {
    e2e!().run(async |s| {
        let publish = format!("127.0.0.1:{}:80", s.port);
        let id = s.create_container(&["-p", &publish, dubernetes_tests::manifest::WHOAMI]).await;
        dubernetes_tests::program::docker(&["start", &id]).await;
        let web = whoami("web", 1).host("web.test");
        assert_fails_with(s, &web, &["which the ingress needs, is taken by a container at "]).await;
    });
}

#[test]
fn why_names_missing_host_folder() {
    e2e!().run(async |s| {
        let web = whoami("web", 1).with("volumes: [\"/no/such/folder:/data:ro\"]");
        assert_fails_with(s, &web, &["/no/such/folder", "does not exist"]).await;
    });
}

#[test]
fn why_names_unreachable_engine() {
    e2e!().run(async |s| {
        let mut proxy = s.use_engine_proxy().await;
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        proxy.close().await;
        let texts = ["the container engine at", "does not answer"];
        let why = wait_for_cause(s, "web", &texts).await;
        assert!(why.contains("the routes stay as they are"), "{why}");
        s.assert_served_by("web.test", "web").await;
        let path = s.write_file("more.yaml", &whoami("web", 2).host("web.test").to_string());
        let applied = s.run(&["apply", &path, "--timeout", "3s"]).await.assert_code(4);
        ensure_contains(find_line(&applied.stderr, "  now:"), &texts).unwrap();
        proxy.open().await;
        s.wait_for_phase("web", "Ready", SOON).await;
    });
}

#[test]
fn why_names_failed_probe() {
    e2e!().run(async |s| {
        let web = whoami("web", 1)
            .host("web.test")
            .with("health: { http: '/data?unit=x' }\nrollout: { progress_deadline: 4s }");
        let texts = ["GET :80/data?unit=x", "returned status 400", "the unit is one of"];
        let (_, why) = assert_fails_with(s, &web, &texts).await;
        assert!(why.contains("web-1"), "{why}");
        let described = s.run(&["describe", "web-1"]).await.assert_success().stdout;
        assert!(described.contains("status 400"), "the probe results are missing:\n{described}");
    });
}

#[test]
fn why_names_exceeded_progress_deadline() {
    e2e!().run(async |s| {
        let web = whoami("web", 1)
            .host("web.test")
            .with("env: { WHOAMI_START_DELAY: 60s }\nrollout: { progress_deadline: 4s }");
        assert_fails_with(s, &web, &["no progress within 4s", "nothing listens on port 80"]).await;
    });
}

#[test]
fn apply_names_missing_secret_file() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).with("env: { PASSWORD: { file: ./no-such-file } }");
        let refused = s.try_apply(&web).await.assert_code(1);
        let first = find_line(&refused.stderr, "error:");
        ensure_contains(first, &["cannot read the file `./no-such-file`", "no such file"]).unwrap();
        assert!(refused.stderr.contains(" --> "), "the position is missing:\n{}", refused.stderr);
        assert!(
            s.run(&["get", "apps"]).await.assert_success().stdout.is_empty(),
            "the app was sent"
        );
    });
}
