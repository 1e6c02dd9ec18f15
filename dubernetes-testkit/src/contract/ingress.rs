//! The contract of [`Ingress`]: the promises of its documentation, checked through the trait and
//! through requests.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use dubernetes_core::app::{AppName, PodName, RoutePath};
use dubernetes_core::ingress::{
    Drained, Endpoint, HostPort, Ingress, Listener, ObservedIngress, PortSupport, Protocol, Route,
    RouteTable,
};

use super::report::Report;

/// The answer to a request: status and body, or why there is no answer.
pub type Answer = Result<(u16, String), String>;

/// The surroundings of an ingress: upstreams, and a client outside.
#[async_trait]
pub trait World: fmt::Debug + Send + Sync {
    /// Returns three upstreams at different addresses. Each answers every path with 200 and a body
    /// that contains its pod's name.
    fn upstreams(&self) -> Vec<Endpoint>;

    /// Sends `GET path` with this host to the ingress over a fresh connection.
    async fn get(&self, host: &str, path: &str) -> Answer;

    /// Sends a request with this host that its upstream answers after some seconds, and returns
    /// once the upstream has received the request. The future returned waits for the answer.
    ///
    /// `None`, the default, skips the checks of requests in flight.
    async fn begin_slow_request(&self, host: &str) -> Option<BoxFuture<'static, Answer>> {
        let _ = host;
        None
    }

    /// Returns a free TCP port of this host, and an address that the ingress may take for the name
    /// of its app.
    ///
    /// `None`, the default, skips the check of published ports.
    fn host_port(&self) -> Option<HostPort> {
        None
    }

    /// Sends `GET /` to an address of this host over a fresh connection.
    async fn get_at(&self, host: SocketAddr) -> Answer {
        Err(format!("the world sends no requests to {host} (`World::get_at`)"))
    }
}

/// The longest that an address without requests in flight may take to be drained.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// How often a wait asks again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Runs every check, also after a failure, on an ingress that does not run yet, and removes the
/// ingress.
///
/// # Panics
///
/// If the world has fewer than three upstreams.
pub async fn run_all(ingress: &dyn Ingress, world: &dyn World) -> Report {
    let upstreams = world.upstreams();
    assert!(upstreams.len() >= 3, "the suite needs three upstreams");
    let mut report = Report::new("ingress");
    macro_rules! check {
        ($name:ident($($argument:expr),*), $promise:literal) => {
            if !report.run_check(stringify!($name), $promise, $name($($argument),*)).await {
                // What a failed check has left would fail the next ones.
                let _ = ingress.remove().await;
            }
        };
    }
    let endpoints = &upstreams;
    check!(unapplied_ingress_is_absent(ingress), "an ingress is absent before the first table");
    check!(
        longest_prefix_wins(ingress, world, endpoints),
        "requests are routed by host and longest path prefix"
    );
    check!(
        most_specific_host_wins(ingress, world, endpoints),
        "a name wins over a wildcard of one label, and a wildcard over the route for all hosts"
    );
    check!(
        endpoints_share_requests(ingress, world, endpoints),
        "the endpoints of a route share its requests"
    );
    check!(same_table_changes_nothing(ingress, endpoints), "applying is idempotent");
    check!(
        removed_address_is_drained(ingress, world, endpoints),
        "an address that left the table gets no new requests, and is drained after a while"
    );
    match begin_request_in_flight(ingress, world, endpoints).await {
        Some(request) => check!(
            request_in_flight_delays_drain(ingress, endpoints, request),
            "an address is not drained while a request to it is in flight"
        ),
        None => report.skip(
            "request_in_flight_delays_drain",
            "an address is not drained while a request to it is in flight",
            "the world has no slow requests (`World::begin_slow_request`)".to_owned(),
        ),
    }
    match world.host_port() {
        Some(port) => check!(
            published_port_leads_to_the_endpoints_of_its_app(ingress, world, endpoints, port),
            "a published port leads to the endpoints of its app, as long as the table has it"
        ),
        None => report.skip(
            "published_port_leads_to_the_endpoints_of_its_app",
            "a published port leads to the endpoints of its app, as long as the table has it",
            "the world has no free port (`World::host_port`)".to_owned(),
        ),
    }
    check!(empty_table_is_served(ingress, world, endpoints), "an empty table answers 404");
    check!(
        removed_ingress_can_return(ingress, world, endpoints),
        "a removed ingress is absent, and can be applied again"
    );
    let _ = ingress.remove().await;
    report
}

