//! The output of crashed replicas, kept in memory after their containers are removed.

use std::time::Duration;

use dubernetes_testkit::build::{TestOrchestrator, worker};
use dubernetes_testkit::{Behaviour, Operation};

const LIMIT: Duration = Duration::from_secs(60);

fn previous_lines(orchestrator: &TestOrchestrator, pod: &str) -> Option<Vec<String>> {
    let lines = orchestrator.handle.previous_logs(pod)?;
    Some(lines.iter().map(|line| line.text.clone()).collect())
}

#[tokio::test(start_paused = true)]
async fn output_of_crashed_replica_is_kept_until_its_pod_is_gone() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("job:1", Behaviour::default());
    orchestrator.apply(&worker("job", "job:1", 1)).await.unwrap();
    orchestrator.until_ready("job").await;
    assert_eq!(previous_lines(&orchestrator, "job-1"), None, "nothing has crashed");
    for number in 0..300 {
        orchestrator.runtime.write_log("dubernetes.default.job-1.r1", &format!("line {number}"));
    }
    orchestrator.runtime.kill("dubernetes.default.job-1.r1", 1);
    orchestrator
        .until("the next container runs", LIMIT, |seen| {
            seen.observed.replicas.len() == 1 && seen.observed.replicas[0].labels.restarts == 1
        })
        .await;
    let first = previous_lines(&orchestrator, "job-1").unwrap();
    assert_eq!(
        (first.len(), first[0].as_str(), first[199].as_str()),
        (200, "line 100", "line 299")
    );

    orchestrator.runtime.write_log("dubernetes.default.job-1.r1.1", "second life");
    orchestrator.runtime.kill("dubernetes.default.job-1.r1.1", 1);
    orchestrator
        .until("the third container runs", LIMIT, |seen| {
            seen.observed.replicas.len() == 1 && seen.observed.replicas[0].labels.restarts == 2
        })
        .await;
    assert_eq!(
        previous_lines(&orchestrator, "job-1").unwrap(),
        ["second life"],
        "only the last container's output is kept"
    );

    orchestrator.apply(&worker("job", "job:1", 0)).await.unwrap();
    orchestrator.until("the pod is gone", LIMIT, |seen| seen.observed.replicas.is_empty()).await;
    orchestrator
        .until("the status shows no pod", LIMIT, |seen| {
            seen.plan.statuses.values().all(|status| status.pods.is_empty())
        })
        .await;
    orchestrator.handle.run_pass();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(previous_lines(&orchestrator, "job-1"), None, "the output is dropped with the pod");
}

#[tokio::test(start_paused = true)]
async fn unreadable_output_does_not_delay_removal() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("job:1", Behaviour::default());
    orchestrator.apply(&worker("job", "job:1", 1)).await.unwrap();
    orchestrator.until_ready("job").await;
    orchestrator.runtime.fail(Operation::Logs, 1000);
    orchestrator.runtime.kill("dubernetes.default.job-1.r1", 1);
    orchestrator
        .until("the next container runs", LIMIT, |seen| {
            seen.observed.replicas.len() == 1 && seen.observed.replicas[0].labels.restarts == 1
        })
        .await;
    assert_eq!(previous_lines(&orchestrator, "job-1"), None);
}
