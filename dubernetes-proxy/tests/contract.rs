//! The contract suite on the proxy, and what the suite does not check.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::{PodName, RoutePath, RouteProtocol};
use dubernetes_core::ingress::{Endpoint, Ingress as _, IngressError, Route, RouteTable};
use dubernetes_proxy::ProxyIngress;
use dubernetes_testkit::contract::ingress::{
    Answer, FailingEndpoint, HttpConnection, IngressSubject, KeptConnection, Request, World,
};
use dubernetes_testkit::contract::{Need, run_all};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Maximum time until something happens, for busy machines.
const LIMIT: Duration = Duration::from_secs(30);

/// Three upstreams of this process, and a client of the proxy.
#[derive(Debug)]
struct Upstreams {
    proxy: ProxyIngress,
    address: SocketAddr,
    endpoints: Vec<Endpoint>,
    failing: FailingEndpoint,
    /// The heads of the requests that upstreams received.
    received: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Upstreams {
    async fn start() -> Self {
        let (sender, received) = mpsc::unbounded_channel();
        let mut endpoints = Vec::new();
        for at in 1..=3 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let pod = format!("web-{at}");
            let port = listener.local_addr().unwrap().port();
            let (pod_name, address) = (PodName::parse(&pod).unwrap(), Ipv4Addr::LOCALHOST.into());
            endpoints.push(Endpoint { pod: pod_name, address, port });
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream, pod.clone(), sender.clone()));
                }
            });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let failing = FailingEndpoint::start("fails-1".parse().unwrap(), listener).unwrap();
        let address = free_address().await;
        let (proxy, received) = (ProxyIngress::new(vec![address]), received.into());
        Self { proxy, address, endpoints, failing, received }
    }

    /// Sends a request as it is, and returns what comes back.
    async fn send_text(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(LIMIT, read).await.unwrap().unwrap();
        answer
    }

    async fn received(&self) -> String {
        let mut received = self.received.lock().await;
        tokio::time::timeout(LIMIT, received.recv()).await.unwrap().unwrap()
    }
}

/// Answers one request: `/slow` after a while, `/upgrade` with an echo, `/broken` not at all, and
/// all others with the pod's name and the body of the request.
async fn answer(mut stream: TcpStream, pod: String, heads: mpsc::UnboundedSender<String>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let _ = heads.send(head.clone());
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if path.starts_with("/broken") {
        return;
    }
    if path.starts_with("/slow") {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    if path.starts_with("/upgrade") {
        let switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                         Upgrade: websocket\r\n\r\n";
        stream.write_all(switched).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        return;
    }
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    let (line, host) = (head.lines().next().unwrap(), header(&head, "host").unwrap_or_default());
    let body = String::from_utf8_lossy(&bytes[end..]);
    let body = format!("Name: {pod}\n{line}\nHost: {host}\nBodyLength: {length}\n{pod} {body}");
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(text.as_bytes()).await;
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Returns an address of this host where nothing listens now.
async fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

#[async_trait]
impl World for Upstreams {
    fn upstreams(&self) -> Vec<Endpoint> {
        self.endpoints.clone()
    }

    async fn send(&self, request: &Request) -> Answer {
        HttpConnection::send_once(self.address, request).await
    }

    fn offers(&self, need: Need) -> bool {
        use Need::{KeptConnections, RequestCounts, SlowRequests, TakenPort};
        matches!(need, SlowRequests | KeptConnections | TakenPort | RequestCounts)
    }

    async fn begin_slow_request(&self, host: &str) -> BoxFuture<'static, Answer> {
        while self.received.lock().await.try_recv().is_ok() {}
        let (address, slow) = (self.address, Request::get(host, "/slow"));
        let request = tokio::spawn(async move { HttpConnection::send_once(address, &slow).await });
        self.received().await;
        async move { request.await.unwrap() }.boxed()
    }

    async fn connect(&self) -> Result<Box<dyn KeptConnection>, String> {
        Ok(Box::new(HttpConnection::new(self.address)))
    }

    async fn take_port(&self) -> Result<Box<dyn Any + Send>, String> {
        let taken = std::net::TcpListener::bind(self.address);
        Ok(Box::new(taken.map_err(|error| error.to_string())?))
    }

    fn dead_endpoint(&self) -> Option<Endpoint> {
        // Nothing that a test starts listens on port 9.
        Some(Endpoint { port: 9, ..self.endpoints[0].clone() })
    }

    fn failing_endpoint(&self) -> Option<FailingEndpoint> {
        Some(self.failing.clone())
    }
}

fn route(endpoints: &[Endpoint]) -> Route {
    let (host, path) = ("a.test".parse().unwrap(), RoutePath::default());
    Route::new(host, path, "web".parse().unwrap(), endpoints.to_vec())
}

fn table(route: Route) -> RouteTable {
    RouteTable { routes: vec![route], ..RouteTable::default() }
}

#[tokio::test]
async fn proxy_keeps_the_contract() {
    let world = Arc::new(Upstreams::start().await);
    let ingress = Arc::new(world.proxy.clone());
    let subject = IngressSubject { ingress, second: None, world };
    let report = run_all(&[subject], "").await;
    report.assert_passed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance/proxy.json");
    report.assert_golden(&page);
}

#[tokio::test]
async fn request_arrives_with_its_body_and_headers_of_the_proxy() {
    let world = Upstreams::start().await;
    world.proxy.apply(&table(route(&world.endpoints[..1]))).await.unwrap();
    let answer = world
        .send_text(
            "POST /x?y=1 HTTP/1.1\r\nHost: A.test:81\r\nX-Forwarded-For: 1.2.3.4\r\n\
             X_Forwarded_Proto: https\r\nProxy: evil\r\nX-Own: 1\r\nConnection: close, X-Hop\r\n\
             X-Hop: 1\r\nContent-Length: 5\r\n\r\nhello",
        )
        .await;
    assert!(answer.ends_with("web-1 hello"), "{answer}");
    let head = world.received().await.to_lowercase();
    assert!(head.starts_with("post /x?y=1 http/1.1\r\n"), "{head}");
    for line in [
        "host: a.test:81",
        "x-forwarded-for: 127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "x-forwarded-host: a.test:81",
        "x-forwarded-proto: http",
        "x-own: 1",
        "connection: close",
    ] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }
    for absent in ["1.2.3.4", "https", "evil", "x-hop"] {
        assert!(!head.contains(absent), "{absent}: {head}");
    }
}

