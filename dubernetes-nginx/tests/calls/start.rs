//! The first tables.

use super::*;

#[tokio::test(start_paused = true)]
async fn first_table_creates_container_and_checks_before_reload() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    let applied = ingress.apply(&wanted).await.unwrap();
    assert!(applied.changed && applied.quarantined.is_empty() && applied.warnings.is_empty());
    let read_former = &["read gen"];
    assert_eq!(engine.take_calls(), joined(&[START, read_former, CHANGE]));
    assert_eq!(engine.served(), wanted);
}

#[tokio::test(start_paused = true)]
async fn empty_table_starts_nginx_without_a_reload() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    assert!(ingress.apply(&RouteTable::default()).await.unwrap().changed);
    let mut prefetched = START.to_vec();
    prefetched.push("exec features");
    assert_eq!(engine.take_calls(), prefetched);
    assert!(!ingress.apply(&RouteTable::default()).await.unwrap().changed);
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&wanted).await.unwrap();
    assert_eq!(engine.take_calls(), CHANGE, "what the image offers is known");
    assert_eq!(engine.served(), wanted);
}
