//! Lost replicas and a lost nginx are replaced, and nothing else changes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dubernetes_core::labels::{ADDRESS, RESTARTS};
use dubernetes_core::runtime::ContainerState;
use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::http::{Request, once};
use dubernetes_tests::load::print_line;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, busybox, e2e, eventually, whoami};

/// Applies `fault`, a command of the engine, to one of three replicas and asserts that only this
/// replica is replaced.
async fn assert_replaced_after(s: &Scenario, fault: &[&str]) {
    s.serve().await;
    s.apply(&whoami("web", 3).host("web.test")).await;
    let before = s.running_pods("web").await;
    let victim = before["web-2"].clone();
    let mut lost = s.containers_of("web").await;
    lost.retain(|container| container.id.to_string() == victim);
    let upstream = format!("server {}:80", lost[0].labels[ADDRESS]);
    assert!(s.nginx_config().await.contains(&upstream));

    docker(&[fault, &[&victim]].concat()).await;
    eventually("nginx no longer routes to the lost replica", SOON, async || {
        ensure(!s.nginx_config().await.contains(&upstream), &upstream)
    })
    .await;
    eventually("three other replicas run", SOON, async || {
        let now = s.running_pods("web").await;
        ensure(now.len() == 3 && now.values().all(|id| *id != victim), now)
    })
    .await;
    s.wait_for_phase("web", "Ready", SOON).await;
    s.wait_for_replicas("web", 3, SOON).await;
    let after = s.running_pods("web").await;
    for pod in ["web-1", "web-3"] {
        assert_eq!(after.get(pod), before.get(pod), "{pod} was replaced");
    }
    // The replacement may have another name, if the engine was still removing the lost container.
    let names: BTreeSet<_> = after.into_keys().collect();
    assert_eq!(s.wait_for_balance("web.test", 3).await, names);
}

#[test]
fn killed_replica_is_replaced() {
    e2e!().run(async |s| {
        assert_replaced_after(s, &["kill"]).await;
        let events = s.event_messages().await;
        let is_exit = |(reason, message): &(String, String)| {
            reason == "Exited" && message.starts_with("exit code 137")
        };
        assert!(events.iter().any(is_exit), "{events:#?}");
    });
}

#[test]
fn removed_replica_is_replaced() {
    e2e!().run(async |s| assert_replaced_after(s, &["rm", "-f"]).await);
}

#[test]
fn stopped_replica_is_replaced() {
    e2e!().run(async |s| assert_replaced_after(s, &["stop"]).await);
}

#[test]
fn paused_replica_is_replaced() {
    e2e!().run(async |s| assert_replaced_after(s, &["pause"]).await);
}

#[test]
fn replica_off_its_network_is_replaced() {
    e2e!().run(async |s| {
        let network = format!("dubernetes.{}", s.instance);
        assert_replaced_after(s, &["network", "disconnect", &network]).await;
        let described = s.run(&["describe", "web"]).await.assert_success().stdout;
        assert!(described.contains("not on the instance's network"), "{described}");
    });
}

#[test]
fn ingress_and_network_are_restored() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let network = format!("dubernetes.{}", s.instance);
        docker(&["network", "disconnect", &network, &s.ingress()]).await;
        eventually("nginx is back", 2 * SOON, async || s.get("web.test", "/").await.map(|_| ()))
            .await;
        s.wait_for_phase("web", "Ready", SOON).await;

        let before = s.container_ids("web").await;
        for id in before.iter().chain([&s.ingress()]) {
            docker(&["network", "disconnect", &network, id]).await;
        }
        docker(&["network", "rm", &network]).await;
        eventually("new replicas run on a new network", 2 * SOON, async || {
            let now = s.container_ids("web").await;
            ensure(now.len() == 2 && now.is_disjoint(&before), now)
        })
        .await;
        s.wait_for_phase("web", "Ready", 2 * SOON).await;
        s.wait_for_balance("web.test", 2).await;
    });
}

