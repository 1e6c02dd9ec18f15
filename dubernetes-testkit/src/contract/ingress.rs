//! The contract of [`Ingress`]: the promises of its documentation, checked through the trait and
//! through requests.

mod changes;
mod client;
mod counts;
mod draining;
mod endpoints;
mod life;
mod ports;
mod requests;
mod routing;
mod world;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use dubernetes_core::app::{AppName, RoutePath};
use dubernetes_core::error::chain;
use dubernetes_core::ingress::{Endpoint, Ingress, ObservedIngress, Route, RouteTable};

use super::check::{Check, Need, Subject, checks};

pub use client::HttpConnection;
pub use world::{Answer, FailingEndpoint, KeptConnection, Request, World};

use Need::{
    DeadEndpoint, FailingEndpoint as Failing, HostPort, KeptConnections, Kill, RequestCounts,
    SecondValue, SlowRequests, TakenPort,
};

/// An ingress that is checked, and its surroundings.
#[derive(Debug, Clone)]
pub struct IngressSubject {
    /// The ingress. It does not run yet.
    pub ingress: Arc<dyn Ingress>,
    /// Another value for the same proxy, as a restarted orchestrator has it. `None` skips the
    /// checks that need it.
    pub second: Option<Arc<dyn Ingress>>,
    /// The upstreams, and a client outside.
    pub world: Arc<dyn World>,
}

#[async_trait]
impl Subject for IngressSubject {
    const SUITE: &'static str = "ingress";

    fn checks() -> Vec<Check<Self>> {
        let mut all = routing_checks();
        all.extend(request_checks());
        all.extend(change_checks());
        all.extend(life_checks());
        all
    }

    fn meets(&self, need: Need) -> bool {
        match need {
            SecondValue => self.second.is_some(),
            DeadEndpoint => self.world.dead_endpoint().is_some(),
            Failing => self.world.failing_endpoint().is_some(),
            HostPort => self.world.host_port().is_some(),
            other => self.world.offers(other),
        }
    }

    async fn clean(&self) {
        // An error here shows in a check as well.
        let _ = self.ingress.remove().await;
    }
}

fn routing_checks() -> Vec<Check<IngressSubject>> {
    checks! { |subject| subject;
        life::unapplied_ingress_is_absent []
            "an ingress is absent before the first table, and every address is drained";
        routing::longest_prefix_wins [] "of several paths of a host, the longest prefix wins";
        routing::prefix_ends_at_a_segment [] "a path prefix ends at a `/`";
        routing::query_is_no_part_of_the_path [] "a query string does not count for the route";
        routing::host_ignores_case_and_port [] "a host matches in any case, with any port";
        routing::unknown_host_and_path_answer_404 [] "a request without a route is answered 404";
        routing::route_without_endpoints_answers_503 []
            "a route without endpoints answers 503";
        routing::most_specific_host_wins []
            "a name wins over a wildcard, and a wildcard over the route for all hosts";
        routing::wildcard_stands_for_one_label [] "a wildcard stands for one label";
        routing::host_with_routes_has_no_other_paths []
            "no other route has the paths of a host that has routes of its own";
        routing::empty_table_answers_404 [] "an empty table answers 404";
        routing::routes_left_out_are_gone [] "a table replaces the former one as a whole";
    }
}

fn request_checks() -> Vec<Check<IngressSubject>> {
    checks! { |subject| subject;
        requests::target_arrives_unchanged [] "path and query arrive as they were sent";
        requests::host_arrives [] "the host arrives as it was sent";
        requests::method_and_body_arrive [] "method and body arrive";
        requests::prefix_is_stripped_where_requested []
            "a prefix is removed where the route says so, and nowhere else";
        endpoints::endpoints_share_requests [] "the endpoints of a route share its requests";
        endpoints::dead_endpoint_is_skipped [DeadEndpoint]
            "a request that an endpoint refuses to take goes to another one";
        endpoints::dead_endpoints_alone_answer_an_error [DeadEndpoint]
            "a route whose endpoints all refuse connections answers with an error";
        endpoints::post_is_sent_once [Failing]
            "a request that may have taken effect is not sent again";
        requests::kept_connection_is_answered [KeptConnections]
            "every request on a kept connection is answered, also across a change";
        requests::kept_connection_follows_the_table [KeptConnections]
            "at most one request on a kept connection follows the former table";
        counts::answers_are_counted_by_app [RequestCounts]
            "answered requests are counted by app, status and duration, across changes";
    }
}

fn change_checks() -> Vec<Check<IngressSubject>> {
    checks! { |subject| subject;
        changes::same_table_changes_nothing [] "a table that is served already changes nothing";
        changes::every_difference_is_a_change [] "a table that differs in anything is a change";
        changes::acknowledged_table_is_served []
            "new connections are served by a table once it is acknowledged";
        changes::concurrent_applies_end_in_one_table []
            "of tables that are applied at once, one is served";
        changes::dropped_apply_is_overtaken_by_the_next []
            "an apply whose caller has gone away does not stop the next one";
        changes::requests_during_changes_are_answered []
            "no request fails while tables change";
        changes::refused_app_keeps_its_last_routes []
            "routes that cannot be served leave the app's last ones in place";
        draining::routed_address_is_not_drained [] "a routed address is not drained";
        draining::removed_address_gets_no_request []
            "an address that left the table gets no request on a new connection";
        draining::removed_address_is_drained []
            "an address without requests that left the table is drained after a while";
        draining::request_in_flight_delays_drain [SlowRequests]
            "an address is not drained while a request to it is in flight";
        draining::request_in_flight_is_answered [SlowRequests]
            "a request in flight is answered by the endpoint that has it";
        draining::address_that_returns_is_not_drained []
            "an address that comes back into the table is not drained";
    }
}

