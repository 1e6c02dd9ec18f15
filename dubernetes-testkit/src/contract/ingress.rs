//! What every [`Ingress`] must do, checked through the trait and through requests.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;

use dubernetes_core::app::{AppName, HostName, RoutePath};
use dubernetes_core::ingress::{Endpoint, Ingress, ObservedIngress, Route, RouteTable};

/// What the suite needs beside the ingress: upstreams, and a client outside.
#[async_trait]
pub trait World: fmt::Debug + Send + Sync {
    /// Three upstreams at different addresses. Each answers every path with 200 and a body that
    /// holds its pod's name.
    fn upstreams(&self) -> Vec<Endpoint>;

    /// Sends `GET path` with this host to the ingress over a fresh connection. Status and body, or
    /// why nothing came back.
    async fn get(&self, host: &str, path: &str) -> Result<(u16, String), String>;
}

/// The longest that an address may take to be drained when no request is under way.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// Runs the whole suite on an ingress that is not there yet, and leaves it removed.
///
/// # Panics
///
/// At the first broken promise, with the promise in the message.
pub async fn run(ingress: &dyn Ingress, world: &dyn World) {
    let upstreams = world.upstreams();
    assert!(upstreams.len() >= 3, "the suite needs three upstreams");
    is_absent_before_the_first_table(ingress).await;
    routes_by_host_and_longest_prefix(ingress, world, &upstreams).await;
    shares_requests_among_all_endpoints(ingress, world, &upstreams).await;
    changes_nothing_for_the_same_table(ingress, &upstreams).await;
    forgets_an_address_and_drains_it(ingress, world, &upstreams).await;
    serves_the_empty_table(ingress, world, &upstreams).await;
    is_removed_and_comes_back(ingress, world, &upstreams).await;
}

async fn is_absent_before_the_first_table(ingress: &dyn Ingress) {
    let observed = ingress.observe().await;
    assert!(
        matches!(observed, Ok(ObservedIngress::Absent)),
        "an ingress that was never applied is absent, not {observed:?}"
    );
    let gone = ingress.remove().await;
    assert!(gone.is_ok(), "removing an ingress that is not there is success: {gone:?}");
}

async fn routes_by_host_and_longest_prefix(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
) {
    let table = RouteTable {
        routes: vec![
            route("a.test", "/", "root", &upstreams[..1]),
            route("a.test", "/api", "api", &upstreams[1..2]),
            route("a.test", "/api/v2", "next", &upstreams[2..3]),
            route("b.test", "/only", "only", &upstreams[1..2]),
            route("c.test", "/", "none", &[]),
        ],
    };
    apply(ingress, &table, true).await;
    for (host, path, expected) in [
        ("a.test", "/", Some(0)),
        ("A.Test", "/", Some(0)),
        ("a.test:8080", "/", Some(0)),
        ("a.test", "/index.html", Some(0)),
        ("a.test", "/apis", Some(0)),
        ("a.test", "/api", Some(1)),
        ("a.test", "/api/", Some(1)),
        ("a.test", "/api/v1?x=/api/v2", Some(1)),
        ("a.test", "/api/v2", Some(2)),
        ("a.test", "/api/v2/x", Some(2)),
        ("b.test", "/only/x", Some(1)),
        ("b.test", "/", None),
        ("b.test", "/onlyx", None),
        ("sub.a.test", "/", None),
        ("unknown.test", "/", None),
    ] {
        let answer = world.get(host, path).await;
        match (expected, &answer) {
            (Some(at), Ok((200, body))) => assert!(
                body.contains(&upstreams[at].pod),
                "{host}{path} is answered by {}, not with {body:?}",
                upstreams[at].pod
            ),
            (None, Ok((404, _))) => {}
            (Some(_), _) => panic!("{host}{path} is routed, but the answer was {answer:?}"),
            (None, _) => panic!("{host}{path} has no route and answers 404, not {answer:?}"),
        }
    }
    let none = world.get("c.test", "/x").await;
    assert!(matches!(none, Ok((503, _))), "a route without endpoints answers 503, not {none:?}");
}

async fn shares_requests_among_all_endpoints(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
) {
    let table = single(&upstreams[..3]);
    apply(ingress, &table, true).await;
    let reached = reached(world, upstreams, 12).await;
    let wanted = upstreams[..3].iter().map(|e| e.address).collect();
    assert_eq!(reached, wanted, "a dozen requests reach each of three endpoints");
    let former = world.get("c.test", "/").await;
    assert!(
        matches!(former, Ok((404, _))),
        "a host that left the table answers 404, not {former:?}"
    );
}

