//! The contract of `Ingress` on a real nginx, and what only a real one shows.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

#[path = "ingress_contract/older_workers.rs"]
mod older_workers;
#[path = "ingress_contract/rig.rs"]
mod rig;

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::ingress::{Ingress as _, IngressError, ObservedIngress, RouteTable};
use dubernetes_core::runtime::ContainerRuntime as _;
use dubernetes_testkit::contract::ingress;

use crate::rig::{eventually, route, with_rig};

#[tokio::test]
async fn real_nginx_keeps_the_contract() {
    with_rig("real_nginx_keeps_the_contract", |rig| async move {
        ingress::run(&rig.ingress(), &*rig).await;
    })
    .await;
}

#[tokio::test]
async fn an_app_that_nginx_refuses_leaves_the_others_alone() {
    with_rig("an_app_that_nginx_refuses_leaves_the_others_alone", |rig| async move {
        let ingress = rig.ingress();
        let good = route("good.test", "/", "good", &rig.upstreams[..1]);
        let last = route("bad.test", "/", "bad", &rig.upstreams[1..2]);
        ingress.apply(&table(&[&good, &last])).await.unwrap();

        let moved = route("good.test", "/", "good", &rig.upstreams[2..3]);
        let mut bad = last.clone();
        bad.endpoints[0].port = 0;
        let applied = ingress.apply(&table(&[&moved, &bad])).await.unwrap();
        let (app, reason) = applied.quarantined.first_key_value().unwrap();
        assert_eq!(app.as_str(), "bad");
        assert!(reason.contains("apps/bad.conf:4"), "the place is named: {reason}");
        assert!(!reason.contains("/etc/nginx"), "and nothing of the inside: {reason}");
        rig.answers("good.test", &rig.upstreams[2]).await;
        rig.answers("bad.test", &rig.upstreams[1]).await;
        let observed = ingress.observe().await.unwrap();
        assert_eq!(observed, ObservedIngress::Serving { table: table(&[&moved, &last]) });
    })
    .await;
}

#[tokio::test]
async fn nginx_comes_back_with_what_it_served() {
    with_rig("nginx_comes_back_with_what_it_served", |rig| async move {
        let ingress = rig.ingress();
        let wanted = table(&[&route("a.test", "/", "web", &rig.upstreams[..1])]);
        ingress.apply(&wanted).await.unwrap();
        for fault in ["kill", "pause", "rm -f"] {
            rig.docker(&format!("{fault} {}", rig.container())).await;
            let observed = ingress.observe().await.unwrap();
            assert!(observed.table().is_none(), "after {fault}: {observed:?}");
            assert!(ingress.apply(&wanted).await.unwrap().changed, "after {fault}");
            rig.answers("a.test", &rig.upstreams[0]).await;
            assert!(!ingress.apply(&wanted).await.unwrap().changed, "after {fault}");
        }
        // Another life of the program finds the same.
        let next = rig.ingress();
        let observed = next.observe().await.unwrap();
        assert_eq!(observed, ObservedIngress::Serving { table: wanted.clone() });
        assert!(!next.apply(&wanted).await.unwrap().changed);
    })
    .await;
}

#[tokio::test]
async fn damaged_files_are_mended_before_nginx_could_read_them() {
    with_rig("damaged_files_are_mended_before_nginx_could_read_them", |rig| async move {
        let wanted = table(&[&route("a.test", "/", "web", &rig.upstreams[..1])]);
        rig.ingress().apply(&wanted).await.unwrap();
        let folder = "/etc/nginx/dubernetes/current";
        rig.docker(&format!("exec {} rm {folder}/apps/web.conf", rig.container())).await;
        rig.docker(&format!("exec {} cp /dev/null {folder}/nginx.conf", rig.container())).await;
        rig.answers("a.test", &rig.upstreams[0]).await;
        // A new life of the program looks at once; the same one would within 15 s.
        let next = rig.ingress();
        assert!(next.apply(&wanted).await.unwrap().changed);
        rig.docker(&format!("restart {}", rig.container())).await;
        eventually("nginx starts again", || async {
            next.observe().await.unwrap().table() == Some(&wanted)
        })
        .await;
        rig.answers("a.test", &rig.upstreams[0]).await;

        // Damage that comes to be read by a start is replaced with good files.
        rig.docker(&format!("exec {} cp /dev/null {folder}/nginx.conf", rig.container())).await;
        rig.docker(&format!("kill {}", rig.container())).await;
        assert!(next.apply(&wanted).await.unwrap().changed);
        rig.answers("a.test", &rig.upstreams[0]).await;
    })
    .await;
}

