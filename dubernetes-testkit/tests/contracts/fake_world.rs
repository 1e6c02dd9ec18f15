//! The surroundings of a `FakeIngress`: upstreams, a client, and the data plane, which may have a
//! defect.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::ingress::{Endpoint, HostPort, Route, RouteTable};
use dubernetes_testkit::contract::Need;
use dubernetes_testkit::contract::ingress::{
    Answer, FailingEndpoint, KeptConnection, Request, World,
};
use dubernetes_testkit::{Answer as FakeAnswer, FakeIngress};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// What is wrong with the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataDefect {
    HostIgnored,
    HostCaseCounts,
    ShortestPathWins,
    PrefixInsideSegment,
    QueryCounts,
    QueryDropped,
    HostReplaced,
    MethodReplaced,
    BodyDropped,
    LongBodyCut,
    StripIgnored,
    StripEverywhere,
    WildcardOfAnyDepth,
    RestTakesOtherPaths,
    EmptyRouteIsMissing,
    UnknownAnswers503,
    FirstEndpointOnly,
    DeadEndpointRouted,
    PostRepeated,
    PostNotPassedOn,
    SlowRequestAborted,
    KeptConnectionKeepsTable,
    KeptConnectionBreaks,
    PortStays,
}

/// A client of a [`FakeIngress`]. Clones share the endpoint that fails.
#[derive(Debug, Clone)]
pub(crate) struct FakeWorld {
    fake: FakeIngress,
    defect: Option<DataDefect>,
    failed: Arc<AtomicU32>,
}

fn endpoint(name: &str, last: u8) -> Endpoint {
    Endpoint { pod: name.parse().unwrap(), address: Ipv4Addr::new(10, 1, 0, last).into(), port: 80 }
}

impl FakeWorld {
    pub(crate) fn new(fake: FakeIngress, defect: Option<DataDefect>) -> Self {
        Self { fake, defect, failed: Arc::default() }
    }

    fn has(&self, defect: DataDefect) -> bool {
        self.defect == Some(defect)
    }

    fn table(&self) -> Result<RouteTable, String> {
        self.fake.observed().table().cloned().ok_or_else(|| "no proxy runs".to_owned())
    }

    /// Returns the route of a request.
    fn route(&self, table: &RouteTable, host: &str, target: &str) -> Option<Route> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let of_host = || table.routes.iter().filter(|route| route.host.matches(host));
        let starts = |route: &&Route| path.starts_with(route.path.as_str());
        let found = match self.defect {
            Some(DataDefect::HostIgnored) => table.routes.iter().find(starts),
            Some(DataDefect::HostCaseCounts) if host != host.to_lowercase() => None,
            Some(DataDefect::ShortestPathWins) => {
                of_host().filter(starts).min_by_key(|route| route.path.as_str().len())
            }
            Some(DataDefect::PrefixInsideSegment) => {
                of_host().filter(starts).max_by_key(|route| route.path.as_str().len())
            }
            Some(DataDefect::QueryCounts) => table.find(host, &target.replace('?', "%3f")),
            Some(DataDefect::WildcardOfAnyDepth) => table.find(host, target).or_else(|| {
                let parent = host.split_once('.')?.1;
                table.find(parent, target)
            }),
            Some(DataDefect::RestTakesOtherPaths) => table
                .find(host, target)
                .or_else(|| table.routes.iter().find(|route| route.host.to_string() == "*")),
            _ => table.find(host, target),
        };
        found.cloned()
    }

    fn answer(&self, table: &RouteTable, request: &Request) -> Answer {
        let Some(route) = self.route(table, &request.host, &request.target) else {
            let status = if self.has(DataDefect::UnknownAnswers503) { 503 } else { 404 };
            return Ok((status, String::new()));
        };
        if route.endpoints.is_empty() {
            // The fake counts it.
            let _ = self.fake.request(&request.host, &request.target);
            let status = if self.has(DataDefect::EmptyRouteIsMissing) { 404 } else { 503 };
            return Ok((status, String::new()));
        }
        // The endpoints take turns, as those of the fake do.
        let turn = match self.fake.request(&request.host, &request.target) {
            FakeAnswer::Endpoint(next) => route.endpoints.iter().position(|other| *other == next),
            FakeAnswer::Unavailable | FakeAnswer::NotFound | FakeAnswer::Refused => None,
        };
        let turn = if self.has(DataDefect::FirstEndpointOnly) { None } else { turn };
        let (before, after) = route.endpoints.split_at(turn.unwrap_or(0));
        let is_post = request.method == "POST";
        for endpoint in after.iter().chain(before) {
            if *endpoint == dead() {
                let is_end = is_post && self.has(DataDefect::PostNotPassedOn);
                if is_end || self.has(DataDefect::DeadEndpointRouted) {
                    return Ok((502, String::new()));
                }
            } else if endpoint.pod == failing().pod {
                self.failed.fetch_add(1, Ordering::SeqCst);
                if is_post && !self.has(DataDefect::PostRepeated) {
                    return Ok((502, String::new()));
                }
            } else {
                return Ok((200, self.received(&route, endpoint, request)));
            }
        }
        Ok((502, String::new()))
    }

    /// Returns the body of an upstream's answer: what it has received.
    fn received(&self, route: &Route, endpoint: &Endpoint, request: &Request) -> String {
        let strips = route.strip_prefix && !self.has(DataDefect::StripIgnored)
            || self.has(DataDefect::StripEverywhere);
        let mut target = match request.target.strip_prefix(route.path.as_str()) {
            Some(rest) if strips && !route.path.is_root() => {
                if rest.starts_with('/') {
                    rest.to_owned()
                } else {
                    format!("/{rest}")
                }
            }
            Some(_) | None => request.target.clone(),
        };
        if self.has(DataDefect::QueryDropped) {
            target = target.split('?').next().unwrap().to_owned();
        }
        let replaced = endpoint.address.to_string();
        let host = if self.has(DataDefect::HostReplaced) { &replaced } else { &request.host };
        let method = if self.has(DataDefect::MethodReplaced) { "GET" } else { request.method };
        let length = match self.defect {
            Some(DataDefect::BodyDropped) => 0,
            Some(DataDefect::LongBodyCut) => request.body.len().min(65_536),
            _ => request.body.len(),
        };
        let pod = &endpoint.pod;
        format!("Name: {pod}\n{method} {target} HTTP/1.1\nHost: {host}\nBodyLength: {length}\n")
    }
}