#[test]
fn replica_death_fails_no_get_request() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let victim = s.running_pods("web").await["web-1"].clone();
        docker(&["kill", &victim]).await;
        let counts = s.count_answers("web.test", 60).await;
        assert!(counts.contains_key("web-2") && counts.contains_key("web-3"), "{counts:?}");
    });
}

#[test]
fn killed_only_replica_is_answered_for_until_its_successor_is_ready() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let victim = s.running_pods("web").await["web-1"].clone();
        docker(&["kill", &victim]).await;
        let killed = Instant::now();
        // The engine drops the address before it says so, and packets to it then vanish.
        let requests = (0..60).map(|number| async move {
            tokio::time::sleep(number * Duration::from_millis(50)).await;
            let sent = Instant::now();
            let answer = once(s.port, Request::get("web.test", "/")).await.unwrap();
            (sent - killed, sent.elapsed(), answer)
        });
        let answers = futures_util::future::join_all(requests).await;
        for (sent, took, answer) in &answers {
            let is_ours = answer.text().contains("this app has no ready replica");
            assert!(answer.status == 200 || is_ours, "{sent:?} after the kill: {answer:?}");
            print_line(&format!("{sent:?} after the kill: {} after {took:?}", answer.status));
        }
        s.wait_for_replicas("web", 1, SOON).await;
    });
}

#[test]
fn crash_loop_backs_off_and_delays_no_other_app() {
    e2e!().run(async |s| {
        s.serve().await;
        let start = Instant::now();
        s.apply_detached(&busybox("loop", 3, "echo no luck; exit 7")).await;
        let restarts = async |s: &Scenario| {
            let all = s.containers_of("loop").await;
            // At most a failed container and its successor for each replica.
            assert!(all.len() <= 6, "{} containers: {all:#?}", all.len());
            let count = |label: &String| label.parse::<u32>().unwrap();
            all.iter().map(|container| count(&container.labels[RESTARTS])).max().unwrap_or(0)
        };
        // Meanwhile another app starts without delay.
        let other_start = Instant::now();
        s.apply(&whoami("web", 2).host("web.test")).await;
        let took = other_start.elapsed();
        assert!(took < SOON, "the other app took {took:?}");

        // Restarts are due after 0, 1, 3, 7 and 15 seconds.
        eventually("three restarts", SOON, async || {
            let restarts = restarts(s).await;
            ensure(restarts >= 3, restarts)
        })
        .await;
        assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
        while start.elapsed() < Duration::from_secs(13) {
            let restarts = restarts(s).await;
            // Listing the containers takes time too, so the upper limit counts only before 15 s.
            let took = start.elapsed();
            assert!(restarts <= 4 || took >= Duration::from_secs(15), "{restarts} after {took:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let status = s.wait_for_phase("loop", "Failed", SOON).await["status"].clone();
        assert!(status["message"].as_str().unwrap().contains("exit code 7"), "{status}");
        assert!(status["next_try"].as_str().is_some_and(|time| time.ends_with('Z')), "{status}");
        s.wait_for_balance_over("web.test", "web", 2).await;

        // A corrected specification does not wait for the back-off.
        s.apply(&busybox("loop", 3, "exec sleep 600")).await;
        s.wait_for_replicas("loop", 3, SOON).await;
    });
}

#[test]
fn apply_of_crashing_app_shows_its_output() {
    e2e!().run(async |s| {
        s.serve().await;
        let failed = s.try_apply(&busybox("loop", 1, "echo no luck; exit 7")).await.assert_code(1);
        for text in ["app/loop failed", "exit code 7", "| no luck", "dubernetes describe loop"] {
            assert!(failed.stderr.contains(text), "`{text}` is missing in:\n{}", failed.stderr);
        }
    });
}

#[test]
fn out_of_memory_message_names_limit() {
    e2e!().run(async |s| {
        s.serve().await;
        let hungry = busybox("hungry", 1, "x=xxxxxxxxxxxxxxxx; while true; do x=$x$x; done");
        let hungry = hungry.with("resources: { memory: 8Mi }");
        let failed = s.try_apply(&hungry).await.assert_code(1);
        // The message starts with "OOMKilled", or with the exit code if the engine missed the
        // reason.
        assert!(failed.stderr.contains(", limit 8Mi"), "{}", failed.stderr);
        let described = s.run(&["describe", "hungry"]).await.assert_success();
        assert!(described.stdout.contains(", limit 8Mi"), "{}", described.stdout);
    });
}

#[test]
fn missing_command_is_named() {
    e2e!().run(async |s| {
        s.serve().await;
        let failed = s.try_apply(&whoami("web", 1).with("command: [/nosuch]")).await.assert_code(1);
        assert!(failed.stderr.contains("/nosuch"), "{}", failed.stderr);
        for command in [&["describe", "web"][..], &["get", "apps"]] {
            let shown = s.run(command).await.assert_success();
            assert!(shown.stdout.contains("`/nosuch` cannot be run"), "{}", shown.stdout);
        }
        assert!(s.containers_of("web").await.len() <= 2);
        // A correct specification works under the same name.
        s.apply(&whoami("web", 1)).await;
        s.wait_for_replicas("web", 1, SOON).await;
    });
}

#[test]
fn nginx_restarts_with_same_configuration() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let files = s.nginx_config().await;
        let ids = s.container_ids("web").await;
        for fault in [&["kill"][..], &["rm", "-f"], &["stop"], &["pause"]] {
            let before = nginx_start_time(s).await.unwrap();
            // The orchestrator removes the container at the same time, and the engine then refuses
            // one of both. What counts is that there is another nginx.
            let _ = dubernetes_tests::program::try_docker(&[fault, &[&s.ingress()]].concat()).await;
            // A paused nginx may answer once more before it is replaced, so wait for the new one.
            eventually("nginx is restarted", SOON, async || {
                let now = nginx_start_time(s).await?;
                ensure(now != before, now)
            })
            .await;
            s.wait_for_status_code("web.test", 200, SOON).await;
            s.wait_for_balance_over("web.test", "web", 2).await;
            assert_eq!(s.nginx_config().await, files, "after {fault:?}");
        }
        assert_eq!(s.container_ids("web").await, ids, "a replica was replaced");
    });
}

