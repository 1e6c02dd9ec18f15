//! Routes that remove their prefix, or lead to apps that speak HTTP/2, on a real nginx.

use std::time::Duration;

use dubernetes_core::app::RouteProtocol;
use dubernetes_core::ingress::{Endpoint, Ingress as _, Route, RouteTable};
use dubernetes_tests::h2c;
use dubernetes_tests::server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::nginx_fixture::{NginxFixture, route, with_fixture};
use super::table;

/// Returns the path that the upstream got, and the prefix that nginx told it.
async fn received(fixture: &NginxFixture, path: &str) -> (String, String) {
    let answer = fixture.request("a.test", path, "").await.unwrap();
    let line = answer.lines().find_map(|line| line.strip_prefix("GET "));
    let line = line.unwrap_or_else(|| panic!("{path}: {answer}"));
    let prefix = answer.lines().find_map(|line| line.strip_prefix("X-Forwarded-Prefix: "));
    let target = line.split(' ').next().unwrap_or_default();
    (target.to_owned(), prefix.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn stripped_prefix_leaves_the_rest_as_the_client_wrote_it() {
    with_fixture("stripped_prefix_leaves_the_rest_as_the_client_wrote_it", |fixture| async move {
        let upstream = &fixture.upstreams[..1];
        let stripped = route("a.test", "/v1.0/api", "api", upstream);
        let stripped = Route { strip_prefix: true, ..stripped };
        let whole = route("a.test", "/", "web", upstream);
        let ingress = fixture.ingress();
        let applied = ingress.apply(&table(&[&stripped, &whole])).await.unwrap();
        assert!(applied.quarantined.is_empty() && applied.warnings.is_empty(), "{applied:?}");
        for (path, expected) in [
            ("/v1.0/api", "/"),
            ("/v1.0/api?x=1", "/?x=1"),
            ("/v1.0/api/", "/"),
            ("/v1.0/api/cart/7?x=/v1.0/api", "/cart/7?x=/v1.0/api"),
            ("/v1.0/api/a%2Fb%20c?q=%2F", "/a%2Fb%20c?q=%2F"),
            ("/v1.0/api//x", "//x"),
            ("/v1.0/api/v1.0/api", "/v1.0/api"),
            // Written in another way: the path as nginx reads it.
            ("/v1.0/%61pi/x%20y?q", "/x%20y?q"),
            ("//v1.0/api/x", "/x"),
        ] {
            let expected = (expected.to_owned(), "/v1.0/api".to_owned());
            assert_eq!(received(&fixture, path).await, expected, "{path}");
        }
        for path in ["/v1.0/apis", "/v1x0/api/x", "/other?x=/v1.0/api"] {
            assert_eq!(received(&fixture, path).await, (path.to_owned(), String::new()));
        }
    })
    .await;
}

#[tokio::test]
async fn buffered_request_arrives_with_its_length() {
    with_fixture("buffered_request_arrives_with_its_length", |fixture| async move {
        let plain = route("plain.test", "/", "web", &fixture.upstreams[..1]);
        let buffered = route("a.test", "/", "web", &fixture.upstreams[..1]);
        let buffered = Route { buffer_requests: true, ..buffered };
        fixture.ingress().apply(&table(&[&plain, &buffered])).await.unwrap();
        // A body in two pieces, of which the second arrives once nginx has read the first.
        for (host, expected) in
            [("plain.test", "Transfer-Encoding: chunked"), ("a.test", "Content-Length: 5")]
        {
            let mut client = fixture.connect().await;
            let head = format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\
                 Connection: close\r\n\r\n2\r\nab\r\n"
            );
            client.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            client.write_all(b"3\r\ncde\r\n0\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.contains("BodyLength: 5\n"), "{answer}");
            assert!(answer.contains(expected), "{host}: {answer}");
        }
    })
    .await;
}

/// Returns a route to a server of this process, which speaks HTTP/2 alone.
fn route_to(fixture: &NginxFixture, server: &Server, path: &str) -> Route {
    let address = fixture.address(1).into();
    let endpoint = Endpoint { pod: "grpc-1".parse().unwrap(), address, port: server.port };
    let plain = route("grpc.test", path, "grpc", &[endpoint]);
    Route { protocol: RouteProtocol::H2c, ..plain }
}

#[tokio::test]
async fn app_with_http2_is_reached_by_clients_with_http2_and_http1() {
    with_fixture(
        "app_with_http2_is_reached_by_clients_with_http2_and_http1",
        |fixture| async move {
            let server = h2c::start_server().await.unwrap();
            let grpc = route_to(&fixture, &server, "/");
            let stripped = Route { strip_prefix: true, ..route_to(&fixture, &server, "/x") };
            let plain = route("a.test", "/", "web", &fixture.upstreams[..1]);
            let ingress = fixture.ingress();
            ingress.apply(&table(&[&plain])).await.unwrap();
            let refused = h2c::get(fixture.port, "a.test", "/").await;
            assert!(refused.is_err(), "HTTP/2 is off where no app needs it: {refused:?}");

            let applied = ingress.apply(&table(&[&grpc, &stripped, &plain])).await.unwrap();
            assert!(applied.quarantined.is_empty() && applied.warnings.is_empty(), "{applied:?}");
            for path in ["/pkg.Service/Method", "/x/y"] {
                let answer = h2c::get(fixture.port, "grpc.test", path).await.unwrap();
                assert!(answer.is_ok && answer.has_trailers, "{answer:?}");
                assert_eq!(answer.body, h2c::BODY);
                let answer = fixture.request("grpc.test", path, "").await.unwrap();
                assert!(
                    answer.starts_with("HTTP/1.1 200 ") && answer.contains(h2c::BODY),
                    "{answer}"
                );
            }
            // The other app still speaks HTTP/1.1, also to clients with HTTP/2.
            let answer = h2c::get(fixture.port, "a.test", "/where").await.unwrap();
            assert!(answer.is_ok && answer.body.contains("GET /where HTTP/1.1"), "{answer:?}");
            assert!(answer.body.contains("Host: a.test"), "{answer:?}");
            fixture.assert_served_by("a.test", &fixture.upstreams[0]).await;

            let none = Route { endpoints: Vec::new(), ..grpc };
            ingress.apply(&table(&[&none])).await.unwrap();
            let answer = h2c::get(fixture.port, "grpc.test", "/").await.unwrap();
            assert!(!answer.is_ok, "{answer:?}");
            ingress.apply(&RouteTable::default()).await.unwrap();
        },
    )
    .await;
}
