//! The controller on fakes and virtual time: the life cycle of apps.

use std::time::Duration;

use dubernetes_core::app::{ContentRef, EnvValue, ImageRef, RevisionId, Volume};
use dubernetes_core::event::EventKind;
use dubernetes_core::plan::{Phase, PodState};
use dubernetes_core::store::{EventQuery, Store as _, StoreError};
use dubernetes_testkit::build::{TestOrchestrator, app, app_name, worker};
use dubernetes_testkit::{Answer, Behaviour, Operation};

const MINUTE: Duration = Duration::from_secs(60);
const NOTHING: [String; 0] = [];

fn names(orchestrator: &TestOrchestrator) -> Vec<String> {
    orchestrator.runtime.containers().into_iter().map(|c| c.name).collect()
}

#[tokio::test(start_paused = true)]
async fn applied_app_is_created_started_and_routed() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    assert_eq!(
        names(&orchestrator),
        [
            "dubernetes.default.web-1.r1",
            "dubernetes.default.web-2.r1",
            "dubernetes.default.web-3.r1"
        ]
    );
    let mut pods: Vec<_> = (0..3).map(|_| orchestrator.ingress.request("web.local", "/")).collect();
    pods.sort_by_key(|answer| format!("{answer:?}"));
    pods.dedup();
    assert_eq!(pods.len(), 3, "three requests reach three replicas: {pods:?}");
    assert_eq!(orchestrator.ingress.request("other.local", "/"), Answer::NotFound);
}

#[tokio::test(start_paused = true)]
async fn health_check_of_an_image_that_the_app_does_not_use_is_named() {
    let orchestrator = TestOrchestrator::start();
    let check = ["/bin/sh", "-c", "curl localhost"].map(str::to_owned);
    let image = Behaviour { health_check: Some(check.into()), ..Behaviour::default() };
    orchestrator.runtime.add_image("web:1", image);
    orchestrator.apply(&app("web", "web:1", 1)).await.unwrap();
    orchestrator.until_ready("web").await;
    let events = orchestrator
        .store
        .events(&EventQuery { limit: 100, ..EventQuery::default() })
        .await
        .unwrap();
    let event = events.iter().find(|event| event.reason == "HealthCheckUnused").unwrap();
    let expected = r#"write `health: { exec: ["/bin/sh", "-c", "curl localhost"] }`"#;
    assert!(event.message.contains(expected), "{}", event.message);
    assert_eq!(event.kind, EventKind::Warning);
}

#[tokio::test(start_paused = true)]
async fn power_over_the_host_is_refused_without_a_permission() {
    let orchestrator = TestOrchestrator::start();
    let mut spec = app("web", "web:1", 1);
    spec.volumes = vec![Volume::parse("/etc:/data").unwrap()];
    let refused = orchestrator.apply(&spec).await.unwrap_err().to_string();
    assert!(refused.contains("serve --allow host-paths"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn invalid_specification_is_refused_and_stores_nothing() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 1).await;
    let stored = orchestrator.store.list().await.unwrap();
    let mut unread = app("web", "web:1", 1);
    let secret = EnvValue::From(ContentRef::unread("./password".parse().unwrap()));
    unread.env.insert("PASSWORD".parse().unwrap(), secret);
    for (spec, problem) in
        [(app("web", "web:1", 60_000), "`replicas` must be at most 250"), (unread, "was not read")]
    {
        let refused = orchestrator.apply(&spec).await.unwrap_err();
        assert!(matches!(refused, StoreError::Invalid { .. }), "{refused:?}");
        assert!(refused.to_string().contains(problem), "{refused}");
    }
    let refused = orchestrator.handle.scale(&app_name("web"), 60_000).await.unwrap_err();
    assert!(matches!(refused, StoreError::Invalid { .. }), "{refused:?}");
    assert_eq!(orchestrator.store.list().await.unwrap(), stored);
}

#[tokio::test(start_paused = true)]
async fn converged_app_causes_no_changing_call() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    orchestrator.runtime.take_journal();
    let tables = orchestrator.ingress.applied().len();
    let put = orchestrator.apply(&app("web", "web:1", 3)).await.unwrap();
    assert_eq!(put.change.as_str(), "unchanged");
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(orchestrator.runtime.take_journal(), NOTHING);
    assert_eq!(orchestrator.ingress.applied().len(), tables);
}

