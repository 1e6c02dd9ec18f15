//! The `Ingress` contract suite on a real nginx, and behaviour that only a real nginx shows.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod keepalive;
mod kinds;
mod nginx_fixture;
mod older_workers;
mod proxies;
mod unreached;
mod world;

use std::path::Path;
use std::sync::Arc;

use dubernetes_core::ingress::{Ingress as _, IngressError, ObservedIngress, RouteTable};
use dubernetes_core::runtime::ContainerRuntime as _;
use dubernetes_testkit::contract::ingress::IngressSubject;
use dubernetes_testkit::contract::run_all;
use dubernetes_tests::load::Load;

use nginx_fixture::{eventually, route, with_fixture};
use world::NginxWorld;

#[tokio::test]
async fn nginx_passes_ingress_contract() {
    with_fixture("nginx_passes_ingress_contract", |fixture| async move {
        let (ingress, second) = (Arc::new(fixture.ingress()), Arc::new(fixture.ingress()));
        let world = Arc::new(NginxWorld::new(fixture).await);
        let subject = IngressSubject { ingress, second: Some(second), world };
        let report = run_all(&[subject], "").await;
        report.assert_passed();
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance/nginx.json");
        report.assert_golden(&page);
    })
    .await;
}

#[tokio::test]
async fn refused_app_keeps_last_good_routes_and_others_change() {
    with_fixture("refused_app_keeps_last_good_routes_and_others_change", |fixture| async move {
        let ingress = fixture.ingress();
        let good = route("good.test", "/", "good", &fixture.upstreams[..1]);
        let last_good = route("bad.test", "/", "bad", &fixture.upstreams[1..2]);
        ingress.apply(&table(&[&good, &last_good])).await.unwrap();

        let moved = route("good.test", "/", "good", &fixture.upstreams[2..3]);
        let mut bad = last_good.clone();
        bad.endpoints[0].port = 0;
        let applied = ingress.apply(&table(&[&moved, &bad])).await.unwrap();
        let (app, reason) = applied.quarantined.first_key_value().unwrap();
        assert_eq!(app.as_str(), "bad");
        assert!(reason.contains("apps/bad.conf:4"), "the position is missing: {reason}");
        assert!(!reason.contains("/etc/nginx"), "the path inside the container is shown: {reason}");
        fixture.assert_served_by("good.test", &fixture.upstreams[2]).await;
        fixture.assert_served_by("bad.test", &fixture.upstreams[1]).await;
        let observed = ingress.observe().await.unwrap();
        assert_eq!(observed, ObservedIngress::Serving { table: table(&[&moved, &last_good]) });
    })
    .await;
}

#[tokio::test]
async fn nginx_restarts_with_last_route_table() {
    with_fixture("nginx_restarts_with_last_route_table", |fixture| async move {
        let ingress = fixture.ingress();
        let wanted = table(&[&route("a.test", "/", "web", &fixture.upstreams[..1])]);
        ingress.apply(&wanted).await.unwrap();
        for fault in ["kill", "pause", "rm -f"] {
            fixture.docker(&format!("{fault} {}", fixture.container())).await;
            let observed = ingress.observe().await.unwrap();
            assert!(observed.table().is_none(), "after {fault}: {observed:?}");
            assert!(ingress.apply(&wanted).await.unwrap().changed, "after {fault}");
            fixture.assert_served_by("a.test", &fixture.upstreams[0]).await;
            assert!(!ingress.apply(&wanted).await.unwrap().changed, "after {fault}");
        }
        // A new orchestrator observes the same table.
        let next = fixture.ingress();
        let observed = next.observe().await.unwrap();
        assert_eq!(observed, ObservedIngress::Serving { table: wanted.clone() });
        assert!(!next.apply(&wanted).await.unwrap().changed);
    })
    .await;
}

