//! Several routes of one app: ports, wildcards, the rest of the hosts, and a prefix to remove.

use dubernetes_tests::{e2e, whoami};

/// An app with two servers, each at a port of its own. Only the first decides readiness.
const TWO_PORTS: &str = "\
name: two
image: dubernetes-test-busybox:1
port: 8080
command:
  - sh
  - -c
  - |
    mkdir -p /tmp/main /tmp/admin/sub
    echo main > /tmp/main/index.html
    echo admin > /tmp/admin/sub/index.html
    httpd -p 9090 -h /tmp/admin
    exec httpd -f -p 8080 -h /tmp/main
access:
  - host: [two.test, \"*.two.test\"]
  - { host: two.test, path: /admin, port: 9090, strip_prefix: true }
";

#[test]
fn app_with_several_routes_is_reached_by_each_and_updated_without_loss() {
    e2e!().run(async |s| {
        s.serve().await;
        let file = s.write_file("two.yaml", TWO_PORTS);
        let _ = s.run(&["apply", &file]).await.assert_success();
        s.apply(&whoami("rest", 1).with("access: {}")).await;
        for (host, path, expected) in [
            ("two.test", "/", "main"),
            ("www.two.test", "/", "main"),
            ("two.test", "/admin/sub/", "admin"),
        ] {
            let answer = s.get(host, path).await.unwrap();
            assert_eq!((answer.status, answer.text().trim()), (200, expected), "{host}{path}");
        }
        // A host without a route of its own, and one that the wildcard does not match.
        for host in ["other.test", "a.www.two.test"] {
            let answer = s.get(host, "/x").await.unwrap();
            assert_eq!(answer.field("App").as_deref(), Some("rest"), "{host}");
        }
        let routes = s.run(&["get", "routes"]).await.assert_success().stdout;
        let routes: Vec<Vec<_>> =
            routes.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
        for expected in [["*", "/", "rest", "80"], ["two.test", "/admin", "two", "9090"]] {
            assert!(routes.iter().any(|route| *route == expected), "{routes:?}");
        }

        // A replica that is replaced leaves both routes before it is stopped.
        let changed = TWO_PORTS.replace("echo main", "echo new");
        let file = s.write_file("two.yaml", &changed);
        let apply = ["apply", &file];
        let updated = s.run(&apply);
        tokio::pin!(updated);
        loop {
            tokio::select! {
                run = &mut updated => break drop(run.assert_success()),
                answer = s.get("two.test", "/admin/sub/") => {
                    assert_eq!(answer.unwrap().status, 200);
                }
            }
        }
        assert_eq!(s.get("two.test", "/").await.unwrap().text().trim(), "new");

        // The places of an app are its own.
        for access in ["access: {}", "access: [{ path: /x }, { host: '*.two.test' }]"] {
            let file = whoami("late", 1).with(access).to_string();
            let file = s.write_file("late.yaml", &file);
            let refused = s.run(&["apply", &file]).await;
            assert!(refused.stderr.contains("is taken by app"), "{}", refused.stderr);
        }
    });
}