#[tokio::test(start_paused = true)]
async fn killed_replica_alone_is_replaced() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    let before = orchestrator.runtime.containers();
    orchestrator.runtime.kill("dubernetes.default.web-2.r1", 137);
    orchestrator.until_ready("web").await;
    orchestrator
        .until("the killed replica is gone", MINUTE, |seen| {
            seen.observed
                .replicas
                .iter()
                .filter(|r| r.labels.ordinal == 2)
                .all(|r| r.labels.restarts == 1)
        })
        .await;
    let after = orchestrator.runtime.containers();
    assert_eq!(after[0], before[0]);
    assert_eq!(after[2], before[2]);
    assert_eq!(after[1].name, "dubernetes.default.web-2.r1.1");
    let events = orchestrator
        .store
        .events(&EventQuery { limit: 100, ..EventQuery::default() })
        .await
        .unwrap();
    let exited = events.iter().find(|e| e.reason == "Exited").expect("the exit is recorded");
    assert_eq!((exited.kind, exited.object()), (EventKind::Warning, Some("web-2")));
}

#[tokio::test(start_paused = true)]
async fn removed_replica_is_recreated() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    orchestrator.runtime.vanish("dubernetes.default.web-1.r1");
    orchestrator
        .until("two replicas run again", MINUTE, |seen| {
            seen.observed.replicas.iter().filter(|r| r.is_running()).count() == 2
                && seen.plan.statuses[&app_name("web")].phase == Phase::Ready
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn crash_loop_backs_off_and_leaves_other_apps_alone() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("bad:1", Behaviour::exits(Duration::from_millis(10), 1));
    orchestrator.apply(&worker("bad", "bad:1", 1)).await.unwrap();
    orchestrator.deploy_web("web:1", 1).await;
    tokio::time::sleep(5 * MINUTE).await;
    let starts = orchestrator
        .runtime
        .take_journal()
        .iter()
        .filter(|c| c.starts_with("start") && c.contains("bad"))
        .count();
    assert!((8..=10).contains(&starts), "0, 0, 1, 3, 7 … 255 s are ten starts, not {starts}");
    let seen = orchestrator.handle.snapshot();
    let status = &seen.plan.statuses[&app_name("bad")];
    assert_eq!((status.phase, status.pods[0].state), (Phase::Failed, PodState::BackOff));
    assert!(status.message.contains("exit code 1"), "{}", status.message);
    assert_eq!(names(&orchestrator).len(), 2, "a crash loop leaves no other container");
}

#[tokio::test(start_paused = true)]
async fn update_replaces_one_at_a_time_and_keeps_desired_replicas_ready() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    orchestrator.runtime.add_image("web:2", Behaviour::default());
    orchestrator.apply(&app("web", "web:2", 3)).await.unwrap();
    let mut snapshots = orchestrator.handle.snapshots();
    loop {
        let seen = std::sync::Arc::clone(&snapshots.borrow_and_update());
        let status = &seen.plan.statuses[&app_name("web")];
        assert!(status.ready >= 3, "{}", seen.plan);
        let live = seen.observed.replicas.iter().filter(|r| r.is_running()).count();
        assert!(live <= 4, "{}", seen.plan);
        if status.revision == RevisionId(2) && status.phase == Phase::Ready {
            break;
        }
        tokio::time::timeout(MINUTE, snapshots.changed()).await.unwrap().unwrap();
    }
    assert!(
        names(&orchestrator).iter().all(|name| name.ends_with(".r2")),
        "{:?}",
        names(&orchestrator)
    );
}

#[tokio::test(start_paused = true)]
async fn busy_replica_is_not_stopped_before_its_requests_end() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 1).await;
    let endpoint = orchestrator.handle.snapshot().observed.replicas[0].endpoint.unwrap();
    orchestrator.ingress.set_busy(endpoint, true);
    orchestrator.runtime.add_image("web:2", Behaviour::default());
    orchestrator.apply(&app("web", "web:2", 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(names(&orchestrator).contains(&"dubernetes.default.web-1.r1".to_owned()));
    orchestrator.ingress.set_busy(endpoint, false);
    orchestrator.until_ready("web").await;
    assert_eq!(names(&orchestrator), ["dubernetes.default.web-2.r2"]);
}

#[tokio::test(start_paused = true)]
async fn drain_ends_at_its_limit() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 1).await;
    orchestrator
        .ingress
        .set_busy(orchestrator.handle.snapshot().observed.replicas[0].endpoint.unwrap(), true);
    orchestrator.runtime.add_image("web:2", Behaviour::default());
    orchestrator.apply(&app("web", "web:2", 1)).await.unwrap();
    orchestrator.until_ready("web").await;
}

