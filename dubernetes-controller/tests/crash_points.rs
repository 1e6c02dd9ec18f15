//! Crashes and lost answers at every changing call of an operation: all end in the state of a run
//! without a fault.
//!
//! A clean run of an operation counts the changing calls of the orchestrator and of its user. Then
//! each of them, once per [`EffectFault`](dubernetes_testkit::EffectFault), goes wrong in a run of
//! its own. After a crash another orchestrator starts on the same store, runtime and ingress, and
//! the user repeats what was not answered.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "crash_points/operation.rs"]
mod operation;
#[path = "crash_points/run.rs"]
mod run;
#[path = "crash_points/state.rs"]
mod state;

use std::time::Duration;

use dubernetes_core::app::{
    AppSpec, Duration as Span, HostName, IssuedTls, PreDeploy, Tls, Volume,
};
use dubernetes_core::store::RolloutAction;
use dubernetes_testkit::build::{app, worker};
use operation::{Operation, Step};
use run::check;

fn web(image: &str, replicas: u16) -> AppSpec {
    let mut spec = app("web", image, replicas);
    spec.rollout.progress_deadline = Span::from_secs(20);
    spec
}

fn apply(spec: AppSpec) -> Step {
    Step::Apply(Box::new(spec))
}

#[tokio::test(start_paused = true)]
async fn first_deploy_survives_any_fault() {
    check(Operation {
        before: vec![],
        steps: vec![apply(web("web:1", 3))],
        min_routed: 0,
        min_effects: 15,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn scale_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 3))],
        steps: vec![apply(web("web:1", 5)), apply(web("web:1", 1))],
        min_routed: 1,
        min_effects: 20,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rollout_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 3))],
        steps: vec![apply(web("web:2", 3))],
        min_routed: 3,
        min_effects: 30,
    })
    .await;
}

/// A lost answer and a late list together hide a container.
#[tokio::test(start_paused = true)]
async fn rollout_with_late_lists_survives_any_fault() {
    check(Operation {
        before: vec![Step::DelayLists(Duration::from_secs(2)), apply(web("web:1", 2))],
        steps: vec![apply(web("web:2", 2))],
        min_routed: 2,
        min_effects: 20,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn first_deploy_with_late_lists_survives_any_fault() {
    check(Operation {
        before: vec![Step::DelayLists(Duration::from_secs(2))],
        steps: vec![apply(web("web:1", 3))],
        min_routed: 0,
        min_effects: 15,
    })
    .await;
}

/// The user goes back to the first revision.
#[tokio::test(start_paused = true)]
async fn undo_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 2)), apply(web("web:2", 2))],
        steps: vec![Step::Rollout("web", RolloutAction::Undo { to: None })],
        min_routed: 2,
        min_effects: 20,
    })
    .await;
}

/// A revision that never becomes ready goes back by itself.
#[tokio::test(start_paused = true)]
async fn rollback_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 2))],
        steps: vec![apply(web("broken:1", 2))],
        min_routed: 2,
        min_effects: 8,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn restart_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 2))],
        steps: vec![Step::Rollout("web", RolloutAction::Restart)],
        min_routed: 2,
        min_effects: 20,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn delete_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 3))],
        steps: vec![Step::Delete("web")],
        min_routed: 0,
        min_effects: 10,
    })
    .await;
}

/// The second app of the name inherits nothing.
#[tokio::test(start_paused = true)]
async fn delete_and_apply_again_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 2))],
        steps: vec![Step::DeleteAtOnce("web"), apply(web("web:1", 2))],
        min_routed: 0,
        min_effects: 20,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn route_change_survives_any_fault() {
    let mut moved = web("web:1", 2);
    moved.access[0].hosts = vec![HostName::parse("other.local").unwrap().into()];
    check(Operation {
        before: vec![apply(web("web:1", 2))],
        steps: vec![apply(moved)],
        min_routed: 2,
        min_effects: 2,
    })
    .await;
}

fn secured(tls: IssuedTls) -> AppSpec {
    let mut spec = web("web:1", 2);
    spec.access[0].tls = Some(Tls::Issued(tls));
    spec
}

/// No certificate is from an account that the store has lost.
#[tokio::test(start_paused = true)]
async fn certificates_survive_any_fault() {
    for tls in [IssuedTls::Internal, IssuedTls::Auto] {
        check(Operation {
            before: vec![],
            steps: vec![apply(secured(tls))],
            min_routed: 0,
            min_effects: 14,
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn change_of_the_authority_survives_any_fault() {
    check(Operation {
        before: vec![apply(secured(IssuedTls::Internal))],
        steps: vec![apply(secured(IssuedTls::Auto))],
        min_routed: 2,
        min_effects: 4,
    })
    .await;
}

/// A lone writer stops before its successor starts.
#[tokio::test(start_paused = true)]
async fn rollout_of_a_lone_writer_survives_any_fault() {
    let db = |image| {
        let mut db = worker("db", image, 1);
        db.volumes = vec![Volume::parse("data:/data").unwrap()];
        db
    };
    check(Operation {
        before: vec![apply(db("web:1"))],
        steps: vec![apply(db("web:2"))],
        min_routed: 0,
        min_effects: 8,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rollout_with_a_pre_deploy_hook_survives_any_fault() {
    let mut second = web("web:2", 2);
    let command = vec!["migrate".to_owned()];
    second.pre_deploy = Some(PreDeploy { command, timeout: PreDeploy::TIMEOUT });
    check(Operation {
        before: vec![apply(web("web:1", 2))],
        steps: vec![apply(second)],
        min_routed: 2,
        min_effects: 25,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn eviction_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 2))],
        steps: vec![Step::Evict("web")],
        min_routed: 2,
        min_effects: 8,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn replacement_of_a_dead_replica_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 2))],
        steps: vec![Step::Kill("dubernetes.default.web-1.r1")],
        min_routed: 0,
        min_effects: 4,
    })
    .await;
}

/// The ingress is started again, and its configuration restored.
#[tokio::test(start_paused = true)]
async fn repair_of_the_ingress_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 2))],
        steps: vec![Step::KillIngress, Step::DamageIngress],
        min_routed: 0,
        min_effects: 2,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn teardown_survives_any_fault() {
    check(Operation {
        before: vec![apply(web("web:1", 2)), apply(worker("jobs", "web:1", 1))],
        steps: vec![Step::TearDown],
        min_routed: 0,
        min_effects: 10,
    })
    .await;
}