#[tokio::test]
async fn prefix_is_stripped_and_chunks_are_buffered() {
    let world = Upstreams::start().await;
    let path = RoutePath::parse("/shop").unwrap();
    let own = Route { path, strip_prefix: true, ..route(&world.endpoints[..1]) };
    world.proxy.apply(&table(Route { buffer_requests: true, ..own })).await.unwrap();
    let chunks = "Host: a.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                  2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    for (target, expected) in [("/shop/cart?x", "/cart?x"), ("/shop", "/"), ("/shop?a", "/?a")] {
        let answer = world.send_text(&format!("POST {target} HTTP/1.1\r\n{chunks}")).await;
        assert!(answer.ends_with("web-1 hello"), "{answer}");
        let head = world.received().await.to_lowercase();
        assert!(head.starts_with(&format!("post {expected} ")), "{head}");
        assert!(head.contains("x-forwarded-prefix: /shop\r\n"), "{head}");
        assert!(head.contains("content-length: 5\r\n"), "{head}");
    }
}

#[tokio::test]
async fn gone_replica_is_skipped_and_broken_request_is_sent_again_if_it_changes_nothing() {
    let world = Upstreams::start().await;
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let gone = Endpoint { port: gone.port(), ..world.endpoints[0].clone() };
    let with_gone = [gone.clone(), world.endpoints[1].clone()];
    world.proxy.apply(&table(route(&with_gone))).await.unwrap();
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\
                Content-Length: 2\r\n\r\nhi";
    for _ in 0..4 {
        let answer = world.send_text(post).await;
        assert!(answer.ends_with("web-2 hi"), "{answer}");
        world.received().await;
    }
    world.proxy.apply(&table(route(&[gone]))).await.unwrap();
    let (status, none) = world.send(&Request::get("a.test", "/")).await.unwrap();
    assert!(status == 503 && none.ends_with("this app has no ready replica"), "{none}");

    world.proxy.apply(&table(route(&world.endpoints[..2]))).await.unwrap();
    let broken = world.send(&Request::get("a.test", "/broken")).await;
    assert_eq!(broken.map(|(status, _)| status), Ok(503));
    let both = [world.received().await, world.received().await];
    assert!(both.iter().all(|head| head.starts_with("GET /broken")), "{both:?}");
    let post = "POST /broken HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    assert!(world.send_text(post).await.starts_with("HTTP/1.1 502"));
}

#[tokio::test]
async fn websocket_is_passed_on_and_delays_drain() {
    let world = Upstreams::start().await;
    world.proxy.apply(&table(route(&world.endpoints[..1]))).await.unwrap();
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request = "GET /upgrade HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    assert!(bytes.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&bytes));
    let mut echo = [0; 4];
    world.proxy.apply(&table(route(&world.endpoints[1..2]))).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
    let endpoint = world.endpoints[0].socket();
    assert!(!world.proxy.drained(endpoint).await.unwrap().is_yes());
    drop(stream);
    let drained = async {
        while !world.proxy.drained(endpoint).await.unwrap().is_yes() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, drained).await.expect("the endpoint drains");
}

#[tokio::test]
async fn app_that_needs_more_is_refused_and_keeps_its_last_routes() {
    let world = Upstreams::start().await;
    let good = table(route(&world.endpoints[..1]));
    world.proxy.apply(&good).await.unwrap();
    let h2c = Route { protocol: RouteProtocol::H2c, ..route(&world.endpoints[1..2]) };
    let kept = Route { keepalive: true, ..route(&world.endpoints[1..2]) };
    for (bad, key) in [(h2c, "access.protocol: h2c"), (kept, "access.keepalive: true")] {
        let outcome = world.proxy.apply(&table(bad)).await.unwrap();
        let reason = outcome.quarantined.values().next().unwrap();
        assert_eq!(reason, &format!("the ingress `proxy` does not support `{key}`; `nginx` does"));
        assert_eq!(world.proxy.observe().await.unwrap().table(), Some(&good));
    }
}

#[tokio::test]
async fn taken_port_is_reported() {
    let world = Upstreams::start().await;
    let taken = world.endpoints[0].socket();
    let other = ProxyIngress::new(vec![(Ipv4Addr::LOCALHOST, 0).into(), taken]);
    let error = other.apply(&RouteTable::default()).await.unwrap_err();
    assert!(matches!(error, IngressError::PortTaken { port, .. } if port == taken.port()));
    assert_eq!(other.listening(), []);
}
