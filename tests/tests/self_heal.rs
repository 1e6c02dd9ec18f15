//! What dies is replaced, and nothing else is touched.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dubernetes_core::labels::{ADDRESS, RESTARTS};
use dubernetes_core::runtime::ContainerState;
use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, busybox, eventually, here, whoami};

/// One replica of three is lost to what the engine's own command does with it.
async fn loses_a_replica(s: &Scenario, fault: &[&str]) {
    s.serve().await;
    s.apply(&whoami("web", 3).host("web.test")).await;
    let before = s.running("web").await;
    let victim = before["web-2"].clone();
    let mut lost = s.replicas("web").await;
    lost.retain(|container| container.id.to_string() == victim);
    let upstream = format!("server {}:80", lost[0].labels[ADDRESS]);
    assert!(s.nginx_files().await.contains(&upstream));

    docker(&[fault, &[&victim]].concat()).await;
    eventually("nginx knows the lost replica no more", SOON, async || {
        expect(!s.nginx_files().await.contains(&upstream), &upstream)
    })
    .await;
    eventually("three run, and the lost one is not among them", SOON, async || {
        let now = s.running("web").await;
        expect(now.len() == 3 && now.values().all(|id| *id != victim), now)
    })
    .await;
    s.is_in("Ready", "web", SOON).await;
    s.settles("web", 3, SOON).await;
    let after = s.running("web").await;
    for pod in ["web-1", "web-3"] {
        assert_eq!(after.get(pod), before.get(pod), "{pod} was touched");
    }
    // One that the engine was still removing may have kept its name to the last.
    let names: BTreeSet<_> = after.into_keys().collect();
    assert_eq!(s.share_evenly("web.test", 3).await, names);
}

#[test]
fn a_killed_replica_is_replaced() {
    here!().run(async |s| {
        loses_a_replica(s, &["kill"]).await;
        let events = s.events().await;
        let exited = |(reason, message): &(String, String)| {
            reason == "Exited" && message.starts_with("exit code 137")
        };
        assert!(events.iter().any(exited), "{events:#?}");
    });
}

#[test]
fn a_removed_replica_is_replaced() {
    here!().run(async |s| loses_a_replica(s, &["rm", "-f"]).await);
}

#[test]
fn a_stopped_replica_is_replaced() {
    here!().run(async |s| loses_a_replica(s, &["stop"]).await);
}

#[test]
fn a_paused_replica_is_replaced() {
    here!().run(async |s| loses_a_replica(s, &["pause"]).await);
}

#[test]
fn get_requests_do_not_notice_that_a_replica_dies() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let victim = s.running("web").await["web-1"].clone();
        docker(&["kill", &victim]).await;
        let by = s.answered_by("web.test", 60).await;
        assert!(by.contains_key("web-2") && by.contains_key("web-3"), "{by:?}");
    });
}

