//! The history of what apps use, on virtual time.

use std::time::Duration;

use dubernetes_controller::AppHistory;
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};
use dubernetes_testkit::{Behaviour, FOREVER, Fault, Operation};

const MINUTE: Duration = Duration::from_secs(60);

async fn start() -> TestOrchestrator {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    orchestrator
}

fn history(orchestrator: &TestOrchestrator) -> AppHistory {
    orchestrator.handle.history(&app_name("web"))
}

#[tokio::test(start_paused = true)]
async fn history_has_a_point_a_minute_until_the_app_is_deleted() {
    let orchestrator = start().await;
    assert_eq!(history(&orchestrator).points, []);
    tokio::time::sleep(MINUTE / 2).await;
    let early = history(&orchestrator);
    assert_eq!((early.points.len(), early.counts_requests), (2, true));
    for _ in 0..120 {
        orchestrator.ingress.request("web.local", "/");
    }
    tokio::time::sleep(MINUTE).await;
    let points = history(&orchestrator).points;
    let [.., last] = &points[..] else { panic!("{points:?}") };
    // Each of the two fakes uses a tenth of a CPU, and 1 MiB.
    assert_eq!((last.cpu, last.memory), (Some(200), Some(2 << 20)));
    assert_eq!(last.requests, Some([0, 120, 0, 0, 0]));

    tokio::time::sleep(90 * MINUTE).await;
    let points = history(&orchestrator).points;
    assert_eq!((points.len(), points[59].requests), (60, Some([0; 5])));
    let hour = points[59].at.duration_since(points[0].at).unsigned_abs();
    assert!((58 * MINUTE..=62 * MINUTE).contains(&hour), "{hour:?}");

    orchestrator.handle.delete(&app_name("web")).await.unwrap();
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(history(&orchestrator), AppHistory { counts_requests: true, points: Vec::new() });
}

#[tokio::test(start_paused = true)]
async fn engine_that_hangs_leaves_gaps_and_holds_up_nothing() {
    let orchestrator = start().await;
    tokio::time::sleep(MINUTE / 2).await;
    orchestrator.runtime.faults().inject(Operation::Stats, Fault::Hang, FOREVER);
    tokio::time::sleep(3 * MINUTE).await;
    let passes = orchestrator.handle.snapshot().passes;
    orchestrator.runtime.add_image("web:2", Behaviour::default());
    orchestrator.apply(&app("web", "web:2", 2)).await.unwrap();
    orchestrator.until_ready("web").await;
    assert!(orchestrator.handle.snapshot().passes > passes);
    let points = history(&orchestrator).points;
    let [.., gap] = &points[..] else { panic!("{points:?}") };
    assert_eq!((gap.cpu, gap.memory), (None, None));
    assert!(points.len() >= 4, "{points:?}");
    assert_eq!(gap.requests, Some([0; 5]), "the proxy does not hang");

    orchestrator.runtime.faults().clear();
    tokio::time::sleep(3 * MINUTE).await;
    let points = history(&orchestrator).points;
    assert_eq!(points.last().map(|last| last.cpu), Some(Some(200)), "{points:?}");
}