#[tokio::test(start_paused = true)]
async fn bad_image_leaves_old_replicas_serving() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    let before = orchestrator.runtime.containers();
    orchestrator.apply(&app("web", "missing:1", 2)).await.unwrap();
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(orchestrator.runtime.containers(), before);
    let seen = orchestrator.handle.snapshot();
    let status = &seen.plan.statuses[&app_name("web")];
    // The first revision was complete once it was ready, so the update rolls back to it.
    assert_eq!((status.phase, status.ready, status.updated), (Phase::Ready, 2, 2));
    assert!(status.message.contains("missing:1"), "{}", status.message);
    // An old replica that exits meanwhile is restarted with its own revision.
    orchestrator.runtime.kill("dubernetes.default.web-1.r1", 1);
    orchestrator
        .until("both old replicas serve again", MINUTE, |seen| {
            seen.plan.routes.table.routes[0].endpoints.len() == 2
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn unready_revision_stops_at_max_surge() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    orchestrator.runtime.add_image(
        "web:2",
        Behaviour { ready_after: None, ..Behaviour::exits(Duration::from_millis(200), 3) },
    );
    orchestrator.apply(&app("web", "web:2", 3)).await.unwrap();
    tokio::time::sleep(5 * MINUTE).await;
    assert!(names(&orchestrator).len() <= 4, "{:?}", names(&orchestrator));
    assert_eq!(orchestrator.handle.snapshot().plan.statuses[&app_name("web")].ready, 3);
    // A rollback needs no new container.
    orchestrator.apply(&app("web", "web:1", 3)).await.unwrap();
    orchestrator.until_ready("web").await;
    assert!(names(&orchestrator).iter().all(|n| n.ends_with("r1")), "{:?}", names(&orchestrator));
}

#[tokio::test(start_paused = true)]
async fn app_scaled_to_zero_answers_503() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    orchestrator.apply(&app("web", "web:1", 0)).await.unwrap();
    orchestrator.until_ready("web").await;
    assert_eq!(names(&orchestrator), NOTHING);
    assert_eq!(orchestrator.ingress.request("web.local", "/"), Answer::Unavailable);
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    orchestrator.until_ready("web").await;
    assert_eq!(names(&orchestrator).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn scaling_down_keeps_the_lowest_ordinals() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 5).await;
    orchestrator.apply(&app("web", "web:1", 1)).await.unwrap();
    orchestrator.until_ready("web").await;
    assert_eq!(names(&orchestrator), ["dubernetes.default.web-1.r1"]);
}

#[tokio::test(start_paused = true)]
async fn delete_removes_everything_and_frees_the_name_at_once() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    let old = orchestrator.runtime.containers();
    orchestrator.store.delete(&app_name("web"), jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    orchestrator.until_ready("web").await;
    let new = orchestrator.runtime.containers();
    assert_eq!(new.len(), 2);
    assert!(new.iter().all(|c| old.iter().all(|o| o.id != c.id)), "no container is inherited");
}

