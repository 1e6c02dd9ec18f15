//! Changes of endpoints alone, which nginx need not check.

use dubernetes_core::ingress::{Ingress as _, IngressError};

use super::CHANGE;
use crate::engine::{Engine, endpoint, route, table};

#[tokio::test(start_paused = true)]
async fn change_of_endpoints_alone_makes_two_calls() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let all = [endpoint(20, 80), endpoint(21, 80), endpoint(22, 80)];
    ingress.apply(&table(&[route("a.test", "/", "web", &all[..2])])).await.unwrap();
    for endpoints in [&all[1..2], &all, &all[2..], &[]] {
        engine.take_calls();
        let wanted = table(&[route("a.test", "/", "web", endpoints)]);
        ingress.apply(&wanted).await.unwrap();
        assert_eq!(engine.take_calls(), ["put gen", "signal SIGHUP"]);
        assert_eq!(engine.served(), wanted);
    }
    // nginx has not seen the directives of a route with endpoints since its last check.
    engine.take_calls();
    ingress.apply(&table(&[route("a.test", "/", "web", &all[..1])])).await.unwrap();
    assert_eq!(engine.take_calls(), CHANGE);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_nginx_does_not_acknowledge_are_checked_at_the_next_try() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = |last| table(&[route("a.test", "/", "web", &[endpoint(last, 80)])]);
    ingress.apply(&wanted(20)).await.unwrap();
    engine.ignore_reloads(true);
    let applied = ingress.apply(&wanted(21)).await;
    assert!(matches!(applied, Err(IngressError::NotAcknowledged)), "{applied:?}");
    engine.ignore_reloads(false);
    engine.take_calls();
    ingress.apply(&wanted(21)).await.unwrap();
    assert_eq!(engine.take_calls(), CHANGE);
    ingress.apply(&wanted(22)).await.unwrap();
    assert_eq!(engine.take_calls(), ["put gen", "signal SIGHUP"]);
}
