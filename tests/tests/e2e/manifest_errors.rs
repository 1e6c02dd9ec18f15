//! Invalid manifests change nothing, `plan` and dry runs change nothing, and exit codes.

use dubernetes_tests::checks::SOON;
use dubernetes_tests::{e2e, whoami};

#[test]
fn one_invalid_document_rejects_whole_apply() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).host("web.test");
        s.apply(&web).await;
        let before = s.get_app("web").await;
        let containers = s.containers().await;
        let file = format!(
            "{}---\n{}---\nname: bad\nimage: a b\nreplcias: 3\n",
            web.with("env: { CHANGED: 'yes' }"),
            whoami("new", 1)
        );
        let file = s.write_file("several.yaml", &file);
        let failed = s.run(&["apply", &file]).await.assert_code(1);
        for text in ["replcias", "did you mean `replicas`?", "several.yaml:", "image"] {
            assert!(failed.stderr.contains(text), "`{text}` is missing in:\n{}", failed.stderr);
        }
        assert_eq!(failed.stdout, "");
        assert_eq!(s.get_app("web").await, before);
        let _ = s.run(&["get", "app", "new"]).await.assert_code(1);
        assert_eq!(s.containers().await, containers);

        for arguments in
            [&["validate", &file][..], &["plan", &file], &["apply", "--dry-run", &file]]
        {
            let _ = s.run(arguments).await.assert_code(1);
        }
        assert_eq!(s.get_app("web").await, before);
    });
}

#[test]
fn host_in_use_is_refused_until_its_app_is_deleted() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("first", 1).host("web.test")).await;
        let failed = s.try_apply(&whoami("second", 1).host("web.test")).await.assert_code(1);
        assert!(failed.stderr.contains("`first`"), "the owner is not named: {}", failed.stderr);
        assert!(failed.stderr.contains("web.test"), "{}", failed.stderr);
        let _ = s.run(&["get", "app", "second"]).await.assert_code(1);
        assert!(s.containers_of("second").await.is_empty());
        let routes = s.run(&["get", "routes", "-o", "json"]).await.assert_success().json();
        let owners: Vec<_> = routes["items"].as_array().unwrap().iter().collect();
        assert_eq!(owners.len(), 1, "{routes}");
        assert_eq!(owners[0]["app"], "first");
        for _ in 0..4 {
            s.assert_served_by("web.test", "first").await;
        }

        // Nor may two apps of one file share a host. After the owner is deleted the host is free.
        let both =
            format!("{}---\n{}", whoami("a", 1).host("x.test"), whoami("b", 1).host("x.test"));
        let both = s.write_file("both.yaml", &both);
        let failed = s.run(&["apply", &both]).await.assert_code(1);
        assert!(failed.stderr.contains("x.test"), "{}", failed.stderr);
        let _ = s.run(&["delete", "first"]).await.assert_success();
        s.apply(&whoami("second", 1).host("web.test")).await;
        s.assert_served_by("web.test", "second").await;
    });
}

#[test]
fn each_outcome_has_its_exit_code() {
    e2e!().run(async |s| {
        // 3: no orchestrator answers.
        let missing = format!("unix://{}/missing.sock", s.state_dir().display());
        let _ = s.run(&["--host", &missing, "get", "apps"]).await.assert_code(3);
        let file = s.write_file("web.yaml", &whoami("web", 1).to_string());
        let detached = s.run(&["apply", "--detach", &file]).await.assert_code(3);
        assert!(detached.stderr.contains("`dubernetes serve`"), "{}", detached.stderr);

        s.serve().await;
        // 0: success, or no difference.
        let _ = s.run(&["apply", &file]).await.assert_success();
        let _ = s.run(&["diff", &file]).await.assert_success();
        // 1: not found, no such file, different.
        for arguments in [
            &["get", "app", "nosuch"][..],
            &["describe", "nosuch"],
            &["delete", "nosuch"],
            &["delete", "pods", "web-9"],
            &["scale", "nosuch", "2"],
            &["logs", "nosuch"],
            &["exec", "nosuch", "--", "true"],
            &["apply", "/nonexistent/app.yaml"],
        ] {
            let failed = s.run(arguments).await.assert_code(1);
            assert!(failed.stderr.starts_with("error: "), "{arguments:?}: {}", failed.stderr);
            assert_eq!(failed.stderr.matches("error: ").count(), 1, "{}", failed.stderr);
        }
        let changed = s.write_file("changed.yaml", &whoami("web", 2).to_string());
        let _ = s.run(&["diff", &changed]).await.assert_code(1);
        // 2: wrong usage.
        for arguments in
            [&["frobnicate"][..], &["apply"], &["get", "frobs"], &["scale", "web", "many"]]
        {
            let _ = s.run(arguments).await.assert_code(2);
        }
        // 4: timeout.
        let slow = whoami("slow", 1).host("slow.test").with("env: { WHOAMI_START_DELAY: 10m }");
        let slow = s.write_file("slow.yaml", &slow.to_string());
        let late = s.run(&["apply", "--timeout", "2s", &slow]).await.assert_code(4);
        assert!(late.took < SOON, "{:?}", late.took);
        assert!(late.stderr.contains("not ready within 2s"), "{}", late.stderr);
    });
}

#[test]
fn plan_and_dry_run_change_nothing() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let before = s.get_app("web").await;
        let containers = s.containers().await;
        let changed = whoami("web", 2).host("web.test").with("env: { A: b }");
        let file = s.write_file("changed.yaml", &changed.to_string());
        let plan = s.run(&["plan", &file]).await.assert_success().stdout;
        for text in [
            "app/web: revision 1 -> 2",
            "create",
            "fewest ready replicas: 2 of 2",
            "downtime: none",
        ] {
            assert!(plan.contains(text), "`{text}` is missing in:\n{plan}");
        }
        let dry = s.run(&["apply", "--dry-run", &file]).await.assert_success().stdout;
        assert!(dry.starts_with("app/web configured (dry run)"), "{dry}");
        assert_eq!(s.get_app("web").await, before);
        assert_eq!(s.containers().await, containers);
    });
}
