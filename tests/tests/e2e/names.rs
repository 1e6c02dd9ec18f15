//! Names of apps: from container to container, through nginx, to the ready replicas.

use dubernetes_tests::checks::SOON;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, busybox, e2e, eventually, whoami};

/// Calls two names until the file `/tmp/stop` exists, and prints how many calls succeeded and
/// failed.
const CALLS: &str = "\
    ok=0; bad=0; \
    while [ ! -e /tmp/stop ]; do \
        for url in http://api/ http://db:5432/; do \
            if wget -q -T 5 -O /dev/null $url; then ok=$((ok+1)); else bad=$((bad+1)); fi; \
        done; \
    done; echo $ok $bad";

/// Returns the container of the only replica of an app.
async fn container(s: &Scenario, app: &str) -> String {
    let filter = format!("label=dubernetes.instance={}", s.instance);
    let app = format!("label=dubernetes.app={app}");
    docker(&["ps", "-q", "--filter", &filter, "--filter", &app]).await
}

/// Requests a URL in a container, and returns the name of the app that answers.
async fn call(container: &str, url: &str) -> Result<String, String> {
    let call = format!("wget -q -T 3 -O - {url} 2>&1 || true");
    let answer = docker(&["exec", container, "sh", "-c", &call]).await;
    let app = answer.lines().find_map(|line| line.strip_prefix("App: "));
    app.map(str::to_owned).ok_or(answer)
}

async fn expect(container: &str, url: &str, app: &str) {
    eventually(&format!("{app} answers {url}"), SOON, async || {
        let found = call(container, url).await?;
        if found == app { Ok(()) } else { Err(format!("`{found}` answers")) }
    })
    .await;
}

fn database(name: &str, replicas: u32) -> dubernetes_tests::manifest::Manifest {
    whoami(name, replicas).with("port: 5432\nargs: [--port, '5432']")
}

fn client() -> dubernetes_tests::manifest::Manifest {
    busybox("client", 1, "while :; do sleep 1; done")
}

#[test]
fn names_lead_to_ready_replicas_through_updates_without_a_failed_call() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&client()).await;
        // Apps that the container of the client could not know.
        s.apply(&whoami("api", 2).host("api.test")).await;
        s.apply(&database("db", 2)).await;
        s.apply(&database("cache", 1)).await;
        let client = container(s, "client").await;
        for (url, app) in [
            ("http://api/", "api"),
            ("http://api:80/", "api"),
            ("http://db:5432/", "db"),
            ("http://cache:5432/", "cache"),
        ] {
            expect(&client, url, app).await;
        }

        let calls = ["exec", &client, "sh", "-c", CALLS];
        let (counts, ()) = tokio::join!(docker(&calls), async {
            s.apply(&whoami("api", 2).host("api.test").with("env: { V: '2' }")).await;
            s.apply(&database("db", 2).with("env: { V: '2' }")).await;
            s.kill().await;
            expect(&client, "http://db:5432/", "db").await;
            s.serve().await;
            s.apply(&database("db", 3).with("env: { V: '3' }")).await;
            docker(&["exec", &client, "touch", "/tmp/stop"]).await;
        });
        let (ok, bad) = counts.trim().split_once(' ').unwrap();
        assert_eq!(bad, "0", "of {ok} calls");
        assert!(ok.parse::<u32>().unwrap() > 100, "{ok} calls");

        let _ = s.run(&["delete", "cache"]).await.assert_success();
        eventually("the name is gone", SOON, async || {
            match call(&client, "http://cache:5432/").await {
                Err(error) if error.contains("bad address") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    });
}

#[test]
fn name_belongs_to_its_instance() {
    e2e!().run(async |s| {
        let other = s.second_instance();
        s.serve().await;
        s.apply(&whoami("api", 1).host("api.test")).await;
        other.serve().await;
        other.apply(&client()).await;
        let client = container(&other, "client").await;
        let error = call(&client, "http://api/").await.unwrap_err();
        assert!(error.contains("bad address"), "{error}");
    });
}

#[test]
fn name_survives_loss_of_nginx_and_connection_is_refused_without_replica() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&client()).await;
        s.apply(&database("db", 1)).await;
        let client = container(s, "client").await;
        expect(&client, "http://db:5432/", "db").await;
        docker(&["rm", "-f", &s.ingress()]).await;
        expect(&client, "http://db:5432/", "db").await;

        let _ = s.run(&["scale", "db", "0"]).await.assert_success();
        eventually("connections are refused", SOON, async || {
            match call(&client, "http://db:5432/").await {
                Err(error) if error.contains("Connection refused") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    });
}
