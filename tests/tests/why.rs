//! Twelve ways in which an app does not come up, and that its cause is said wherever one looks:
//! in the first line of `why`, in the reason of `get apps`, in the status of `describe`, and by
//! `apply` itself.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use std::time::{Duration, Instant};

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::program::Ran;
use dubernetes_tests::registry::{Registry, Says};
use dubernetes_tests::{Scenario, app, busybox, eventually, here, whoami};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Far more than `why` should take on a machine that does nothing else.
const LIMIT: Duration = Duration::from_secs(5);

/// All of `texts` are in the line, or what is there instead.
fn names(line: &str, texts: &[&str]) -> Result<(), String> {
    expect(texts.iter().all(|text| line.contains(text)), format!("{texts:?} in {line}"))
}

/// The line of `text` that begins with `start`.
fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(start)).unwrap_or("there is no such line")
}

/// Whoever asks is told all of `texts` in the first place; what `why` printed then.
async fn is_said(s: &Scenario, app: &str, texts: &[&str]) -> String {
    let why = eventually(&format!("the cause of {app} is said"), SOON, async || {
        let why = s.run(&["why", app]).await.succeeds().stdout;
        names(why.lines().next().unwrap_or_default(), texts)?;
        let apps = s.run(&["get", "apps"]).await.succeeds().stdout;
        names(line(&apps, app), texts)?;
        let described = s.run(&["describe", app]).await.succeeds().stdout;
        names(line(&described, "Status:"), texts)?;
        Ok(why)
    })
    .await;
    for step in ["desired", "observed", "rule", "decision", "next"] {
        assert!(why.contains(&format!("\n  {step}  ")), "`{step}` is missing in:\n{why}");
    }
    let json = s.run(&["why", app, "-o", "json"]).await.succeeds().json();
    assert_eq!((&json["kind"], &json["name"]), (&"app".into(), &app.into()));
    assert!(json["chain"].as_array().is_some_and(|chain| chain.len() >= 5), "{json}");
    is_fast(s, app).await;
    why
}

/// The orchestrator explains an app in no time: the best of five, since the machine has other
/// work to do.
async fn is_fast(s: &Scenario, app: &str) {
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

/// A measurement is worth nothing if nobody sees it.
#[expect(clippy::print_stderr, reason = "the test runner shows it with the test")]
fn report(text: &str) {
    eprintln!("{text}");
}

/// An apply that fails and says why; then everybody says so.
async fn fails(s: &Scenario, manifest: &Manifest, texts: &[&str]) -> (Ran, String) {
    s.serve().await;
    let applied = s.try_apply(manifest).await.fails(1);
    names(line(&applied.stderr, "error:"), texts).unwrap();
    let why = is_said(s, &manifest.name, texts).await;
    (applied, why)
}

#[test]
fn an_image_that_nobody_has() {
    here!().run(async |s| {
        let registry = Registry::start(Says::NoSuchImage).await;
        let image = registry.image("none");
        let text = format!("image `{image}` not found");
        let (_, why) = fails(s, &app("web", &image, 1), &[&text]).await;
        assert!(why.contains("help: correct `image`"), "{why}");
    });
}

#[test]
fn an_image_that_one_may_not_have() {
    here!().run(async |s| {
        let registry = Registry::start(Says::WhoAsks).await;
        let image = registry.image("private");
        let text = format!("no rights to pull image `{image}`");
        let (_, why) = fails(s, &app("web", &image, 1), &[&text]).await;
        let login = format!("docker login {}", image.split('/').next().unwrap());
        assert!(why.contains(&login), "{why}");

        let registry = Registry::start(Says::Forbidden).await;
        let image = registry.image("private");
        let text = format!("no rights to pull image `{image}`");
        let applied = s.try_apply(&app("api", &image, 1)).await.fails(1);
        names(line(&applied.stderr, "error:"), &[&text]).unwrap();
        is_said(s, "api", &[&text]).await;
    });
}

#[test]
fn a_wrong_port() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).host("web.test").with("port: 81");
        let path = s.file("web.yaml", &web.to_string());
        let applied = s.run(&["apply", &path, "--timeout", "8s"]).await.fails(4);
        let texts = ["nothing listens on port 81; the process listens on 80"];
        names(line(&applied.stderr, "  now:"), &texts).unwrap();
        let why = is_said(s, "web", &texts).await;
        assert!(why.contains("port: N"), "{why}");
        let pod = s.run(&["why", "web-1"]).await.succeeds().stdout;
        names(line(&pod, "web-1 is"), &texts).unwrap();

        // It listens where it should, and nobody reaches it there.
        let inside = busybox("inside", 1, "exec httpd -f -p 127.0.0.1:80 -h /").host("in.test");
        s.apply_detached(&inside).await;
        is_said(s, "inside", &["port 80 of 127.0.0.1 only"]).await;
    });
}

#[test]
fn too_little_memory() {
    here!().run(async |s| {
        let hungry = busybox("hungry", 1, "x=xxxxxxxxxxxxxxxx; while true; do x=$x$x; done");
        let hungry = hungry.with("resources: { memory: 8Mi }");
        fails(s, &hungry, &["hungry-1", ", limit 8Mi"]).await;
        // Its next try may run for a moment.
        eventually("the help is told", SOON, async || {
            let why = s.run(&["why", "hungry"]).await.succeeds().stdout;
            names(&why, &["help: raise `resources.memory`"])
        })
        .await;
    });
}

