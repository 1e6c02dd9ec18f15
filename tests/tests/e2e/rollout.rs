//! Rolling updates and scaling, without failed requests.

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::load::Load;
use dubernetes_tests::manifest::{Manifest, WHOAMI};
use dubernetes_tests::{Scenario, app, e2e, eventually, whoami};
use futures_util::future::join_all;

/// Applies a change and asserts that all `count` replicas are replaced, one after the other.
async fn assert_replaces(s: &Scenario, to: &Manifest, count: usize) {
    let old = s.container_ids(&to.name).await;
    let applied = tokio::select! {
        applied = s.apply(to) => applied,
        never = s.assert_always_between(&to.name, count, count + 2) => never,
    };
    assert_eq!(applied.stdout, format!("app/{} configured\n", to.name));
    s.wait_for_replicas(&to.name, count, SOON).await;
    let new = s.container_ids(&to.name).await;
    assert!(new.is_disjoint(&old), "not replaced by {to}: {old:?} {new:?}");
}

#[test]
fn rollout_under_load_fails_no_request() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 3).host("web.test");
        s.apply(&web).await;
        let load = Load::start(s.port, "web.test", "web", 100);
        assert_replaces(s, &web.with("env: { A: b }"), 3).await;
        load.wait_for_requests(50).await;
        let tally = load.stop().await;
        tally.assert_no_failures(200);
        assert_eq!(tally.revisions(), ["1", "2"]);
        s.wait_for_balance("web.test", 3).await;
    });
}

#[test]
fn port_change_rolls_out_without_failed_requests() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let load = Load::start(s.port, "web.test", "web", 100);
        let moved = whoami("web", 3).host("web.test").with("port: 8080\nargs: [--port, '8080']");
        assert_replaces(s, &moved, 3).await;
        load.wait_for_requests(50).await;
        load.stop().await.assert_no_failures(200);
        let files = s.nginx_config().await;
        // nginx tries each server once, so those of a small upstream are in it twice.
        assert_eq!(files.matches(":8080 max_fails").count(), 6, "{files}");
        assert_eq!(files.matches(":80 max_fails").count(), 0, "{files}");
    });
}

#[test]
fn draining_replica_answers_slow_requests() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        let changed = web.with("env: { A: b }");
        let slow = join_all((0..8).map(|_| s.get("web.test", "/?wait=3s")));
        let ((), answers) = tokio::join!(assert_replaces(s, &changed, 2), slow);
        for answer in answers {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.field("Revision").as_deref(), Some("1"), "{}", answer.text());
        }
    });
}

#[test]
fn every_container_change_replaces_replicas() {
    e2e!().run(async |s| {
        s.serve().await;
        let other_image = s.tag(WHOAMI).await;
        let web = |image: &str, more: &str| app("web", image, 2).host("web.test").with(more);
        s.apply(&web(WHOAMI, "")).await;
        let run = "command: [/whoami]\nargs: [--name, new]";
        let volume = format!("{run}\nvolumes: ['data:/data']");
        for to in [
            web(&other_image, ""),
            web(WHOAMI, run),
            web(WHOAMI, &volume),
            web(WHOAMI, &format!("{volume}\nresources: {{ memory: 64Mi, cpu: 0.5 }}")),
        ] {
            assert_replaces(s, &to, 2).await;
            assert_eq!(s.status_code("web.test").await, 200);
        }
        let answer = s.assert_served_by("web.test", "web").await;
        assert_eq!(answer.field("Name").as_deref(), Some("new"));
        assert_eq!(answer.field("Revision").as_deref(), Some("5"));
        assert_eq!(s.volumes().await, [format!("dubernetes.{}.web.data", s.instance)]);
    });
}

#[test]
fn host_change_moves_route_and_keeps_replicas() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("old.test")).await;
        let ids = s.container_ids("web").await;
        s.apply(&whoami("web", 2).host("new.test")).await;
        s.wait_for_balance_over("new.test", "web", 2).await;
        assert_eq!(s.status_code("old.test").await, 404);
        // Removing `access` removes the route; adding it with a path routes only that path.
        s.apply(&whoami("web", 2)).await;
        assert_eq!(s.status_code("new.test").await, 404);
        s.apply(&whoami("web", 2).with("access: { host: old.test, path: /x }")).await;
        assert_eq!(s.status_code("old.test").await, 404, "the root is routed too");
        let below = s.get("old.test", "/x/y").await.unwrap();
        assert_eq!((below.status, below.field("App").as_deref()), (200, Some("web")));
        assert_eq!(s.container_ids("web").await, ids);
    });
}

