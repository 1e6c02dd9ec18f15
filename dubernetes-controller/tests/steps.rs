//! The controller step by step, and the decisions that it has kept: on fakes and virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_controller::{Approval, Approver, Builder, NextStep, PendingStep, Snapshot};
use dubernetes_core::replay::{Decision, Recorder};
use dubernetes_core::store::Store as _;
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};
use dubernetes_testkit::{Behaviour, FakeIngress, FakeRuntime, TokioClock};
use tokio::sync::mpsc;

const MINUTE: Duration = Duration::from_secs(60);

/// Agrees to as many steps as it is sent words for, and notes them.
#[derive(Debug)]
struct Clerk {
    words: tokio::sync::Mutex<mpsc::UnboundedReceiver<Approval>>,
    steps: Mutex<Vec<String>>,
}

#[async_trait]
impl Approver for Clerk {
    async fn approve(&self, step: PendingStep) -> Approval {
        let text = match &step.next {
            NextStep::Act(planned) => {
                format!("{} {}", planned.action.verb(), planned.object())
            }
            NextStep::Route(_) => "route".to_owned(),
        };
        assert!(step.seen.observed.in_flight.is_empty(), "one at a time: {text}");
        self.steps.lock().unwrap().push(text);
        match self.words.lock().await.recv().await {
            Some(word) => word,
            None => std::future::pending().await,
        }
    }
}

fn orchestrator(settings: impl FnOnce(Builder) -> Builder) -> TestOrchestrator {
    let clock = TokioClock::new();
    let runtime = FakeRuntime::new(clock);
    runtime.add_image("web:1", Behaviour::default());
    runtime.add_image("web:2", Behaviour::default());
    TestOrchestrator::start_with(runtime, Arc::default(), FakeIngress::default(), clock, settings)
}

/// A orchestrator on which each step is asked for, with the way to agree.
fn slow_bed() -> (TestOrchestrator, Arc<Clerk>, mpsc::UnboundedSender<Approval>) {
    let (say, words) = mpsc::unbounded_channel();
    let words = tokio::sync::Mutex::new(words);
    let clerk = Arc::new(Clerk { words, steps: Mutex::default() });
    let orchestrator = orchestrator(|builder| builder.approver(Arc::<Clerk>::clone(&clerk)));
    (orchestrator, clerk, say)
}

#[tokio::test(start_paused = true)]
async fn each_step_waits_for_a_word() {
    let (orchestrator, clerk, say) = slow_bed();
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    for done in 0..4 {
        tokio::time::sleep(MINUTE).await;
        assert_eq!(clerk.steps.lock().unwrap().len(), done + 1, "asked once for each");
        assert!(orchestrator.runtime.take_journal().len() <= 1, "one call for each word");
        say.send(Approval::Once).unwrap();
    }
    tokio::time::sleep(MINUTE).await;
    let steps = clerk.steps.lock().unwrap().clone();
    assert_eq!(
        steps,
        ["pull web:1", "network network", "create web-1", "start web-1", "create web-2"]
    );
}

#[tokio::test(start_paused = true)]
async fn from_then_on_it_asks_nobody() {
    let (orchestrator, clerk, say) = slow_bed();
    orchestrator.apply(&app("web", "web:1", 3)).await.unwrap();
    say.send(Approval::Once).unwrap();
    say.send(Approval::Always).unwrap();
    orchestrator.until_ready("web").await;
    assert_eq!(clerk.steps.lock().unwrap().len(), 2);
}

