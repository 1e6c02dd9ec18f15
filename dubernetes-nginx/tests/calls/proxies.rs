//! Proxies in front of nginx that are believed.

use dubernetes_core::ingress::Ingress as _;

use crate::engine::{Engine, endpoint, route, table};

#[tokio::test(start_paused = true)]
async fn changed_proxies_render_again_and_replace_no_container() {
    let engine = Engine::default();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    engine.ingress().apply(&wanted).await.unwrap();
    assert!(!engine.reads("real_ip_header"));
    let next = engine.ingress_with(|config| {
        config.trusted_proxies = "192.0.2.0/24,host-gateway".parse().unwrap();
        config.proxy_protocol = true;
    });
    engine.take_calls();
    let said = next.repair().await.unwrap().unwrap();
    assert!(said.contains("rendered again"), "{said}");
    for text in ["set_real_ip_from 10.89.0.1/32;", "real_ip_header proxy_protocol;"] {
        assert!(engine.reads(text), "{text}");
    }
    assert_eq!(engine.served(), wanted, "the routes stay");
    let calls = engine.take_calls();
    assert!(!calls.iter().any(|call| matches!(call.as_str(), "create" | "stop")), "{calls:?}");
    assert_eq!(next.repair().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn image_without_realip_module_believes_no_proxy_and_says_so() {
    let engine = Engine::default();
    engine.remove_realip();
    let proxied = engine.ingress_with(|config| {
        config.trusted_proxies = "192.0.2.0/24".parse().unwrap();
    });
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    for (ingress, is_proxied) in [(engine.ingress(), false), (proxied, true)] {
        let warnings = ingress.apply(&wanted).await.unwrap().warnings;
        let is_said = warnings.iter().any(|text| text.contains("no realip module"));
        assert_eq!(is_said, is_proxied, "{warnings:?}");
        assert!(!engine.reads("set_real_ip_from") && !engine.reads("real_ip_header"));
    }
}
