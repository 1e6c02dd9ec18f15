//! An engine that says nothing, or no more, is not waited for without end.

use dubernetes_core::app::{Duration, ImageRef, PullPolicy};
use dubernetes_core::runtime::{ContainerRuntime as _, RuntimeError};

use super::server::{Answer, RecordedEngine};
use super::{id, instance};

// Time is paused and moves on when everybody waits, so a deadline passes at once.
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
    check_timeout(runtime.remove(&id("x")).await);
    check_timeout(runtime.version().await);
    check_timeout(runtime.ensure_network(&instance()).await);
    let waited = started.elapsed().as_secs();
    // 10 + 30 + (200 + 15) + 30 + 10 + 10
    assert_eq!(waited, 305, "the stop's grace is longer than the client's own limit would allow");
}

#[tokio::test]
async fn a_pull_without_progress_times_out() {
    let progress = r#"{"status":"Downloading","id":"1"}"#.to_owned();
    let engine = RecordedEngine::start(&[("POST /images/create", Answer::Stalled(progress))]);
    let (runtime, image) = (engine.runtime(), ImageRef::parse("web:1").unwrap());
    let asked = async {
        while engine.count("POST /images/create") == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        // Only now: paused time does not wait for a socket.
        tokio::time::pause();
        tokio::time::Instant::now()
    };
    let (answer, asked) = tokio::join!(runtime.ensure_image(&image, PullPolicy::Always), asked);
    check_timeout(answer);
    let waited = asked.elapsed().as_secs();
    assert!((55..=60).contains(&waited), "{waited} s without progress");
}

#[track_caller]
fn check_timeout<T: std::fmt::Debug>(answer: Result<T, RuntimeError>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, RuntimeError::Timeout { .. }), "{error:?}");
}