/// Runs every check on an ingress that does not run yet, and removes the ingress.
///
/// # Panics
///
/// With the whole report, if a promise is broken.
pub async fn run(ingress: &dyn Ingress, world: &dyn World) {
    run_all(ingress, world).await.assert_passed();
}

async fn unapplied_ingress_is_absent(ingress: &dyn Ingress) {
    let observed = ingress.observe().await;
    assert!(
        matches!(observed, Ok(ObservedIngress::Absent)),
        "an ingress that was never applied is absent; seen: {observed:?}"
    );
    let gone = ingress.remove().await;
    assert!(gone.is_ok(), "removing a missing ingress is success; seen: {gone:?}");
}

async fn longest_prefix_wins(ingress: &dyn Ingress, world: &dyn World, upstreams: &[Endpoint]) {
    let table = RouteTable {
        routes: vec![
            route("a.test", "/", "root", &upstreams[..1]),
            route("a.test", "/api", "api", &upstreams[1..2]),
            route("a.test", "/api/v2", "next", &upstreams[2..3]),
            route("b.test", "/only", "only", &upstreams[1..2]),
            route("c.test", "/", "none", &[]),
        ],
        ..RouteTable::default()
    };
    apply(ingress, &table, true).await;
    let requests = [
        ("a.test", "/", Some(0)),
        ("A.Test", "/", Some(0)),
        ("a.test:8080", "/", Some(0)),
        ("a.test", "/index.html", Some(0)),
        ("a.test", "/apis", Some(0)),
        ("a.test", "/api", Some(1)),
        ("a.test", "/api/", Some(1)),
        ("a.test", "/api?x=1", Some(1)),
        ("a.test", "/apis?x=/api", Some(0)),
        ("a.test", "/api/v1?x=/api/v2", Some(1)),
        ("a.test", "/api/v2", Some(2)),
        ("a.test", "/api/v2/x", Some(2)),
        ("b.test", "/only/x", Some(1)),
        ("b.test", "/only?x", Some(1)),
        ("b.test", "/", None),
        ("b.test", "/onlyx", None),
        ("sub.a.test", "/", None),
        ("unknown.test", "/", None),
    ];
    assert_answers(world, upstreams, &requests).await;
    let none = world.get("c.test", "/x").await;
    assert!(matches!(none, Ok((503, _))), "a route without endpoints answers 503; seen: {none:?}");
}

async fn most_specific_host_wins(ingress: &dyn Ingress, world: &dyn World, upstreams: &[Endpoint]) {
    let table = RouteTable {
        routes: vec![
            route("*", "/", "rest", &upstreams[..1]),
            route("*.a.test", "/", "wild", &upstreams[1..2]),
            route("www.a.test", "/x", "www", &upstreams[2..3]),
        ],
        ..RouteTable::default()
    };
    apply(ingress, &table, true).await;
    let requests = [
        ("www.a.test", "/x", Some(2)),
        // The host is claimed, so no other route has its other paths.
        ("www.a.test", "/", None),
        ("b.a.test", "/x", Some(1)),
        ("B.A.test:8080", "/", Some(1)),
        ("c.b.a.test", "/", Some(0)),
        ("a.test", "/x", Some(0)),
        ("192.0.2.1", "/", Some(0)),
    ];
    assert_answers(world, upstreams, &requests).await;
    let table = RouteTable { routes: table.routes[1..].to_vec(), ..RouteTable::default() };
    apply(ingress, &table, true).await;
    let requests = [("b.a.test", "/", Some(1)), ("c.b.a.test", "/", None), ("a.test", "/", None)];
    assert_answers(world, upstreams, &requests).await;
}

/// Sends requests, each with the position of the upstream that has to answer; `None` for 404.
async fn assert_answers(
    world: &dyn World,
    upstreams: &[Endpoint],
    requests: &[(&str, &str, Option<usize>)],
) {
    for (host, path, expected) in requests {
        let answer = world.get(host, path).await;
        match (expected, &answer) {
            (Some(at), Ok((200, body))) => assert!(
                body.contains(upstreams[*at].pod.as_str()),
                "{host}{path} is answered by {}; seen: {body:?}",
                upstreams[*at].pod
            ),
            (None, Ok((404, _))) => {}
            (Some(_), _) => panic!("{host}{path} is routed; seen: {answer:?}"),
            (None, _) => panic!("{host}{path} has no route and answers 404; seen: {answer:?}"),
        }
    }
}