async fn changes_nothing_for_the_same_table(ingress: &dyn Ingress, upstreams: &[Endpoint]) {
    let table = single(&upstreams[..3]);
    apply(ingress, &table, false).await;
    apply(ingress, &table, false).await;
}

async fn forgets_an_address_and_drains_it(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
) {
    let left = upstreams[0].address;
    apply(ingress, &single(&upstreams[1..3]), true).await;
    let reached = reached(world, upstreams, 12).await;
    assert!(
        !reached.contains(&left),
        "an address that left the acknowledged table gets no new connection's request"
    );
    let deadline = tokio::time::Instant::now() + DRAIN_LIMIT;
    loop {
        let drained = ingress.drained(left).await;
        match drained {
            Ok(true) => break,
            Ok(false) => {}
            Err(_) => panic!("drained answers while the ingress runs, not {drained:?}"),
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "an address without requests under way is drained within {DRAIN_LIMIT:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let held = ingress.drained(upstreams[1].address).await;
    assert!(
        matches!(held, Ok(false)),
        "an address that the table holds is not drained, it gets requests: {held:?}"
    );
}

async fn serves_the_empty_table(ingress: &dyn Ingress, world: &dyn World, upstreams: &[Endpoint]) {
    apply(ingress, &RouteTable::default(), true).await;
    let answer = world.get("a.test", "/").await;
    assert!(matches!(answer, Ok((404, _))), "no route is 404, not {answer:?}");
    apply(ingress, &single(&upstreams[..1]), true).await;
}

async fn is_removed_and_comes_back(
    ingress: &dyn Ingress,
    world: &dyn World,
    upstreams: &[Endpoint],
) {
    for _ in 0..2 {
        let gone = ingress.remove().await;
        assert!(gone.is_ok(), "removing is idempotent: {gone:?}");
        let observed = ingress.observe().await;
        assert!(
            matches!(observed, Ok(ObservedIngress::Absent)),
            "a removed ingress is absent, not {observed:?}"
        );
    }
    let answer = world.get("a.test", "/").await;
    assert!(answer.is_err(), "a removed ingress answers nothing, not {answer:?}");
    let drained = ingress.drained(upstreams[0].address).await;
    assert!(
        matches!(drained, Ok(true)),
        "without an ingress every address is drained, not {drained:?}"
    );
    apply(ingress, &single(&upstreams[..1]), true).await;
    let reached = reached(world, upstreams, 2).await;
    assert!(reached.contains(&upstreams[0].address), "an ingress can be applied after removal");
    let gone = ingress.remove().await;
    assert!(gone.is_ok(), "removing works: {gone:?}");
}

/// Applies `table`, checks what is promised of the answer, and that it is observed afterwards.
async fn apply(ingress: &dyn Ingress, table: &RouteTable, changed: bool) {
    let applied = match ingress.apply(table).await {
        Ok(applied) => applied,
        Err(error) => panic!("a good table is applied: {}", dubernetes_core::error::chain(&error)),
    };
    assert_eq!(
        applied.changed, changed,
        "a new table changes the proxy, and the same one changes nothing"
    );
    assert!(applied.quarantined.is_empty(), "no good app is quarantined: {applied:?}");
    let observed = ingress.observe().await;
    match &observed {
        Ok(ObservedIngress::Serving { table: served }) => {
            assert_eq!(served, table, "what was applied is observed");
        }
        _ => panic!("an applied table is served, but {observed:?} was observed"),
    }
}

/// The addresses that answered some requests for `a.test`.
async fn reached(world: &dyn World, upstreams: &[Endpoint], requests: u32) -> BTreeSet<Ipv4Addr> {
    let mut reached = BTreeSet::new();
    for _ in 0..requests {
        let answer = world.get("a.test", "/").await;
        let Ok((200, body)) = &answer else {
            panic!("a routed host is answered, not {answer:?}");
        };
        let by = upstreams.iter().find(|endpoint| body.contains(&endpoint.pod));
        let Some(by) = by else { panic!("only an upstream answers, not {body:?}") };
        reached.insert(by.address);
    }
    reached
}

fn single(endpoints: &[Endpoint]) -> RouteTable {
    RouteTable { routes: vec![route("a.test", "/", "root", endpoints)] }
}

fn route(host: &str, path: &str, app: &str, endpoints: &[Endpoint]) -> Route {
    let parsed = (HostName::parse(host), RoutePath::parse(path), AppName::parse(app));
    let (Ok(host), Ok(path), Ok(app)) = parsed else {
        panic!("the suite's own routes are legal");
    };
    Route { host, path, app, endpoints: endpoints.to_vec() }
}
