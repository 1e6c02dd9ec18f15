//! Proxies in front of a real nginx that are believed, by headers and by the PROXY protocol.
//!
//! Connections of these tests reach nginx from the gateway of its network.

use std::net::Ipv6Addr;

use dubernetes_core::app::RouteProtocol;
use dubernetes_core::ingress::{Ingress as _, ObservedIngress, Route};
use dubernetes_tests::h2c;
use dubernetes_tests::websocket::WebSocket;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::nginx_fixture::{NginxFixture, route, with_fixture};
use super::table;

const TRUSTED: &str = "host-gateway,198.51.100.0/24,2001:db8::/32";
/// What a client claims, and is not believed.
const FORGED: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                      X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
                      X-Forwarded-Port: 666\r\nX_Forwarded_Proto: https\r\n";

/// What an app heard about a request.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    client: String,
    scheme: String,
    host: String,
    port: String,
}

impl Heard {
    fn new(client: &str, scheme: &str, host: &str, port: &str) -> Self {
        let [client, scheme, host, port] = [client, scheme, host, port].map(str::to_owned);
        Self { client, scheme, host, port }
    }
}

/// Sends a request after `start`, and returns what the app heard, or the error of the exchange.
async fn hear(fixture: &NginxFixture, start: &[u8], headers: &str) -> Result<Heard, String> {
    let head = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{headers}Connection: close\r\n\r\n");
    let request = [start, head.as_bytes()].concat();
    let answer = fixture.exchange(request).await.map_err(|error| error.to_string())?;
    let values = |name: &str| {
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned);
        answer.lines().filter_map(value).collect::<Vec<_>>().join(" and ")
    };
    assert!(answer.starts_with("HTTP/1.1 200 "), "{headers}: {answer}");
    assert_eq!(values("Host"), "a.test", "routes go by it: {answer}");
    assert_eq!(values("X-Real-Ip"), values("X-Forwarded-For"), "{answer}");
    assert_eq!(values("Forwarded") + &values("X_forwarded_proto"), "", "{answer}");
    Ok(Heard {
        client: values("X-Forwarded-For"),
        scheme: values("X-Forwarded-Proto"),
        host: values("X-Forwarded-Host"),
        port: values("X-Forwarded-Port"),
    })
}

fn v1(family: &str, source: &str, target_port: u16) -> Vec<u8> {
    format!("PROXY {family} {source} {source} 4711 {target_port}\r\n").into_bytes()
}

/// Returns a header of version 2 with a command and a kind of address.
fn v2(command: u8, kind: u8, addresses: &[u8], target_port: u16) -> Vec<u8> {
    let ports = [4711_u16.to_be_bytes(), target_port.to_be_bytes()].concat();
    let body = [addresses, addresses, &ports].concat();
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let start = b"\r\n\r\n\0\r\nQUIT\n";
    [&start[..], &[0x20 | command, kind], &length, &body].concat()
}

fn table_of(fixture: &NginxFixture) -> [Route; 2] {
    let plain = route("a.test", "/", "web", &fixture.upstreams[..1]);
    let calls = Route { protocol: RouteProtocol::H2c, ..route("b.test", "/", "calls", &[]) };
    [plain, calls]
}

