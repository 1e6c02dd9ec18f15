//! A stack of four apps from one folder, on an empty machine: they call each other by name, and
//! the database needs a while to start.

use std::time::Duration;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, busybox, e2e, eventually};

/// Longer than three exits of the worker, which starts beside the database, would take to fail it.
const DATABASE_STARTS_AFTER: u32 = 8;

fn stack(version: u32) -> [Manifest; 4] {
    let answer = |app: &str, port: u16, seconds: u32| {
        let script = format!(
            "sleep {seconds}; mkdir -p /www; echo {app} > /www/index.html; \
             exec httpd -f -p {port} -h /www"
        );
        busybox(app, 1, &script).with(&format!("port: {port}"))
    };
    let page = "#!/bin/sh\n\
                body=$(wget -q -T 5 -O - http://db:5432/ && wget -q -T 5 -O - http://cache:6379/)\n\
                printf 'Content-Length: %s\\r\\n\\r\\n%s' ${#body} \"$body\"\n";
    let web = format!(
        "mkdir -p /www/cgi-bin; cat > /www/cgi-bin/page <<'END'\n{page}END\n\
         chmod +x /www/cgi-bin/page; echo {version}; exec httpd -f -p 80 -h /www"
    );
    let worker = "wget -q -T 5 -O /dev/null http://db:5432/ || exit 1; while :; do sleep 1; done";
    [
        busybox("web", 2, &web).host("web.test").with("after: [db, cache]"),
        busybox("worker", 1, worker),
        answer("db", 5432, DATABASE_STARTS_AFTER),
        answer("cache", 6379, 0),
    ]
}

/// Requests the page of `web` that asks the database and the cache.
async fn page(s: &Scenario) -> Result<(), String> {
    let answer = s.get("web.test", "/cgi-bin/page").await?;
    ensure(answer.status == 200 && answer.text() == "db\ncache", answer.text())
}

async fn expect_all_ready(s: &Scenario, limit: Duration) {
    for app in ["web", "worker", "db", "cache"] {
        s.wait_for_phase(app, "Ready", limit).await;
    }
    eventually("the page is whole", limit, async || page(s).await).await;
}

#[test]
fn stack_of_four_apps_starts_updates_and_survives_a_reboot() {
    e2e!().run(async |s| {
        s.serve().await;
        for app in stack(1) {
            s.write_file(&format!("stack/{}.yaml", app.name), &app.to_string());
        }
        let folder = s.write_file("stack/.folder", "");
        let folder = folder.strip_suffix("/.folder").unwrap();
        let applied = s.run(&["apply", folder]).await.assert_success();
        let words = applied.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let (ready, created) = (words.find("ready db-1"), words.find("created web-"));
        assert!(ready.is_some() && ready < created, "{}", applied.stderr);
        page(s).await.unwrap();

        // An update of `web` fails no request while it calls the others.
        let [web, ..] = stack(2);
        let (_, requests) = tokio::join!(s.apply(&web), async {
            let mut requests = 0;
            while s.get_app("web").await["status"]["revision"] == 1 || requests < 50 {
                page(s).await.unwrap();
                requests += 1;
            }
            requests
        });
        assert!(requests >= 50, "{requests}");
        expect_all_ready(s, SOON).await;

        // After a reboot all containers are stopped, and only the orchestrator is started.
        s.terminate().await;
        let label = format!("label=dubernetes.instance={}", s.instance);
        let ids = docker(&["ps", "-q", "--filter", &label]).await;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        docker(&[&["stop", "-t", "1"], ids.as_slice()].concat()).await;
        s.serve().await;
        expect_all_ready(s, 2 * SOON).await;
    });
}