/// A step that was asked for while the wish was another one is not done.
#[tokio::test(start_paused = true)]
async fn what_is_no_longer_planned_is_not_done() {
    let (orchestrator, clerk, say) = slow_bed();
    orchestrator.apply(&app("web", "web:1", 1)).await.unwrap();
    (0..2).for_each(|_| say.send(Approval::Once).unwrap());
    tokio::time::sleep(MINUTE).await;
    assert_eq!(clerk.steps.lock().unwrap().last().unwrap(), "create web-1");
    orchestrator.apply(&app("web", "web:1", 0)).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    say.send(Approval::Once).unwrap();
    tokio::time::sleep(MINUTE).await;
    assert!(orchestrator.runtime.containers().is_empty());
    assert_eq!(clerk.steps.lock().unwrap().last().unwrap(), "route");
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_somebody_thinks_is_none_that_a_rollout_has_taken() {
    let (orchestrator, clerk, say) = slow_bed();
    let slow = Behaviour { ready_after: Some(Duration::from_secs(5)), ..Behaviour::default() };
    orchestrator.runtime.add_image("web:2", slow);
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    let ready = |seen: &Snapshot| {
        let status = seen.plan.statuses.get(&app_name("web"));
        status.is_some_and(|status| (status.updated, status.revision) == (2, 2))
    };
    let mut said = 0;
    while !ready(&orchestrator.handle.snapshot()) {
        tokio::time::sleep(3 * MINUTE).await;
        let asked = clerk.steps.lock().unwrap().len();
        if asked > said {
            said += 1;
            say.send(Approval::Once).unwrap();
        } else {
            orchestrator.apply(&app("web", "web:2", 2)).await.unwrap();
        }
        assert!(said < 60, "{:?}", clerk.steps.lock().unwrap());
    }
    let steps = clerk.steps.lock().unwrap().clone();
    let failed = |step: &String| step.starts_with("rollback") || step.starts_with("fail ");
    assert!(!steps.iter().any(failed), "{steps:?}");
    assert_eq!(orchestrator.store.get(&app_name("web")).await.unwrap().revision, 2, "{steps:?}");
}

/// An update of three replicas, left alone after any number of steps: another controller, which
/// asks nobody, brings it to its end.
#[tokio::test(start_paused = true)]
async fn from_every_abort_it_converges() {
    for words in 0.. {
        let (orchestrator, clerk, say) = slow_bed();
        orchestrator.apply(&app("web", "web:1", 3)).await.unwrap();
        (0..200).for_each(|_| say.send(Approval::Once).unwrap());
        let _ = orchestrator.until_ready("web").await;
        let ended = {
            // What is left of the words would go on.
            let mut left = clerk.words.lock().await;
            while left.try_recv().is_ok() {}
            orchestrator.apply(&app("web", "web:2", 3)).await.unwrap();
            (0..words).for_each(|_| say.send(Approval::Once).unwrap());
            drop(left);
            tokio::time::sleep(2 * MINUTE).await;
            let seen = orchestrator.handle.snapshot();
            is_updated(&seen) && seen.observed.ingress.table() == Some(&seen.plan.routes.table)
        };
        let next = orchestrator.restart();
        next.until_ready("web").await;
        next.until("only the new revision is left", MINUTE, is_updated).await;
        next.stop();
        if ended {
            assert!(words > 12, "an update of three is more than {words} steps");
            return;
        }
    }
}

fn is_updated(seen: &Snapshot) -> bool {
    let replicas = &seen.observed.replicas;
    replicas.len() == 3 && replicas.iter().all(|r| r.labels.revision == 2)
}

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Decision>>);

impl Recorder for Notes {
    fn record(&self, decision: &Decision) {
        self.0.lock().unwrap().push(decision.clone());
    }
}

/// So a day of 20 quiet apps takes no byte, and far less than 5 MB.
#[tokio::test(start_paused = true)]
async fn every_decision_is_kept_once_and_a_quiet_hour_keeps_none() {
    let notes = Arc::new(Notes::default());
    let orchestrator = orchestrator(|builder| builder.recorder(Arc::<Notes>::clone(&notes)));
    for number in 0..20 {
        orchestrator.apply(&app(&format!("web{number}"), "web:1", 1)).await.unwrap();
    }
    for number in 0..20 {
        orchestrator.until_ready(&format!("web{number}")).await;
    }
    orchestrator.runtime.kill("dubernetes.default.web3-1.r1", 137);
    orchestrator
        .until("it is down", MINUTE, |seen| {
            seen.plan.statuses.get(&app_name("web3")).is_some_and(|status| status.ready == 0)
        })
        .await;
    orchestrator.until_ready("web3").await;
    // The address that left the routes is avoided for five minutes.
    tokio::time::sleep(10 * MINUTE).await;
    let kept = notes.0.lock().unwrap().clone();
    assert!(kept.windows(2).all(|pair| !pair[0].is_repeated_by(&pair[1])));
    assert!(kept.iter().any(|decision| decision.plan.contains("exit code 137")));
    for decision in &kept {
        assert_eq!(decision.replay().to_string(), decision.plan);
    }
    tokio::time::sleep(60 * MINUTE).await;
    assert_eq!(notes.0.lock().unwrap().len(), kept.len(), "nothing changed");
}
