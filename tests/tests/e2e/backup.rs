//! A backup that was written while everything ran is the whole state again: beside containers that
//! outlived it, and on an engine that has none.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;

use dubernetes_tests::checks::SOON;
use dubernetes_tests::port::Port;
use dubernetes_tests::program::{docker, run};
use dubernetes_tests::{Scenario, e2e, whoami};
use serde_json::Value;
use tokio::process::Command;

const HOST: &str = "shop.example.test";

/// What a restored state has to have.
#[derive(Debug, PartialEq)]
struct State {
    root: String,
    certificates: Value,
    secrets: Value,
    revision: Value,
    history: usize,
}

async fn state(s: &Scenario) -> State {
    let json = async |words: &[&str]| s.run(words).await.assert_success().json();
    let mut certificates = json(&["get", "certificates", "-o", "json"]).await;
    // It is said in words of the present pass.
    certificates["items"][0]["message"] = Value::Null;
    let revisions = json(&["rollout", "history", "web", "-o", "json"]).await;
    State {
        root: s.run(&["trust"]).await.assert_success().stdout,
        certificates,
        secrets: json(&["secret", "list", "-o", "json"]).await,
        revision: s.get_app("web").await["status"]["revision"].clone(),
        history: revisions["items"].as_array().unwrap().len(),
    }
}

async fn containers(s: &Scenario) -> BTreeSet<String> {
    s.containers().await.into_iter().map(|container| container.id.to_string()).collect()
}

/// Removes the state, puts the backup in its place, and starts an orchestrator.
async fn restore(s: &Scenario, backup: &str, variables: &[(&str, &str)]) {
    std::fs::remove_dir_all(s.state_dir()).unwrap();
    let restored = s.run(&["restore", backup]).await.assert_success();
    assert!(restored.stdout.contains(&s.state_dir().display().to_string()), "{restored:?}");
    s.serve_with(variables).await;
    s.wait_for_phase("web", "Ready", SOON).await;
}

#[test]
fn restored_state_takes_over_what_runs_and_starts_what_is_missing() {
    e2e!().run(async |s| {
        let port = Port::take();
        let number = port.number.to_string();
        let variables = [("DUBERNETES_HTTPS_PORT", number.as_str())];
        s.serve_with(&variables).await;
        let _ = s.run_with(&["secret", "set", "db"], "canary-1").await.assert_success();
        let web = whoami("web", 2)
            .with(&format!("access: {{ host: {HOST}, tls: internal }}"))
            .with("env: { DB: { secret: db } }");
        s.apply(&web.with("stop: { grace: 1s }")).await;
        let _ = s.run_with(&["secret", "set", "db"], "canary-2").await.assert_success();
        s.wait_for_phase("web", "Ready", SOON).await;
        let (before, ran) = (state(s).await, containers(s).await);
        assert_eq!((ran.len(), &before.revision), (3, &2.into()));

        let backup = s.write_file("empty", "").replace("empty", "backup.tar");
        let _ = s.run(&["backup", &backup]).await.assert_success();
        s.kill().await;
        restore(s, &backup, &variables).await;
        assert_eq!(containers(s).await, ran, "everything is taken over, and nothing is restarted");
        assert_eq!(state(s).await, before);

        let _ = s.run(&["down", "--yes"]).await.assert_success();
        s.terminate().await;
        assert!(containers(s).await.is_empty());
        restore(s, &backup, &variables).await;
        assert_eq!(state(s).await, before);
        let replica = s.running_pods("web").await.into_values().next().unwrap();
        let secret = docker(&["inspect", "-f", "{{json .Config.Env}}", &replica]).await;
        assert!(secret.contains("DB=canary-2"), "{secret}");
        let root = s.write_file("root.pem", &before.root);
        let at = format!("{HOST}:{number}:127.0.0.1");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--retry", "5", "--retry-all-errors"]);
        curl.args(["--resolve", &at, "--cacert", &root, &format!("https://{HOST}:{number}/")]);
        let answer = run(curl, "curl".to_owned(), "").await.assert_success().stdout;
        assert!(answer.contains("App: web"), "{answer}");
    });
}
