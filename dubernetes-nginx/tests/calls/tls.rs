//! Certificates.

use std::time::Duration;

use dubernetes_core::app::{AppName, Secret};
use dubernetes_core::certificate::KeyPair;
use dubernetes_core::ingress::{HostTls, Ingress as _, ObservedIngress, RouteTable};
use dubernetes_nginx::NginxIngress;

use crate::CHANGE;
use crate::engine::{Engine, endpoint, route, table};

const NOTHING: [&str; 0] = [];

fn ingress(engine: &Engine) -> NginxIngress {
    engine.ingress_with(|config| config.https_port = Some(443))
}

/// Returns a table with a host that is served over HTTPS.
fn secured(number: u32) -> RouteTable {
    let pem = |what: &str| Secret::new(format!("{what} {number}\n"));
    let tls = HostTls {
        host: "a.test".parse().unwrap(),
        app: AppName::parse("web").unwrap(),
        certificate: Some(KeyPair::new(pem("chain"), pem("key"))),
        answers_challenges: false,
    };
    RouteTable { tls: vec![tls], ..table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]) }
}

/// Returns certificate and key of a table, if they are known.
fn pem(table: &RouteTable) -> Option<(&[u8], &[u8])> {
    table.tls[0].certificate.as_ref()?.pem()
}

#[tokio::test(start_paused = true)]
async fn certificate_is_put_and_checked_and_the_next_one_as_well() {
    let engine = Engine::default();
    let ingress = ingress(&engine);
    ingress.apply(&secured(1)).await.unwrap();
    assert!(engine.has_private("a.test.key", "key 1\n"));
    assert!(engine.has_private("a.test.pem", "chain 1\n"));
    engine.take_calls();
    assert!(!ingress.apply(&secured(1)).await.unwrap().changed);
    assert_eq!(engine.take_calls(), NOTHING);
    assert!(ingress.apply(&secured(2)).await.unwrap().changed);
    assert_eq!(engine.take_calls(), CHANGE);
    assert!(engine.has_private("a.test.key", "key 2\n"));
}

#[tokio::test(start_paused = true)]
async fn new_orchestrator_reads_certificates_from_the_container() {
    let engine = Engine::default();
    ingress(&engine).apply(&secured(1)).await.unwrap();
    engine.take_calls();
    let next = ingress(&engine);
    let observed = next.observe().await.unwrap();
    let ObservedIngress::Serving { table } = &observed else { panic!("{observed:?}") };
    assert_eq!(pem(table), pem(&secured(1)), "with its key");
    assert!(!next.apply(&secured(1)).await.unwrap().changed);
    assert_eq!(next.repair().await.unwrap(), None);
    let calls = engine.take_calls();
    let looks = ["read gen", "read current", "exec nginx -V", "image"];
    assert!(calls.iter().all(|call| looks.contains(&call.as_str())), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn changed_certificate_files_are_restored() {
    for file in ["certificates/a.test.key", "certificates/a.test.pem"] {
        let engine = Engine::default();
        let ingress = ingress(&engine);
        ingress.apply(&secured(1)).await.unwrap();
        engine.damage(file);
        tokio::time::advance(Duration::from_secs(16)).await;
        let said = ingress.repair().await.unwrap();
        assert!(said.is_some_and(|said| said.contains("restored")), "{file}");
        assert!(engine.has_private("a.test.key", "key 1\n"), "{file}");
        assert!(engine.has_private("a.test.pem", "chain 1\n"), "{file}");
        assert_eq!(ingress.repair().await.unwrap(), None, "{file}");
    }
}

/// The table alone has no key to restore the files from, but the store has.
#[tokio::test(start_paused = true)]
async fn files_that_changed_while_no_orchestrator_ran_are_restored_by_the_next_table() {
    for file in ["certificates/a.test.key", "certificates/a.test.pem"] {
        let engine = Engine::default();
        ingress(&engine).apply(&secured(1)).await.unwrap();
        engine.damage(file);
        let next = ingress(&engine);
        let observed = next.observe().await.unwrap();
        let ObservedIngress::Serving { table } = &observed else { panic!("{observed:?}") };
        assert_ne!(*table, secured(1), "{file}: the planner has to see the difference");
        next.apply(&secured(1)).await.unwrap();
        assert!(engine.has_private("a.test.key", "key 1\n"), "{file}");
        assert!(engine.has_private("a.test.pem", "chain 1\n"), "{file}");
        assert_eq!(next.observe().await.unwrap(), ObservedIngress::Serving { table: secured(1) });
        assert_eq!(next.repair().await.unwrap(), None, "{file}");
    }
}

/// The hash of an instance without HTTPS is that of the versions before HTTPS: an upgrade replaces
/// no container.
#[tokio::test(start_paused = true)]
async fn port_for_https_is_part_of_the_settings_and_its_absence_is_not() {
    let settings = async |https_port| {
        let engine = Engine::default();
        let ingress = engine.ingress_with(|config| config.https_port = https_port);
        ingress.apply(&RouteTable::default()).await.unwrap();
        engine.settings()
    };
    assert_eq!(settings(None).await, "8f6812f76508adca4bc9cd493e78b5fb");
    assert_ne!(settings(Some(443)).await, settings(None).await);
    assert_ne!(settings(Some(443)).await, settings(Some(8443)).await);
}

#[tokio::test(start_paused = true)]
async fn new_port_for_https_replaces_the_container_once() {
    let engine = Engine::default();
    let wanted = secured(1);
    engine.ingress().apply(&wanted).await.unwrap();
    assert!(!engine.reads("ssl_certificate"), "nothing listens for it");
    let next = ingress(&engine);
    let said = next.repair().await.unwrap().unwrap();
    assert!(said.contains("its settings changed"), "{said}");
    next.apply(&wanted).await.unwrap();
    assert!(engine.reads("ssl_certificate") && engine.has_private("a.test.key", "key 1\n"));
    assert_eq!(next.repair().await.unwrap(), None);
}