async fn endpoints_share_requests(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
) {
    let table = single(&upstreams[..3]);
    apply(ingress, &table, true).await;
    let reached = reached(world, upstreams, 12).await;
    let expected = upstreams[..3].iter().map(Endpoint::socket).collect();
    assert_eq!(reached, expected, "twelve requests reach each of three endpoints");
    let former = world.get("c.test", "/").await;
    assert!(
        matches!(former, Ok((404, _))),
        "a host that left the table answers 404; seen: {former:?}"
    );
}

async fn same_table_changes_nothing(ingress: &dyn Ingress, upstreams: &[Endpoint]) {
    let table = single(&upstreams[..3]);
    // The check before may have left this table, or none.
    let _ = ingress.apply(&table).await;
    apply(ingress, &table, false).await;
    apply(ingress, &table, false).await;
}

async fn removed_address_is_drained(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
) {
    let left = upstreams[0].socket();
    apply(ingress, &single(&upstreams[1..3]), true).await;
    let reached = reached(world, upstreams, 12).await;
    assert!(
        !reached.contains(&left),
        "an address that left the acknowledged table gets no new connection's request"
    );
    wait_for_drain(ingress, left).await;
    let routed = ingress.drained(upstreams[1].socket()).await;
    assert!(
        matches!(routed, Ok(Drained::No { .. })),
        "a routed address is not drained; seen: {routed:?}"
    );
}

/// Routes to the first upstream, and sends a slow request to it if the world can.
async fn begin_request_in_flight(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
) -> Option<BoxFuture<'static, Answer>> {
    ingress.apply(&single(&upstreams[..1])).await.ok()?;
    world.begin_slow_request("a.test").await
}

