//! What an apply does, with and without an orchestrator.

use dubernetes_tests::{app, here, whoami};

#[test]
fn three_replicas_answer_evenly_and_an_unknown_host_does_not() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        s.answers_evenly("web.test", "web", 3).await;
        assert_eq!(s.status("other.test").await, 404);
        assert_eq!(s.status("127.0.0.1").await, 404);
        // The address that is told is one that can be opened.
        let url = format!("http://web.test:{} -> 3 replicas", s.port);
        for command in ["events", "describe"] {
            let told = s.run(&[command, "web"]).await.succeeds().stdout;
            assert!(told.contains(&url), "{url} is not in {told}");
        }
    });
}

#[test]
fn the_same_file_again_changes_nothing() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        let (ids, nginx, before) = (s.ids("web").await, s.nginx().await, s.app("web").await);
        let again = s.apply(&web).await;
        assert_eq!(again.stdout, "app/web unchanged\n");
        assert_eq!(s.ids("web").await, ids);
        assert_eq!(s.nginx().await, nginx);
        assert_eq!(s.app("web").await["generation"], before["generation"]);
    });
}

#[test]
fn several_documents_a_folder_and_standard_input() {
    here!().run(async |s| {
        s.serve().await;
        // Two apps share a host by path, in one file.
        let shop = format!(
            "{}---\n{}",
            whoami("shop", 1).host("shop.test"),
            whoami("cart", 1).with("access: { host: shop.test, path: /cart }")
        );
        let shop = s.file("shop.yaml", &shop);
        let applied = s.run(&["apply", &shop]).await.succeeds();
        assert_eq!(applied.stdout, "app/shop created\napp/cart created\n");
        for (path, app) in
            [("/", "shop"), ("/cart", "cart"), ("/cart/items", "cart"), ("/cartoon", "shop")]
        {
            let answer = s.ask("shop.test", path).await.unwrap();
            assert_eq!(answer.says("App").as_deref(), Some(app), "{path}");
        }

        // Every file of a folder, and nothing else that lies there.
        s.file("folder/one.yaml", &whoami("one", 1).to_string());
        s.file("folder/two.yml", &whoami("two", 1).to_string());
        let note = s.file("folder/note.txt", "not: [yaml");
        let folder = note.strip_suffix("/note.txt").unwrap();
        let applied = s.run(&["apply", "-f", folder]).await.succeeds();
        assert_eq!(applied.stdout, "app/one created\napp/two created\n");

        let three = whoami("three", 1).to_string();
        let applied = s.run_with(&["apply", "-f", "-"], &three).await.succeeds();
        assert_eq!(applied.stdout, "app/three created\n");
        let names: Vec<_> = s.pods(None).await.iter().map(|pod| pod["name"].clone()).collect();
        assert_eq!(names, ["cart-1", "one-1", "shop-1", "three-1", "two-1"]);
    });
}

#[test]
fn without_an_orchestrator_it_works_and_says_what_is_missing() {
    here!().run(async |s| {
        let applied = s.apply(&whoami("web", 2).host("web.test")).await;
        assert_eq!(applied.stdout, "app/web created\n");
        let warning = "warning: no orchestrator is running, so from now on nothing replaces a \
                       replica that dies";
        assert!(applied.stderr.contains(warning), "{}", applied.stderr);
        assert!(applied.stderr.contains("`dubernetes serve`"), "{}", applied.stderr);
        s.answers_evenly("web.test", "web", 2).await;

        // Looking needs none either, and the next orchestrator takes over what runs.
        let pods = s.run(&["get", "pods"]).await.succeeds();
        assert_eq!(pods.table().len(), 3, "{}", pods.stdout);
        assert!(pods.stderr.contains("no orchestrator is running"), "{}", pods.stderr);
        let ids = s.ids("web").await;
        let again = s.apply(&whoami("web", 2).host("web.test")).await;
        assert_eq!(again.stdout, "app/web unchanged\n");
        s.serve().await;
        s.is_in("Ready", "web", dubernetes_tests::checks::SOON).await;
        assert_eq!(s.ids("web").await, ids);
    });
}

#[test]
fn json_has_the_shape_that_is_promised() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let apps = s.run(&["get", "apps", "-o", "json"]).await.succeeds().json();
        assert_eq!(apps["kind"], "List");
        let web = &apps["items"][0];
        assert_eq!((&web["name"], &web["generation"]), (&"web".into(), &1.into()));
        assert_eq!(web["spec"]["replicas"], 2);
        assert_eq!(web["spec"]["access"]["host"], "web.test");
        let status = &web["status"];
        let counts = ["desired", "ready", "updated", "revision"].map(|key| &status[key]);
        assert_eq!(counts, [2, 2, 2, 1].map(serde_json::Value::from).each_ref());
        assert_eq!((&status["phase"], &status["message"]), (&"Ready".into(), &"".into()));

        let running = s.running("web").await;
        let pods = s.pods(Some("web")).await;
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
fn an_app_without_access_runs_and_is_not_routed() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("worker", 2)).await;
        s.settles("worker", 2, dubernetes_tests::checks::SOON).await;
        let routes = s.run(&["get", "routes", "-o", "json"]).await.succeeds().json();
        assert_eq!(routes["items"].as_array().unwrap().len(), 0);
        // Nobody needs nginx, so the port of the machine stays free.
        assert_eq!(s.containers().await.len(), 2);
        std::net::TcpListener::bind(("127.0.0.1", s.port)).unwrap();
    });
}

#[test]
fn ten_replicas_and_an_app_that_cannot_come_up_beside_them() {
    here!().run(async |s| {
        s.serve().await;
        let file = format!(
            "{}---\n{}",
            app("broken", "dubernetes-no-such-image:1", 2).with("pull: never"),
            whoami("web", 10).host("web.test")
        );
        let file = s.file("both.yaml", &file);
        let applied = s.run(&["apply", &file]).await.fails(1);
        assert_eq!(applied.stdout, "app/broken created\napp/web created\n");
        assert!(applied.stderr.contains("app/web is ready: 10/10"), "{}", applied.stderr);
        assert!(applied.stderr.contains("dubernetes-no-such-image:1"), "{}", applied.stderr);
        s.answers_evenly("web.test", "web", 10).await;
        assert!(s.replicas("broken").await.is_empty());
    });
}
