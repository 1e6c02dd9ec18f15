//! An engine that fails calls, loses answers, lies about what runs, or starts containers slowly.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::engine_proxy::Fate;
use dubernetes_tests::load::Load;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, e2e, eventually, whoami};

/// How long a slow start takes.
const SLOW_START: Duration = Duration::from_secs(20);

/// Returns true once in `count` calls, in an irregular order that is the same in each run. In a
/// regular order, each attempt of the same length fails at the same step.
fn one_in(count: u64) -> impl FnMut() -> bool {
    let mut state = 1_u64;
    move || {
        // The constants of Knuth's MMIX. The low bits are regular.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).is_multiple_of(count)
    }
}

/// Asserts that exactly `count` replicas of `web` exist, all of them serve, and nothing else of the
/// instance exists but nginx.
async fn assert_only(s: &Scenario, count: u8) {
    s.wait_for_replicas("web", usize::from(count), SOON).await;
    eventually("only what is wanted exists", SOON, async || {
        let names: Vec<_> = s.containers().await.into_iter().map(|found| found.name).collect();
        ensure(names.len() == usize::from(count) + 1, names)
    })
    .await;
    let _ = s.wait_for_balance("web.test", u32::from(count)).await;
}

/// Applies, updates and scales an app, each until it is ready.
async fn operate(s: &Scenario) {
    let web = |replicas| whoami("web", replicas).host("web.test");
    for manifest in [web(3), web(3).with("env: { VERSION: '2' }"), web(1)] {
        let _ = s.apply_detached(&manifest).await;
        let _ = s.run(&["wait", "web", "--for", "ready", "--timeout", "2m"]).await.assert_success();
    }
}

#[test]
fn failing_calls_are_tried_again_and_nothing_is_left() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        let mut is_hit = one_in(30);
        proxy.set_rule(move |_| if is_hit() { Fate::Fail } else { Fate::Forward });
        operate(s).await;
        proxy.remove_rule();
        assert_only(s, 1).await;
    });
}

#[test]
fn lost_answers_duplicate_nothing() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        let mut is_hit = one_in(15);
        proxy.set_rule(
            move |call| {
                if call.is_change() && is_hit() { Fate::LoseAnswer } else { Fate::Forward }
            },
        );
        operate(s).await;
        proxy.remove_rule();
        assert_only(s, 1).await;
        assert_eq!(s.networks().await.len(), 1);
    });
}

#[test]
fn list_that_lacks_containers_removes_and_duplicates_nothing() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let ids = s.container_ids("web").await;
        let load = Load::start(s.port, "web.test", "web", 50);
        let before = proxy.calls().len();
        proxy.set_rule(
            |call| {
                if call.is_list() { Fate::Answer("[]".to_owned()) } else { Fate::Forward }
            },
        );
        // Longer than the resync interval of 15 s.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let lists = proxy.calls()[before..].iter().filter(|call| call.is_list()).count();
        assert!(lists >= 2, "the empty list was read {lists} times");
        proxy.remove_rule();
        s.wait_for_phase("web", "Ready", 2 * SOON).await;
        assert_only(s, 3).await;
        assert_eq!(s.container_ids("web").await, ids);
        load.stop().await.assert_no_failures(100);
    });
}

#[test]
fn broken_event_stream_hides_no_death() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        proxy.set_rule(|call| {
            let is_stream = call.path == "/events";
            if is_stream { Fate::Answer("{ not an event\n".to_owned()) } else { Fate::Forward }
        });
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let killed = s.running_pods("web").await["web-1"].clone();
        let _ = docker(&["kill", &killed]).await;
        eventually("the dead replica is replaced", 2 * SOON, async || {
            let pods = s.running_pods("web").await;
            ensure(pods.get("web-1").is_some_and(|id| *id != killed), pods)
        })
        .await;
        let streams = proxy.calls().iter().filter(|call| call.path == "/events").count();
        assert!((2..100).contains(&streams), "the stream was opened {streams} times");
    });
}

#[test]
fn slow_start_delays_no_other_app() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        let slow: Mutex<Option<(String, Instant)>> = Mutex::default();
        proxy.set_rule(move |call| {
            let mut slow = slow.lock().unwrap();
            let id = call.path.split('/').nth(2).unwrap_or_default();
            if call.path.ends_with("/start") && slow.is_none() {
                *slow = Some((id.to_owned(), Instant::now()));
            }
            // An engine answers no inspection of a container while it starts it.
            match &*slow {
                Some((starting, since)) if starting == id => {
                    Fate::Delay(SLOW_START.saturating_sub(since.elapsed()))
                }
                _ => Fate::Forward,
            }
        });
        let _ = s.apply_detached(&whoami("slow", 1)).await;
        eventually("the slow start has begun", SOON, async || {
            let calls = proxy.calls();
            ensure(calls.iter().any(|call| call.path.ends_with("/start")), calls.len())
        })
        .await;
        let applied = s.apply(&whoami("web", 3).host("web.test")).await;
        assert!(s.running_pods("slow").await.is_empty(), "the start was not slow");
        assert!(applied.took < SLOW_START / 2, "{:?}", applied.took);
        s.wait_for_replicas("slow", 1, 2 * SLOW_START).await;
    });
}
