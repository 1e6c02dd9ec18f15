//! One-off containers: they live as long as their client.

use std::time::Duration;

use dubernetes_controller::OneOffError;
use dubernetes_core::app::AppName;
use dubernetes_core::runtime::{Exec as _, ExecOutput, Stdio};
use dubernetes_testkit::build::{TestOrchestrator, worker};
use dubernetes_testkit::{Behaviour, Operation};
use futures_util::StreamExt as _;

const LIMIT: Duration = Duration::from_secs(60);

/// Returns an orchestrator with an app without replicas.
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
async fn start() -> (TestOrchestrator, AppName) {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("job:1", Behaviour::default());
    orchestrator.apply(&worker("job", "job:1", 0)).await.unwrap();
    (orchestrator, AppName::parse("job").unwrap())
}

async fn until_gone(orchestrator: &TestOrchestrator) {
    orchestrator
        .until("no one-off container is left", LIMIT, |seen| {
            seen.observed.one_offs.is_empty() && seen.desired.one_offs.is_empty()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn one_off_container_runs_once_and_is_removed() {
    let (orchestrator, job) = start().await;
    orchestrator.runtime.set_command("task", Behaviour::exits(Duration::from_secs(3), 7));
    let command = vec!["task".to_owned()];
    let client = orchestrator.handle.run_one_off(&job, command, Stdio::default());
    let id = client.created().await.unwrap();
    let mut session = orchestrator.runtime.attach(&id, Stdio::default()).await.unwrap();
    client.start().await.unwrap();
    let pods = orchestrator.handle.snapshot().plan.statuses[&job].one_offs.clone();
    assert_eq!(pods[0].name, *client.pod());
    assert_eq!(session.output.next().await.unwrap().unwrap(), ExecOutput::Exit(7));
    client.remove().await;
    until_gone(&orchestrator).await;
    let journal = orchestrator.runtime.take_journal();
    let starts = journal.iter().filter(|call| call.starts_with("start")).count();
    assert_eq!(starts, 1, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn one_off_container_is_stopped_without_its_client() {
    let (orchestrator, job) = start().await;
    let client = orchestrator.handle.run_one_off(&job, Vec::new(), Stdio::default());
    let _ = client.created().await.unwrap();
    client.start().await.unwrap();
    drop(client);
    until_gone(&orchestrator).await;
}

#[tokio::test(start_paused = true)]
async fn failure_ends_the_wait_for_a_one_off_container() {
    let (orchestrator, job) = start().await;
    orchestrator.runtime.fail(Operation::Create, 1);
    let client = orchestrator.handle.run_one_off(&job, Vec::new(), Stdio::default());
    let error = client.created().await.unwrap_err();
    assert!(matches!(&error, OneOffError::Failed(why) if why.contains("injected")), "{error}");
    drop(client);
    let refused =
        Behaviour { start_error: Some("no such program".to_owned()), ..Behaviour::default() };
    orchestrator.runtime.set_command("task", refused);
    let command = vec!["task".to_owned()];
    let client = orchestrator.handle.run_one_off(&job, command, Stdio::default());
    let _ = client.created().await.unwrap();
    let error = client.start().await.unwrap_err();
    assert!(matches!(error, OneOffError::NotStarted { code: 127, .. }), "{error:?}");
    drop(client);
    until_gone(&orchestrator).await;
    let nosuch = AppName::parse("nosuch").unwrap();
    let client = orchestrator.handle.run_one_off(&nosuch, Vec::new(), Stdio::default());
    assert_eq!(client.created().await, Err(OneOffError::Deleted(nosuch)));
}
