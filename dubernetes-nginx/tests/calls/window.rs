//! How long a reload keeps idle connections of clients open.

use std::time::Duration;

use dubernetes_core::ingress::Ingress as _;

use dubernetes_core::app;
use dubernetes_nginx::NginxIngress;

use crate::engine::{Engine, endpoint, route, table};

fn with_window(engine: &Engine, seconds: u64) -> NginxIngress {
    engine.ingress_with(|config| config.keepalive_window = app::Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn new_orchestrator_waits_whole_drain_window() {
    for (window, enough) in [(1, 2), (5, 6)] {
        let engine = Engine::default();
        engine.ingress().apply(&table(&[])).await.unwrap();
        let next = with_window(&engine, window);
        next.observe().await.unwrap();
        tokio::time::advance(Duration::from_secs(window)).await;
        assert!(!next.drained(endpoint(20, 80).socket()).await.unwrap().is_yes());
        tokio::time::advance(Duration::from_secs(enough - window)).await;
        assert!(next.drained(endpoint(20, 80).socket()).await.unwrap().is_yes());
    }
}

#[tokio::test(start_paused = true)]
async fn changed_window_renders_again_and_replaces_no_container() {
    let engine = Engine::default();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    engine.ingress().apply(&wanted).await.unwrap();
    assert!(engine.reads("keepalive_min_timeout 1000ms;"));
    let next = with_window(&engine, 5);
    engine.take_calls();
    let said = next.repair().await.unwrap().unwrap();
    assert!(said.contains("rendered again"), "{said}");
    assert!(engine.reads("keepalive_min_timeout 5000ms;"));
    assert_eq!(engine.served(), wanted, "the routes stay");
    let calls = engine.take_calls();
    assert!(!calls.iter().any(|call| matches!(call.as_str(), "create" | "stop")), "{calls:?}");
    assert_eq!(next.repair().await.unwrap(), None);
}
