//! Approval of single steps, and recorded decisions, on fakes and virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_controller::{Approval, Approver, Builder, NextStep, PendingStep, Snapshot};
use dubernetes_core::app::RevisionId;
use dubernetes_core::replay::{Decision, Recorder};
use dubernetes_core::store::Store as _;
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};
use dubernetes_testkit::{Behaviour, FakeIngress, FakeRuntime, TokioClock};
use tokio::sync::mpsc;

const MINUTE: Duration = Duration::from_secs(60);

/// Approves one step for each approval received, and records the steps.
#[derive(Debug)]
struct QueuedApprover {
    approvals: tokio::sync::Mutex<mpsc::UnboundedReceiver<Approval>>,
    steps: Mutex<Vec<String>>,
}

#[async_trait]
impl Approver for QueuedApprover {
    async fn approve(&self, step: PendingStep) -> Approval {
        let text = match &step.next {
            NextStep::Act(planned) => {
                format!("{} {}", planned.action.verb(), planned.object())
            }
            NextStep::Route(_) => "route".to_owned(),
        };
        assert!(step.seen.observed.in_flight.is_empty(), "one at a time: {text}");
        self.steps.lock().unwrap().push(text);
        match self.approvals.lock().await.recv().await {
            Some(approval) => approval,
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

/// Starts an orchestrator that asks for approval of each step, with the sender of approvals.
fn orchestrator_with_approval()
-> (TestOrchestrator, Arc<QueuedApprover>, mpsc::UnboundedSender<Approval>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let approvals = tokio::sync::Mutex::new(receiver);
    let approver = Arc::new(QueuedApprover { approvals, steps: Mutex::default() });
    let orchestrator =
        orchestrator(|builder| builder.approver(Arc::<QueuedApprover>::clone(&approver)));
    (orchestrator, approver, sender)
}

#[tokio::test(start_paused = true)]
async fn each_step_waits_for_approval() {
    let (orchestrator, approver, sender) = orchestrator_with_approval();
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    for done in 0..4 {
        tokio::time::sleep(MINUTE).await;
        assert_eq!(approver.steps.lock().unwrap().len(), done + 1, "each step is asked once");
        assert!(orchestrator.runtime.take_journal().len() <= 1, "one call per approval");
        sender.send(Approval::Once).unwrap();
    }
    tokio::time::sleep(MINUTE).await;
    let steps = approver.steps.lock().unwrap().clone();
    assert_eq!(
        steps,
        ["pull web:1", "network network", "create web-1", "start web-1", "create web-2"]
    );
}

#[tokio::test(start_paused = true)]
async fn approval_of_all_steps_asks_no_more() {
    let (orchestrator, approver, sender) = orchestrator_with_approval();
    orchestrator.apply(&app("web", "web:1", 3)).await.unwrap();
    sender.send(Approval::Once).unwrap();
    sender.send(Approval::Always).unwrap();
    orchestrator.until_ready("web").await;
    assert_eq!(approver.steps.lock().unwrap().len(), 2);
}

/// The step was planned for a specification that has changed since.
#[tokio::test(start_paused = true)]
async fn approved_step_is_dropped_if_no_longer_planned() {
    let (orchestrator, approver, sender) = orchestrator_with_approval();
    orchestrator.apply(&app("web", "web:1", 1)).await.unwrap();
    (0..2).for_each(|_| sender.send(Approval::Once).unwrap());
    tokio::time::sleep(MINUTE).await;
    assert_eq!(approver.steps.lock().unwrap().last().unwrap(), "create web-1");
    orchestrator.apply(&app("web", "web:1", 0)).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    sender.send(Approval::Once).unwrap();
    tokio::time::sleep(MINUTE).await;
    assert!(orchestrator.runtime.containers().is_empty());
    assert_eq!(approver.steps.lock().unwrap().last().unwrap(), "route");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_approval_does_not_count_towards_deadline() {
    let (orchestrator, approver, sender) = orchestrator_with_approval();
    let slow = Behaviour { ready_after: Some(Duration::from_secs(5)), ..Behaviour::default() };
    orchestrator.runtime.add_image("web:2", slow);
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    let ready = |seen: &Snapshot| {
        let status = seen.plan.statuses.get(&app_name("web"));
        status.is_some_and(|status| (status.updated, status.revision) == (2, RevisionId(2)))
    };
    let mut approved = 0;
    while !ready(&orchestrator.handle.snapshot()) {
        tokio::time::sleep(3 * MINUTE).await;
        let asked = approver.steps.lock().unwrap().len();
        if asked > approved {
            approved += 1;
            sender.send(Approval::Once).unwrap();
        } else {
            orchestrator.apply(&app("web", "web:2", 2)).await.unwrap();
        }
        assert!(approved < 60, "{:?}", approver.steps.lock().unwrap());
    }
    let steps = approver.steps.lock().unwrap().clone();
    let failed = |step: &String| step.starts_with("rollback") || step.starts_with("fail ");
    assert!(!steps.iter().any(failed), "{steps:?}");
    assert_eq!(
        orchestrator.store.get(&app_name("web")).await.unwrap().revision,
        RevisionId(2),
        "{steps:?}"
    );
}

/// An update of three replicas is aborted after any number of steps, and completed by another
/// orchestrator without approval.
#[tokio::test(start_paused = true)]
async fn update_converges_after_abort_at_any_step() {
    for approved in 0.. {
        let (orchestrator, approver, sender) = orchestrator_with_approval();
        orchestrator.apply(&app("web", "web:1", 3)).await.unwrap();
        (0..200).for_each(|_| sender.send(Approval::Once).unwrap());
        let _ = orchestrator.until_ready("web").await;
        let ended = {
            // Remaining approvals would continue the update.
            let mut left = approver.approvals.lock().await;
            while left.try_recv().is_ok() {}
            orchestrator.apply(&app("web", "web:2", 3)).await.unwrap();
            (0..approved).for_each(|_| sender.send(Approval::Once).unwrap());
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
            assert!(approved > 12, "an update of three takes more than {approved} steps");
            return;
        }
    }
}

fn is_updated(seen: &Snapshot) -> bool {
    let replicas = &seen.observed.replicas;
    replicas.len() == 3 && replicas.iter().all(|r| r.labels.revision == RevisionId(2))
}

#[derive(Debug, Default)]
struct MemoryRecorder(Mutex<Vec<Decision>>);

impl Recorder for MemoryRecorder {
    fn record(&self, decision: &Decision) {
        self.0.lock().unwrap().push(decision.clone());
    }
}

/// A quiet day of 20 apps writes nothing.
#[tokio::test(start_paused = true)]
async fn each_decision_is_recorded_once_and_quiet_hour_records_none() {
    let notes = Arc::new(MemoryRecorder::default());
    let orchestrator =
        orchestrator(|builder| builder.recorder(Arc::<MemoryRecorder>::clone(&notes)));
    for number in 0..20 {
        orchestrator.apply(&app(&format!("web{number}"), "web:1", 1)).await.unwrap();
    }
    for number in 0..20 {
        orchestrator.until_ready(&format!("web{number}")).await;
    }
    orchestrator.runtime.kill("dubernetes.default.web3-1.r1", 137);
    orchestrator
        .until("web3 is down", MINUTE, |seen| {
            seen.plan.statuses.get(&app_name("web3")).is_some_and(|status| status.ready == 0)
        })
        .await;
    orchestrator.until_ready("web3").await;
    // An unrouted address is avoided for five minutes.
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
