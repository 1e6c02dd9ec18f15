//! `apply` of new apps, with and without an orchestrator.

use dubernetes_tests::{app, e2e, whoami};

#[test]
fn three_replicas_share_requests_and_unknown_host_gets_404() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        s.wait_for_balance_over("web.test", "web", 3).await;
        assert_eq!(s.status_code("other.test").await, 404);
        assert_eq!(s.status_code("127.0.0.1").await, 404);
        // The URL in the output includes the ingress port.
        let url = format!("http://web.test:{} -> 3 replicas", s.port);
        for command in ["events", "describe"] {
            let output = s.run(&[command, "web"]).await.assert_success().stdout;
            assert!(output.contains(&url), "{url} is not in {output}");
        }
    });
}

#[test]
fn reapplying_same_file_changes_nothing() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        let ids = s.container_ids("web").await;
        let nginx = s.nginx_state().await;
        let before = s.get_app("web").await;
        let again = s.apply(&web).await;
        assert_eq!(again.stdout, "app/web unchanged\n");
        assert_eq!(s.container_ids("web").await, ids);
        assert_eq!(s.nginx_state().await, nginx);
        assert_eq!(s.get_app("web").await["generation"], before["generation"]);
    });
}

#[test]
fn apply_reads_documents_folders_and_stdin() {
    e2e!().run(async |s| {
        s.serve().await;
        // Two apps in one file, on one host with different paths.
        let shop = format!(
            "{}---\n{}",
            whoami("shop", 1).host("shop.test"),
            whoami("cart", 1).with("access: { host: shop.test, path: /cart }")
        );
        let shop = s.write_file("shop.yaml", &shop);
        let applied = s.run(&["apply", &shop]).await.assert_success();
        assert_eq!(applied.stdout, "app/shop created\napp/cart created\n");
        for (path, app) in
            [("/", "shop"), ("/cart", "cart"), ("/cart/items", "cart"), ("/cartoon", "shop")]
        {
            let answer = s.get("shop.test", path).await.unwrap();
            assert_eq!(answer.field("App").as_deref(), Some(app), "{path}");
        }

        // All YAML files of a folder, and no other files.
        s.write_file("folder/one.yaml", &whoami("one", 1).to_string());
        s.write_file("folder/two.yml", &whoami("two", 1).to_string());
        let note = s.write_file("folder/note.txt", "not: [yaml");
        let folder = note.strip_suffix("/note.txt").unwrap();
        let applied = s.run(&["apply", "-f", folder]).await.assert_success();
        assert_eq!(applied.stdout, "app/one created\napp/two created\n");

        let three = whoami("three", 1).to_string();
        let applied = s.run_with(&["apply", "-f", "-"], &three).await.assert_success();
        assert_eq!(applied.stdout, "app/three created\n");
        let names: Vec<_> = s.get_pods(None).await.iter().map(|pod| pod["name"].clone()).collect();
        assert_eq!(names, ["cart-1", "one-1", "shop-1", "three-1", "two-1"]);
    });
}

#[test]
fn apply_without_orchestrator_works_and_warns() {
    e2e!().run(async |s| {
        let applied = s.apply(&whoami("web", 2).host("web.test")).await;
        assert_eq!(applied.stdout, "app/web created\n");
        let warning = "warning: no orchestrator is running, so from now on nothing replaces a \
                       replica that dies";
        assert!(applied.stderr.contains(warning), "{}", applied.stderr);
        assert!(applied.stderr.contains("`dubernetes serve`"), "{}", applied.stderr);
        s.wait_for_balance_over("web.test", "web", 2).await;

        // `get` works without an orchestrator too, and the next orchestrator adopts the containers.
        let pods = s.run(&["get", "pods"]).await.assert_success();
        assert_eq!(pods.table().len(), 3, "{}", pods.stdout);
        assert!(pods.stderr.contains("no orchestrator is running"), "{}", pods.stderr);
        let ids = s.container_ids("web").await;
        let again = s.apply(&whoami("web", 2).host("web.test")).await;
        assert_eq!(again.stdout, "app/web unchanged\n");
        s.serve().await;
        s.wait_for_phase("web", "Ready", dubernetes_tests::checks::SOON).await;
        assert_eq!(s.container_ids("web").await, ids);
    });
}

#[test]
fn json_output_has_documented_shape() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let apps = s.run(&["get", "apps", "-o", "json"]).await.assert_success().json();
        assert_eq!(apps["kind"], "List");
        let web = &apps["items"][0];
        assert_eq!((&web["name"], &web["generation"]), (&"web".into(), &1.into()));
        assert_eq!(web["spec"]["replicas"], 2);
        assert_eq!(web["spec"]["access"]["host"], "web.test");
        let status = &web["status"];
        let counts = ["desired", "ready", "updated", "revision"].map(|key| &status[key]);
        assert_eq!(counts, [2, 2, 2, 1].map(serde_json::Value::from).each_ref());
        assert_eq!((&status["phase"], &status["message"]), (&"Ready".into(), &"".into()));

        let running = s.running_pods("web").await;
        let pods = s.get_pods(Some("web")).await;
        assert_eq!(pods.len(), 2);
        for (pod, (name, id)) in pods.iter().zip(&running) {
            assert_eq!((&pod["name"], &pod["app"]), (&name.as_str().into(), &"web".into()));
            assert_eq!(pod["container_id"], id.as_str());
            assert_eq!((&pod["state"], &pod["ready"]), (&"Running".into(), &true.into()));
            assert_eq!((&pod["revision"], &pod["restarts"]), (&1.into(), &0.into()));
            assert!(pod["address"].as_str().is_some_and(|address| address.contains('.')));
            assert!(pod["started_at"].as_str().is_some_and(|time| time.ends_with('Z')));
        }
    });
}

#[test]
fn app_without_access_runs_unrouted() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("worker", 2)).await;
        s.wait_for_replicas("worker", 2, dubernetes_tests::checks::SOON).await;
        let routes = s.run(&["get", "routes", "-o", "json"]).await.assert_success().json();
        assert_eq!(routes["items"].as_array().unwrap().len(), 0);
        // No app needs nginx, so the host port stays free.
        assert_eq!(s.containers().await.len(), 2);
        std::net::TcpListener::bind(("127.0.0.1", s.port)).unwrap();
    });
}

#[test]
fn failing_app_does_not_block_ten_replicas_beside_it() {
    e2e!().run(async |s| {
        s.serve().await;
        let file = format!(
            "{}---\n{}",
            app("broken", "dubernetes-no-such-image:1", 2).with("pull: never"),
            whoami("web", 10).host("web.test")
        );
        let file = s.write_file("both.yaml", &file);
        let applied = s.run(&["apply", &file]).await.assert_code(1);
        assert_eq!(applied.stdout, "app/broken created\napp/web created\n");
        assert!(applied.stderr.contains("app/web is ready: 10/10"), "{}", applied.stderr);
        assert!(applied.stderr.contains("dubernetes-no-such-image:1"), "{}", applied.stderr);
        s.wait_for_balance_over("web.test", "web", 10).await;
        assert!(s.containers_of("broken").await.is_empty());
    });
}
