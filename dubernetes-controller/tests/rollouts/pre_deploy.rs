//! The pre-deploy hook of a rollout.

use dubernetes_core::app::{AppSpec, Duration as Span, PreDeploy, RevisionId};
use dubernetes_core::store::RolloutAction;
use dubernetes_testkit::Behaviour;

use super::{MINUTE, SECOND, ids, kept, outcomes, rollout_action, stable_app, stored, web};

/// Returns the second version of the app, with a hook that runs `migrate`.
fn web_with_hook(timeout: Span) -> AppSpec {
    let command = vec!["migrate".to_owned()];
    AppSpec { pre_deploy: Some(PreDeploy { command, timeout }), ..web("web:2") }
}

#[tokio::test(start_paused = true)]
async fn pre_deploy_hook_runs_once_before_any_replacement() {
    let orchestrator = stable_app().await;
    orchestrator.runtime.set_command("migrate", Behaviour::exits(3 * SECOND, 0));
    let before = ids(&orchestrator);
    orchestrator.apply(&web_with_hook(PreDeploy::TIMEOUT)).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    let hook = "dubernetes.default.web.pre-deploy.r2";
    orchestrator.runtime.write_log(hook, "3 tables changed");
    let mut during = ids(&orchestrator);
    assert!(during.remove(hook).is_some() && during == before, "{during:?}");
    orchestrator.until_ready("web").await;
    let rollout = kept(&orchestrator, 2).await.rollout;
    assert_eq!(
        (rollout.pre_deployed, rollout.pre_deploy_log),
        (true, vec!["3 tables changed".into()])
    );
    orchestrator.runtime.take_journal();
    // The hook belongs to the revision: scaling does not run it again.
    let scaled = AppSpec { replicas: 3, ..web_with_hook(PreDeploy::TIMEOUT) };
    orchestrator.apply(&scaled).await.unwrap();
    orchestrator.until_ready("web").await;
    let journal = orchestrator.runtime.take_journal();
    assert!(journal.iter().all(|call| !call.contains("pre-deploy")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn failed_pre_deploy_hook_replaces_nothing() {
    for (behaviour, why) in [
        (Behaviour::exits(SECOND, 4), "pre-deploy hook: exit code 4"),
        (Behaviour::default(), "pre-deploy hook exceeded its time limit of 30s"),
    ] {
        let orchestrator = stable_app().await;
        orchestrator.runtime.set_command("migrate", behaviour);
        let before = ids(&orchestrator);
        orchestrator.apply(&web_with_hook(Span::from_secs(30))).await.unwrap();
        tokio::time::sleep(MINUTE).await;
        assert_eq!(ids(&orchestrator), before, "{why}");
        let failed = kept(&orchestrator, 2).await.rollout.outcome;
        let reason = &failed.failure().unwrap().reason;
        assert!(reason.starts_with(why), "{reason}");
        assert_eq!(stored(&orchestrator).await.spec.artifact.as_str(), "web:1");
    }
}

#[tokio::test(start_paused = true)]
async fn pre_deploy_hook_that_ends_with_its_engine_says_so() {
    let orchestrator = stable_app().await;
    orchestrator.runtime.set_command("migrate", Behaviour::default());
    let before = ids(&orchestrator);
    orchestrator.apply(&web_with_hook(PreDeploy::TIMEOUT)).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    orchestrator.runtime.set_away(true);
    orchestrator.handle.run_pass();
    tokio::time::sleep(10 * SECOND).await;
    orchestrator.runtime.kill("dubernetes.default.web.pre-deploy.r2", 137);
    orchestrator.runtime.set_away(false);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(ids(&orchestrator), before);
    let failed = kept(&orchestrator, 2).await.rollout.outcome;
    let reason = &failed.failure().unwrap().reason;
    assert_eq!(reason, "pre-deploy hook: it ended while the engine was away");
}

#[tokio::test(start_paused = true)]
async fn undo_runs_failed_pre_deploy_hook_again() {
    let orchestrator = stable_app().await;
    orchestrator.runtime.set_command("migrate", Behaviour::exits(SECOND, 4));
    orchestrator.apply(&web_with_hook(PreDeploy::TIMEOUT)).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(outcomes(&orchestrator).await[1], "failed");
    orchestrator.runtime.set_command("migrate", Behaviour::exits(SECOND, 0));
    orchestrator.runtime.take_journal();
    rollout_action(&orchestrator, RolloutAction::Undo { to: Some(RevisionId(2)) }).await.unwrap();
    orchestrator.until_ready("web").await;
    let journal = orchestrator.runtime.take_journal();
    assert!(journal.iter().any(|call| call.contains("pre-deploy")), "{journal:?}");
    // After a success, an undo does not run the hook again.
    orchestrator.apply(&web("web:1")).await.unwrap();
    orchestrator.until_ready("web").await;
    orchestrator.runtime.take_journal();
    rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await.unwrap();
    orchestrator.until_ready("web").await;
    let journal = orchestrator.runtime.take_journal();
    assert!(journal.iter().all(|call| !call.contains("pre-deploy")), "{journal:?}");
}
