//! Replicas that get requests at several ports.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;

use dubernetes_core::plan::{Action, Plan, Wait};
use dubernetes_core::reconcile;
use dubernetes_core::state::Drain;
use dubernetes_testkit::notation::{self, Scenario};

const APP: &str = "network\napp web replicas=1 port=8080 host=web.local host=*.web.local path=/ \
    path=/x to=8080 to=9090\nweb-1 ready routed\n";

fn plan(given: &Scenario) -> Plan {
    reconcile(&given.desired, &given.observed, given.now)
}

/// Returns the endpoint of the last replica at another port.
fn last_at(given: &Scenario, port: u16) -> SocketAddr {
    let replica = given.observed.replicas.last().unwrap();
    SocketAddr::new(replica.endpoint.unwrap().ip(), port)
}

fn waits(plan: &Plan) -> Vec<Wait> {
    plan.waiting.iter().map(|waiting| waiting.wait.clone()).collect()
}

fn stops(plan: &Plan) -> bool {
    plan.actions.iter().any(|planned| matches!(planned.action, Action::Stop { .. }))
}

#[test]
fn each_route_and_name_leads_to_its_port() {
    let given = notation::parse(APP).unwrap();
    let table = plan(&given).routes.table;
    assert_eq!(given.observed.ingress.table(), Some(&table), "nothing is to be changed");
    let routes: Vec<_> = table
        .routes
        .iter()
        .map(|route| format!("{}{} {}", route.host, route.path, route.endpoints[0].port))
        .collect();
    assert_eq!(routes, ["web.local/ 8080", "*.web.local/x 9090"]);
    let names = table.listeners.iter().map(|name| (name.port, name.endpoints[0].port));
    assert_eq!(Vec::from_iter(names), [(80, 8080), (8080, 8080), (9090, 9090)]);
}

#[test]
fn replica_is_stopped_when_all_its_ports_are_unrouted_and_drained() {
    let mut given = notation::parse(&format!("{APP}web-2 ready routed\n")).unwrap();
    assert_eq!(waits(&plan(&given)), [Wait::AwaitingUnroute]);

    given = notation::parse(&format!("{APP}web-2 ready draining=1s\n")).unwrap();
    let (own, other) = (last_at(&given, 8080), last_at(&given, 9090));
    let now = given.now;
    let drain = |done| Drain { done, ..Drain::new(now) };
    for (own_done, other_done, endpoint) in [(true, false, other), (false, true, own)] {
        given.observed.drains.insert(own, drain(own_done));
        given.observed.drains.insert(other, drain(other_done));
        assert_eq!(waits(&plan(&given)), [Wait::Drained { endpoint, held_by: None }]);
        assert!(!stops(&plan(&given)));
    }
    given.observed.drains.insert(own, drain(true));
    assert!(stops(&plan(&given)));
}

#[test]
fn routed_port_of_a_stopping_replica_is_noticed_whichever_it_is() {
    let mut given = notation::parse(&format!("{APP}web-2 ready\n")).unwrap();
    let dubernetes_core::ingress::ObservedIngress::Serving { table } = &mut given.observed.ingress
    else {
        panic!("web-1 is routed");
    };
    // An earlier orchestrator served only the second route of web-2.
    let mut endpoint = table.routes[1].endpoints[0].clone();
    let replica = given.observed.replicas.last().unwrap();
    endpoint.address = replica.endpoint.unwrap().ip();
    table.routes[1].endpoints.push(endpoint);
    assert_eq!(waits(&plan(&given)), [Wait::AwaitingUnroute]);
}
