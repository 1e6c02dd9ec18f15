//! The walk that a newcomer takes: start, apply, look, ask, delete.

use std::time::Duration;

use dubernetes_tests::{here, whoami};

#[test]
fn from_nothing_to_an_app_that_answers_and_back() {
    here!().run(async |s| {
        // 1. The orchestrator starts, and says that it is well.
        let took = s.serve().await;
        assert!(took < Duration::from_secs(10), "the start took {took:?}");
        let status = s.dubectl(&["status", "-o", "json"]).await.succeeds().json();
        assert_eq!(status["orchestrator"]["pid"], s.pid());
        assert_eq!(status["orchestrator"]["mode"], "serve");
        assert_eq!(status["engine"]["state"], "answering");

        // 2. Two replicas with a host are applied.
        let file = s.file("web.yaml", &whoami("web", 2).host("web.test").to_string());
        let applied = s.dubectl(&["apply", "-f", &file]).await.succeeds();
        assert_eq!(applied.stdout, "app/web created\n");
        assert!(applied.stderr.contains("app/web is ready: 2/2 replicas"), "{}", applied.stderr);

        // 3. Both are shown, ready.
        let columns = ["NAME", "APP", "STATE", "READY", "RESTARTS", "REVISION", "AGE"];
        for arguments in [&["get", "pods"][..], &["get", "pods", "web"]] {
            let shown = s.dubectl(arguments).await.succeeds();
            let rows = shown.table();
            assert_eq!(rows.len(), 3, "{}", shown.stdout);
            assert_eq!(rows[0], columns);
            assert_eq!(rows[1][..6], ["web-1", "web", "Running", "yes", "0", "1"]);
            assert_eq!(rows[2][..6], ["web-2", "web", "Running", "yes", "0", "1"]);
        }
        let one = s.dubectl(&["get", "pods", "web-2"]).await.succeeds();
        assert_eq!(one.table().len(), 2, "{}", one.stdout);

        // 4. The engine has exactly these two for it, and nginx besides.
        assert_eq!(s.running("web").await.len(), 2);
        assert_eq!(s.containers().await.len(), 3);

        // 5. nginx runs, and its configuration has the host.
        assert!(s.nginx_files().await.contains("server_name web.test;"));

        // 6. Both answer in turn.
        s.answers_evenly("web.test", "web", 2).await;

        // 7. When delete returns, nothing of the app is left, and the host is unknown.
        let deleted = s.dubectl(&["delete", "web"]).await.succeeds();
        assert_eq!(deleted.stdout, "app/web deleted\n");
        assert!(s.replicas("web").await.is_empty());
        assert_eq!(s.status("web.test").await, 404);
        let none = s.dubectl(&["get", "pods"]).await.succeeds();
        assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "No pods found.\n"));
    });
}
