//! Deadlines of calls to an engine that does not answer, or stalls.

use dubernetes_core::app::{Duration, ImageRef, PullPolicy};
use dubernetes_core::runtime::{ContainerRuntime, Networks, RuntimeError};

use super::server::{Answer, RecordedEngine};
use super::{id, instance};

// Paused time advances when all tasks are idle, so deadlines pass at once.
#[tokio::test(start_paused = true)]
async fn every_kind_of_call_has_a_deadline() {
    let engine = RecordedEngine::start(&[
        ("GET /containers/json", Answer::Silence),
        ("POST /containers/x/start", Answer::Silence),
        ("POST /containers/x/stop", Answer::Silence),
        ("DELETE /containers/x", Answer::Silence),
        ("GET /version", Answer::Silence),
        ("GET /networks", Answer::Silence),
    ]);
    let runtime = engine.runtime();
    let started = tokio::time::Instant::now();
    check_timeout(runtime.list(&instance()).await);
    check_timeout(runtime.start(&id("x")).await);
    check_timeout(runtime.stop(&id("x"), None, Duration::from_secs(200)).await);
    check_timeout(ContainerRuntime::remove(&runtime, &id("x")).await);
    check_timeout(runtime.info().await);
    check_timeout(Networks::ensure(&runtime, &instance()).await);
    let waited = started.elapsed().as_secs();
    // 10 + 30 + (200 + 15) + 30 + 10 + 10
    assert_eq!(waited, 305, "the deadline of a stop includes the grace period");
}

#[tokio::test]
async fn pull_without_progress_times_out() {
    let progress = r#"{"status":"Downloading","id":"1"}"#.to_owned();
    let engine = RecordedEngine::start(&[("POST /images/create", Answer::Stalled(progress))]);
    let runtime = engine.runtime();
    let image = ImageRef::parse("web:1").unwrap().into();
    let pause = async {
        while engine.count("POST /images/create") == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        // Not earlier, since paused time does not wait for a socket.
        tokio::time::pause();
        tokio::time::Instant::now()
    };
    let (answer, paused_at) = tokio::join!(runtime.resolve(&image, PullPolicy::Always), pause);
    check_timeout(answer);
    let waited = paused_at.elapsed().as_secs();
    assert!((55..=60).contains(&waited), "{waited} s without progress");
}

#[track_caller]
fn check_timeout<T: std::fmt::Debug>(answer: Result<T, RuntimeError>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, RuntimeError::Timeout { .. }), "{error:?}");
}
