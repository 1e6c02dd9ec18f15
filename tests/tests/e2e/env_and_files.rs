//! `env`, `env_file` and `files`: contents reach the container unchanged, appear in no output, and
//! are part of the revision.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::Path;

use dubernetes_tests::checks::SOON;
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, busybox, e2e};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Prefix of every secret, plain and in base64.
const SECRET_MARKERS: [&str; 2] = ["canary-", "Y2FuYXJ5L"];

fn app(s: &Scenario, round: u32) -> Manifest {
    s.write_file("db-password", &format!("canary-value-{round}\n"));
    s.write_file("settings.env", &format!("# settings\nexport KEY=\"canary-line-{round}\"\n"));
    s.write_file("web.conf", &format!("canary-conf-{round}\n"));
    busybox("web", 1, "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done").with(
        "env: { PLAIN: seen, DB_PASSWORD: { file: ./db-password } }\n\
         env_file: settings.env\n\
         files: { /etc/web/web.conf: { file: ./web.conf, mode: '0400' } }",
    )
}

/// Returns the variables and the file as a process in the container sees them.
async fn contents_inside(id: &str) -> String {
    let script = "echo $PLAIN $DB_PASSWORD $KEY; cat /etc/web/web.conf";
    docker(&["exec", id, "sh", "-c", script]).await
}

fn expected_contents(round: u32) -> String {
    format!("seen canary-value-{round} canary-line-{round}\ncanary-conf-{round}")
}

/// Waits for a single replica and returns its container id.
async fn single_replica(s: &Scenario) -> String {
    s.wait_for_replicas("web", 1, SOON).await;
    s.running_pods("web").await.into_values().next().unwrap()
}

#[track_caller]
fn assert_no_secret(what: &str, text: &str) {
    for secret in SECRET_MARKERS {
        assert!(!text.contains(secret), "{what} shows a secret:\n{text}");
    }
}

/// Sends a request to the API and returns the raw answer.
async fn call_api(s: &Scenario, method: &str, path: &str, body: &str) -> String {
    let mut stream = UnixStream::connect(s.state_dir().join("dubernetes.sock")).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// Runs all commands and requests that show the app, and asserts that none shows a secret.
async fn assert_no_output_shows_secret(s: &Scenario, file: &str) {
    let commands: [&[&str]; 16] = [
        &["get", "app/web", "-o", "yaml"],
        &["get", "apps", "-o", "json"],
        &["get", "apps", "-o", "wide"],
        &["get", "pods", "-o", "json"],
        &["get", "revisions", "-o", "yaml"],
        &["get", "events", "-o", "json"],
        &["describe", "web"],
        &["describe", "web-1"],
        &["why", "web"],
        &["why", "web", "-o", "json"],
        &["logs", "web"],
        &["status", "-o", "json"],
        &["plan", file],
        &["plan", file, "-o", "json"],
        &["apply", "--dry-run", file],
        &["diff", file],
    ];
    for command in commands {
        let result = s.run(command).await;
        assert_no_secret(&result.line, &result.stdout);
        assert_no_secret(&result.line, &result.stderr);
    }
    for path in [
        "/v1/apps",
        "/v1/apps/web",
        "/v1/apps/web/revisions",
        "/v1/apps/web/decisions",
        "/v1/apps/web/history",
        "/v1/events",
        "/v1/pods",
    ] {
        let answer = call_api(s, "GET", path, "").await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert_no_secret(path, &answer);
    }
    for invalid in [
        r#"{"name":"web","image":"b","env":{"A":{"file":"a","content":"canary-no-base64"}}}"#,
        r#"{"name":"web","image":"b","env":{"A":{"file":5,"content":"Y2FuYXJ5LTE="}}}"#,
        r#"{"name":"web","image":"b","env":{"A":{"file":"a","content":"Y2FuYXJ5LTE="#,
    ] {
        let answer = call_api(s, "PUT", "/v1/apps/web", invalid).await;
        assert!(answer.starts_with("HTTP/1.0 4"), "{answer}");
        assert_no_secret("an error", &answer);
    }
}

#[test]
fn secret_reaches_container_and_appears_in_no_output() {
    e2e!().run(async |s| {
        // The most verbose level, also for libraries.
        s.serve_with(&[("DUBERNETES_LOG", "trace")]).await;
        let applied = s.apply(&app(s, 1)).await;
        assert_no_secret("apply", &format!("{}{}", applied.stdout, applied.stderr));
        let id = single_replica(s).await;
        assert_eq!(contents_inside(&id).await, expected_contents(1));
        let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &id]).await;
        assert_no_secret("a label", &labels);

        let changed = s.write_file("web.yaml", &app(s, 2).to_string());
        assert_no_output_shows_secret(s, &changed).await;
        let diff = s.run(&["diff", &changed]).await.assert_code(1);
        assert_eq!(diff.stdout.matches("+    sha256: ").count(), 2, "{}", diff.stdout);
        let plan = s.run(&["plan", &changed]).await.assert_success();
        assert_eq!(plan.stdout.matches("(changed)").count(), 3, "{}", plan.stdout);
        s.terminate().await;
        let log = std::fs::read_to_string(s.log()).unwrap();
        assert!(log.contains("TRACE"), "the log level is not trace");
        assert_no_secret("the log", &log);
    });
}

