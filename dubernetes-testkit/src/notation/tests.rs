//! Tests of the notation.

use super::*;
use crate::build::app_name;
use dubernetes_core::app::{Generation, RevisionId, Volume};
use dubernetes_core::call::{FailureKind, OperationKey};
use dubernetes_core::runtime::{ContainerState, Exit};
use dubernetes_core::state::Readiness;

#[test]
fn omitted_fields_have_ordinary_values() {
    let given =
        parse("network\napp web rev=2 host=web.local\nweb-1..2 ready routed\nweb-3 rev=1 exited")
            .unwrap();
    let stored = &given.desired.apps[&app_name("web")];
    assert_eq!((stored.spec.artifact.as_str(), stored.spec.replicas), ("web:2", 1));
    assert!(stored.image_id.is_some());
    let hash = identity::spec_hash(&stored.spec);
    let [first, second, third] = &given.observed.replicas[..] else { panic!("{given:#?}") };
    assert_eq!((first.labels.revision, &first.labels.spec_hash), (RevisionId(2), &hash));
    assert_ne!(first.labels.address, second.labels.address);
    assert!(matches!(first.readiness, Readiness::Ready { since } if since < NOW));
    assert!(matches!(third.state, ContainerState::Exited(Exit { code: 1, .. })));
    assert_ne!(third.labels.spec_hash, hash);
    let kept = &given.desired.revisions[&app_name("web")];
    assert_eq!((kept.len(), kept[0].spec.artifact.as_str()), (1, "web:1"));
    assert_eq!(identity::spec_hash(&kept[0].spec), third.labels.spec_hash);
    let table = given.observed.ingress.table().unwrap();
    assert!(table.holds(first.endpoint.unwrap()) && table.holds(second.endpoint.unwrap()));
    assert_eq!((table.routes.len(), table.routes[0].endpoints.len()), (1, 2));
}

#[test]
fn every_kind_of_line_is_parsed() {
    let given = parse(
        r#"
        app db rev=3 gen=7 image=other:9 port=81 volume=data:/data deleted-through=1 unpinned
        revision db 2 port=82 lost
        db-1 rev=2 restarts=4 streak=2 oom ago=3s ran=2s
        tombstone old ago=10s
        unreadable abc msg="the label is missing"
        ingress down msg="it was killed"
        engine away msg="no answer" ago=5s
        in-flight create db-2
        failed container db-1 msg="a fault" times=3 ago=4s permanent
        "#,
    )
    .unwrap();
    let stored = &given.desired.apps[&app_name("db")];
    assert_eq!(
        (stored.generation, stored.deleted_through, stored.image_id.is_some()),
        (Generation(7), RevisionId(1), false)
    );
    assert_eq!(stored.spec.volumes, [Volume::parse("data:/data").unwrap()]);
    assert!(given.desired.revisions.is_empty(), "revision 2 is lost");
    let labels = &given.observed.replicas[0].labels;
    assert_eq!((labels.port, labels.restarts, labels.consecutive_restarts), (82, 4, 2));
    assert_eq!(given.desired.tombstones.len(), 1);
    assert_eq!(given.observed.unreadable.len(), 1);
    assert!(matches!(given.observed.engine, EngineStatus::Unreachable { .. }));
    assert!(matches!(given.observed.ingress, ObservedIngress::Down { .. }));
    let in_flight = given.observed.in_flight.first_key_value().unwrap().0;
    assert!(matches!(in_flight, OperationKey::Create { ordinal: 2, revision: RevisionId(3), .. }));
    let (key, failure) = given.observed.failures.first_key_value().unwrap();
    assert!(matches!(key, OperationKey::Container(_)));
    assert_eq!((failure.count, failure.kind), (3, FailureKind::Permanent));
    assert_eq!(failure.message, "a fault");
}

#[test]
fn bad_line_is_an_error_with_its_number() {
    let app = "app web\n";
    for (line, message) in [
        ("web-1 redy", "the state is missing"),
        ("web-1 ready rooted", "`rooted` is unknown here"),
        ("web-1 ready restart=1", "`restart` is unknown here"),
        ("web-1 ready rev=one", "invalid `rev=one`"),
        ("web-3..1 ready", "neither a kind of line nor a pod"),
        ("netwrk", "neither a kind of line nor a pod"),
        ("web-1..2 ready address=10.9.0.77 address=10.9.0.78", "`address` is unknown here"),
        ("failed container web-1", "no such container"),
        ("failed creation web-1", "unknown call `creation`"),
        ("failed routes msg=\"open", "a quote is not closed"),
        ("ingress up", "an ingress is"),
    ] {
        let error = parse(&format!("{app}{line}")).unwrap_err();
        assert!(
            error.contains(message) && error.starts_with(&format!("line 2: `{line}`")),
            "{line}: {error}"
        );
    }
    let twice = parse("app web\nweb-1 ready\nweb-1 created").unwrap_err();
    assert!(twice.contains("defined twice"), "{twice}");
}

#[test]
fn words_of_the_first_version_are_accepted() {
    let old = parse("app web\nacting ago=5s\nfailed routes says=a lasting\nunder-way network");
    let new = parse("app web\nactive ago=5s\nfailed routes msg=a permanent\nin-flight network");
    assert_eq!(format!("{old:?}"), format!("{new:?}"));
}
