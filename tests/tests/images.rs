//! Images that come late, in parts, or under a tag that means another one by then.

use std::collections::BTreeSet;
use std::sync::Arc;

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::manifest::WHOAMI;
use dubernetes_tests::program::docker;
use dubernetes_tests::registry::{Image, Registry, Says};
use dubernetes_tests::{Scenario, app, eventually, here};

/// The images that the containers of `web` run.
async fn run_by(s: &Scenario) -> BTreeSet<String> {
    s.replicas("web").await.into_iter().map(|replica| replica.image_id.to_string()).collect()
}

#[test]
fn a_tag_that_moves_in_the_middle_of_a_scale_changes_no_replica() {
    here!().run(async |s| {
        s.serve().await;
        let tag = s.tag(WHOAMI).await;
        let web = |replicas| app("web", &tag, replicas).host("web.test");
        s.apply(&web(1)).await;
        let (image, first) = (run_by(s).await, s.ids("web").await);
        s.apply_detached(&web(4)).await;
        eventually("the scale has begun", SOON, async || {
            let ids = s.ids("web").await;
            expect(ids.len() > 1, ids)
        })
        .await;
        let container = s.foreign(&[WHOAMI]).await;
        docker(&["commit", "--change", "LABEL other=yes", &container, &tag]).await;
        s.settles("web", 4, SOON).await;
        assert_eq!(run_by(s).await, image);
        let app = s.is_in("Ready", "web", SOON).await;
        assert_eq!(app["status"]["revision"], 1, "{app}");
        // Nor does a replica that comes in place of another, or the same file once more.
        docker(&["kill", &s.running("web").await["web-2"]]).await;
        s.settles("web", 4, SOON).await;
        let same = s.apply(&web(4)).await;
        assert_eq!(same.stdout, "app/web unchanged\n");
        assert_eq!(run_by(s).await, image);
        assert!(s.ids("web").await.is_superset(&first));
    });
}

#[test]
fn a_pull_that_is_cut_midway_goes_on_once_the_registry_does() {
    here!().run(async |s| {
        s.serve().await;
        let image = Arc::new(Image::of(&s.foreign(&[WHOAMI]).await));
        let registry = Registry::start(Says::Has(image, 1)).await;
        let web = app("web", &registry.image(s.instance.as_str()), 2).host("web.test");
        s.apply(&web).await;
        s.answers("web.test", "web").await;
        let (_, layers) = registry.asked();
        assert!(layers > 1, "it was not cut");
        assert_eq!(run_by(s).await.len(), 1);
    });
}

#[test]
fn a_registry_that_has_no_time_is_asked_a_few_times_and_its_words_are_kept() {
    here!().run(async |s| {
        s.serve().await;
        let image = Arc::new(Image::of(&s.foreign(&[WHOAMI]).await));
        // Of the second an engine keeps the status alone.
        for (says, said) in [
            (Says::TooOften, "toomanyrequests: come back later"),
            (Says::Busy, "503 Service Unavailable"),
        ] {
            let registry = Registry::start(says).await;
            let web = app("web", &registry.image(s.instance.as_str()), 1).host("web.test");
            let failed = s.try_apply(&web).await.fails(1);
            assert!(failed.stderr.contains(said), "{}", failed.stderr);
            let why = s.run(&["why", "web"]).await.succeeds().stdout;
            assert!(why.lines().next().is_some_and(|line| line.contains(said)), "{why}");
            let (asked, _) = registry.asked();
            assert!(asked <= 30, "asked {asked} times");
            registry.set(Says::Has(Arc::clone(&image), 0));
            let file = s.file("web.yaml", &web.to_string());
            let _ = s.run(&["apply", "--retry", &file]).await.succeeds();
            s.answers("web.test", "web").await;
            let _ = s.run(&["delete", "web"]).await.succeeds();
        }
    });
}