#[test]
fn edited_nginx_configuration_is_restored() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let files = s.nginx_config().await;
        let file = "/etc/nginx/dubernetes/current/hosts/web.test.conf";
        let edit = format!("sed -i 's/proxy_pass .*/return 418;/' {file}");
        docker(&["exec", &s.ingress(), "sh", "-c", &edit]).await;
        docker(&["kill", "--signal", "HUP", &s.ingress()]).await;
        s.wait_for_status_code("web.test", 418, SOON).await;
        eventually("an event reports the repair", 2 * SOON, async || {
            let events = s.event_messages().await;
            ensure(events.iter().any(|(reason, _)| reason == "IngressRepaired"), events)
        })
        .await;
        assert_eq!(s.nginx_config().await, files);
        // An older worker with the edited configuration may still answer for a moment.
        eventually("ten answers in a row are 200", SOON, async || {
            for _ in 0..10 {
                let answer = s.get("web.test", "/").await?;
                ensure(answer.status == 200, answer.status)?;
            }
            Ok(())
        })
        .await;
    });
}

/// Returns the start time of nginx's container.
async fn nginx_start_time(s: &Scenario) -> Result<String, String> {
    let name = s.ingress();
    let all = s.containers().await;
    let nginx = all.iter().find(|container| container.name == name).ok_or("no container")?;
    match &nginx.state {
        ContainerState::Running { started_at } => Ok(started_at.to_string()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn loss_of_all_containers_is_recovered() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let before = s.container_ids("web").await;
        let all: Vec<_> = s.containers().await.iter().map(|c| c.id.to_string()).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        docker(&[&["kill"], &all[..]].concat()).await;
        s.wait_for_status_code("web.test", 200, SOON).await;
        s.wait_for_phase("web", "Ready", SOON).await;
        s.wait_for_balance_over("web.test", "web", 3).await;
        let after: BTreeSet<_> = s.container_ids("web").await;
        assert!(before.is_disjoint(&after), "{before:?} {after:?}");
        assert_eq!(s.containers().await.len(), 4);
    });
}