#[test]
fn a_crash_loop() {
    here!().run(async |s| {
        let script = "echo starting; echo 'Error: DATABASE_URL is not set' >&2; exit 7";
        let (applied, _) =
            fails(s, &busybox("worker", 1, script), &["worker-1", "exit code 7 after"]).await;
        assert!(applied.stderr.contains("| Error: DATABASE_URL is not set"), "{}", applied.stderr);
        // While it waits for its next try, its last lines and that time are told.
        eventually("the next try is told", SOON, async || {
            let why = s.run(&["why", "worker"]).await.succeeds().stdout;
            let apps = s.run(&["get", "apps"]).await.succeeds().stdout;
            names(
                &why,
                &["| Error: DATABASE_URL is not set", "wait, then restart worker-1", "UTC, in "],
            )?;
            names(line(&apps, "worker"), &["exit code 7"])?;
            Ok(why)
        })
        .await;
        let json = s.run(&["why", "pod/worker-1", "-o", "json"]).await.succeeds().json();
        assert_eq!(json["kind"], "pod", "{json}");
        assert!(json["cause"].as_str().unwrap().contains("exit code 7"), "{json}");
    });
}

#[test]
fn a_command_that_is_not_there() {
    here!().run(async |s| {
        let web = whoami("web", 1).with("command: [/nosuch]");
        let (applied, why) = fails(s, &web, &["web-1", "not found"]).await;
        assert!(applied.stderr.contains("/nosuch"), "{}", applied.stderr);
        assert!(why.contains("help: correct `command`"), "{why}");
        eventually("its name is told", SOON, async || {
            names(&s.run(&["why", "web"]).await.succeeds().stdout, &["/nosuch"])
        })
        .await;
    });
}

#[test]
fn a_host_that_another_app_has() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("blog", 1).host("blog.test")).await;
        let texts = ["the host `blog.test` is taken by app `blog`"];
        let refused = s.try_apply(&whoami("web", 1).host("blog.test")).await.fails(1);
        names(line(&refused.stderr, "error:"), &texts).unwrap();
        // Nothing of it is stored; who asks is told all the same.
        for question in [&["why", "web"][..], &["get", "apps", "web"], &["describe", "web"]] {
            let answer = s.run(question).await.fails(1);
            names(line(&answer.stderr, "error:"), &texts).unwrap();
        }
        assert!(s.replicas("web").await.is_empty());
    });
}

#[test]
fn a_port_of_the_machine_that_somebody_else_has() {
    here!().run(async |s| {
        let squatter = std::net::TcpListener::bind(("127.0.0.1", s.port)).unwrap();
        let port = format!("port {} on 127.0.0.1, which the ingress needs, is taken by", s.port);
        let who = format!("(process {})", std::process::id());
        let web = whoami("web", 1).host("web.test");
        let (_, why) = fails(s, &web, &[&port, &who]).await;
        assert!(why.contains("--http-port"), "{why}");
        drop(squatter);
        s.is_in("Ready", "web", Duration::from_secs(60)).await;
    });
}

#[test]
fn a_port_of_the_machine_that_a_container_publishes() {
    here!().run(async |s| {
        let publish = format!("127.0.0.1:{}:80", s.port);
        let id = s.foreign(&["-p", &publish, dubernetes_tests::manifest::WHOAMI]).await;
        dubernetes_tests::program::docker(&["start", &id]).await;
        let web = whoami("web", 1).host("web.test");
        fails(s, &web, &["which the ingress needs, is taken by a container at "]).await;
    });
}

#[test]
fn a_folder_that_is_not_there() {
    here!().run(async |s| {
        let web = whoami("web", 1).with("volumes: [\"/no/such/folder:/data:ro\"]");
        fails(s, &web, &["/no/such/folder", "does not exist"]).await;
    });
}

#[test]
fn an_engine_that_is_away() {
    here!().run(async |s| {
        let mut door = s.through_a_door().await;
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        door.shut().await;
        let texts = ["the container engine at", "does not answer"];
        let why = is_said(s, "web", &texts).await;
        assert!(why.contains("the routes stay as they are"), "{why}");
        s.answers("web.test", "web").await;
        let path = s.file("more.yaml", &whoami("web", 2).host("web.test").to_string());
        let applied = s.run(&["apply", &path, "--timeout", "3s"]).await.fails(4);
        names(line(&applied.stderr, "  now:"), &texts).unwrap();
        door.open().await;
        s.is_in("Ready", "web", SOON).await;
    });
}

#[test]
fn a_probe_that_is_answered_badly() {
    here!().run(async |s| {
        let web = whoami("web", 1)
            .host("web.test")
            .with("health: { http: '/data?unit=x' }\nrollout: { progress_deadline: 4s }");
        let texts = ["GET :80/data?unit=x", "answered with status 400", "the unit is one of"];
        let (_, why) = fails(s, &web, &texts).await;
        assert!(why.contains("web-1"), "{why}");
        let described = s.run(&["describe", "web-1"]).await.succeeds().stdout;
        assert!(described.contains("status 400"), "the last answers are shown:\n{described}");
    });
}

#[test]
fn a_start_that_takes_longer_than_the_deadline() {
    here!().run(async |s| {
        let web = whoami("web", 1)
            .host("web.test")
            .with("env: { WHOAMI_START_DELAY: 60s }\nrollout: { progress_deadline: 4s }");
        fails(s, &web, &["no progress within 4s", "nothing listens on port 80"]).await;
    });
}

#[test]
fn a_secret_whose_file_is_missing() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).with("env: { PASSWORD: { file: ./no-such-file } }");
        let refused = s.try_apply(&web).await.fails(1);
        let first = line(&refused.stderr, "error:");
        names(first, &["`./no-such-file` cannot be read", "no such file"]).unwrap();
        assert!(refused.stderr.contains(" --> "), "its place is told:\n{}", refused.stderr);
        assert!(s.run(&["get", "apps"]).await.succeeds().stdout.is_empty(), "nothing was sent");
    });
}