#[tokio::test(start_paused = true)]
async fn delete_during_create_leaves_nothing() {
    for delay in 0..40 {
        let orchestrator = TestOrchestrator::start();
        orchestrator.runtime.add_image("web:1", Behaviour::default());
        orchestrator.apply(&app("web", "web:1", 3)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(delay * 5)).await;
        orchestrator
            .store
            .delete(&app_name("web"), dubernetes_core::clock::Clock::now(&orchestrator.clock))
            .await
            .unwrap();
        orchestrator
            .until("the tombstone is gone", 10 * MINUTE, |seen| {
                seen.passes > 0
                    && seen.desired.tombstones.is_empty()
                    && seen.desired.apps.is_empty()
            })
            .await;
        assert_eq!(names(&orchestrator), NOTHING, "after {delay} steps");
        let answer = orchestrator.ingress.request("web.local", "/");
        assert!(matches!(answer, Answer::NotFound | Answer::Refused), "{answer:?}");
        orchestrator.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn new_orchestrator_adopts_running_containers() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    let before = orchestrator.runtime.containers();
    orchestrator.runtime.take_journal();
    let tables = orchestrator.ingress.applied().len();
    let orchestrator = orchestrator.restart();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(orchestrator.runtime.containers(), before);
    assert_eq!(orchestrator.runtime.take_journal(), NOTHING);
    assert_eq!(
        orchestrator.ingress.applied().len(),
        tables,
        "no route is dropped before the first probe results"
    );
}

#[tokio::test(start_paused = true)]
async fn restarted_orchestrator_continues_rollout_from_any_step() {
    for step in 0..60 {
        let orchestrator = TestOrchestrator::start();
        orchestrator.deploy_web("web:1", 2).await;
        orchestrator.runtime.add_image("web:2", Behaviour::default());
        orchestrator.apply(&app("web", "web:2", 2)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(step * 17)).await;
        let orchestrator = orchestrator.restart();
        orchestrator.until_ready("web").await;
        let names = names(&orchestrator);
        assert!(names.len() == 2 && names.iter().all(|n| n.ends_with(".r2")), "{names:?}");
        orchestrator.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn orphans_are_reported_and_left_alone() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    let before = orchestrator.runtime.containers();
    orchestrator.stop();
    let orchestrator = TestOrchestrator::start_on(
        orchestrator.runtime.clone(),
        Default::default(),
        orchestrator.ingress.clone(),
        orchestrator.clock,
    );
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(orchestrator.runtime.containers(), before);
    assert_eq!(orchestrator.handle.snapshot().plan.blocked.len(), 1);
    // Applying the app adopts the containers.
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    orchestrator.until_ready("web").await;
    assert_eq!(orchestrator.runtime.containers(), before);
}

#[tokio::test(start_paused = true)]
async fn single_writer_stops_before_its_successor_starts() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("db:1", Behaviour::default());
    let mut db = worker("db", "db:1", 1);
    db.volumes = vec![Volume::parse("data:/var/lib/db").unwrap()];
    orchestrator.apply(&db).await.unwrap();
    orchestrator.until_ready("db").await;
    orchestrator.runtime.add_image("db:2", Behaviour::default());
    db.artifact = ImageRef::parse("db:2").unwrap().into();
    orchestrator.apply(&db).await.unwrap();
    let mut snapshots = orchestrator.handle.snapshots();
    while orchestrator.handle.snapshot().plan.statuses[&app_name("db")].phase != Phase::Ready
        || orchestrator.handle.snapshot().plan.statuses[&app_name("db")].revision != RevisionId(2)
    {
        let seen = std::sync::Arc::clone(&snapshots.borrow_and_update());
        assert!(seen.observed.replicas.iter().filter(|r| r.is_running()).count() <= 1);
        tokio::time::timeout(MINUTE, snapshots.changed()).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failed_calls_are_retried_without_duplicates() {
    for operation in [
        Operation::Create,
        Operation::Start,
        Operation::Stop,
        Operation::Remove,
        Operation::List,
        Operation::Resolve,
        Operation::EnsureNetwork,
    ] {
        let orchestrator = TestOrchestrator::start();
        orchestrator.runtime.fail(operation, 3);
        orchestrator.deploy_web("web:1", 2).await;
        orchestrator.runtime.fail(operation, 3);
        orchestrator.runtime.add_image("web:2", Behaviour::default());
        orchestrator.apply(&app("web", "web:2", 2)).await.unwrap();
        orchestrator.until_ready("web").await;
        assert_eq!(
            names(&orchestrator).len(),
            2,
            "after failures of {operation:?}: {:?}",
            names(&orchestrator)
        );
        orchestrator.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_call_is_reported_and_retried() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    orchestrator.runtime.panic(Operation::Create);
    orchestrator.runtime.panic(Operation::Probe);
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    orchestrator.until_ready("web").await;
    let events = orchestrator
        .store
        .events(&EventQuery { limit: 100, ..EventQuery::default() })
        .await
        .unwrap();
    let failed = events.iter().find(|event| event.reason == "CreateFailed").unwrap();
    assert_eq!(
        failed.message,
        "the container engine failed to create a container: bug: injected panic"
    );
}

#[tokio::test(start_paused = true)]
async fn evicted_replica_is_replaced_without_a_gap() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    let first = orchestrator.runtime.named("dubernetes.default.web-1.r1").id;
    orchestrator.handle.evict(&app_name("web"), &first).await.unwrap();
    orchestrator
        .until("the evicted replica is gone", MINUTE, |seen| {
            assert!(seen.plan.statuses[&app_name("web")].ready >= 2);
            seen.observed.replicas.iter().all(|r| r.id != first)
        })
        .await;
    orchestrator.until_ready("web").await;
}

#[tokio::test(start_paused = true)]
async fn teardown_leaves_nothing() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 3).await;
    orchestrator.handle.teardown().await.unwrap();
    assert_eq!(names(&orchestrator), NOTHING);
    assert_eq!(orchestrator.ingress.request("web.local", "/"), Answer::Refused);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(names(&orchestrator), NOTHING);
    orchestrator.deploy_web("web:1", 1).await;
}
