//! Counted requests: where they are counted, and what is read of them.

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{Ingress as _, RouteTable};

use crate::engine::{Engine, endpoint, route, table};

const COUNTS: &str = r#"[["web",0.5],["web 2 0",7],["web 5 11",1]]"#;

fn routed(last: u8) -> RouteTable {
    table(&[route("a.test", "/", "web", &[endpoint(last, 80)])])
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_if_the_setting_and_the_image_say_so() {
    for (is_set, has_module) in [(true, true), (true, false), (false, true)] {
        let engine = Engine::default();
        if has_module {
            engine.set_counts(COUNTS);
        }
        let ingress = engine.ingress_with(|config| config.count_requests = is_set);
        assert_eq!(ingress.request_counts().await.unwrap(), None, "nginx does not run");
        ingress.apply(&routed(20)).await.unwrap();
        let counted = is_set && has_module;
        for text in ["load_module", "js_import", "if=$dubernetes_counted", "set $dubernetes_app"] {
            assert_eq!(engine.reads(text), counted, "{text}: {is_set} {has_module}");
        }
        ingress.observe().await.unwrap();
        let counts = ingress.request_counts().await.unwrap();
        assert_eq!(counts.is_some(), counted, "{is_set} {has_module}: {counts:?}");
        if let Some(counts) = counts {
            assert_eq!(counts[&AppName::parse("web").unwrap()].by_class, [0, 7, 0, 0, 1]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn changed_setting_replaces_no_container() {
    let engine = Engine::default();
    engine.set_counts(COUNTS);
    engine.ingress().apply(&routed(20)).await.unwrap();
    let before = engine.settings();
    let next = engine.ingress_with(|config| config.count_requests = true);
    let said = next.repair().await.unwrap().unwrap();
    assert!(said.contains("rendered again"), "{said}");
    assert!(engine.reads("js_content"));
    assert_eq!(engine.settings(), before);
}

#[tokio::test(start_paused = true)]
async fn damaged_counts_are_an_error() {
    let engine = Engine::default();
    engine.set_counts("nothing");
    let ingress = engine.ingress_with(|config| config.count_requests = true);
    ingress.apply(&routed(20)).await.unwrap();
    ingress.observe().await.unwrap();
    let error = dubernetes_core::error::chain(&ingress.request_counts().await.unwrap_err());
    assert!(error.contains("counts of requests are malformed"), "{error}");
}