#[test]
fn scaling_up_and_down_fails_no_request() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let three = s.container_ids("web").await;
        let load = Load::start(s.port, "web.test", "web", 100);

        let _ = s.run(&["scale", "web", "5"]).await.assert_success();
        s.wait_for_replicas("web", 5, SOON).await;
        let five = s.container_ids("web").await;
        assert!(five.is_superset(&three));
        s.wait_for_balance_over("web.test", "web", 5).await;

        let _ = s.run(&["scale", "web", "1"]).await.assert_success();
        s.wait_for_replicas("web", 1, SOON).await;
        assert!(three.is_superset(&s.container_ids("web").await), "an old replica was replaced");
        load.wait_for_requests(50).await;
        load.stop().await.assert_no_failures(200);

        let _ = s.run(&["scale", "web", "0"]).await.assert_success();
        s.wait_for_replicas("web", 0, SOON).await;
        let answer = s.get("web.test", "/").await.unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());

        let _ = s.run(&["scale", "web", "2"]).await.assert_success();
        s.wait_for_replicas("web", 2, SOON).await;
        s.wait_for_balance_over("web.test", "web", 2).await;
        assert_eq!(s.get_app("web").await["spec"]["replicas"], 2);
    });
}

#[test]
fn missing_image_keeps_running_replicas_and_creates_nothing() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        s.apply(&whoami("other", 1).host("other.test")).await;
        let ids = s.container_ids("web").await;
        let nginx = s.nginx_state().await;
        let bad = app("web", "dubernetes-no-such-image:1", 2).with("pull: never").host("web.test");
        let failed = s.try_apply(&bad).await.assert_code(1);
        assert!(failed.stderr.contains("dubernetes-no-such-image:1"), "{}", failed.stderr);
        for _ in 0..50 {
            assert_eq!(s.container_ids("web").await, ids);
            s.assert_served_by("web.test", "web").await;
            s.assert_served_by("other.test", "other").await;
        }
        let status = s.get_app("web").await["status"].clone();
        assert_eq!((&status["phase"], &status["ready"]), (&"Ready".into(), &2.into()));
        assert_eq!(status["failure"]["revision"], 2, "{status}");
        assert_eq!(s.nginx_state().await, nginx, "nginx was reloaded");
        assert_eq!(s.get_app("other").await["status"]["phase"], "Ready");

        // The old image again: no replica has to be replaced.
        s.apply(&web).await;
        assert_eq!(s.container_ids("web").await, ids);
    });
}

#[test]
fn crashing_revision_leaves_old_revision_serving() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        let ids = s.container_ids("web").await;
        let load = Load::start(s.port, "web.test", "web", 50);
        let failed =
            s.try_apply(&web.clone().with("env: { WHOAMI_EXIT: '9' }")).await.assert_code(1);
        assert!(failed.stderr.contains("exit code 9"), "{}", failed.stderr);
        assert!(failed.stderr.contains("still serving: revision 1"), "{}", failed.stderr);
        assert_eq!(s.container_ids("web").await, ids);
        s.apply(&web.with("env: { FIXED: 'yes' }")).await;
        s.wait_for_replicas("web", 2, SOON).await;
        load.stop().await.assert_no_failures(50);
    });
}

#[test]
fn single_volume_writer_never_overlaps_its_successor() {
    e2e!().run(async |s| {
        s.serve().await;
        let counter = "env: { WHOAMI_COUNT_FILE: /data/count }\nvolumes: ['data:/data']";
        let web = whoami("web", 1).host("web.test").with(counter);
        s.apply(&web).await;
        let first = s.assert_served_by("web.test", "web").await;
        assert_eq!(first.field("Count").as_deref(), Some("1"));
        let changed = web.with("labels: { changed: 'yes' }");
        tokio::select! {
            applied = s.apply(&changed) => assert_eq!(applied.stdout, "app/web configured\n"),
            never = s.assert_always_between("web", 0, 1) => never,
        }
        eventually("the counter continues", SOON, async || {
            let answer = s.get("web.test", "/").await?;
            ensure(answer.field("Count").as_deref() == Some("2"), answer.text())
        })
        .await;
    });
}