#[tokio::test]
async fn damaged_files_are_restored_before_nginx_reads_them() {
    with_fixture("damaged_files_are_restored_before_nginx_reads_them", |fixture| async move {
        let wanted = table(&[&route("a.test", "/", "web", &fixture.upstreams[..1])]);
        fixture.ingress().apply(&wanted).await.unwrap();
        let folder = "/etc/nginx/dubernetes/current";
        fixture.docker(&format!("exec {} rm {folder}/apps/web.conf", fixture.container())).await;
        fixture
            .docker(&format!("exec {} cp /dev/null {folder}/nginx.conf", fixture.container()))
            .await;
        fixture.assert_served_by("a.test", &fixture.upstreams[0]).await;
        // A new orchestrator checks the files at once; a running one does so within 15 s.
        let next = fixture.ingress();
        assert!(next.apply(&wanted).await.unwrap().changed);
        fixture.docker(&format!("restart {}", fixture.container())).await;
        eventually("nginx is running again", || async {
            next.observe().await.unwrap().table() == Some(&wanted)
        })
        .await;
        fixture.assert_served_by("a.test", &fixture.upstreams[0]).await;

        // Files that are damaged before a start are restored too.
        fixture
            .docker(&format!("exec {} cp /dev/null {folder}/nginx.conf", fixture.container()))
            .await;
        fixture.docker(&format!("kill {}", fixture.container())).await;
        assert!(next.apply(&wanted).await.unwrap().changed);
        fixture.assert_served_by("a.test", &fixture.upstreams[0]).await;
    })
    .await;
}

#[tokio::test]
async fn reload_fails_no_request_on_kept_connections() {
    with_fixture("reload_fails_no_request_on_kept_connections", |fixture| async move {
        let ingress = fixture.ingress();
        let both = table(&[&route("a.test", "/", "web", &fixture.upstreams)]);
        let one = table(&[&route("a.test", "/", "web", &fixture.upstreams[..1])]);
        ingress.apply(&both).await.unwrap();
        let load = Load::start(fixture.port, "a.test", "who", 300);
        for _ in 0..10 {
            assert!(ingress.apply(&one).await.unwrap().changed);
            assert!(ingress.apply(&both).await.unwrap().changed);
        }
        load.stop().await.assert_no_failures(500);
    })
    .await;
}

