//! What a crashed replica said outlives its container, in the controller's memory.

use std::time::Duration;

use dubernetes_testkit::build::{TestOrchestrator, worker};
use dubernetes_testkit::{Behaviour, Operation};

const LIMIT: Duration = Duration::from_secs(60);

fn said(orchestrator: &TestOrchestrator, pod: &str) -> Option<Vec<String>> {
    let lines = orchestrator.handle.previous_logs(pod)?;
    Some(lines.iter().map(|line| line.text.clone()).collect())
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_a_crashed_replica_are_kept_until_its_pod_goes() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("job:1", Behaviour::default());
    orchestrator.apply(&worker("job", "job:1", 1)).await.unwrap();
    orchestrator.until_ready("job").await;
    assert_eq!(said(&orchestrator, "job-1"), None, "nothing has crashed");
    for number in 0..300 {
        orchestrator.runtime.write_log("dubernetes.default.job-1.r1", &format!("line {number}"));
    }
    orchestrator.runtime.kill("dubernetes.default.job-1.r1", 1);
    orchestrator
        .until("its successor runs", LIMIT, |seen| {
            seen.observed.replicas.len() == 1 && seen.observed.replicas[0].labels.restarts == 1
        })
        .await;
    let first = said(&orchestrator, "job-1").unwrap();
    assert_eq!(
        (first.len(), first[0].as_str(), first[199].as_str()),
        (200, "line 100", "line 299")
    );

    orchestrator.runtime.write_log("dubernetes.default.job-1.r1.1", "second life");
    orchestrator.runtime.kill("dubernetes.default.job-1.r1.1", 1);
    orchestrator
        .until("the next one runs", LIMIT, |seen| {
            seen.observed.replicas.len() == 1 && seen.observed.replicas[0].labels.restarts == 2
        })
        .await;
    assert_eq!(said(&orchestrator, "job-1").unwrap(), ["second life"], "only the last one is kept");

    orchestrator.apply(&worker("job", "job:1", 0)).await.unwrap();
    orchestrator.until("the pod is gone", LIMIT, |seen| seen.observed.replicas.is_empty()).await;
    orchestrator
        .until("that was looked at", LIMIT, |seen| {
            seen.plan.statuses.values().all(|status| status.pods.is_empty())
        })
        .await;
    orchestrator.handle.run_pass();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(said(&orchestrator, "job-1"), None, "it is forgotten with its pod");
}

#[tokio::test(start_paused = true)]
async fn output_that_cannot_be_read_keeps_no_container() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("job:1", Behaviour::default());
    orchestrator.apply(&worker("job", "job:1", 1)).await.unwrap();
    orchestrator.until_ready("job").await;
    orchestrator.runtime.fail(Operation::Logs, 1000);
    orchestrator.runtime.kill("dubernetes.default.job-1.r1", 1);
    orchestrator
        .until("its successor runs", LIMIT, |seen| {
            seen.observed.replicas.len() == 1 && seen.observed.replicas[0].labels.restarts == 1
        })
        .await;
    assert_eq!(said(&orchestrator, "job-1"), None);
}
