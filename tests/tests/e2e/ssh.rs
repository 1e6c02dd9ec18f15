//! `--host ssh://…` through a real SSH server: commands of a machine that has only `ssh`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use dubernetes_tests::checks::SOON;
use dubernetes_tests::http::{Request, once};
use dubernetes_tests::manifest::BUSYBOX;
use dubernetes_tests::own_engine::OwnEngine;
use dubernetes_tests::program::docker;
use dubernetes_tests::scenario::{Scenario, interrupt};
use dubernetes_tests::sshd::Sshd;
use dubernetes_tests::terminal::{Terminal, exit_code};
use dubernetes_tests::{app, e2e, eventually, whoami};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;

use crate::pod_commands::start_port_forward;

/// Returns the command lines of the running processes that mention the scenario's `ssh`.
fn clients(s: &Scenario) -> Vec<String> {
    let config = format!("{}/ssh_config", s.state_dir().with_file_name("ssh").display());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&config)).collect()
}

async fn wait_until_no_client_is_left(s: &Scenario) {
    eventually("no `ssh` is left", SOON, async || match clients(s) {
        left if left.is_empty() => Ok(()),
        left => Err(left.join("\n")),
    })
    .await;
}

/// Follows the link that `ui` prints, as a browser does, and returns the page behind it.
async fn open_page(output: ChildStdout) -> String {
    let link = BufReader::new(output).lines().next_line().await.unwrap().unwrap();
    let (authority, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port = authority.rsplit_once(':').unwrap().1.parse().unwrap();
    let login = once(port, Request::get(authority, &format!("/{path}"))).await.unwrap();
    let cookie = login.header("set-cookie").unwrap().split_once(';').unwrap().0;
    let headers = [("Cookie", cookie)];
    let overview = Request { headers: &headers, ..Request::get(authority, "/") };
    once(port, overview).await.unwrap().text()
}

#[test]
fn commands_work_over_ssh_with_one_connection_each() {
    e2e!().run(async |s| {
        s.serve().await;
        let Some(sshd) = Sshd::start(s).await else { return };
        s.use_ssh(&sshd);

        // Files are those of the client.
        s.write_file("greeting.env", "GREETING=hello\n");
        let quick = "rollout: { min_ready: 1ms, max_surge: 100% }";
        let web = whoami("web", 2).host("web.test").with("env_file: ./greeting.env").with(quick);
        let applied = s.apply(&web).await;
        assert!(applied.stdout.contains("app/web created"), "{}", applied.stdout);
        assert!(applied.stderr.contains("app/web is ready: 2/2"), "{}", applied.stderr);
        assert!(!applied.stderr.contains("no orchestrator is running"), "{}", applied.stderr);
        assert_eq!(sshd.connections(), 1, "connections of `apply`");
        let listed = s.run(&["get", "apps"]).await.assert_success();
        assert!(listed.stdout.contains("web.test"), "{}", listed.stdout);

        let terminal = Terminal::new(100, 30);
        let child = terminal.start(s, &["logs", "web", "-f"]);
        terminal.wait_for_text("web-1").await;
        terminal.type_keys("\u{3}");
        assert_eq!(exit_code(child).await, Some(130));

        let (mut child, address) = start_port_forward(s, &["web", ":80"]).await;
        for _ in 0..3 {
            let answer = once(address.port(), Request::get("any", "/")).await.unwrap();
            assert!(answer.field("Replica").is_some(), "{}", answer.text());
        }
        interrupt(&child);
        assert_eq!(child.wait().await.unwrap().code(), Some(130));

        let mut ui = s.spawn(&["ui", "--no-browser"]);
        let page = open_page(ui.stdout.take().unwrap()).await;
        assert!(page.contains("web.test") && page.contains("--host ssh://server"), "{page}");
        interrupt(&ui);
        assert_eq!(ui.wait().await.unwrap().code(), Some(0));

        s.apply(&web.with("env: { VERSION: two }")).await;
        let undone = s.run(&["rollback", "web"]).await.assert_success();
        assert!(undone.stderr.contains("app/web is ready"), "{}", undone.stderr);
        let status = s.run(&["status", "-o", "wide"]).await.assert_success();
        assert!(status.stdout.contains("ssh://server"), "{}", status.stdout);
        assert_eq!(sshd.connections(), 8, "connections of eight commands");
        wait_until_no_client_is_left(s).await;
    });
}

#[test]
fn terminal_of_exec_works_over_ssh_and_is_restored() {
    e2e!().run(async |s| {
        s.serve().await;
        let Some(sshd) = Sshd::start(s).await else { return };
        s.use_ssh(&sshd);
        s.apply(&dubernetes_tests::busybox("tool", 1, "sleep 1000")).await;
        let terminal = Terminal::new(100, 30);
        let script =
            "trap 'echo interrupted; exit 42' INT; echo ready; while :; do sleep 0.1; done";
        let child = terminal.start(s, &["exec", "-it", "tool", "--", "sh", "-c", script]);
        terminal.wait_for_text("ready").await;
        // The keys go to the command, and not to `ssh`.
        terminal.type_keys("\u{3}");
        terminal.wait_for_text("interrupted").await;
        assert_eq!(exit_code(child).await, Some(42));
        assert!(terminal.is_restored(), "after the command exited");
        wait_until_no_client_is_left(s).await;
    });
}

#[test]
fn killed_command_leaves_no_ssh_behind() {
    e2e!().run(async |s| {
        s.serve().await;
        let Some(sshd) = Sshd::start(s).await else { return };
        s.use_ssh(&sshd);
        let mut child = s.spawn(&["get", "apps", "-w", "-o", "json"]);
        let _applied = s.apply(&whoami("web", 1)).await;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap();
        assert!(first.is_some_and(|line| line.contains("web")));
        assert!(!clients(s).is_empty());
        child.kill().await.unwrap();
        wait_until_no_client_is_left(s).await;
    });
}

#[test]
fn errors_over_ssh_name_machine_and_cause() {
    e2e!().run(async |s| {
        let Some(sshd) = Sshd::start(s).await else { return };
        s.use_ssh(&sshd);
        let absent = s.run(&["get", "apps"]).await.assert_code(3);
        let expected = "error: no orchestrator is running on server\n";
        assert!(absent.stderr.starts_with(expected), "{}", absent.stderr);
        assert!(absent.stderr.contains("`dubernetes serve`"), "{}", absent.stderr);
        let wrong = s.run(&["get", "apps", "--host", "ssh://server/run/no.sock"]).await;
        let wrong = wrong.assert_code(3).stderr;
        assert!(wrong.contains("no orchestrator answers at ssh://server/run/no.sock"), "{wrong}");
        assert!(wrong.contains("open failed"), "{wrong}");
        assert!(wrong.contains("AllowStreamLocalForwarding"), "{wrong}");
        for command in [&["doctor"][..], &["replay"]] {
            let refused = s.run(command).await.assert_code(2).stderr;
            assert!(refused.contains("ssh://server is another machine"), "{refused}");
        }
        drop(sshd);
        let gone = s.run(&["get", "apps"]).await.assert_code(3).stderr;
        assert!(gone.contains("cannot connect to ssh://server"), "{gone}");
        assert!(gone.contains("Connection refused"), "{gone}");
    });
}

#[test]
fn context_names_the_host() {
    e2e!().run(async |s| {
        s.serve().await;
        let Some(sshd) = Sshd::start(s).await else { return };
        s.use_ssh(&sshd);
        let home = s.state_dir().with_file_name("config");
        let home = home.to_str().unwrap();
        let run = async |arguments: &[&str]| {
            // An empty variable is no host.
            let variables = [("XDG_CONFIG_HOME", home), ("HOME", home), ("DUBERNETES_HOST", "")];
            s.run_with_variables(arguments, &variables).await
        };
        let _ = run(&["context", "add", "prod", "ssh://server"]).await.assert_success();
        let _ = run(&["context", "use", "prod"]).await.assert_success();
        let listed = run(&["context", "list"]).await.assert_success();
        assert_eq!(listed.table()[2], ["prod", "yes", "ssh://server"]);
        let version = run(&["version"]).await.assert_success();
        assert!(version.stdout.contains(s.instance.as_str()), "{}", version.stdout);
        let _ = run(&["context", "use", "local"]).await.assert_success();
        let _ = run(&["version"]).await.assert_code(3);
        let _ = run(&["version", "--context", "prod"]).await.assert_success();
    });
}

#[test]
fn image_is_pushed_over_ssh_without_the_layers_that_are_there() {
    e2e!().run(async |s| {
        let Some(_engine) = OwnEngine::start(s, false, &[BUSYBOX]).await else { return };
        s.serve().await;
        let Some(sshd) = Sshd::start(s).await else { return };
        s.use_ssh(&sshd);
        let container = s.create_container(&[BUSYBOX]).await;
        let file = s.write_file("greeting", "hello\n");
        docker(&["cp", &file, &format!("{container}:/greeting")]).await;
        let image = s.tag(BUSYBOX).await;
        docker(&["commit", &container, &image]).await;
        let endpoint = s.runtime.endpoint();
        let run = async |arguments: &[&str]| {
            s.run_with_variables(arguments, &[("DUBERNETES_ENGINE", &endpoint)]).await
        };

        let pushed = run(&["push", &image]).await.assert_success();
        assert_eq!(pushed.stdout, format!("image/{image} pushed\n"));
        assert!(pushed.stderr.contains("sending 1 MB, 1 of "), "{}", pushed.stderr);
        let again = run(&["push", &image]).await.assert_success();
        assert!(again.stderr.contains("layers are there already"), "{}", again.stderr);
        let missing = run(&["push", "dubernetes-no-such-image:1"]).await.assert_code(1);
        assert!(missing.stderr.contains("no such image on this machine"), "{}", missing.stderr);

        let tool = app("tool", &image, 1)
            .with("command: [sh, -c, 'cat /greeting; sleep 1000']")
            .with("pull: never");
        let path = s.write_file("tool.yaml", &tool.to_string());
        let applied = run(&["apply", "--push", &path]).await.assert_success();
        assert!(applied.stderr.contains("layers are there already"), "{}", applied.stderr);
        let logs = s.run(&["logs", "tool"]).await.assert_success();
        assert!(logs.stdout.contains("hello"), "{}", logs.stdout);
        s.terminate().await;
    });
}
