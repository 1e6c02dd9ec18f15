//! What the documents show is what happens: their commands run here in the order of the text,
//! and what stands below a command is what it says.

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::document::{self, Reader, Shown};
use dubernetes_tests::{Scenario, eventually, here};

/// Goes through a document from its first command to its last.
async fn follow(s: &Scenario, name: &str, before: impl AsyncFn(&Reader<'_>, &Shown)) {
    let text = document::read(name);
    let reader = Reader::new(s);
    if let Some(first) = document::blocks(&text, "yaml").first() {
        reader.writes("app.yaml", first);
    }
    let commands = document::commands(&text);
    assert!(commands.len() > 3, "{name}: {commands:?}");
    for shown in &commands {
        before(&reader, shown).await;
        reader.types(shown).await;
    }
}

async fn as_it_stands(_: &Reader<'_>, _: &Shown) {}

#[test]
fn readme() {
    here!().run(async |s| {
        let text = document::read("README.md");
        let app = document::blocks(&text, "yaml")[0].to_owned();
        follow(s, "README.md", async |reader, shown| match shown.command.as_str() {
            "dubernetes events whoami-2" => {
                eventually("the killed one is back", SOON, async || {
                    let pods = s.pods(Some("whoami")).await;
                    let back = pods.iter().any(|pod| pod["restarts"] == 1 && pod["ready"] == true);
                    expect(back, pods)
                })
                .await;
                s.settles("whoami", 5, SOON).await;
            }
            "dubernetes plan app.yaml" => {
                let scaled = s.run(&["scale", "whoami", "2"]).await.succeeds();
                assert!(scaled.stderr.contains("is ready"), "{}", scaled.stderr);
                let changed = app.replace("replicas: 3", "replicas: 2");
                reader.writes("app.yaml", &format!("{changed}env: {{ GREETING: hello }}\n"));
            }
            "dubernetes apply bad.yaml" => {
                let bad = app.replace("replicas: 3", "replicas: 2");
                reader.writes("bad.yaml", &format!("{bad}env: {{ WHOAMI_EXIT: '3' }}\n"));
            }
            "dubernetes validate typo.yaml" => {
                reader.writes("typo.yaml", &app.replace("host:", "hots:"));
            }
            _ => {}
        })
        .await;
    });
}

#[test]
fn example_whoami() {
    here!().run(async |s| {
        follow(s, "examples/whoami/README.md", as_it_stands).await;
        // The killed one is being replaced: a create under way would outlive the test.
        s.settles("whoami", 3, SOON).await;
    });
}

#[test]
fn example_worker() {
    here!().run(async |s| {
        let text = document::read("examples/worker/README.md");
        let changed = document::blocks(&text, "yaml")[0].to_owned();
        follow(s, "examples/worker/README.md", async |reader, _| {
            reader.writes("worker.yaml", &changed);
        })
        .await;
    });
}

#[test]
fn example_two_paths() {
    here!().run(async |s| follow(s, "examples/two-paths/README.md", as_it_stands).await);
}

#[test]
fn example_env_and_volume() {
    here!().run(async |s| follow(s, "examples/env-and-volume/README.md", as_it_stands).await);
}

#[test]
fn example_config_and_secret() {
    here!().run(async |s| follow(s, "examples/config-and-secret/README.md", as_it_stands).await);
}
