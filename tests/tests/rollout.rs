//! A change replaces replicas one at a time, and nobody who asks notices.

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::load::Load;
use dubernetes_tests::manifest::{Manifest, WHOAMI};
use dubernetes_tests::{Scenario, app, eventually, here, whoami};
use futures_util::future::join_all;

/// Applies a change of an app with `count` replicas, which all are replaced one at a time.
async fn replaces(s: &Scenario, to: &Manifest, count: usize) {
    let old = s.ids(&to.name).await;
    let ran = tokio::select! {
        ran = s.apply(to) => ran,
        never = s.stays_between(&to.name, count, count + 1) => never,
    };
    assert_eq!(ran.stdout, format!("app/{} configured\n", to.name));
    s.settles(&to.name, count, SOON).await;
    let new = s.ids(&to.name).await;
    assert!(new.is_disjoint(&old), "not replaced by {to}: {old:?} {new:?}");
}

#[test]
fn three_replicas_are_replaced_under_load_without_a_failure() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 3).host("web.test");
        s.apply(&web).await;
        let load = Load::start(s, "web.test", "web", 100);
        replaces(s, &web.with("env: { A: b }"), 3).await;
        load.goes_on(50).await;
        let tally = load.stop().await;
        tally.is_flawless(200);
        assert_eq!(tally.revisions(), ["1", "2"]);
        s.share_evenly("web.test", 3).await;
    });
}

#[test]
fn another_port_is_a_rollout_as_well() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let load = Load::start(s, "web.test", "web", 100);
        let moved = whoami("web", 3).host("web.test").with("port: 8080\nargs: [--port, '8080']");
        replaces(s, &moved, 3).await;
        load.goes_on(50).await;
        load.stop().await.is_flawless(200);
        let files = s.nginx_files().await;
        assert_eq!(files.matches(":8080 max_fails").count(), 3, "{files}");
        assert_eq!(files.matches(":80 max_fails").count(), 0, "{files}");
    });
}

#[test]
fn slow_requests_are_answered_by_replicas_that_leave() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        let changed = web.with("env: { A: b }");
        let slow = join_all((0..8).map(|_| s.ask("web.test", "/?wait=3s")));
        let ((), answers) = tokio::join!(replaces(s, &changed, 2), slow);
        for answer in answers {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.says("Revision").as_deref(), Some("1"), "{}", answer.text());
        }
    });
}

#[test]
fn every_change_of_what_runs_replaces_the_replicas() {
    here!().run(async |s| {
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
            replaces(s, &to, 2).await;
            assert_eq!(s.status("web.test").await, 200);
        }
        let answer = s.answers("web.test", "web").await;
        assert_eq!(answer.says("Name").as_deref(), Some("new"));
        assert_eq!(answer.says("Revision").as_deref(), Some("5"));
        assert_eq!(s.volumes().await, [format!("dubernetes.{}.web.data", s.instance)]);
    });
}

#[test]
fn another_host_moves_the_route_and_no_replica() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("old.test")).await;
        let ids = s.ids("web").await;
        s.apply(&whoami("web", 2).host("new.test")).await;
        s.answers_evenly("new.test", "web", 2).await;
        assert_eq!(s.status("old.test").await, 404);
        // Without access there is no route, and with it there is one again.
        s.apply(&whoami("web", 2)).await;
        assert_eq!(s.status("new.test").await, 404);
        s.apply(&whoami("web", 2).with("access: { host: old.test, path: /x }")).await;
        assert_eq!(s.status("old.test").await, 404, "only what is below the path is the app's");
        let below = s.ask("old.test", "/x/y").await.unwrap();
        assert_eq!((below.status, below.says("App").as_deref()), (200, Some("web")));
        assert_eq!(s.ids("web").await, ids);
    });
}

#[test]
fn scaling_up_and_down_fails_no_request() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let three = s.ids("web").await;
        let load = Load::start(s, "web.test", "web", 100);

        let _ = s.run(&["scale", "web", "5"]).await.succeeds();
        s.settles("web", 5, SOON).await;
        let five = s.ids("web").await;
        assert!(five.is_superset(&three));
        s.answers_evenly("web.test", "web", 5).await;

        let _ = s.run(&["scale", "web", "1"]).await.succeeds();
        s.settles("web", 1, SOON).await;
        assert!(three.is_superset(&s.ids("web").await), "the first replicas stay");
        load.goes_on(50).await;
        load.stop().await.is_flawless(200);

        let _ = s.run(&["scale", "web", "0"]).await.succeeds();
        s.settles("web", 0, SOON).await;
        let answer = s.ask("web.test", "/").await.unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());

        let _ = s.run(&["scale", "web", "2"]).await.succeeds();
        s.settles("web", 2, SOON).await;
        s.answers_evenly("web.test", "web", 2).await;
        assert_eq!(s.app("web").await["spec"]["replicas"], 2);
    });
}

#[test]
fn a_bad_image_leaves_what_runs_and_makes_nothing() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        s.apply(&whoami("other", 1).host("other.test")).await;
        let (ids, nginx) = (s.ids("web").await, s.nginx().await);
        let bad = app("web", "dubernetes-no-such-image:1", 2).with("pull: never").host("web.test");
        let failed = s.try_apply(&bad).await.fails(1);
        assert!(failed.stderr.contains("dubernetes-no-such-image:1"), "{}", failed.stderr);
        for _ in 0..50 {
            assert_eq!(s.ids("web").await, ids);
            s.answers("web.test", "web").await;
            s.answers("other.test", "other").await;
        }
        let status = s.app("web").await["status"].clone();
        assert_eq!((&status["phase"], &status["ready"]), (&"Ready".into(), &2.into()));
        assert_eq!(status["failure"]["revision"], 2, "{status}");
        assert_eq!(s.nginx().await, nginx, "the routes are what they were");
        assert_eq!(s.app("other").await["status"]["phase"], "Ready");

        // Back to the image that was there: nothing has to be replaced.
        s.apply(&web).await;
        assert_eq!(s.ids("web").await, ids);
    });
}

#[test]
fn a_revision_that_crashes_leaves_the_old_one_serving() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        let ids = s.ids("web").await;
        let load = Load::start(s, "web.test", "web", 50);
        let failed = s.try_apply(&web.clone().with("env: { WHOAMI_EXIT: '9' }")).await.fails(1);
        assert!(failed.stderr.contains("exit code 9"), "{}", failed.stderr);
        assert!(failed.stderr.contains("still serving: revision 1"), "{}", failed.stderr);
        assert_eq!(s.ids("web").await, ids);
        s.apply(&web.with("env: { FIXED: 'yes' }")).await;
        s.settles("web", 2, SOON).await;
        load.stop().await.is_flawless(50);
    });
}

#[test]
fn a_lone_writer_of_a_volume_is_never_joined_by_a_second_one() {
    here!().run(async |s| {
        s.serve().await;
        let counter = "env: { WHOAMI_COUNT_FILE: /data/count }\nvolumes: ['data:/data']";
        let web = whoami("web", 1).host("web.test").with(counter);
        s.apply(&web).await;
        let first = s.answers("web.test", "web").await;
        assert_eq!(first.says("Count").as_deref(), Some("1"));
        let changed = web.with("labels: { changed: 'yes' }");
        tokio::select! {
            ran = s.apply(&changed) => assert_eq!(ran.stdout, "app/web configured\n"),
            never = s.stays_between("web", 0, 1) => never,
        }
        eventually("the count goes on", SOON, async || {
            let answer = s.ask("web.test", "/").await?;
            expect(answer.says("Count").as_deref() == Some("2"), answer.text())
        })
        .await;
    });
}
