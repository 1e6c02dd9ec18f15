//! Certificates on fakes and virtual time: orders, renewals, failures, and certificates of users.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "certificates/failures.rs"]
mod failures;
#[path = "certificates/provided.rs"]
mod provided;

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::{Access, AppSpec, HostName, HostPattern, IssuedTls, Tls};
use dubernetes_core::certificate::{Authority, IssuedCertificate, KeyPair};
use dubernetes_core::clock::Clock as _;
use dubernetes_core::event::Event;
use dubernetes_core::plan::Phase;
use dubernetes_core::store::{EventQuery, Store as _};
use dubernetes_testkit::build::{TestOrchestrator, app_name, worker};
use dubernetes_testkit::{Behaviour, FakeIngress, FakeIssuer, FakeRuntime, TokioClock};
use jiff::SignedDuration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const AUTO: Tls = Tls::Issued(IssuedTls::Auto);
const INTERNAL: Tls = Tls::Issued(IssuedTls::Internal);
const NOTHING: [String; 0] = [];

/// Starts an orchestrator whose ingress takes requests over HTTPS.
fn start() -> TestOrchestrator {
    start_with(|builder| builder)
}

fn start_with(
    configure: impl FnOnce(dubernetes_controller::Builder) -> dubernetes_controller::Builder,
) -> TestOrchestrator {
    let clock = TokioClock::new();
    let ingress = FakeIngress::default();
    ingress.set_https_port(Some(443));
    let issuer = FakeIssuer::new(clock);
    issuer.ask(&ingress);
    let runtime = FakeRuntime::new(clock);
    runtime.add_image("web:1", Behaviour::default());
    // Without replicas, nothing but the certificates wakes it for hours.
    let rarely = |builder: dubernetes_controller::Builder| {
        configure(builder.resync(dubernetes_core::app::Duration::from_secs(60 * 60)))
    };
    TestOrchestrator::start_with_issuer(runtime, Arc::default(), ingress, issuer, rarely)
}

fn web(hosts: &[&str], tls: Tls) -> AppSpec {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    let access = vec![Access { hosts, tls: Some(tls), ..Access::default() }];
    AppSpec { access, ..worker("web", "web:1", 1) }
}

/// Returns an app without replicas, which takes hardly any time to simulate.
fn idle(hosts: &[&str], tls: Tls) -> AppSpec {
    AppSpec { replicas: 0, ..web(hosts, tls) }
}

fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

/// Returns the certificate that the ingress serves for a host.
fn served(on: &TestOrchestrator, host: &str) -> Option<KeyPair> {
    let host: HostPattern = host.parse().unwrap();
    let observed = on.ingress.observed();
    observed.table().and_then(|table| table.tls_of(&host))?.certificate.clone()
}

async fn stored(on: &TestOrchestrator, name: &str) -> Option<IssuedCertificate> {
    on.store.list().await.unwrap().certificates.remove(&host(name))?.issued
}

async fn events(on: &TestOrchestrator, reason: &str) -> Vec<Event> {
    let query = EventQuery { limit: 1_000, ..EventQuery::default() };
    let mut events = on.store.events(&query).await.unwrap();
    events.retain(|event| event.reason == reason);
    events
}

async fn until_ready_within(on: &TestOrchestrator, limit: Duration) {
    let is_ready = |seen: &dubernetes_controller::Snapshot| {
        let status = seen.plan.statuses.get(&app_name("web"));
        status.is_some_and(|status| status.phase == Phase::Ready)
    };
    on.until("web is ready", limit, is_ready).await;
}

