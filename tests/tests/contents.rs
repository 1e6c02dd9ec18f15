//! Values of `env`, passwords, and configuration out of files: as they are in the container, secrets in
//! no output, and part of the revision.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use dubernetes_tests::checks::SOON;
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, busybox, here};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The beginning of every secret, and the base64 of it.
const SECRET: [&str; 2] = ["canary-", "Y2FuYXJ5L"];

fn app(s: &Scenario, round: u32) -> Manifest {
    s.file("db-password", &format!("canary-value-{round}\n"));
    s.file("settings.env", &format!("# settings\nexport KEY=\"canary-line-{round}\"\n"));
    s.file("web.conf", &format!("canary-conf-{round}\n"));
    busybox("web", 1, "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done").with(
        "env: { PLAIN: seen, DB_PASSWORD: { file: ./db-password } }\n\
         env_file: settings.env\n\
         files: { /etc/web/web.conf: { file: ./web.conf, mode: '0400' } }",
    )
}

/// What the replica has, as a program in it sees it.
async fn inside(id: &str) -> String {
    let script = "echo $PLAIN $DB_PASSWORD $KEY; cat /etc/web/web.conf";
    docker(&["exec", id, "sh", "-c", script]).await
}

fn expected(round: u32) -> String {
    format!("seen canary-value-{round} canary-line-{round}\ncanary-conf-{round}")
}

/// The only replica, once it is alone.
async fn replica(s: &Scenario) -> String {
    s.settles("web", 1, SOON).await;
    s.running("web").await.into_values().next().unwrap()
}

#[track_caller]
fn hidden(what: &str, text: &str) {
    for secret in SECRET {
        assert!(!text.contains(secret), "{what} shows a secret:\n{text}");
    }
}

/// The bare answer of the API.
async fn answer(s: &Scenario, method: &str, path: &str, body: &str) -> String {
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

/// Runs everything that tells something of the app, and looks at all that is told.
async fn ask_everything(s: &Scenario, file: &str) {
    let looks: [&[&str]; 16] = [
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
    for look in looks {
        let ran = s.run(look).await;
        hidden(&ran.line, &ran.stdout);
        hidden(&ran.line, &ran.stderr);
    }
    for path in ["/v1/apps", "/v1/apps/web", "/v1/apps/web/revisions", "/v1/events", "/v1/pods"] {
        let told = answer(s, "GET", path, "").await;
        assert!(told.starts_with("HTTP/1.0 200"), "{told}");
        hidden(path, &told);
    }
    for wrong in [
        r#"{"name":"web","image":"b","env":{"A":{"file":"a","content":"canary-no-base64"}}}"#,
        r#"{"name":"web","image":"b","env":{"A":{"file":5,"content":"Y2FuYXJ5LTE="}}}"#,
        r#"{"name":"web","image":"b","env":{"A":{"file":"a","content":"Y2FuYXJ5LTE="#,
    ] {
        let told = answer(s, "PUT", "/v1/apps/web", wrong).await;
        assert!(told.starts_with("HTTP/1.0 4"), "{told}");
        hidden("an error", &told);
    }
}

#[test]
fn a_secret_is_in_the_container_and_in_no_output() {
    here!().run(async |s| {
        // The most that can be logged, by libraries as well.
        s.serve_with(&[("DUBERNETES_LOG", "trace")]).await;
        let told = s.apply(&app(s, 1)).await;
        hidden("apply", &format!("{}{}", told.stdout, told.stderr));
        let id = replica(s).await;
        assert_eq!(inside(&id).await, expected(1));
        let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &id]).await;
        hidden("a label", &labels);

        let changed = s.file("web.yaml", &app(s, 2).to_string());
        ask_everything(s, &changed).await;
        let differs = s.run(&["diff", &changed]).await.fails(1);
        assert_eq!(differs.stdout.matches("+    sha256: ").count(), 2, "{}", differs.stdout);
        let plan = s.run(&["plan", &changed]).await.succeeds();
        assert_eq!(plan.stdout.matches("(changed)").count(), 3, "{}", plan.stdout);
        s.terminate().await;
        let log = std::fs::read_to_string(s.log()).unwrap();
        assert!(log.contains("TRACE"), "this is no log of everything");
        hidden("the log", &log);
    });
}