#[tokio::test]
async fn headers_of_a_trusted_proxy_are_believed_and_checked() {
    with_fixture("headers_of_a_trusted_proxy_are_believed_and_checked", |fixture| async move {
        let [plain, calls] = table_of(&fixture);
        let applied = fixture.ingress_behind(TRUSTED, false).apply(&table(&[&plain, &calls])).await;
        let applied = applied.unwrap();
        assert!(applied.quarantined.is_empty() && applied.warnings.is_empty(), "{applied:?}");
        let gateway = fixture.address(1).to_string();
        for (header, client) in [
            ("X-Forwarded-For: 203.0.113.9", "203.0.113.9"),
            ("X-Forwarded-For: 6.6.6.6, 203.0.113.9, 198.51.100.7", "203.0.113.9"),
            ("X-Forwarded-For: 6.6.6.6,2001:db9::9 , 2001:db8::7", "2001:db9::9"),
            ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.9", "203.0.113.9"),
            ("X-Forwarded-For: 203.0.113.9:4711", "203.0.113.9"),
            ("X-Forwarded-For: [2001:db9::9]:4711", "2001:db9::9"),
            ("X-Forwarded-For: 198.51.100.8, 198.51.100.7", "198.51.100.8"),
            ("X-Forwarded-For: 6.6.6.6, unknown, 198.51.100.7", "198.51.100.7"),
            ("X-Forwarded-For: <script>\"; evil", gateway.as_str()),
            ("X_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6", gateway.as_str()),
        ] {
            let heard = hear(&fixture, b"", &format!("{header}\r\n")).await.unwrap();
            assert_eq!(heard, Heard::new(client, "http", "a.test", ""), "{header}");
        }
        for (value, scheme) in [
            ("https", "https"),
            ("HTTPS", "https"),
            ("wss", "https"),
            ("http, https", "https"),
            ("https,http", "https"),
            ("http", "http"),
            ("javascript", "http"),
            ("httpsx", "http"),
            ("1:https", "http"),
            ("\"; return 200 https", "http"),
        ] {
            let heard = hear(&fixture, b"", &format!("X-Forwarded-Proto: {value}\r\n")).await;
            assert_eq!(heard.unwrap().scheme, scheme, "{value}");
        }
        for (value, host) in [
            ("shop.example:8443", "shop.example:8443"),
            ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            ("evil.test, shop.example", "a.test"),
            ("evil.test/path", "a.test"),
            ("evil.test:port", "a.test"),
            ("$http_cookie", "a.test"),
            ("", "a.test"),
        ] {
            let heard = hear(&fixture, b"", &format!("X-Forwarded-Host: {value}\r\n")).await;
            assert_eq!(heard.unwrap().host, host, "{value}");
        }
        for (value, port) in [
            ("8443", "8443"),
            ("0", ""),
            ("443, 80", ""),
            ("https", ""),
            ("4443434", ""),
            ("8;", ""),
        ] {
            let heard = hear(&fixture, b"", &format!("X-Forwarded-Port: {value}\r\n")).await;
            assert_eq!(heard.unwrap().port, port, "{value}");
        }
        let mut socket = WebSocket::open(fixture.port, "a.test").await.unwrap();
        socket.echo("hello").await.unwrap();
        let answer = h2c::get(fixture.port, "a.test", "/").await.unwrap();
        assert!(answer.is_ok && answer.body.contains("X-Forwarded-Proto: http\n"), "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn others_are_not_believed() {
    with_fixture("others_are_not_believed", |fixture| async move {
        let [plain, _] = table_of(&fixture);
        let gateway = fixture.address(1).to_string();
        let nothing = Heard::new(&gateway, "http", "a.test", "");
        let ingress = fixture.ingress_behind("198.51.100.0/24", false);
        ingress.apply(&table(&[&plain])).await.unwrap();
        assert_eq!(hear(&fixture, b"", FORGED).await.unwrap(), nothing);
        let named = FORGED.replace("6.6.6.6", "198.51.100.7");
        assert_eq!(hear(&fixture, b"", &named).await.unwrap(), nothing);

        // The PROXY protocol of a peer that is not trusted is read, and its addresses are not used.
        let ingress = fixture.ingress_behind("198.51.100.0/24", true);
        assert!(ingress.repair().await.unwrap().unwrap().contains("rendered again"));
        for source in ["203.0.113.9", "198.51.100.7"] {
            let start = v1("TCP4", source, 443);
            assert_eq!(hear(&fixture, &start, FORGED).await.unwrap(), nothing, "{source}");
        }
    })
    .await;
}

#[tokio::test]
async fn proxy_protocol_of_a_trusted_proxy_names_client_and_scheme() {
    with_fixture(
        "proxy_protocol_of_a_trusted_proxy_names_client_and_scheme",
        |fixture| async move {
            let [plain, calls] = table_of(&fixture);
            let wanted = table(&[&plain, &calls]);
            fixture.ingress().apply(&wanted).await.unwrap();
            let ingress = fixture.ingress_behind(TRUSTED, true);
            assert!(ingress.repair().await.unwrap().unwrap().contains("rendered again"));
            let gateway = fixture.address(1).to_string();
            let v6 = "2001:db9::9".parse::<Ipv6Addr>().unwrap().octets();
            for (start, client, scheme) in [
                (v1("TCP4", "203.0.113.9", 80), "203.0.113.9", "http"),
                (v1("TCP4", "203.0.113.9", 443), "203.0.113.9", "https"),
                (v1("TCP6", "2001:db9::9", 443), "2001:db9::9", "https"),
                (b"PROXY UNKNOWN\r\n".to_vec(), gateway.as_str(), "https"),
                (v2(1, 0x11, &[203, 0, 113, 9], 80), "203.0.113.9", "http"),
                (v2(1, 0x21, &v6, 443), "2001:db9::9", "https"),
                (v2(0, 0x00, &[], 0), gateway.as_str(), "https"),
            ] {
                let heard = hear(&fixture, &start, FORGED).await.unwrap();
                // Without an address, the trusted peer itself has sent the headers.
                let (host, port) =
                    if client == gateway { ("evil.test", "666") } else { ("a.test", "") };
                let expected = Heard::new(client, scheme, host, port);
                assert_eq!(heard, expected, "{:?}", String::from_utf8_lossy(&start));
            }
            // A trusted proxy behind what speaks the PROXY protocol.
            let heard = hear(&fixture, &v1("TCP4", "198.51.100.7", 80), FORGED).await.unwrap();
            assert_eq!(heard, Heard::new("198.51.100.7", "https", "evil.test", "666"));

            for start in [&b""[..], b"PROXY nonsense\r\n"] {
                let answer = hear(&fixture, start, "").await;
                assert!(answer.is_err(), "{answer:?}");
            }
            let open = async || {
                let mut stream = TcpStream::connect(("127.0.0.1", fixture.port)).await.unwrap();
                stream.write_all(&v1("TCP4", "203.0.113.9", 80)).await.unwrap();
                stream
            };
            let mut socket = WebSocket::open_over(open().await, "a.test").await.unwrap();
            socket.echo("hello").await.unwrap();
            let answer = h2c::get_over(open().await, "a.test", "/").await.unwrap();
            assert!(answer.body.contains("X-Real-Ip: 203.0.113.9\n"), "{answer:?}");
            let served = ingress.observe().await.unwrap();
            assert_eq!(served, ObservedIngress::Serving { table: wanted }, "by the private port");
        },
    )
    .await;
}
