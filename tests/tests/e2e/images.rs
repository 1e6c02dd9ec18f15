//! Images under a moved tag, with interrupted pulls, and from an overloaded registry.

use std::collections::BTreeSet;
use std::sync::Arc;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::manifest::WHOAMI;
use dubernetes_tests::program::docker;
use dubernetes_tests::registry::{Image, Registry, Reply};
use dubernetes_tests::{Scenario, app, e2e, eventually};

/// Returns the image ids of the containers of `web`.
async fn image_ids(s: &Scenario) -> BTreeSet<String> {
    s.containers_of("web").await.into_iter().map(|replica| replica.image_id.to_string()).collect()
}

#[test]
fn moved_tag_during_scale_changes_no_replica_image() {
    e2e!().run(async |s| {
        s.serve().await;
        let tag = s.tag(WHOAMI).await;
        let web = |replicas| app("web", &tag, replicas).host("web.test");
        s.apply(&web(1)).await;
        let image = image_ids(s).await;
        let first = s.container_ids("web").await;
        s.apply_detached(&web(4)).await;
        eventually("scaling is in progress", SOON, async || {
            let ids = s.container_ids("web").await;
            ensure(ids.len() > 1, ids)
        })
        .await;
        let container = s.create_container(&[WHOAMI]).await;
        docker(&["commit", "--change", "LABEL other=yes", &container, &tag]).await;
        s.wait_for_replicas("web", 4, SOON).await;
        assert_eq!(image_ids(s).await, image);
        let app = s.wait_for_phase("web", "Ready", SOON).await;
        assert_eq!(app["status"]["revision"], 1, "{app}");
        // Neither does a replacement replica or a second apply of the same file.
        docker(&["kill", &s.running_pods("web").await["web-2"]]).await;
        s.wait_for_replicas("web", 4, SOON).await;
        let same = s.apply(&web(4)).await;
        assert_eq!(same.stdout, "app/web unchanged\n");
        assert_eq!(image_ids(s).await, image);
        assert!(s.container_ids("web").await.is_superset(&first));
    });
}

#[test]
fn unchanged_apply_rolls_out_or_mentions_an_image_that_has_moved() {
    e2e!().run(async |s| {
        s.serve().await;
        let container = s.create_container(&[WHOAMI]).await;
        let image = || Arc::new(Image::from_container(&container));
        let registry = Registry::start(Reply::Serve(image(), 0)).await;
        let web = app("web", &registry.image_ref(s.instance.as_str()), 1).host("web.test");
        let always = web.clone().with("pull: always");
        s.apply(&always).await;
        s.wait_for_phase("web", "Ready", SOON).await;
        assert_eq!(s.apply(&always).await.stdout, "app/web unchanged\n");

        let other = s.write_file("other", "another image");
        docker(&["cp", &other, &format!("{container}:/other")]).await;
        registry.set_reply(Reply::Serve(image(), 0));
        let moved = s.apply(&always).await;
        assert_eq!(moved.stdout, "app/web configured\n");
        assert!(moved.stderr.contains("names a newer image"), "{}", moved.stderr);
        let stored = s.wait_for_phase("web", "Ready", SOON).await;
        assert_eq!(stored["status"]["revision"], 2, "{stored}");
        assert_eq!(image_ids(s).await.len(), 1);

        // Without a registry the running image stays, and the cause is said.
        registry.set_reply(Reply::Unavailable);
        let unreachable = s.apply(&always).await;
        assert_eq!(unreachable.stdout, "app/web unchanged\n");
        assert!(unreachable.stderr.contains("cannot ask for a newer image"), "{unreachable:?}");

        // Without `pull: always` a tag that has moved on this machine is mentioned.
        let tag = s.tag(WHOAMI).await;
        let local = app("local", &tag, 1);
        s.apply(&local).await;
        docker(&["commit", "--change", "LABEL other=yes", &container, &tag]).await;
        let mentioned = s.apply(&local).await;
        assert_eq!(mentioned.stdout, "app/local unchanged\n");
        assert!(mentioned.stderr.contains("rollout restart local"), "{}", mentioned.stderr);
    });
}

#[test]
fn interrupted_pull_is_retried() {
    e2e!().run(async |s| {
        s.serve().await;
        let image = Arc::new(Image::from_container(&s.create_container(&[WHOAMI]).await));
        let registry = Registry::start(Reply::Serve(image, 1)).await;
        let web = app("web", &registry.image_ref(s.instance.as_str()), 2).host("web.test");
        s.apply(&web).await;
        s.assert_served_by("web.test", "web").await;
        assert!(registry.layer_requests() > 1, "the download was not interrupted");
        assert_eq!(image_ids(s).await.len(), 1);
    });
}

#[test]
fn overloaded_registry_gets_few_retries_and_its_error_is_shown() {
    e2e!().run(async |s| {
        s.serve().await;
        let image = Arc::new(Image::from_container(&s.create_container(&[WHOAMI]).await));
        // The engine passes on the registry's message for 429, and only the status for 503.
        for (reply, message) in [
            (Reply::TooManyRequests, "toomanyrequests: come back later"),
            (Reply::Unavailable, "503 Service Unavailable"),
        ] {
            let registry = Registry::start(reply).await;
            let web = app("web", &registry.image_ref(s.instance.as_str()), 1).host("web.test");
            let failed = s.try_apply(&web).await.assert_code(1);
            assert!(failed.stderr.contains(message), "{}", failed.stderr);
            let why = s.run(&["why", "web"]).await.assert_success().stdout;
            assert!(why.lines().next().is_some_and(|line| line.contains(message)), "{why}");
            let requests = registry.manifest_requests();
            assert!(requests <= 30, "{requests} requests");
            registry.set_reply(Reply::Serve(Arc::clone(&image), 0));
            let file = s.write_file("web.yaml", &web.to_string());
            let _ = s.run(&["apply", "--retry", &file]).await.assert_success();
            s.assert_served_by("web.test", "web").await;
            let _ = s.run(&["delete", "web"]).await.assert_success();
        }
    });
}
