//! What `doctor` says of a real engine, a real ingress, and of what is in its way.

use std::net::TcpListener;

use dubernetes_tests::{here, whoami};
use serde_json::Value;

/// The result and the message of a check.
#[expect(clippy::unwrap_used, reason = "what fails here fails the test")]
fn check(report: &str, name: &str) -> (String, String) {
    let report: Value = serde_json::from_str(report).unwrap();
    let items = report["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["check"] == name).unwrap();
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("result"), text("message"))
}

#[test]
fn all_is_well_before_and_while_an_orchestrator_runs_and_nothing_is_made() {
    here!().run(async |s| {
        let before = s.run(&["doctor", "-o", "json"]).await.succeeds().stdout;
        assert_eq!(check(&before, "orchestrator").0, "warn");
        for name in ["state", "socket", "engine", "clock", "network", "image", "port", "exposure"] {
            assert_eq!(check(&before, name).0, "ok", "{name}: {before}");
        }
        assert!(check(&before, "network").1.ends_with("is free"), "{before}");
        assert!(check(&before, "image").1.contains("is nginx 1."), "{before}");
        let made: Vec<_> = std::fs::read_dir(s.state_dir()).unwrap().collect();
        assert!(made.is_empty(), "{made:?}");

        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let running = s.run(&["doctor", "-o", "json"]).await.succeeds().stdout;
        for name in ["orchestrator", "state", "socket", "engine", "network", "port"] {
            assert_eq!(check(&running, name).0, "ok", "{name}: {running}");
        }
        let port = check(&running, "port").1;
        assert!(port.starts_with("the ingress of this instance has "), "{port}");
        assert!(check(&running, "network").1.starts_with("this instance has 10."), "{running}");
        assert!(check(&running, "orchestrator").1.contains(&s.pid().to_string()), "{running}");
    });
}

#[test]
fn who_has_the_port_is_told() {
    here!().run(async |s| {
        let _listener = TcpListener::bind(("127.0.0.1", s.port)).unwrap();
        let told = s.run(&["doctor", "-o", "json"]).await.fails(1).stdout;
        let (result, message) = check(&told, "port");
        assert_eq!(result, "fail", "{told}");
        let me = format!("(process {})", std::process::id());
        assert!(message.contains(&me), "{message}");
    });
}
