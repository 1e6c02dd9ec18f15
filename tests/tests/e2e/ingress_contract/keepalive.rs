//! Kept connections to apps on a real nginx.

use std::collections::BTreeSet;

use dubernetes_core::app::PodName;
use dubernetes_core::ingress::{Endpoint, Ingress as _, Route, RouteTable};
use dubernetes_nginx::NginxIngress;
use dubernetes_tests::closing::start_server;
use dubernetes_tests::http::{Answer, Connection, Request};
use dubernetes_tests::load::Load;
use dubernetes_tests::server::Server;

use tokio::task::JoinSet;

use super::nginx_fixture::{NginxFixture, eventually, route, with_fixture};
use super::table;

fn kept(host: &str, endpoints: &[Endpoint]) -> Route {
    Route { keepalive: true, ..route(host, "/", "web", endpoints) }
}

/// Returns two tables that lead to the first or second upstream.
fn tables(fixture: &NginxFixture) -> [RouteTable; 2] {
    [0, 1].map(|at| table(&[&kept("a.test", &fixture.upstreams[at..=at])]))
}

/// Sends requests one after another, and returns the answers.
async fn answers(port: u16, request: Request<'_>, count: usize) -> Vec<Answer> {
    let mut client = Connection::open(port).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(client.send(request).await.unwrap());
    }
    answers
}

/// Returns the number of connections that brought these requests to the app.
fn connections(answers: &[Answer]) -> usize {
    let from = answers.iter().map(|answer| answer.field("RemoteAddr").unwrap());
    from.collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn only_requests_that_are_safe_to_repeat_share_a_connection() {
    with_fixture(
        "only_requests_that_are_safe_to_repeat_share_a_connection",
        |fixture| async move {
            let ingress = fixture.ingress();
            let upstream = &fixture.upstreams[..1];
            let stripped = Route { strip_prefix: true, ..kept("a.test", upstream) };
            let stripped = Route { path: "/x".parse().unwrap(), ..stripped };
            let plain = route("plain.test", "/", "web", upstream);
            let wanted = table(&[&kept("a.test", upstream), &stripped, &plain]);
            let applied = ingress.apply(&wanted).await.unwrap();
            assert!(applied.quarantined.is_empty() && applied.warnings.is_empty(), "{applied:?}");

            let get = answers(fixture.port, Request::get("a.test", "/"), 10).await;
            assert_eq!(connections(&get), 1);
            assert_eq!(get[0].field("Connection"), None, "{}", get[0].text());
            let below = answers(fixture.port, Request::get("a.test", "/x/y%2Fz?q"), 10).await;
            assert_eq!(connections(&below), 1);
            assert!(below[0].text().contains("GET /y%2Fz?q HTTP/1.1"), "{}", below[0].text());
            for request in [
                Request::post("a.test", "/", b"text"),
                Request { method: "DELETE", ..Request::get("a.test", "/") },
                Request { headers: &[("Content-Length", "0")], ..Request::get("a.test", "/") },
                Request { headers: &[("Upgrade", "h2c")], ..Request::get("a.test", "/") },
                Request::get("plain.test", "/"),
            ] {
                let own = answers(fixture.port, request, 10).await;
                assert_eq!(connections(&own), 10, "{request:?}");
                assert_eq!(own[0].field("Connection").as_deref(), Some("close"), "{request:?}");
            }
            let mut socket = fixture.websocket("a.test").await;
            socket.echo("a websocket").await.unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn reload_empties_the_pool_and_kept_connections_delay_no_drain() {
    with_fixture("reload_empties_the_pool_and_kept_connections_delay_no_drain", |f| async move {
        let ingress = f.ingress();
        let [first, second] = tables(&f);
        ingress.apply(&first).await.unwrap();
        let load = Load::start(f.port, "a.test", "who", 200);
        for round in 1..=6 {
            eventually("requests are sent", || async { load.sent() >= 100 * round }).await;
            let is_even = round % 2 == 0;
            let (next, served) = if is_even { (&first, 0) } else { (&second, 1) };
            change(&f, &ingress, next, served, 1 - served).await;
        }
        load.stop().await.assert_no_failures(600);
    })
    .await;
}

/// Applies a table that leads to another upstream, and checks that the former one is drained.
async fn change(
    fixture: &NginxFixture,
    ingress: &NginxIngress,
    next: &RouteTable,
    served: usize,
    removed: usize,
) {
    ingress.apply(next).await.unwrap();
    fixture.assert_served_by("a.test", &fixture.upstreams[served]).await;
    let removed = fixture.upstreams[removed].socket();
    eventually("the address is drained", || async {
        ingress.drained(removed).await.unwrap().is_yes()
    })
    .await;
    assert!(!fixture.is_connected(removed).await, "a drained address is connected");
}

fn endpoints(fixture: &NginxFixture, servers: &[Server]) -> Vec<Endpoint> {
    let pod: PodName = "web-1".parse().unwrap();
    let address = fixture.address(1).into();
    let at = |server: &Server| Endpoint { pod: pod.clone(), address, port: server.port };
    servers.iter().map(at).collect()
}

#[tokio::test]
async fn get_never_fails_where_the_app_closes_after_each_answer() {
    with_fixture("get_never_fails_where_the_app_closes_after_each_answer", |fixture| async move {
        let servers = [start_server().await.unwrap(), start_server().await.unwrap()];
        let endpoints = endpoints(&fixture, &servers);
        let wanted = table(&[&kept("one.test", &endpoints[..1]), &kept("two.test", &endpoints)]);
        fixture.ingress().apply(&wanted).await.unwrap();
        for host in ["one.test", "two.test"] {
            let request = Request::get(host, "/");
            let mut clients = JoinSet::new();
            for _ in 0..8 {
                clients.spawn(answers(fixture.port, request, 1000));
            }
            let answers = clients.join_all().await.concat();
            let mut statuses = answers.iter().map(|answer| answer.status);
            assert!(statuses.all(|status| status == 200), "{host}");
        }
        fixture.ingress().apply(&RouteTable::default()).await.unwrap();
    })
    .await;
}
