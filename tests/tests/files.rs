//! What is wrong with a file is said before anything is done, and every end has its exit code.

use dubernetes_tests::checks::SOON;
use dubernetes_tests::{here, whoami};

#[test]
fn one_bad_document_and_nothing_is_stored_or_made() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).host("web.test");
        s.apply(&web).await;
        let (before, containers) = (s.app("web").await, s.containers().await);
        let file = format!(
            "{}---\n{}---\nname: bad\nimage: a b\nreplcias: 3\n",
            web.with("env: { CHANGED: 'yes' }"),
            whoami("new", 1)
        );
        let file = s.file("several.yaml", &file);
        let failed = s.run(&["apply", &file]).await.fails(1);
        for text in ["replcias", "did you mean `replicas`?", "several.yaml:", "image"] {
            assert!(failed.stderr.contains(text), "`{text}` is missing in:\n{}", failed.stderr);
        }
        assert_eq!(failed.stdout, "");
        assert_eq!(s.app("web").await, before);
        let _ = s.run(&["get", "app", "new"]).await.fails(1);
        assert_eq!(s.containers().await, containers);

        for arguments in
            [&["validate", &file][..], &["plan", &file], &["apply", "--dry-run", &file]]
        {
            let _ = s.run(arguments).await.fails(1);
        }
        assert_eq!(s.app("web").await, before);
    });
}

#[test]
fn a_host_belongs_to_one_app() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("first", 1).host("web.test")).await;
        let failed = s.try_apply(&whoami("second", 1).host("web.test")).await.fails(1);
        assert!(failed.stderr.contains("`first`"), "the owner is named: {}", failed.stderr);
        assert!(failed.stderr.contains("web.test"), "{}", failed.stderr);
        let _ = s.run(&["get", "app", "second"]).await.fails(1);
        assert!(s.replicas("second").await.is_empty());
        let routes = s.run(&["get", "routes", "-o", "json"]).await.succeeds().json();
        let owners: Vec<_> = routes["items"].as_array().unwrap().iter().collect();
        assert_eq!(owners.len(), 1, "{routes}");
        assert_eq!(owners[0]["app"], "first");
        for _ in 0..4 {
            s.answers("web.test", "first").await;
        }

        // In one file as well, and once the owner is gone it is free.
        let both =
            format!("{}---\n{}", whoami("a", 1).host("x.test"), whoami("b", 1).host("x.test"));
        let both = s.file("both.yaml", &both);
        let failed = s.run(&["apply", &both]).await.fails(1);
        assert!(failed.stderr.contains("x.test"), "{}", failed.stderr);
        let _ = s.run(&["delete", "first"]).await.succeeds();
        s.apply(&whoami("second", 1).host("web.test")).await;
        s.answers("web.test", "second").await;
    });
}

#[test]
fn each_end_has_its_exit_code() {
    here!().run(async |s| {
        // 3: nobody answers.
        let silent = format!("unix://{}/nobody.sock", s.state_dir().display());
        let _ = s.run(&["--host", &silent, "get", "apps"]).await.fails(3);
        let file = s.file("web.yaml", &whoami("web", 1).to_string());
        let detached = s.run(&["apply", "--detach", &file]).await.fails(3);
        assert!(detached.stderr.contains("`dubernetes serve`"), "{}", detached.stderr);

        s.serve().await;
        // 0: done, or the same.
        let _ = s.run(&["apply", &file]).await.succeeds();
        let _ = s.run(&["diff", &file]).await.succeeds();
        // 1: not found, not a file, different.
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
            let failed = s.run(arguments).await.fails(1);
            assert!(failed.stderr.starts_with("error: "), "{arguments:?}: {}", failed.stderr);
            assert_eq!(failed.stderr.matches("error: ").count(), 1, "{}", failed.stderr);
        }
        let changed = s.file("changed.yaml", &whoami("web", 2).to_string());
        let _ = s.run(&["diff", &changed]).await.fails(1);
        // 2: wrong usage.
        for arguments in
            [&["frobnicate"][..], &["apply"], &["get", "frobs"], &["scale", "web", "many"]]
        {
            let _ = s.run(arguments).await.fails(2);
        }
        // 4: not within the time.
        let slow = whoami("slow", 1).host("slow.test").with("env: { WHOAMI_START_DELAY: 10m }");
        let slow = s.file("slow.yaml", &slow.to_string());
        let late = s.run(&["apply", "--timeout", "2s", &slow]).await.fails(4);
        assert!(late.took < SOON, "{:?}", late.took);
        assert!(late.stderr.contains("not ready within 2s"), "{}", late.stderr);
    });
}

#[test]
fn plan_and_dry_run_tell_and_change_nothing() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let (before, containers) = (s.app("web").await, s.containers().await);
        let changed = whoami("web", 2).host("web.test").with("env: { A: b }");
        let file = s.file("changed.yaml", &changed.to_string());
        let plan = s.run(&["plan", &file]).await.succeeds().stdout;
        for text in [
            "app/web: revision 1 -> 2",
            "create",
            "fewest ready replicas: 2 of 2",
            "downtime: none",
        ] {
            assert!(plan.contains(text), "`{text}` is missing in:\n{plan}");
        }
        let dry = s.run(&["apply", "--dry-run", &file]).await.succeeds().stdout;
        assert!(dry.starts_with("app/web configured (dry run)"), "{dry}");
        assert_eq!(s.app("web").await, before);
        assert_eq!(s.containers().await, containers);
    });
}