#[test]
fn a_crash_loop_backs_off_and_delays_nobody() {
    here!().run(async |s| {
        s.serve().await;
        let start = Instant::now();
        s.apply_detached(&busybox("loop", 3, "echo no luck; exit 7")).await;
        let restarts = async |s: &Scenario| {
            let all = s.replicas("loop").await;
            // A failed container and its successor, in each place.
            assert!(all.len() <= 6, "{} containers: {all:#?}", all.len());
            let count = |label: &String| label.parse::<u32>().unwrap();
            all.iter().map(|container| count(&container.labels[RESTARTS])).max().unwrap_or(0)
        };
        // Meanwhile another app comes up as if nothing were.
        let calm = Instant::now();
        s.apply(&whoami("web", 2).host("web.test")).await;
        let beside = calm.elapsed();
        assert!(beside < SOON, "the other app took {beside:?}");

        // Restarts are due after 0, 1, 3, 7 and 15 seconds.
        eventually("there were three restarts", SOON, async || {
            let restarts = restarts(s).await;
            expect(restarts >= 3, restarts)
        })
        .await;
        assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
        while start.elapsed() < Duration::from_secs(13) {
            let restarts = restarts(s).await;
            // The look itself may take its time.
            let took = start.elapsed();
            assert!(restarts <= 4 || took >= Duration::from_secs(15), "{restarts} after {took:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let status = s.is_in("Failed", "loop", SOON).await["status"].clone();
        assert!(status["message"].as_str().unwrap().contains("exit code 7"), "{status}");
        assert!(status["next_try"].as_str().is_some_and(|time| time.ends_with('Z')), "{status}");
        s.answers_evenly("web.test", "web", 2).await;

        // Its own mending is not delayed by the wait, either.
        s.apply(&busybox("loop", 3, "exec sleep 600")).await;
        s.settles("loop", 3, SOON).await;
    });
}

#[test]
fn an_apply_that_crashes_says_what_it_printed() {
    here!().run(async |s| {
        s.serve().await;
        let failed = s.try_apply(&busybox("loop", 1, "echo no luck; exit 7")).await.fails(1);
        for text in ["app/loop failed", "exit code 7", "| no luck", "dubernetes describe loop"] {
            assert!(failed.stderr.contains(text), "`{text}` is missing in:\n{}", failed.stderr);
        }
    });
}

#[test]
fn too_much_memory_is_said_with_the_limit() {
    here!().run(async |s| {
        s.serve().await;
        let hungry = busybox("hungry", 1, "x=xxxxxxxxxxxxxxxx; while true; do x=$x$x; done");
        let hungry = hungry.with("resources: { memory: 8Mi }");
        let failed = s.try_apply(&hungry).await.fails(1);
        // In front of it is "OOMKilled", or the exit code where the engine missed the reason.
        assert!(failed.stderr.contains(", limit 8Mi"), "{}", failed.stderr);
        let described = s.run(&["describe", "hungry"]).await.succeeds();
        assert!(described.stdout.contains(", limit 8Mi"), "{}", described.stdout);
    });
}

#[test]
fn a_command_that_does_not_exist_is_said_by_its_name() {
    here!().run(async |s| {
        s.serve().await;
        let failed = s.try_apply(&whoami("web", 1).with("command: [/nosuch]")).await.fails(1);
        assert!(failed.stderr.contains("/nosuch"), "{}", failed.stderr);
        for command in [&["describe", "web"][..], &["get", "apps"]] {
            let shown = s.run(command).await.succeeds();
            assert!(shown.stdout.contains("not found"), "{}", shown.stdout);
        }
        assert!(s.replicas("web").await.len() <= 2);
        // The name is free again for what works.
        s.apply(&whoami("web", 1)).await;
        s.settles("web", 1, SOON).await;
    });
}

#[test]
fn nginx_comes_back_with_the_same_configuration() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let (files, ids) = (s.nginx_files().await, s.ids("web").await);
        for fault in [&["kill"][..], &["rm", "-f"], &["stop"], &["pause"]] {
            let run = started(s).await.unwrap();
            docker(&[fault, &[&s.ingress()]].concat()).await;
            // One that was paused answers once more before it is started anew.
            eventually("nginx is started anew", SOON, async || {
                let now = started(s).await?;
                expect(now != run, now)
            })
            .await;
            s.becomes("web.test", 200, SOON).await;
            s.answers_evenly("web.test", "web", 2).await;
            assert_eq!(s.nginx_files().await, files, "after {fault:?}");
        }
        assert_eq!(s.ids("web").await, ids, "replicas have nothing to do with it");
    });
}

#[test]
fn an_edited_configuration_of_nginx_is_mended_by_itself() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let files = s.nginx_files().await;
        let file = "/etc/nginx/dubernetes/current/hosts/web.test.conf";
        let edit = format!("sed -i 's/proxy_pass .*/return 418;/' {file}");
        docker(&["exec", &s.ingress(), "sh", "-c", &edit]).await;
        docker(&["kill", "--signal", "HUP", &s.ingress()]).await;
        s.becomes("web.test", 418, SOON).await;
        eventually("somebody says that it was mended", 2 * SOON, async || {
            let events = s.events().await;
            expect(events.iter().any(|(reason, _)| reason == "IngressMended"), events)
        })
        .await;
        assert_eq!(s.nginx_files().await, files);
        // For a moment an older worker may answer, which read the edited file or the one before.
        eventually("ten answers in a row are right", SOON, async || {
            for _ in 0..10 {
                let answer = s.ask("web.test", "/").await?;
                expect(answer.status == 200, answer.status)?;
            }
            Ok(())
        })
        .await;
    });
}

/// When nginx was last started.
async fn started(s: &Scenario) -> Result<String, String> {
    let name = s.ingress();
    let all = s.containers().await;
    let nginx = all.iter().find(|container| container.name == name).ok_or("there is none")?;
    match &nginx.state {
        ContainerState::Running { started_at } => Ok(started_at.to_string()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn everything_is_lost_at_once_and_comes_back() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let before = s.ids("web").await;
        let all: Vec<_> = s.containers().await.iter().map(|c| c.id.to_string()).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        docker(&[&["kill"], &all[..]].concat()).await;
        s.becomes("web.test", 200, SOON).await;
        s.is_in("Ready", "web", SOON).await;
        s.answers_evenly("web.test", "web", 3).await;
        let after: BTreeSet<_> = s.ids("web").await;
        assert!(before.is_disjoint(&after), "{before:?} {after:?}");
        assert_eq!(s.containers().await.len(), 4);
    });
}