fn life_checks() -> Vec<Check<IngressSubject>> {
    checks! { |subject| subject;
        ports::published_port_leads_to_its_app [HostPort]
            "a published port leads to the endpoints of its app";
        ports::port_left_out_is_free [HostPort] "a port that left the table is free";
        life::repair_of_an_intact_proxy_does_nothing [] "nothing is repaired without a need";
        life::second_value_observes_the_table [SecondValue]
            "a restarted orchestrator finds the table that is served";
        life::second_value_changes_nothing [SecondValue]
            "a restarted orchestrator that applies the served table changes nothing";
        life::killed_proxy_is_not_serving [Kill]
            "a proxy that does not run is not observed as serving";
        life::killed_proxy_is_started_again [Kill] "an apply starts a proxy that was killed";
        life::taken_port_is_reported [TakenPort]
            "a port that another process has is an error, and no proxy is left";
        life::removed_ingress_is_absent [] "a removed ingress is absent, and does not answer";
        life::removed_ingress_can_return [] "a removed ingress can be applied again";
    }
}

/// The longest that a change may take to show.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a wait asks again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

impl IngressSubject {
    /// Returns three upstreams.
    fn upstreams(&self) -> [Endpoint; 3] {
        let upstreams = self.world.upstreams().try_into();
        upstreams.unwrap_or_else(|other| panic!("the suite needs three upstreams; seen: {other:?}"))
    }

    /// Applies a table, checks that it is observed, and returns whether it was a change.
    async fn apply(&self, table: &RouteTable) -> bool {
        let applied = match self.ingress.apply(table).await {
            Ok(applied) => applied,
            Err(error) => panic!("a table is applied: {}", chain(&error)),
        };
        assert!(applied.quarantined.is_empty(), "no app is quarantined; seen: {applied:?}");
        assert!(applied.unpublished.is_empty(), "all ports are published; seen: {applied:?}");
        assert_eq!(self.served().await, *table, "the applied table is observed");
        applied.changed
    }

    /// Returns the table that is observed.
    async fn served(&self) -> RouteTable {
        match self.ingress.observe().await {
            Ok(ObservedIngress::Serving { table }) => table,
            other => panic!("an applied table is served; seen: {other:?}"),
        }
    }

    async fn get(&self, host: &str, target: &str) -> Answer {
        self.world.send(&Request::get(host, target)).await
    }

    /// Sends a request, and expects an answer of this upstream.
    async fn expect(&self, host: &str, target: &str, upstream: &Endpoint) -> String {
        let answer = self.get(host, target).await;
        match &answer {
            Ok((200, body)) if is_by(body, upstream) => body.clone(),
            _ => panic!("{host}{target} is answered by {}; seen: {answer:?}", upstream.pod),
        }
    }

    /// Sends a request, and expects an answer without an upstream.
    async fn expect_status(&self, host: &str, target: &str, status: u16) {
        let answer = self.get(host, target).await;
        let is_expected = matches!(&answer, Ok((seen, _)) if *seen == status);
        assert!(is_expected, "{host}{target} is answered {status}; seen: {answer:?}");
    }

    /// Sends requests to `a.test`, and returns the addresses that answered.
    async fn reached(&self, requests: u32) -> BTreeSet<SocketAddr> {
        let mut reached = BTreeSet::new();
        for _ in 0..requests {
            let answer = self.get("a.test", "/").await;
            let Ok((200, body)) = &answer else {
                panic!("a routed host is answered; seen: {answer:?}")
            };
            let upstreams = self.upstreams();
            let by = upstreams.iter().find(|endpoint| is_by(body, endpoint));
            let Some(by) = by else { panic!("an upstream answers; seen: {body:?}") };
            reached.insert(by.socket());
        }
        reached
    }
}

/// Returns whether an upstream has made this answer.
fn is_by(body: &str, upstream: &Endpoint) -> bool {
    has_line(body, &format!("Name: {}", upstream.pod))
}

fn has_line(body: &str, line: &str) -> bool {
    body.lines().any(|found| found == line)
}

fn table(routes: &[Route]) -> RouteTable {
    RouteTable { routes: routes.to_vec(), ..RouteTable::default() }
}

/// Returns a table with `a.test` alone.
fn single(endpoints: &[Endpoint]) -> RouteTable {
    table(&[route("a.test", "/", "root", endpoints)])
}

fn route(host: &str, path: &str, app: &str, endpoints: &[Endpoint]) -> Route {
    let parsed = (host.parse(), RoutePath::parse(path), AppName::parse(app));
    let (Ok(host), Ok(path), Ok(app)) = parsed else {
        panic!("the routes of the suite are legal");
    };
    Route::new(host, path, app, endpoints.to_vec())
}