async fn request_in_flight_delays_drain(
    ingress: &dyn Ingress,
    upstreams: &[Endpoint],
    request: BoxFuture<'static, Answer>,
) {
    let request = tokio::spawn(request);
    let left = upstreams[0].socket();
    apply(ingress, &single(&upstreams[1..2]), true).await;
    let mut asked = 0;
    while !request.is_finished() {
        let drained = ingress.drained(left).await;
        let is_early = matches!(drained, Ok(Drained::Yes)) && !request.is_finished();
        assert!(!is_early, "an address with a request in flight is not drained");
        asked += 1;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert!(asked > 0, "the slow request outlives the apply: let its upstream answer later");
    let answer = request.await;
    assert!(matches!(answer, Ok(Ok((200, _)))), "the request is answered; seen: {answer:?}");
    wait_for_drain(ingress, left).await;
}

async fn wait_for_drain(ingress: &dyn Ingress, endpoint: SocketAddr) {
    let deadline = tokio::time::Instant::now() + DRAIN_LIMIT;
    loop {
        let drained = ingress.drained(endpoint).await;
        match drained {
            Ok(Drained::Yes) => return,
            Ok(Drained::No { .. }) => {}
            Err(_) => panic!("`drained` answers while the ingress runs; seen: {drained:?}"),
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "an address without requests in flight is drained within {DRAIN_LIMIT:?}"
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn published_port_leads_to_the_endpoints_of_its_app(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
    port: HostPort,
) {
    let host = port.mapping.host();
    for upstream in &upstreams[..2] {
        let listener = Listener {
            app: port.app.clone(),
            address: port.address,
            port: port.mapping.port,
            protocol: Protocol::Tcp,
            endpoints: vec![upstream.clone()],
            keepalive: false,
            buffer_requests: false,
        };
        let (listeners, ports) = (vec![listener], vec![port.clone()]);
        let table = RouteTable { listeners, ports, ..single(&upstreams[..1]) };
        apply(ingress, &table, true).await;
        let support = ingress.port_support().await;
        assert!(
            matches!(support, Ok(PortSupport::Supported)),
            "an ingress that publishes ports says so; seen: {support:?}"
        );
        wait_for_answer(world, host, &upstream.pod).await;
    }
    apply(ingress, &single(&upstreams[..1]), true).await;
    let answer = world.get_at(host).await;
    assert!(answer.is_err(), "a port that left the table does not answer; seen: {answer:?}");
    let taken = ingress.taken_port(&port.mapping).await;
    assert_eq!(taken, None, "a port that left the table is free");
}

/// Waits until the pod answers at an address of this host.
async fn wait_for_answer(world: &dyn World, host: SocketAddr, pod: &PodName) {
    let limit = tokio::time::Instant::now() + DRAIN_LIMIT;
    loop {
        let answer = world.get_at(host).await;
        if matches!(&answer, Ok((200, body)) if body.contains(pod.as_str())) {
            return;
        }
        let is_over = tokio::time::Instant::now() >= limit;
        assert!(!is_over, "`{pod}` answers at the published port {host}; seen: {answer:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn empty_table_is_served(ingress: &dyn Ingress, world: &dyn World, upstreams: &[Endpoint]) {
    apply(ingress, &RouteTable::default(), true).await;
    let answer = world.get("a.test", "/").await;
    assert!(matches!(answer, Ok((404, _))), "an empty table answers 404; seen: {answer:?}");
    apply(ingress, &single(&upstreams[..1]), true).await;
}

async fn removed_ingress_can_return(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
) {
    for _ in 0..2 {
        let gone = ingress.remove().await;
        assert!(gone.is_ok(), "removing is idempotent; seen: {gone:?}");
        let observed = ingress.observe().await;
        assert!(
            matches!(observed, Ok(ObservedIngress::Absent)),
            "a removed ingress is absent; seen: {observed:?}"
        );
    }
    let answer = world.get("a.test", "/").await;
    assert!(answer.is_err(), "a removed ingress does not answer; seen: {answer:?}");
    let drained = ingress.drained(upstreams[0].socket()).await;
    assert!(
        matches!(drained, Ok(Drained::Yes)),
        "without an ingress every address is drained; seen: {drained:?}"
    );
    apply(ingress, &single(&upstreams[..1]), true).await;
    let reached = reached(world, upstreams, 2).await;
    assert!(reached.contains(&upstreams[0].socket()), "an ingress can be applied after removal");
    let gone = ingress.remove().await;
    assert!(gone.is_ok(), "an applied ingress is removed; seen: {gone:?}");
}

/// Applies `table`, and checks the answer and the observed table.
async fn apply(ingress: &dyn Ingress, table: &RouteTable, changed: bool) {
    let applied = match ingress.apply(table).await {
        Ok(applied) => applied,
        Err(error) => panic!("a table is applied: {}", dubernetes_core::error::chain(&error)),
    };
    assert_eq!(applied.changed, changed, "`changed` says whether the table is a new one");
    assert!(applied.quarantined.is_empty(), "no app is quarantined; seen: {applied:?}");
    assert!(applied.unpublished.is_empty(), "all ports are published; seen: {applied:?}");
    let observed = ingress.observe().await;
    match &observed {
        Ok(ObservedIngress::Serving { table: served }) => {
            assert_eq!(served, table, "the applied table is observed");
        }
        _ => panic!("an applied table is served; seen: {observed:?}"),
    }
}

/// Sends requests to `a.test`, and returns the addresses that answered.
async fn reached(world: &dyn World, upstreams: &[Endpoint], requests: u32) -> BTreeSet<SocketAddr> {
    let mut reached = BTreeSet::new();
    for _ in 0..requests {
        let answer = world.get("a.test", "/").await;
        let Ok((200, body)) = &answer else {
            panic!("a routed host is answered; seen: {answer:?}");
        };
        let by = upstreams.iter().find(|endpoint| body.contains(endpoint.pod.as_str()));
        let Some(by) = by else { panic!("an upstream answers; seen: {body:?}") };
        reached.insert(by.socket());
    }
    reached
}

fn single(endpoints: &[Endpoint]) -> RouteTable {
    RouteTable { routes: vec![route("a.test", "/", "root", endpoints)], ..RouteTable::default() }
}

fn route(host: &str, path: &str, app: &str, endpoints: &[Endpoint]) -> Route {
    let parsed = (host.parse(), RoutePath::parse(path), AppName::parse(app));
    let (Ok(host), Ok(path), Ok(app)) = parsed else {
        panic!("the routes of the suite are legal");
    };
    Route::new(host, path, app, endpoints.to_vec())
}
