//! A host that moves from one app to another in one apply.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use dubernetes_core::app::{AppName, RoutePath};
use dubernetes_core::ingress::{Endpoint, Listener, ObservedIngress, Route, RouteTable};
use dubernetes_core::plan::{Phase, RouteStep};
use dubernetes_core::reconcile;
use dubernetes_core::reconcile::name_addresses;
use dubernetes_testkit::notation;

/// Plans for `blue`, which served `move.test` and has given it up, and `green`, which claims it.
fn plan(green: &str) -> (Route, RouteStep, Phase) {
    let text =
        format!("network\napp blue\napp green host=move.test progressing\nblue-1 ready\n{green}\n");
    let notation::Scenario { desired, mut observed, now, .. } = notation::parse(&text).unwrap();
    let blue = observed.replicas.iter().find(|replica| replica.labels.app.as_str() == "blue");
    let blue = blue.unwrap();
    let found = blue.endpoint.unwrap();
    let endpoint = Endpoint { pod: blue.pod(), address: found.ip(), port: found.port() };
    let (host, app) = ("move.test".parse().unwrap(), AppName::parse("blue").unwrap());
    let served = Route::new(host, RoutePath::default(), app, vec![endpoint]);
    let listeners = name_addresses(&desired, &observed).into_iter();
    let listeners = listeners
        .flat_map(|(app, address)| Listener::of_app(&desired.apps[&app].spec, address, &[]));
    let table = RouteTable {
        routes: vec![served],
        listeners: listeners.collect(),
        ..RouteTable::default()
    };
    observed.ingress = ObservedIngress::Serving { table };
    let plan = reconcile(&desired, &observed, now);
    let [route] = &plan.routes.table.routes[..] else { panic!("one route: {plan}") };
    let blue = plan.statuses[&AppName::parse("blue").unwrap()].phase;
    (route.clone(), plan.routes.step, blue)
}

#[test]
fn moved_host_stays_with_former_app_until_new_one_is_ready() {
    for green in ["", "green-1 unready"] {
        let (route, step, blue) = plan(green);
        assert_eq!((route.app.as_str(), step), ("blue", RouteStep::InSync), "{green}");
        assert_eq!(blue, Phase::Ready, "blue has nothing to wait for");
    }
    let (route, step, _) = plan("green-1 ready");
    assert_eq!((route.app.as_str(), step), ("green", RouteStep::Apply));
    assert_eq!(route.endpoints[0].pod.to_string(), "green-1");
}