#[tokio::test(start_paused = true)]
async fn app_with_tls_is_ready_after_one_account_and_one_order() {
    for (tls, authority) in [(AUTO, Authority::Acme), (INTERNAL, Authority::Internal)] {
        let on = start();
        on.apply(&web(&["a.test"], tls)).await.unwrap();
        on.until_ready("web").await;
        assert_eq!(on.issuer.registrations(), 1);
        let orders = on.issuer.orders();
        assert_eq!(orders.len(), 1, "{orders:?}");
        assert!(orders[0].is_issued && orders[0].authority == authority, "{orders:?}");
        let issued = stored(&on, "a.test").await.unwrap();
        assert_eq!(served(&on, "a.test"), Some(issued.pair.clone()));
        assert!(issued.pair.pem().is_some(), "with its key");
        let [found] = &on.handle.certificates()[..] else { panic!("one host") };
        assert!(found.is_served && found.problem.is_none(), "{found:?}");
        assert_eq!(found.info.as_ref().unwrap().not_after, issued.not_after);
        assert_eq!((found.authority, found.renew_at), (Some(authority), Some(issued.renew_at)));
        assert_eq!(events(&on, "CertificateIssued").await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn default_authority_is_for_apps_that_say_nothing() {
    let on = start_with(|builder| builder.default_tls(IssuedTls::Internal));
    let none = Tls::Issued(IssuedTls::None);
    let silent = AppSpec {
        access: vec![Access { hosts: vec!["b.test".parse().unwrap()], ..Access::default() }],
        ..web(&["a.test"], none.clone())
    };
    on.apply(&silent).await.unwrap();
    on.until_ready("web").await;
    let issued = stored(&on, "b.test").await.unwrap();
    assert_eq!(issued.authority, Authority::Internal);
    assert_eq!(served(&on, "b.test"), Some(issued.pair));
    assert!(on.handle.renew_certificate(&host("b.test")).await.unwrap());
    // What is stored is what the user wrote.
    assert_eq!(on.store.get(&app_name("web")).await.unwrap().spec.access, silent.access);
    on.apply(&web(&["b.test"], none)).await.unwrap();
    on.until("b.test is served over HTTP alone", MINUTE, |seen| {
        seen.observed.ingress.table().is_some_and(|table| table.tls.is_empty())
    })
    .await;
    assert!(!on.handle.renew_certificate(&host("b.test")).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn due_certificate_is_renewed_and_no_replica_touched() {
    let on = start();
    on.issuer.set_lifetime(SignedDuration::from_mins(90));
    on.apply(&web(&["a.test"], AUTO)).await.unwrap();
    on.until_ready("web").await;
    let first = served(&on, "a.test");
    on.runtime.take_journal();
    tokio::time::sleep(59 * MINUTE).await;
    assert_eq!(served(&on, "a.test"), first, "it is not due yet");
    tokio::time::sleep(2 * MINUTE).await;
    let second = served(&on, "a.test");
    assert!(second.is_some() && second != first, "a new one is served");
    assert_eq!(second, stored(&on, "a.test").await.map(|issued| issued.pair));
    assert_eq!((on.issuer.registrations(), on.issuer.orders().len()), (1, 2));
    assert_eq!(on.runtime.take_journal(), NOTHING);
    let status = &on.handle.snapshot().plan.statuses[&app_name("web")];
    assert_eq!(status.phase, Phase::Ready);
}

#[tokio::test(start_paused = true)]
async fn fifty_hosts_need_one_account_and_an_order_each() {
    let hosts: Vec<_> = (0..50).map(|number| format!("h{number}.test")).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    for tls in [AUTO, INTERNAL] {
        let on = start();
        on.apply(&web(&hosts, tls)).await.unwrap();
        until_ready_within(&on, 2 * MINUTE).await;
        assert_eq!(on.issuer.registrations(), 1, "orders at the same time share the account");
        assert_eq!(on.issuer.orders().len(), 50);
        assert!(hosts.iter().all(|host| served(&on, host).is_some()));
        let tables = on.ingress.applied().len();
        assert!(tables <= 20, "certificates that arrive together are served together: {tables}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_authority_replaces_the_certificate_and_both_accounts_stay() {
    let on = start();
    on.apply(&web(&["a.test"], INTERNAL)).await.unwrap();
    on.until_ready("web").await;
    for (tls, authority) in [(AUTO, Authority::Acme), (INTERNAL, Authority::Internal)] {
        let tables = on.ingress.applied().len();
        on.apply(&web(&["a.test"], tls)).await.unwrap();
        let is_replaced = |seen: &dubernetes_controller::Snapshot| {
            let issued = seen.desired.certificates[&host("a.test")].issued.as_ref();
            issued.is_some_and(|issued| issued.authority == authority)
        };
        on.until("the other authority has issued it", MINUTE, is_replaced).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(served(&on, "a.test"), stored(&on, "a.test").await.map(|issued| issued.pair));
        let is_served = |table: &dubernetes_core::ingress::RouteTable| {
            table.tls.iter().all(|tls| tls.certificate.is_some())
        };
        let applied = on.ingress.applied();
        assert!(applied[tables..].iter().all(is_served), "the former one is served meanwhile");
    }
    assert_eq!((on.issuer.registrations(), on.issuer.orders().len()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn app_that_comes_back_needs_no_second_order() {
    let on = start();
    let spec = web(&["a.test"], AUTO);
    on.apply(&spec).await.unwrap();
    on.until_ready("web").await;
    let first = served(&on, "a.test");
    on.handle.delete(&spec.name).await.unwrap();
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(served(&on, "a.test"), None, "the host is gone");
    on.apply(&spec).await.unwrap();
    on.until_ready("web").await;
    assert_eq!(served(&on, "a.test"), first);
    assert_eq!(on.issuer.orders().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn certificate_of_a_gone_host_is_dropped_when_it_has_expired() {
    let on = start();
    on.issuer.set_lifetime(SignedDuration::from_hours(3));
    on.apply(&idle(&["a.test", "b.test"], AUTO)).await.unwrap();
    on.until_ready("web").await;
    on.apply(&idle(&["b.test"], AUTO)).await.unwrap();
    tokio::time::sleep(HOUR).await;
    assert!(stored(&on, "a.test").await.is_some(), "it may be needed again");
    tokio::time::sleep(3 * HOUR).await;
    assert_eq!(stored(&on, "a.test").await, None);
    let renewed = stored(&on, "b.test").await.unwrap();
    assert!(renewed.not_after > on.clock.now(), "{renewed:?}");
}

#[tokio::test(start_paused = true)]
async fn restarted_orchestrator_orders_nothing_and_serves_what_was_served() {
    let on = start();
    on.apply(&web(&["a.test"], AUTO)).await.unwrap();
    on.until_ready("web").await;
    let tables = on.ingress.applied().len();
    let next = on.restart();
    next.until_ready("web").await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!((next.issuer.registrations(), next.issuer.orders().len()), (1, 1));
    assert_eq!(next.ingress.applied().len(), tables);
}

#[tokio::test(start_paused = true)]
async fn account_of_another_directory_is_replaced_at_the_next_order() {
    let on = start();
    on.issuer.set_lifetime(SignedDuration::from_mins(90));
    on.apply(&idle(&["a.test"], AUTO)).await.unwrap();
    on.until_ready("web").await;
    on.issuer.set_directory("second");
    tokio::time::sleep(3 * HOUR).await;
    let accounts: Vec<_> = on.issuer.orders().into_iter().map(|order| order.account).collect();
    let (first, second) = ("account 1 of acme at first", "account 2 of acme at second");
    assert_eq!(accounts[..3], [first, second, second]);
    assert_eq!(on.issuer.registrations(), 2);
    let kept = on.store.authority_account(Authority::Acme).await.unwrap().unwrap();
    assert_eq!(kept.reveal(), second.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn root_of_the_own_authority_is_there_once_it_has_issued() {
    let on = start();
    assert_eq!(on.handle.internal_root().await.unwrap(), None);
    on.apply(&web(&["a.test"], INTERNAL)).await.unwrap();
    on.until_ready("web").await;
    let root = on.handle.internal_root().await.unwrap().unwrap();
    assert!(root.contains("account 1 of internal"), "{root}");
}
