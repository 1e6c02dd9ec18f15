//! The life of an app from `serve` and `apply` to `delete`.

use std::time::Duration;

use dubernetes_tests::{e2e, whoami};

#[test]
fn app_is_applied_served_listed_and_deleted() {
    e2e!().run(async |s| {
        // 1. The orchestrator starts and reports its status.
        let took = s.serve().await;
        assert!(took < Duration::from_secs(10), "the start took {took:?}");
        let status = s.dubectl(&["status", "-o", "json"]).await.assert_success().json();
        assert_eq!(status["orchestrator"]["pid"], s.pid());
        assert_eq!(status["orchestrator"]["mode"], "serve");
        assert_eq!(status["engine"]["state"], "answering");

        // 2. `apply` creates two replicas with a host.
        let file = s.write_file("web.yaml", &whoami("web", 2).host("web.test").to_string());
        let applied = s.dubectl(&["apply", "-f", &file]).await.assert_success();
        assert_eq!(applied.stdout, "app/web created\n");
        assert!(applied.stderr.contains("app/web is ready: 2/2 replicas"), "{}", applied.stderr);

        // 3. `get pods` shows both as ready.
        let columns = ["NAME", "APP", "STATE", "READY", "RESTARTS", "REVISION", "AGE", "REASON"];
        for arguments in [&["get", "pods"][..], &["get", "pods", "web"]] {
            let shown = s.dubectl(arguments).await.assert_success();
            let rows = shown.table();
            assert_eq!(rows.len(), 3, "{}", shown.stdout);
            assert_eq!(rows[0], columns);
            assert_eq!(rows[1][..6], ["web-1", "web", "Running", "yes", "0", "1"]);
            assert_eq!(rows[2][..6], ["web-2", "web", "Running", "yes", "0", "1"]);
        }
        let one = s.dubectl(&["get", "pods", "web-2"]).await.assert_success();
        assert_eq!(one.table().len(), 2, "{}", one.stdout);

        // 4. The engine has exactly these two containers, and nginx.
        assert_eq!(s.running_pods("web").await.len(), 2);
        assert_eq!(s.containers().await.len(), 3);

        // 5. nginx runs with the host in its configuration.
        assert!(s.nginx_config().await.contains("server_name web.test;"));

        // 6. Both replicas answer in turn.
        s.wait_for_balance_over("web.test", "web", 2).await;

        // 7. After `delete` nothing of the app is left, and the host is unknown.
        let deleted = s.dubectl(&["delete", "web"]).await.assert_success();
        assert_eq!(deleted.stdout, "app/web deleting\n");
        assert!(s.containers_of("web").await.is_empty());
        assert_eq!(s.status_code("web.test").await, 404);
        let none = s.dubectl(&["get", "pods"]).await.assert_success();
        assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "No pods found.\n"));
    });
}