/// Values that a shell, a template engine or a line-based file format would alter.
const VALUES: [&str; 14] = [
    "line 1\nline 2\n",
    "'single' \"double\" `id`",
    "$(id) ${X} $X $$",
    "a; reboot && id | cat > /tmp/x",
    "'; id; '",
    "C:\\n\\t\\",
    "tab\there\r\n",
    "  kept  ",
    "",
    "пример 🚢",
    "\u{1b}[31mred",
    "%s %0a {{ .Env }}",
    "A=b",
    "# null",
];

#[test]
fn env_value_reaches_container_byte_for_byte() {
    e2e!().run(async |s| {
        s.serve().await;
        let values = VALUES.iter().enumerate().map(|(n, value)| (format!("V{n}"), *value));
        let env: serde_json::Map<_, _> = values.map(|(name, v)| (name, v.into())).collect();
        let web = |env: &serde_json::Map<_, _>| {
            let env = serde_json::to_string(env).unwrap();
            busybox("web", 1, "exec sleep 1000").with(&format!("env: {env}"))
        };
        s.apply(&web(&env)).await;
        let id = single_replica(s).await;
        let environ = docker(&["exec", &id, "cat", "/proc/1/environ"]).await;
        let environ: Vec<_> = environ.split('\0').collect();
        for (name, value) in &env {
            let line = format!("{name}={}", value.as_str().unwrap());
            assert!(environ.contains(&line.as_str()), "{line:?} is not in {environ:?}");
        }
        assert_eq!(s.get_app("web").await["spec"]["env"], serde_json::Value::from(env.clone()));

        let file = s.write_file("same.yaml", &web(&env).to_string());
        assert_eq!(s.run(&["diff", &file]).await.assert_success().stdout, "");
        // No output contains control characters.
        let shown = s.run(&["get", "app/web", "-o", "yaml"]).await.assert_success().stdout;
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let changed = env.iter().map(|(name, v)| (name.clone(), format!("{v}!").into())).collect();
        let file = s.write_file("changed.yaml", &web(&changed).to_string());
        for command in [&["diff", &file][..], &["plan", &file], &["describe", "web"]] {
            let result = s.run(command).await;
            let is_text = |c: char| c == '\n' || !c.is_control();
            assert!(result.stdout.chars().all(is_text), "{}: {:?}", result.line, result.stdout);
            let is_diff = command[0] == "diff" && result.code == Some(1);
            assert!(result.code == Some(0) || is_diff, "{result:?}");
        }
        assert_eq!(single_replica(s).await, id, "the replica was replaced");
    });
}

#[test]
fn changed_content_rolls_out_and_unchanged_does_not() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&app(s, 1)).await;
        let first = single_replica(s).await;
        let unchanged = s.apply(&app(s, 1)).await;
        assert!(unchanged.stdout.starts_with("app/web unchanged"), "{}", unchanged.stdout);
        assert_eq!(single_replica(s).await, first);
        let changed = s.apply(&app(s, 2)).await;
        assert!(changed.stdout.starts_with("app/web configured"), "{}", changed.stdout);
        assert!(changed.stderr.contains("revision 2"), "{}", changed.stderr);
        let second = single_replica(s).await;
        assert_ne!(first, second);
        assert_eq!(contents_inside(&second).await, expected_contents(2));
    });
}

#[test]
fn replica_is_replaced_with_stored_contents_after_files_are_deleted() {
    e2e!().run(async |s| {
        s.serve().await;
        let app = app(s, 1);
        s.apply(&app).await;
        let first = single_replica(s).await;
        let folder = s.write_file("db-password", "canary-other");
        std::fs::remove_dir_all(Path::new(&folder).parent().unwrap()).unwrap();
        s.kill().await;
        docker(&["rm", "-f", &first]).await;
        s.serve().await;
        s.wait_for_phase("web", "Ready", SOON).await;
        let second = single_replica(s).await;
        assert_ne!(first, second);
        assert_eq!(contents_inside(&second).await, expected_contents(1));

        // Without the files a new apply fails and changes nothing.
        let failed = s.try_apply(&app).await.assert_code(1);
        let cause = "error: cannot read the file `./db-password`: no such file\n";
        assert!(failed.stderr.starts_with(cause), "{}", failed.stderr);
        assert!(failed.stderr.ends_with("nothing was changed\n"), "{}", failed.stderr);
        assert_eq!(single_replica(s).await, second);
    });
}

#[test]
fn interrupted_create_leaves_no_replica_without_files() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&app(s, 1)).await;
        let first = single_replica(s).await;
        s.kill().await;
        // Recreate what an orchestrator leaves behind if it crashes before it has copied the files:
        // a container that still has its staging name.
        let image = docker(&["inspect", "--format", "{{.Image}}", &first]).await;
        let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &first]).await;
        let labels: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&labels).unwrap();
        let name = docker(&["inspect", "--format", "{{.Name}}", &first]).await;
        docker(&["rm", "-f", &first]).await;
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let name = format!("{}.unfinished", name.trim_start_matches('/'));
        let mut create = vec!["create", "--name", &name];
        create.extend(labels.iter().flat_map(|label| ["--label", label]));
        create.extend([&*image, "sleep", "600"]);
        let left = docker(&create).await;
        s.serve().await;
        s.wait_for_phase("web", "Ready", SOON).await;
        let second = single_replica(s).await;
        assert_ne!(second, left);
        assert_eq!(contents_inside(&second).await, expected_contents(1));
    });
}
