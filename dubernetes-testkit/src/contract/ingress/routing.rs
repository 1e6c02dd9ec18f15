//! Which route a request takes.

use std::slice::from_ref;

use super::{IngressSubject, route, single, table};
use dubernetes_core::ingress::RouteTable;

pub(super) async fn longest_prefix_wins(subject: &IngressSubject) {
    let [root, api, next] = &subject.upstreams();
    let one = from_ref;
    // Neither order of the routes counts.
    for is_reversed in [false, true] {
        let mut routes = [
            route("a.test", "/", "root", one(root)),
            route("a.test", "/app", "api", one(api)),
            route("a.test", "/app/v2", "next", one(next)),
            route("b.test", "/only", "only", one(api)),
        ];
        if is_reversed {
            routes.reverse();
        }
        subject.apply(&table(&routes)).await;
        for (target, upstream) in [
            ("/", root),
            ("/index.html", root),
            ("/app", api),
            ("/app/v1", api),
            ("/app/v2", next),
            ("/app/v2/x", next),
        ] {
            subject.expect("a.test", target, upstream).await;
        }
        subject.expect("b.test", "/only/x", api).await;
    }
}

pub(super) async fn prefix_ends_at_a_segment(subject: &IngressSubject) {
    let [root, api, _] = &subject.upstreams();
    let routes = [
        route("a.test", "/", "root", from_ref(root)),
        route("a.test", "/app", "api", from_ref(api)),
        route("b.test", "/only", "only", from_ref(api)),
    ];
    subject.apply(&table(&routes)).await;
    subject.expect("a.test", "/apps", root).await;
    subject.expect("a.test", "/ap", root).await;
    subject.expect("a.test", "/app/", api).await;
    subject.expect_status("b.test", "/onlyx", 404).await;
}

pub(super) async fn query_is_no_part_of_the_path(subject: &IngressSubject) {
    let [root, api, _] = &subject.upstreams();
    let routes = [
        route("a.test", "/", "root", from_ref(root)),
        route("a.test", "/app", "api", from_ref(api)),
    ];
    subject.apply(&table(&routes)).await;
    subject.expect("a.test", "/app?x=1", api).await;
    subject.expect("a.test", "/apps?x=/app", root).await;
    subject.expect("a.test", "/?/app", root).await;
}

pub(super) async fn host_ignores_case_and_port(subject: &IngressSubject) {
    let [first, other, _] = &subject.upstreams();
    let routes = [
        route("a.test", "/", "root", from_ref(first)),
        route("b.test", "/", "other", from_ref(other)),
    ];
    subject.apply(&table(&routes)).await;
    for host in ["a.test", "A.Test", "a.test:8080"] {
        subject.expect(host, "/", first).await;
    }
    subject.expect("B.TEST:1", "/", other).await;
}

pub(super) async fn unknown_host_and_path_answer_404(subject: &IngressSubject) {
    let upstreams = subject.upstreams();
    let routes = [
        route("a.test", "/", "root", &upstreams[..1]),
        route("b.test", "/only", "only", &upstreams[..1]),
    ];
    subject.apply(&table(&routes)).await;
    for (host, target) in
        [("b.test", "/"), ("sub.a.test", "/"), ("test", "/"), ("unknown.test", "/only")]
    {
        subject.expect_status(host, target, 404).await;
    }
}

pub(super) async fn route_without_endpoints_answers_503(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    let routes =
        [route("a.test", "/", "root", from_ref(first)), route("a.test", "/none", "none", &[])];
    subject.apply(&table(&routes)).await;
    subject.expect_status("a.test", "/none/x", 503).await;
    subject.expect("a.test", "/", first).await;
}

pub(super) async fn most_specific_host_wins(subject: &IngressSubject) {
    let [rest, wild, name] = &subject.upstreams();
    let routes = [
        route("*", "/", "rest", from_ref(rest)),
        route("*.a.test", "/", "wild", from_ref(wild)),
        route("www.a.test", "/", "www", from_ref(name)),
    ];
    subject.apply(&table(&routes)).await;
    subject.expect("www.a.test", "/x", name).await;
    subject.expect("B.A.test:8080", "/", wild).await;
    subject.expect("a.test", "/x", rest).await;
    subject.expect("192.0.2.1", "/", rest).await;
}

pub(super) async fn wildcard_stands_for_one_label(subject: &IngressSubject) {
    let [wild, ..] = &subject.upstreams();
    subject.apply(&table(&[route("*.a.test", "/", "wild", from_ref(wild))])).await;
    subject.expect("b.a.test", "/", wild).await;
    subject.expect_status("c.b.a.test", "/", 404).await;
    subject.expect_status("a.test", "/", 404).await;
}

pub(super) async fn host_with_routes_has_no_other_paths(subject: &IngressSubject) {
    let [rest, name, _] = &subject.upstreams();
    let routes =
        [route("*", "/", "rest", from_ref(rest)), route("www.a.test", "/x", "www", from_ref(name))];
    subject.apply(&table(&routes)).await;
    subject.expect("www.a.test", "/x", name).await;
    subject.expect_status("www.a.test", "/", 404).await;
}

pub(super) async fn empty_table_answers_404(subject: &IngressSubject) {
    subject.apply(&RouteTable::default()).await;
    subject.expect_status("a.test", "/", 404).await;
}

pub(super) async fn routes_left_out_are_gone(subject: &IngressSubject) {
    let [first, other, _] = &subject.upstreams();
    let routes = [
        route("a.test", "/", "root", from_ref(first)),
        route("a.test", "/x", "path", from_ref(other)),
        route("b.test", "/", "other", from_ref(other)),
    ];
    subject.apply(&table(&routes)).await;
    subject.expect("b.test", "/", other).await;
    subject.apply(&single(from_ref(first))).await;
    subject.expect("a.test", "/x", first).await;
    subject.expect_status("b.test", "/", 404).await;
}