fn dead() -> Endpoint {
    endpoint("dead-1", 98)
}

fn failing() -> Endpoint {
    endpoint("fails-1", 99)
}

#[async_trait]
impl World for FakeWorld {
    fn upstreams(&self) -> Vec<Endpoint> {
        (21..24).map(|last| endpoint(&format!("web-{last}"), last)).collect()
    }

    async fn send(&self, request: &Request) -> Answer {
        self.answer(&self.table()?, request)
    }

    fn offers(&self, need: Need) -> bool {
        use Need::{KeptConnections, Kill, RequestCounts, SlowRequests, TakenPort};
        matches!(need, SlowRequests | KeptConnections | Kill | TakenPort | RequestCounts)
    }

    async fn begin_slow_request(&self, host: &str) -> BoxFuture<'static, Answer> {
        let FakeAnswer::Endpoint(endpoint) = self.fake.request(host, "/") else {
            return std::future::ready(Err("not routed".to_owned())).boxed();
        };
        let (fake, request) = (self.fake.clone(), Request::get(host, "/"));
        fake.set_busy(endpoint.socket(), true);
        let route = self.route(&self.table().unwrap(), host, "/").unwrap();
        let answer = if self.has(DataDefect::SlowRequestAborted) {
            Err("reset by the proxy".to_owned())
        } else {
            Ok((200, self.received(&route, &endpoint, &request)))
        };
        let late = async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            fake.set_busy(endpoint.socket(), false);
            answer
        };
        late.boxed()
    }

    async fn connect(&self) -> Result<Box<dyn KeptConnection>, String> {
        Ok(Box::new(FakeConnection { world: self.clone(), table: self.table()? }))
    }

    async fn kill(&self) -> Result<(), String> {
        self.fake.kill();
        Ok(())
    }

    async fn take_port(&self) -> Result<Box<dyn Any + Send>, String> {
        self.fake.set_port_taken(true);
        Ok(Box::new(TakenPort(self.fake.clone())))
    }

    fn dead_endpoint(&self) -> Option<Endpoint> {
        Some(dead())
    }

    fn failing_endpoint(&self) -> Option<FailingEndpoint> {
        Some(FailingEndpoint { endpoint: failing(), received: Arc::clone(&self.failed) })
    }

    fn host_port(&self) -> Option<HostPort> {
        let mapping = "127.0.0.1:5432:5432".parse().ok()?;
        Some(HostPort { app: "db".parse().ok()?, mapping, address: Ipv4Addr::new(10, 1, 2, 1) })
    }

    async fn get_at(&self, host: SocketAddr) -> Answer {
        let table = self.table()?;
        let port = table.ports.iter().find(|port| port.mapping.host() == host);
        let Some(port) = port else {
            let is_open = self.has(DataDefect::PortStays);
            return if is_open { Ok((502, String::new())) } else { Err("refused".to_owned()) };
        };
        let at = (port.address, port.mapping.port);
        let listener = table.listeners.iter().find(|found| (found.address, found.port) == at);
        let endpoint = listener.and_then(|listener| listener.endpoints.first());
        let pod = &endpoint.ok_or("no replica is ready")?.pod;
        Ok((200, format!("Name: {pod}\n")))
    }
}

/// Frees the port when it is dropped.
struct TakenPort(FakeIngress);

impl Drop for TakenPort {
    fn drop(&mut self) {
        self.0.set_port_taken(false);
    }
}

/// A connection, with the table that its last request followed.
#[derive(Debug)]
struct FakeConnection {
    world: FakeWorld,
    table: RouteTable,
}

#[async_trait]
impl KeptConnection for FakeConnection {
    /// One request may still follow the former table.
    async fn send(&mut self, request: &Request) -> Answer {
        let current = self.world.table()?;
        if self.world.has(DataDefect::KeptConnectionBreaks) && current != self.table {
            return Err("reset by the proxy".to_owned());
        }
        let answer = self.world.answer(&self.table, request);
        if !self.world.has(DataDefect::KeptConnectionKeepsTable) {
            self.table = current;
        }
        answer
    }
}
