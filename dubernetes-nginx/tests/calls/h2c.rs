//! Apps that speak HTTP/2.

use dubernetes_core::app::RouteProtocol;
use dubernetes_core::ingress::{Ingress as _, Route};

use crate::engine::{Engine, endpoint, route, table};

#[tokio::test(start_paused = true)]
async fn app_with_http2_is_refused_by_old_nginx_and_others_change() {
    let engine = Engine::default();
    engine.set_version("nginx version: nginx/1.22.1");
    let ingress = engine.ingress();
    let good = route("a.test", "/", "web", &[endpoint(20, 80)]);
    let last = route("b.test", "/", "grpc", &[endpoint(30, 80)]);
    ingress.apply(&table(&[good, last.clone()])).await.unwrap();
    let moved = route("a.test", "/", "web", &[endpoint(21, 80)]);
    let h2c = Route { protocol: RouteProtocol::H2c, ..last.clone() };
    let wanted = table(&[moved.clone(), h2c]);
    let applied = ingress.apply(&wanted).await.unwrap();
    let (app, reason) = applied.quarantined.first_key_value().unwrap();
    assert_eq!((app.as_str(), applied.quarantined.len()), ("grpc", 1));
    assert!(reason.contains("needs nginx 1.25.1 or later"), "{reason}");
    assert_eq!(engine.served(), table(&[moved, last]));

    let engine = Engine::default();
    assert!(engine.ingress().apply(&wanted).await.unwrap().quarantined.is_empty());
    assert!(engine.reads("http2 on;") && engine.reads("grpc_pass grpc://grpc.1;"));
}