#[tokio::test]
async fn reloads_fail_no_request_of_kept_connections() {
    with_rig("reloads_fail_no_request_of_kept_connections", |rig| async move {
        let ingress = rig.ingress();
        let both = table(&[&route("a.test", "/", "web", &rig.upstreams)]);
        let one = table(&[&route("a.test", "/", "web", &rig.upstreams[..1])]);
        ingress.apply(&both).await.unwrap();
        let clients: Vec<_> = (0..8).map(|_| tokio::spawn(Arc::clone(&rig).posts())).collect();
        for _ in 0..10 {
            assert!(ingress.apply(&one).await.unwrap().changed);
            assert!(ingress.apply(&both).await.unwrap().changed);
        }
        rig.stop_posting();
        let mut sent = 0;
        for client in clients {
            sent += client.await.unwrap();
        }
        assert!(sent > 500, "only {sent} requests were sent");
    })
    .await;
}

#[tokio::test]
async fn an_address_with_a_request_under_way_is_not_drained() {
    with_rig("an_address_with_a_request_under_way_is_not_drained", |rig| async move {
        let ingress = rig.ingress();
        ingress.apply(&table(&[&route("a.test", "/", "web", &rig.upstreams[..1])])).await.unwrap();
        let slow = Arc::clone(&rig);
        let slow = tokio::spawn(async move { slow.request("a.test", "/?wait=5s", "").await });
        let left = rig.upstreams[0].address;
        eventually("the request is under way", || rig.is_connected(left)).await;
        ingress.apply(&table(&[&route("a.test", "/", "web", &rig.upstreams[1..2])])).await.unwrap();
        while !slow.is_finished() {
            let drained = ingress.drained(left).await.unwrap();
            assert!(!drained || slow.is_finished(), "its request has no answer yet");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let answer = slow.await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "the request is answered: {answer}");
        eventually("it is drained", || async { ingress.drained(left).await.unwrap() }).await;
    })
    .await;
}

