//! The orchestrator is killed at calls that change something on the engine, before or after their
//! effect. The next one ends in the same state as if nothing had happened.
//!
//! A few calls of each operation are tried, or each of them, before and after its effect, with
//! `DUBERNETES_CRASH_POINTS=all`. What is tried is printed to standard error.

#![expect(clippy::print_stderr, reason = "the test runner captures only the print macros")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::engine_proxy::{EngineProxy, Fate};
use dubernetes_tests::{Scenario, e2e, eventually, whoami};

/// More changing calls than any operation here has.
const MOST_CALLS: u32 = 100;
/// An operation has ended if nothing has changed for this time: longer than any wait in it.
const QUIET: Duration = Duration::from_secs(8);

/// An app: its replicas, and the version in its environment.
type App = (u8, &'static str);

/// What a user does, from a state to another one. `None` is no app.
struct Operation {
    name: &'static str,
    before: Option<App>,
    after: Option<App>,
    /// The calls that are tried by default.
    sample: &'static [CrashPoint],
}

/// When the orchestrator is killed: at the changing call of this number, from 1.
#[derive(Debug, Clone, Copy)]
enum CrashPoint {
    Before(u32),
    After(u32),
}

use CrashPoint::{After, Before};

impl Operation {
    fn points(&self) -> Vec<CrashPoint> {
        match std::env::var("DUBERNETES_CRASH_POINTS") {
            Ok(which) if which == "all" => {
                (1..=MOST_CALLS).flat_map(|call| [Before(call), After(call)]).collect()
            }
            Ok(_) | Err(_) => self.sample.to_vec(),
        }
    }

    async fn run(&self, s: &Scenario) {
        match self.after {
            Some(app) => {
                let _ = s.apply_detached(&manifest(app)).await;
            }
            // If the orchestrator is killed before it answers, it has stored the request.
            None => {
                let _ = s.run(&["delete", "web", "--detach"]).await;
            }
        }
    }

    /// Carries the operation out, with a crash. Returns false if it has no such call.
    async fn crash(&self, s: &Scenario, proxy: &EngineProxy, point: CrashPoint) -> bool {
        s.serve().await;
        if let Some(before) = self.before {
            let _ = s.apply(&manifest(before)).await;
            wait_for_state(s, self.before).await;
        }
        let is_killed = kill_at(s, proxy, point);
        self.run(s).await;
        let has_crashed = wait_for_crash(proxy, &is_killed).await;
        proxy.remove_rule();
        if has_crashed {
            s.kill().await;
            s.serve().await;
        }
        wait_for_state(s, self.after).await;
        let _ = s.run(&["down", "--yes"]).await.assert_success();
        assert_eq!((s.containers().await.len(), s.networks().await.len()), (0, 0));
        let _ = s.terminate().await;
        has_crashed
    }
}

fn manifest((replicas, version): App) -> dubernetes_tests::manifest::Manifest {
    whoami("web", replicas.into()).host("web.test").with(&format!(
        "env: {{ VERSION: '{version}' }}\nrollout: {{ min_ready: 1ms }}\n\
         stop: {{ grace: 2s, drain: 1s }}"
    ))
}

/// Lets the orchestrator be killed at a point, counted from now on. Returns whether it was.
fn kill_at(s: &Scenario, proxy: &EngineProxy, point: CrashPoint) -> Arc<AtomicBool> {
    let is_killed = Arc::<AtomicBool>::default();
    let (program, killed) = (s.process(), Arc::clone(&is_killed));
    let (Before(number) | After(number)) = point;
    let mut seen = 0;
    proxy.set_rule(move |call| {
        seen += u32::from(call.is_change());
        if !call.is_change() || seen != number {
            return Fate::Forward;
        }
        eprintln!("  {} {}", call.method, call.path);
        killed.store(true, Ordering::SeqCst);
        match point {
            Before(_) => Fate::KillBefore(program),
            After(_) => Fate::KillAfter(program),
        }
    });
    is_killed
}

/// Waits until the orchestrator is killed. Returns false if the operation ends without that.
async fn wait_for_crash(proxy: &EngineProxy, is_killed: &AtomicBool) -> bool {
    let start = Instant::now();
    eventually("the orchestrator is killed, or has nothing to do", 6 * SOON, async || {
        let calls = proxy.calls();
        let last_change = calls.iter().rev().find(|call| call.is_change());
        let quiet_since = last_change.map_or(start, |call| call.began.max(start));
        let is_killed = is_killed.load(Ordering::SeqCst);
        ensure(is_killed || quiet_since.elapsed() > QUIET, "it works")?;
        Ok(is_killed)
    })
    .await
}

/// Waits until nothing but this app and nginx exists, and each of its replicas serves.
async fn wait_for_state(s: &Scenario, wanted: Option<App>) {
    let (replicas, version) = wanted.unwrap_or_default();
    let wanted_pods = usize::from(replicas);
    eventually("only what is wanted exists", 2 * SOON, async || {
        let running = s.running_pods("web").await.len();
        let all: Vec<_> = s.containers().await.into_iter().map(|found| found.name).collect();
        ensure(running == wanted_pods && all.len() <= wanted_pods + 1, all)
    })
    .await;
    if wanted.is_none() {
        let apps = s.run(&["get", "apps", "-o", "json"]).await.assert_success().json();
        assert_eq!(apps["items"], serde_json::json!([]), "{apps}");
        return;
    }
    let _ = s.wait_for_phase("web", "Ready", 2 * SOON).await;
    let _ = s.wait_for_balance("web.test", replicas.into()).await;
    let app = s.get_app("web").await;
    assert_eq!(app["spec"]["env"]["VERSION"], version, "{app}");
    assert_eq!(app["status"]["rollout"], "complete", "{app}");
}

async fn check(s: &Scenario, operation: Operation) {
    let proxy = s.use_engine_proxy().await;
    let mut tried = 0;
    for point in operation.points() {
        eprintln!("{}, {point:?}:", operation.name);
        if !operation.crash(s, &proxy, point).await {
            break;
        }
        tried += 1;
    }
    let least = operation.sample.len();
    assert!(tried >= least, "{} has {tried} crash points, {least} expected", operation.name);
}

#[test]
fn first_deploy_survives_kills() {
    e2e!().run(async |s| {
        let sample = &[Before(1), After(2), After(7)];
        check(s, Operation { name: "deploy", before: None, after: Some((2, "1")), sample }).await;
    });
}

#[test]
fn rollout_survives_kills() {
    e2e!().run(async |s| {
        let (before, after) = (Some((2, "1")), Some((2, "2")));
        let sample = &[After(1), Before(5), After(9)];
        check(s, Operation { name: "rollout", before, after, sample }).await;
    });
}

#[test]
fn scaling_down_survives_kills() {
    e2e!().run(async |s| {
        let (before, after) = (Some((3, "1")), Some((1, "1")));
        let sample = &[After(2)];
        check(s, Operation { name: "scale", before, after, sample }).await;
    });
}

#[test]
fn delete_survives_kills() {
    e2e!().run(async |s| {
        let (before, after) = (Some((2, "1")), None);
        let sample = &[Before(2), After(3)];
        check(s, Operation { name: "delete", before, after, sample }).await;
    });
}
