//! The commands of the tutorial and of the examples print the output that the files show.

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::document::{self, DocumentedCommand, Session};
use dubernetes_tests::{Scenario, e2e, eventually};

/// Runs all commands of a document in order, with `before` ahead of each command.
async fn run_document(
    s: &Scenario,
    name: &str,
    before: impl AsyncFn(&Session<'_>, &DocumentedCommand),
) {
    let text = document::read(name);
    let session = Session::new(s);
    if let Some(first) = document::blocks(&text, "yaml").first() {
        session.write_file("app.yaml", first);
    }
    let commands = document::commands(&text);
    assert!(commands.len() > 3, "{name}: {commands:?}");
    for command in &commands {
        before(&session, command).await;
        session.run(command).await;
    }
}

async fn no_preparation(_: &Session<'_>, _: &DocumentedCommand) {}

#[test]
fn tutorial_shows_actual_output() {
    e2e!().run(async |s| {
        let text = document::read("docs/tutorial.md");
        let app = document::blocks(&text, "yaml")[0].to_owned();
        run_document(s, "docs/tutorial.md", async |session, documented| {
            match documented.command.as_str() {
                "dubernetes events whoami-2" => {
                    eventually("the killed replica is ready again", SOON, async || {
                        let pods = s.get_pods(Some("whoami")).await;
                        let is_back =
                            pods.iter().any(|pod| pod["restarts"] == 1 && pod["ready"] == true);
                        ensure(is_back, pods)
                    })
                    .await;
                    s.wait_for_replicas("whoami", 5, SOON).await;
                }
                "dubernetes plan app.yaml" => {
                    let scaled = s.run(&["scale", "whoami", "2"]).await.assert_success();
                    assert!(scaled.stderr.contains("is ready"), "{}", scaled.stderr);
                    let changed = app.replace("replicas: 3", "replicas: 2");
                    session
                        .write_file("app.yaml", &format!("{changed}env: {{ GREETING: hello }}\n"));
                }
                "dubernetes apply bad.yaml" => {
                    let bad = app.replace("replicas: 3", "replicas: 2");
                    session.write_file("bad.yaml", &format!("{bad}env: {{ WHOAMI_EXIT: '3' }}\n"));
                }
                "dubernetes validate typo.yaml" => {
                    session.write_file("typo.yaml", &app.replace("host:", "hots:"));
                }
                _ => {}
            }
        })
        .await;
    });
}

#[test]
fn example_whoami_shows_actual_output() {
    e2e!().run(async |s| {
        run_document(s, "examples/whoami/README.md", no_preparation).await;
        // Wait for the replacement: a create in flight would outlive the test.
        s.wait_for_replicas("whoami", 3, SOON).await;
    });
}

#[test]
fn example_worker_shows_actual_output() {
    e2e!().run(async |s| {
        let text = document::read("examples/worker/README.md");
        let changed = document::blocks(&text, "yaml")[0].to_owned();
        run_document(s, "examples/worker/README.md", async |session, _| {
            session.write_file("worker.yaml", &changed);
        })
        .await;
    });
}

#[test]
fn example_two_paths_shows_actual_output() {
    e2e!().run(async |s| run_document(s, "examples/two-paths/README.md", no_preparation).await);
}

#[test]
fn example_web_and_database_shows_actual_output() {
    e2e!().run(async |s| {
        run_document(s, "examples/web-and-database/README.md", no_preparation).await;
    });
}

#[test]
fn example_env_and_volume_shows_actual_output() {
    e2e!()
        .run(async |s| run_document(s, "examples/env-and-volume/README.md", no_preparation).await);
}

#[test]
fn example_config_and_secret_shows_actual_output() {
    e2e!().run(async |s| {
        run_document(s, "examples/config-and-secret/README.md", no_preparation).await;
    });
}