#[tokio::test]
async fn apps_see_the_client_and_not_what_it_claims() {
    with_rig("apps_see_the_client_and_not_what_it_claims", |rig| async move {
        let ingress = rig.ingress();
        ingress.apply(&table(&[&route("a.test", "/", "web", &rig.upstreams[..1])])).await.unwrap();
        let claims = "X-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\
            X-Forwarded-Proto: https\r\nX-Forwarded-Host: x.test\r\nX-Forwarded-Port: 443\r\n\
            Upgrade: h2c\r\n";
        let path = "/a%2Fb//c/../d?q=%20";
        let answer = rig.request("a.test:8080", path, claims).await.unwrap();
        let line = |line: &str| answer.lines().any(|seen| seen == line);
        assert!(line(&format!("GET {path} HTTP/1.1")), "the path is unchanged: {answer}");
        assert!(line("Host: a.test:8080") && line("X-Forwarded-Host: a.test:8080"), "{answer}");
        assert!(line("X-Forwarded-Proto: http"), "{answer}");
        assert!(!answer.contains("1.2.3.4") && !answer.contains("h2c"), "{answer}");
        assert!(!answer.contains("443") && answer.contains("X-Forwarded-For: "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn websockets_live_on_over_a_change_of_other_routes() {
    with_rig("websockets_live_on_over_a_change_of_other_routes", |rig| async move {
        let ingress = rig.ingress();
        let ws = route("ws.test", "/", "ws", &rig.upstreams[..1]);
        ingress.apply(&table(&[&ws])).await.unwrap();
        let mut socket = rig.websocket("ws.test").await;
        socket.echo("before").await.unwrap();
        let other = route("a.test", "/", "web", &rig.upstreams[1..2]);
        ingress.apply(&table(&[&ws, &other])).await.unwrap();
        socket.echo("after").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_refuses_is_passed_over() {
    with_rig("an_upstream_that_refuses_is_passed_over", |rig| async move {
        let ingress = rig.ingress();
        let mut endpoints = rig.upstreams[..2].to_vec();
        endpoints[0].port = 9; // Nobody listens there.
        ingress.apply(&table(&[&route("a.test", "/", "web", &endpoints)])).await.unwrap();
        for _ in 0..10 {
            rig.answers("a.test", &rig.upstreams[1]).await;
            let posted = rig.post("a.test", "text").await.unwrap();
            assert!(posted.contains("BodyLength: 4"), "{posted}");
        }
        ingress.apply(&table(&[&route("a.test", "/", "web", &endpoints[..1])])).await.unwrap();
        let alone = rig.request("a.test", "/", "").await.unwrap();
        assert!(alone.starts_with("HTTP/1.1 502"), "{alone}");
    })
    .await;
}

#[tokio::test]
async fn only_the_orchestrator_may_ask_for_the_generation() {
    with_rig("only_the_orchestrator_may_ask_for_the_generation", |rig| async move {
        let ingress = rig.ingress();
        ingress.apply(&RouteTable::default()).await.unwrap();
        let answer = rig.ask_from_another_container().await;
        assert!(answer.contains("403"), "{answer}");
        let public = rig.request("any.test", "/generation", "").await.unwrap();
        assert!(public.starts_with("HTTP/1.1 404"), "{public}");
    })
    .await;
}

#[tokio::test]
async fn a_taken_port_is_named_and_leaves_nothing_behind() {
    with_rig("a_taken_port_is_named_and_leaves_nothing_behind", |rig| async move {
        let holder = std::net::TcpListener::bind(("127.0.0.1", rig.port)).unwrap();
        let ingress = rig.ingress();
        let taken = ingress.apply(&RouteTable::default()).await;
        assert!(
            matches!(&taken, Err(IngressError::PortTaken { port, .. }) if *port == rig.port),
            "{taken:?}"
        );
        let left = rig.runtime.list(&rig.instance).await.unwrap();
        assert_eq!(left.len(), rig.upstreams.len(), "only the upstreams are there");
        drop(holder);
        assert!(ingress.apply(&RouteTable::default()).await.unwrap().changed);
    })
    .await;
}

#[tokio::test]
async fn nginx_takes_the_longest_hosts_and_many_endpoints() {
    with_rig("nginx_takes_the_longest_hosts_and_many_endpoints", |rig| async move {
        let ingress = rig.ingress();
        let label = "a".repeat(61);
        let host = format!("{label}.{label}.{label}.{label}.test");
        assert_eq!(host.len(), 252);
        let app = "w".repeat(63);
        let mut endpoints = Vec::new();
        for last in 1..=250_u8 {
            let mut endpoint = rig.upstreams[0].clone();
            endpoint.address = [10, 200, 255, last].into();
            endpoints.push(endpoint);
        }
        let mut wanted = table(&[&route(&host, "/", &app, &rig.upstreams[..1])]);
        for count in [31, 32, 33, 63, 64, 250] {
            let app = format!("many-{count}");
            wanted.routes.push(route(&format!("{app}.test"), "/", &app, &endpoints[..count]));
        }
        for n in 0..300 {
            let app = format!("app-{n}");
            wanted.routes.push(route(&format!("{app}.test"), "/", &app, &rig.upstreams[1..2]));
        }
        let applied = ingress.apply(&wanted).await.unwrap();
        assert!(applied.quarantined.is_empty() && applied.warnings.is_empty(), "{applied:?}");
        rig.answers(&host, &rig.upstreams[0]).await;
        rig.answers("app-299.test", &rig.upstreams[1]).await;
    })
    .await;
}

fn table(routes: &[&dubernetes_core::ingress::Route]) -> RouteTable {
    RouteTable { routes: routes.iter().map(|route| (*route).clone()).collect() }
}