#[tokio::test]
async fn client_headers_are_replaced_by_observed_values() {
    with_fixture("client_headers_are_replaced_by_observed_values", |fixture| async move {
        let ingress = fixture.ingress();
        ingress
            .apply(&table(&[&route("a.test", "/", "web", &fixture.upstreams[..1])]))
            .await
            .unwrap();
        let forged = "X-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\
            X-Forwarded-Proto: https\r\nX-Forwarded-Host: x.test\r\nX-Forwarded-Port: 443\r\n\
            Upgrade: h2c\r\n";
        let path = "/a%2Fb//c/../d?q=%20";
        let answer = fixture.request("a.test:8080", path, forged).await.unwrap();
        let has_line = |line: &str| answer.lines().any(|other| other == line);
        assert!(has_line(&format!("GET {path} HTTP/1.1")), "the path changed: {answer}");
        assert!(has_line("Host: a.test:8080"), "{answer}");
        assert!(has_line("X-Forwarded-Host: a.test:8080"), "{answer}");
        assert!(has_line("X-Forwarded-Proto: http"), "{answer}");
        assert!(!answer.contains("1.2.3.4") && !answer.contains("h2c"), "{answer}");
        assert!(!answer.contains("443") && answer.contains("X-Forwarded-For: "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn websocket_survives_change_of_other_routes() {
    with_fixture("websocket_survives_change_of_other_routes", |fixture| async move {
        let ingress = fixture.ingress();
        let ws = route("ws.test", "/", "ws", &fixture.upstreams[..1]);
        ingress.apply(&table(&[&ws])).await.unwrap();
        let mut socket = fixture.websocket("ws.test").await;
        socket.echo("before").await.unwrap();
        let other = route("a.test", "/", "web", &fixture.upstreams[1..2]);
        ingress.apply(&table(&[&ws, &other])).await.unwrap();
        socket.echo("after").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn refusing_upstream_is_skipped() {
    with_fixture("refusing_upstream_is_skipped", |fixture| async move {
        let ingress = fixture.ingress();
        let mut endpoints = fixture.upstreams[..2].to_vec();
        endpoints[0].port = 9; // Closed port.
        ingress.apply(&table(&[&route("a.test", "/", "web", &endpoints)])).await.unwrap();
        for _ in 0..10 {
            fixture.assert_served_by("a.test", &fixture.upstreams[1]).await;
            let answer = fixture.post("a.test", "text").await.unwrap();
            assert!(answer.contains("BodyLength: 4"), "{answer}");
        }
        ingress.apply(&table(&[&route("a.test", "/", "web", &endpoints[..1])])).await.unwrap();
        let without_other = fixture.request("a.test", "/", "").await.unwrap();
        assert!(without_other.starts_with("HTTP/1.1 503"), "{without_other}");
        assert!(without_other.contains("\r\nRetry-After: 5\r\n"), "{without_other}");
        assert!(without_other.ends_with("this app has no ready replica"), "{without_other}");
    })
    .await;
}

#[tokio::test]
async fn generation_endpoint_refuses_other_containers() {
    with_fixture("generation_endpoint_refuses_other_containers", |fixture| async move {
        let ingress = fixture.ingress();
        ingress.apply(&RouteTable::default()).await.unwrap();
        let answer = fixture.request_generation_from_container().await;
        assert!(answer.contains("403"), "{answer}");
        let public = fixture.request("any.test", "/generation", "").await.unwrap();
        assert!(public.starts_with("HTTP/1.1 404"), "{public}");
    })
    .await;
}

#[tokio::test]
async fn taken_port_is_reported_and_leaves_no_container() {
    with_fixture("taken_port_is_reported_and_leaves_no_container", |fixture| async move {
        let listener = std::net::TcpListener::bind(("127.0.0.1", fixture.port)).unwrap();
        let ingress = fixture.ingress();
        let taken = ingress.apply(&RouteTable::default()).await;
        assert!(
            matches!(&taken, Err(IngressError::PortTaken { port, .. }) if *port == fixture.port),
            "{taken:?}"
        );
        let containers = fixture.runtime.list(&fixture.instance).await.unwrap();
        assert_eq!(containers.len(), fixture.upstreams.len(), "nginx's container is left");
        drop(listener);
        assert!(ingress.apply(&RouteTable::default()).await.unwrap().changed);
    })
    .await;
}

#[tokio::test]
async fn nginx_accepts_longest_host_and_many_endpoints() {
    with_fixture("nginx_accepts_longest_host_and_many_endpoints", |fixture| async move {
        let ingress = fixture.ingress();
        let label = "a".repeat(61);
        let host = format!("{label}.{label}.{label}.{label}.test");
        assert_eq!(host.len(), 252);
        let app = "w".repeat(63);
        let mut endpoints = Vec::new();
        for last in 1..=250_u8 {
            let mut endpoint = fixture.upstreams[0].clone();
            endpoint.address = [10, 200, 255, last].into();
            endpoints.push(endpoint);
        }
        let mut wanted = table(&[&route(&host, "/", &app, &fixture.upstreams[..1])]);
        for count in [31, 32, 33, 63, 64, 250] {
            let app = format!("many-{count}");
            wanted.routes.push(route(&format!("{app}.test"), "/", &app, &endpoints[..count]));
        }
        for n in 0..300 {
            let app = format!("app-{n}");
            wanted.routes.push(route(&format!("{app}.test"), "/", &app, &fixture.upstreams[1..2]));
        }
        let applied = ingress.apply(&wanted).await.unwrap();
        assert!(applied.quarantined.is_empty() && applied.warnings.is_empty(), "{applied:?}");
        fixture.assert_served_by(&host, &fixture.upstreams[0]).await;
        fixture.assert_served_by("app-299.test", &fixture.upstreams[1]).await;
    })
    .await;
}

fn table(routes: &[&dubernetes_core::ingress::Route]) -> RouteTable {
    RouteTable {
        routes: routes.iter().map(|route| (*route).clone()).collect(),
        ..RouteTable::default()
    }
}
