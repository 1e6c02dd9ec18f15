//! A clock that is set back or ahead while the orchestrator runs. Times of the engine and of the
//! store then lie far from its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dubernetes_core::app::{AppSpec, IssuedTls, Tls};
use dubernetes_core::clock::Clock;
use dubernetes_core::plan::Phase;
use dubernetes_core::store::Store as _;
use dubernetes_testkit::build::{TestOrchestrator, app, app_name, worker};
use dubernetes_testkit::{Behaviour, FakeIngress, FakeRuntime, Operation, TokioClock, Trouble};
use jiff::{SignedDuration, Timestamp};

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(500);
const DAYS: [i64; 3] = [-8, -1, 365];

/// The clock of the orchestrator alone.
#[derive(Debug, Clone)]
struct JumpingClock {
    steady: TokioClock,
    days: Arc<AtomicI64>,
}

impl JumpingClock {
    fn jump(&self, days: i64) {
        self.days.store(days, Ordering::Relaxed);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_hours(24 * self.days.load(Ordering::Relaxed));
        self.steady.now().checked_add(ahead).unwrap()
    }
}

/// Starts an orchestrator with two images, and waits until its app is ready.
async fn start(spec: &AppSpec) -> (TestOrchestrator, JumpingClock) {
    let steady = TokioClock::new();
    let clock = JumpingClock { steady, days: Arc::default() };
    let runtime = FakeRuntime::new(steady);
    runtime.add_image("web:1", Behaviour::default());
    runtime.add_image("web:2", Behaviour::default());
    let ingress = FakeIngress::default();
    ingress.set_https_port(Some(443));
    let orchestrator =
        TestOrchestrator::start_with(runtime, Arc::default(), ingress, steady, |builder| {
            builder.clock(Arc::new(clock.clone()))
        });
    orchestrator.apply(spec).await.unwrap();
    orchestrator.until_ready("web").await;
    (orchestrator, clock)
}

fn second(spec: &AppSpec) -> AppSpec {
    AppSpec { artifact: app("web", "web:2", 1).artifact, ..spec.clone() }
}

#[tokio::test(start_paused = true)]
async fn jump_at_any_time_of_a_rollout_delays_it_by_seconds() {
    for spec in [app("web", "web:1", 3), worker("web", "web:1", 3)] {
        let (orchestrator, _) = start(&spec).await;
        let start_of_clean = tokio::time::Instant::now();
        orchestrator.apply(&second(&spec)).await.unwrap();
        orchestrator.until_ready("web").await;
        let clean = start_of_clean.elapsed();
        let steps = u32::try_from(clean.as_millis() / STEP.as_millis()).unwrap();
        for (days, step) in DAYS.iter().flat_map(|days| (0..=steps).map(move |step| (*days, step)))
        {
            let (orchestrator, clock) = start(&spec).await;
            let begin = tokio::time::Instant::now();
            orchestrator.apply(&second(&spec)).await.unwrap();
            tokio::time::sleep(step * STEP).await;
            clock.jump(days);
            orchestrator.until_ready("web").await;
            let took = begin.elapsed();
            assert!(took <= clean + 10 * SECOND, "{days} days at step {step}: {took:?}");
            let kept = orchestrator.store.revisions(&app_name("web")).await.unwrap();
            let outcomes: Vec<_> = kept.iter().map(|kept| kept.rollout.outcome.as_str()).collect();
            assert!(!outcomes.contains(&"failed"), "{days} days at step {step}: {outcomes:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn jump_changes_nothing_of_a_converged_app() {
    for days in DAYS {
        let (orchestrator, clock) = start(&app("web", "web:1", 3)).await;
        let before = orchestrator.runtime.containers();
        clock.jump(days);
        tokio::time::sleep(120 * SECOND).await;
        assert_eq!(orchestrator.runtime.containers(), before, "{days} days");
        let status = orchestrator.handle.snapshot().plan.statuses[&app_name("web")].clone();
        assert_eq!(status.phase, Phase::Ready, "{days} days");
        let kept = orchestrator.store.get(&app_name("web")).await.unwrap();
        assert_eq!(kept.rollout.outcome.as_str(), "stable", "{days} days");
    }
}

#[tokio::test(start_paused = true)]
async fn back_off_ends_after_a_jump() {
    for days in DAYS {
        let (orchestrator, clock) = start(&app("web", "web:1", 1)).await;
        for _ in 0..4 {
            let containers = orchestrator.runtime.containers();
            orchestrator.runtime.kill(&containers[0].name, 1);
            tokio::time::sleep(8 * SECOND).await;
        }
        orchestrator.runtime.fail(Operation::Create, 3);
        orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
        tokio::time::sleep(SECOND).await;
        clock.jump(days);
        let begin = tokio::time::Instant::now();
        orchestrator.until_ready("web").await;
        assert!(begin.elapsed() < 60 * SECOND, "{days} days: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn drain_limit_holds_after_a_jump() {
    for days in DAYS {
        let (orchestrator, clock) = start(&app("web", "web:1", 2)).await;
        for container in orchestrator.runtime.containers() {
            orchestrator.ingress.set_busy(container.endpoint.unwrap(), true);
        }
        orchestrator.apply(&app("web", "web:1", 1)).await.unwrap();
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(orchestrator.runtime.containers().len(), 2, "{days} days");
        clock.jump(days);
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(orchestrator.runtime.containers().len(), 1, "{days} days");
    }
}

#[tokio::test(start_paused = true)]
async fn order_that_failed_is_repeated_after_a_jump() {
    for days in DAYS {
        let (orchestrator, clock) = start(&app("web", "web:1", 1)).await;
        orchestrator.issuer.set_trouble(Some(Trouble::Away));
        let mut spec = app("web", "web:1", 1);
        spec.access[0].tls = Some(Tls::Issued(IssuedTls::Auto));
        orchestrator.apply(&spec).await.unwrap();
        tokio::time::sleep(20 * SECOND).await;
        assert_eq!(orchestrator.issuer.orders().len(), 0, "the account is not there");
        clock.jump(days);
        orchestrator.issuer.set_trouble(None);
        let begin = tokio::time::Instant::now();
        orchestrator.until_ready("web").await;
        assert!(begin.elapsed() < 60 * SECOND, "{days} days: {:?}", begin.elapsed());
    }
}
