//! `doctor` on a real engine and ingress, and with a problem to find.

use std::net::TcpListener;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::program::docker;
use dubernetes_tests::{e2e, eventually, whoami};
use serde_json::Value;

/// Returns result and message of a check.
#[expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
fn find_check(report: &str, name: &str) -> (String, String) {
    let report: Value = serde_json::from_str(report).unwrap();
    let items = report["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["check"] == name).unwrap();
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("result"), text("message"))
}

#[test]
fn doctor_reports_ok_with_and_without_orchestrator_and_creates_nothing() {
    e2e!().run(async |s| {
        let before = s.run(&["doctor", "-o", "json"]).await.assert_success().stdout;
        assert_eq!(find_check(&before, "orchestrator").0, "warn");
        for name in
            ["state", "socket", "engine", "clock", "network", "image", "names", "port", "exposure"]
        {
            assert_eq!(find_check(&before, name).0, "ok", "{name}: {before}");
        }
        assert!(find_check(&before, "network").1.ends_with("is free"), "{before}");
        assert!(find_check(&before, "image").1.contains("is nginx 1."), "{before}");
        let created: Vec<_> = std::fs::read_dir(s.state_dir()).unwrap().collect();
        assert!(created.is_empty(), "{created:?}");

        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let running = s.run(&["doctor", "-o", "json"]).await.assert_success().stdout;
        for name in ["orchestrator", "state", "socket", "engine", "network", "port"] {
            assert_eq!(find_check(&running, name).0, "ok", "{name}: {running}");
        }
        let port = find_check(&running, "port").1;
        assert!(port.starts_with("the ingress of this instance has "), "{port}");
        assert!(
            find_check(&running, "network").1.starts_with("this instance has 10."),
            "{running}"
        );
        assert!(find_check(&running, "orchestrator").1.contains(&s.pid().to_string()), "{running}");
    });
}

#[test]
fn doctor_names_process_that_holds_port() {
    e2e!().run(async |s| {
        let _listener = TcpListener::bind(("127.0.0.1", s.port)).unwrap();
        let report = s.run(&["doctor", "-o", "json"]).await.assert_code(1).stdout;
        let (result, message) = find_check(&report, "port");
        assert_eq!(result, "fail", "{report}");
        let process = format!("(process {})", std::process::id());
        assert!(message.contains(&process), "{message}");
    });
}

#[test]
fn doctor_says_what_an_ingress_image_lacks_and_leaves_no_container() {
    e2e!().run(async |s| {
        for (image, lacks) in [
            ("dubernetes-whoami:1", "has no shell"),
            ("dubernetes-test-busybox:1", "has no stream module"),
        ] {
            let image = s.tag(image).await;
            let variables = [("DUBERNETES_INGRESS_IMAGE", image.as_str())];
            let report = s.run_with_variables(&["doctor", "-o", "json"], &variables).await;
            let (result, message) = find_check(&report.stdout, "names");
            assert_eq!(result, "warn", "{message}");
            assert!(message.contains(lacks), "{message}");
            let of_image = format!("ancestor={image}");
            let filters = ["--filter", &of_image, "--filter", "network=none"];
            eventually("the container of the check is gone", SOON, async || {
                let left = docker(&[&["ps", "-aq"], &filters[..]].concat()).await;
                ensure(left.is_empty(), left)
            })
            .await;
        }
    });
}