/// What a shell, a template or a line-based file would make something else of.
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
fn a_value_reaches_the_container_byte_for_byte() {
    here!().run(async |s| {
        s.serve().await;
        let values = VALUES.iter().enumerate().map(|(n, value)| (format!("V{n}"), *value));
        let env: serde_json::Map<_, _> = values.map(|(name, v)| (name, v.into())).collect();
        let web = |env: &serde_json::Map<_, _>| {
            let env = serde_json::to_string(env).unwrap();
            busybox("web", 1, "exec sleep 1000").with(&format!("env: {env}"))
        };
        s.apply(&web(&env)).await;
        let id = replica(s).await;
        let inside = docker(&["exec", &id, "cat", "/proc/1/environ"]).await;
        let inside: Vec<_> = inside.split('\0').collect();
        for (name, value) in &env {
            let line = format!("{name}={}", value.as_str().unwrap());
            assert!(inside.contains(&line.as_str()), "{line:?} is not in {inside:?}");
        }
        assert_eq!(s.app("web").await["spec"]["env"], serde_json::Value::from(env.clone()));

        let file = s.file("same.yaml", &web(&env).to_string());
        assert_eq!(s.run(&["diff", &file]).await.succeeds().stdout, "");
        // What is shown can be applied: it says the same.
        let shown = s.run(&["get", "app/web", "-o", "yaml"]).await.succeeds().stdout;
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let changed = env.iter().map(|(name, v)| (name.clone(), format!("{v}!").into())).collect();
        let file = s.file("changed.yaml", &web(&changed).to_string());
        for command in [&["diff", &file][..], &["plan", &file], &["describe", "web"]] {
            let ran = s.run(command).await;
            let is_text = |c: char| c == '\n' || !c.is_control();
            assert!(ran.stdout.chars().all(is_text), "{}: {:?}", ran.line, ran.stdout);
            assert!(ran.code == Some(0) || command[0] == "diff" && ran.code == Some(1), "{ran:?}");
        }
        assert_eq!(replica(s).await, id, "nothing was replaced");
    });
}

#[test]
fn a_changed_content_rolls_and_the_same_does_not() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&app(s, 1)).await;
        let first = replica(s).await;
        let told = s.apply(&app(s, 1)).await;
        assert!(told.stdout.starts_with("app/web unchanged"), "{}", told.stdout);
        assert_eq!(replica(s).await, first);
        let told = s.apply(&app(s, 2)).await;
        assert!(told.stdout.starts_with("app/web configured"), "{}", told.stdout);
        assert!(told.stderr.contains("revision 2"), "{}", told.stderr);
        let second = replica(s).await;
        assert_ne!(first, second);
        assert_eq!(inside(&second).await, expected(2));
    });
}

#[test]
fn a_replica_is_replaced_with_its_contents_when_the_files_are_gone() {
    here!().run(async |s| {
        s.serve().await;
        let app = app(s, 1);
        s.apply(&app).await;
        let first = replica(s).await;
        let folder = s.file("db-password", "canary-other");
        std::fs::remove_dir_all(Path::new(&folder).parent().unwrap()).unwrap();
        s.kill().await;
        docker(&["rm", "-f", &first]).await;
        s.serve().await;
        s.is_in("Ready", "web", SOON).await;
        let second = replica(s).await;
        assert_ne!(first, second);
        assert_eq!(inside(&second).await, expected(1));

        // The manifest alone is no app, and nothing comes of it.
        let failed = s.try_apply(&app).await.fails(1);
        let cause = "error: the file `./db-password` cannot be read: no such file\n";
        assert!(failed.stderr.starts_with(cause), "{}", failed.stderr);
        assert!(failed.stderr.ends_with("nothing was changed\n"), "{}", failed.stderr);
        assert_eq!(replica(s).await, second);
    });
}

#[test]
fn a_create_that_was_interrupted_leaves_no_replica_without_its_files() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&app(s, 1)).await;
        let first = replica(s).await;
        s.kill().await;
        // As an orchestrator leaves it that dies before the files are there: the container is
        // made, and has not got its name.
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
        s.is_in("Ready", "web", SOON).await;
        let second = replica(s).await;
        assert_ne!(second, left);
        assert_eq!(inside(&second).await, expected(1));
    });
}
