//! The engine calls of `NginxIngress` for a change, no change, a refused app, and failures.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

#[path = "calls/access_log.rs"]
mod access_log;
#[path = "calls/counts.rs"]
mod counts;
#[path = "calls/endpoints.rs"]
mod endpoints;
#[path = "calls/engine.rs"]
mod engine;
#[path = "calls/h2c.rs"]
mod h2c;
#[path = "calls/proxies.rs"]
mod proxies;
#[path = "calls/start.rs"]
mod start;
#[path = "calls/tables.rs"]
mod tables;
#[path = "calls/tls.rs"]
mod tls;
#[path = "calls/window.rs"]
mod window;

use std::time::Duration;

use dubernetes_core::ingress::{
    Ingress as _, IngressError, ObservedIngress, Pace, Protocol, RouteTable,
};
use dubernetes_core::runtime::RuntimeError;

use crate::engine::{Engine, endpoint, listener, route, table};

const START: &[&str] = &["image", "create", "put gen", "start", "exec nginx -V"];
const CHANGE: &[&str] = &["put gen", "exec nginx -T", "put link", "signal SIGHUP"];

fn joined(parts: &[&[&str]]) -> Vec<String> {
    parts.iter().flat_map(|part| part.iter().map(|call| (*call).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn unchanged_table_makes_no_changing_call() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&wanted).await.unwrap();
    engine.take_calls();
    for _ in 0..3 {
        assert!(!ingress.apply(&wanted).await.unwrap().changed);
        let observed = ingress.observe().await.unwrap();
        assert_eq!(observed, ObservedIngress::Serving { table: wanted.clone() });
    }
    assert_eq!(
        engine.take_calls(),
        Vec::<String>::new(),
        "an unchanged pass runs nothing in nginx"
    );
}

#[tokio::test(start_paused = true)]
async fn new_orchestrator_adopts_served_table() {
    let engine = Engine::default();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    engine.ingress().apply(&wanted).await.unwrap();
    engine.take_calls();
    let next = engine.ingress();
    let observed = next.observe().await.unwrap();
    assert_eq!(observed, ObservedIngress::Serving { table: wanted.clone() });
    assert!(!next.apply(&wanted).await.unwrap().changed);
    assert_eq!(engine.take_calls(), ["read gen", "exec nginx -V", "read current"]);
}

#[tokio::test(start_paused = true)]
async fn change_of_routes_is_checked_before_switch() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    for path in ["/", "/a", "/b"] {
        let wanted = table(&[route("a.test", path, "web", &[endpoint(20, 80)])]);
        engine.take_calls();
        ingress.apply(&wanted).await.unwrap();
    }
    assert_eq!(engine.take_calls(), CHANGE);
}

#[tokio::test(start_paused = true)]
async fn image_without_tools_serves_and_drains() {
    let engine = Engine::default();
    engine.lose_tools();
    let both = [endpoint(20, 80), endpoint(21, 80)];
    engine.ingress().apply(&table(&[route("a.test", "/", "web", &both)])).await.unwrap();
    let next = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &both[1..])]);
    next.apply(&wanted).await.unwrap();
    assert_eq!(next.repair().await.unwrap(), None, "the files are as they were put");
    assert_eq!(next.observe().await.unwrap(), ObservedIngress::Serving { table: wanted });
    tokio::time::advance(Duration::from_secs(2)).await;
    engine.connect(both[0].socket());
    assert!(next.drained(both[0].socket()).await.is_err(), "nothing shows what an old worker does");
    engine.disconnect();
    assert!(next.drained(both[0].socket()).await.unwrap().is_yes(), "no old worker is left");
}

#[tokio::test(start_paused = true)]
async fn unreadable_table_is_an_error_and_not_an_empty_one() {
    let engine = Engine::default();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    engine.ingress().apply(&wanted).await.unwrap();
    let next = engine.ingress();
    engine.fail_reads(true);
    assert!(next.observe().await.is_err());
    engine.fail_reads(false);
    engine.damage("table.json");
    assert!(next.observe().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn names_need_one_look_at_the_image_and_it_is_said_what_that_lacks() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = RouteTable {
        listeners: vec![listener("db", 5432, Protocol::Tcp, &[endpoint(20, 5432)])],
        ..RouteTable::default()
    };
    let applied = ingress.apply(&wanted).await.unwrap();
    assert_eq!(applied.warnings, Vec::<String>::new());
    assert!(engine.reads("listen 10.89.0.130:5432 "));
    let looks = |calls: Vec<String>| calls.iter().filter(|call| *call == "exec features").count();
    assert_eq!(looks(engine.take_calls()), 1);
    let more = RouteTable {
        listeners: vec![listener("db", 5432, Protocol::Tcp, &[endpoint(21, 5432)])],
        ..RouteTable::default()
    };
    ingress.apply(&more).await.unwrap();
    assert_eq!(looks(engine.take_calls()), 0);

    engine.lose();
    engine.remove_stream();
    let applied = ingress.apply(&more).await.unwrap();
    let [warning] = &applied.warnings[..] else { panic!("{:?}", applied.warnings) };
    assert!(warning.contains("has no stream module"), "{warning}");
    assert_eq!(ingress.observe().await.unwrap(), ObservedIngress::Serving { table: more });
    assert!(!engine.reads("listen 10.89.0.130"));
}

#[tokio::test(start_paused = true)]
async fn refused_app_keeps_last_good_routes_and_others_change() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let good = route("a.test", "/", "web", &[endpoint(20, 80)]);
    let last = route("b.test", "/", "bad", &[endpoint(30, 80)]);
    ingress.apply(&table(&[good, last.clone()])).await.unwrap();
    engine.take_calls();
    engine.refuse("/refused");
    let moved = route("a.test", "/", "web", &[endpoint(21, 80)]);
    let wanted = table(&[moved.clone(), route("b.test", "/refused", "bad", &[endpoint(31, 80)])]);
    let applied = ingress.apply(&wanted).await.unwrap();
    assert_eq!(applied.quarantined.len(), 1);
    let (app, reason) = applied.quarantined.first_key_value().unwrap();
    assert_eq!((app.as_str(), reason.as_str()), ("bad", "no such port in hosts/b.test.conf:4"));
    assert_eq!(engine.served(), table(&[moved, last]));
    let check = ["put gen", "exec nginx -T"];
    // All apps, each of the two alone, and the combination that is served.
    let checks = [check, check, check, check].concat();
    assert_eq!(engine.take_calls(), joined(&[&checks, &["put link", "signal SIGHUP"]]));

    let again = ingress.apply(&wanted).await.unwrap();
    assert_eq!((again.changed, again.quarantined), (false, applied.quarantined));
    assert_eq!(engine.take_calls(), Vec::<String>::new(), "a refused app is not checked again");
}

#[tokio::test(start_paused = true)]
async fn table_refused_only_as_a_whole_activates_nothing() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let first = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&first).await.unwrap();
    engine.take_calls();
    engine.refuse_everything();
    let refused = ingress.apply(&table(&[])).await;
    assert!(matches!(refused, Err(IngressError::Refused { .. })), "{refused:?}");
    assert_eq!(engine.take_calls(), ["put gen", "exec nginx -T"]);
    assert_eq!(engine.served(), first);
}

#[tokio::test(start_paused = true)]
async fn first_of_two_apps_with_same_route_keeps_it() {
    let engine = Engine::default();
    let first = route("a.test", "/", "web", &[endpoint(20, 80)]);
    let second = route("a.test", "/", "late", &[endpoint(30, 80)]);
    let applied = engine.ingress().apply(&table(&[first.clone(), second])).await.unwrap();
    assert_eq!(applied.quarantined.len(), 1);
    assert_eq!(applied.quarantined.first_key_value().unwrap().1, "`a.test/` belongs to app `web`");
    assert_eq!(engine.served(), table(&[first]));
}

#[tokio::test(start_paused = true)]
async fn truncated_file_is_never_activated() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let first = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&first).await.unwrap();
    engine.take_calls();
    engine.cut_files(true);
    let cut = ingress.apply(&table(&[route("b.test", "/", "web", &[endpoint(21, 80)])])).await;
    assert!(matches!(cut, Err(IngressError::Failed(_))), "{cut:?}");
    assert_eq!(engine.take_calls(), ["put gen", "exec nginx -T"]);
    assert_eq!(engine.served(), first);
}

#[tokio::test(start_paused = true)]
async fn killed_nginx_restarts_with_its_files() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&wanted).await.unwrap();
    engine.take_calls();
    engine.exit(137);
    let down = ingress.observe().await.unwrap();
    assert_eq!(down, ObservedIngress::Down { reason: "its container exited with code 137".into() });
    engine.damage("hosts/a.test.conf");
    assert!(ingress.apply(&wanted).await.unwrap().changed);
    assert_eq!(engine.take_calls(), ["put gen", "start"]);
    assert!(engine.reads("server_name a.test"), "changed files are not read");

    engine.pause();
    assert!(ingress.apply(&wanted).await.unwrap().changed);
    assert_eq!(engine.take_calls(), ["stop", "start"]);
}

#[tokio::test(start_paused = true)]
async fn removed_nginx_is_created_with_last_good_files() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&wanted).await.unwrap();
    engine.take_calls();
    engine.lose();
    assert_eq!(ingress.observe().await.unwrap(), ObservedIngress::Absent);
    assert!(ingress.apply(&wanted).await.unwrap().changed);
    assert_eq!(engine.take_calls(), START);
    assert_eq!(engine.served(), wanted);
}

#[tokio::test(start_paused = true)]
async fn changed_files_are_restored_and_reloaded() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&wanted).await.unwrap();
    engine.take_calls();
    engine.damage("apps/web.conf");
    tokio::time::advance(Duration::from_secs(16)).await;
    assert!(ingress.apply(&wanted).await.unwrap().changed);
    assert_eq!(
        engine.take_calls(),
        ["read current", "put gen", "read current", "signal SIGHUP"],
        "nginx may have read them"
    );
    assert!(!ingress.apply(&wanted).await.unwrap().changed);
}

#[tokio::test(start_paused = true)]
async fn repair_reads_intact_files_once_and_restores_damaged_ones() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    assert_eq!(ingress.repair().await.unwrap(), None, "there is no container");
    ingress.apply(&table(&[route("a.test", "/", "web", &[endpoint(20, 80)])])).await.unwrap();
    engine.take_calls();
    assert_eq!(ingress.repair().await.unwrap(), None);
    assert_eq!(engine.take_calls(), ["image", "read current"], "the image is compared once");
    // A new orchestrator that has not applied anything does the same.
    for ingress in [ingress, engine.ingress()] {
        ingress.observe().await.unwrap();
        engine.damage("hosts/a.test.conf");
        assert!(ingress.repair().await.unwrap().is_some());
        assert_eq!(engine.take_calls().pop().as_deref(), Some("signal SIGHUP"));
        assert_eq!(ingress.repair().await.unwrap(), None);
        assert!(!engine.reads("damaged"));
        engine.take_calls();
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_command_times_out_after_30_s() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    ingress.apply(&table(&[])).await.unwrap();
    engine.hang();
    let start = tokio::time::Instant::now();
    let late = ingress.apply(&table(&[route("a.test", "/", "web", &[])])).await;
    let Err(IngressError::Runtime(error)) = late else { panic!("{late:?}") };
    assert!(error.to_string().contains("nginx -T"), "{error}");
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn command_fails_soon_after_its_container_is_paused() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    ingress.apply(&table(&[])).await.unwrap();
    engine.hang();
    let start = tokio::time::Instant::now();
    let changed = table(&[route("a.test", "/", "web", &[])]);
    let pause = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        engine.pause();
    };
    let (late, ()) = tokio::join!(ingress.apply(&changed), pause);
    let Err(IngressError::Runtime(RuntimeError::NotRunning { .. })) = late else {
        panic!("{late:?}")
    };
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn reload_without_effect_is_not_acknowledged() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let first = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&first).await.unwrap();
    engine.ignore_reloads(true);
    let second = table(&[route("b.test", "/", "web", &[endpoint(20, 80)])]);
    let late = ingress.apply(&second).await;
    assert!(matches!(late, Err(IngressError::NotAcknowledged)), "{late:?}");
    assert_eq!(
        ingress.observe().await.unwrap(),
        ObservedIngress::Serving { table: first },
        "the acknowledged table is still served"
    );
    engine.ignore_reloads(false);
    assert!(ingress.apply(&second).await.unwrap().changed);
    assert_eq!(engine.served(), second);
}

#[tokio::test(start_paused = true)]
async fn observe_returns_former_table_until_acknowledged() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let first = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&first).await.unwrap();
    let second = table(&[route("b.test", "/", "web", &[endpoint(20, 80)])]);
    let observe = async {
        // A new worker answers already, and an old one may still answer.
        while engine.served() != second {
            tokio::task::yield_now().await;
        }
        ingress.observe().await.unwrap()
    };
    let (applied, observed) = tokio::join!(ingress.apply(&second), observe);
    assert!(applied.unwrap().changed);
    assert_eq!(observed, ObservedIngress::Serving { table: first });
    assert_eq!(ingress.observe().await.unwrap(), ObservedIngress::Serving { table: second });
}

#[tokio::test(start_paused = true)]
async fn rejected_start_removes_container_and_reports_taken_port() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let engine = Engine::default();
    engine.refuse_start(true);
    let ingress = engine.ingress_at(port);
    let taken = ingress.apply(&table(&[])).await;
    assert!(
        matches!(&taken, Err(IngressError::PortTaken { port: named, .. }) if *named == port),
        "{taken:?}"
    );
    assert_eq!(engine.take_calls(), ["image", "create", "put gen", "start", "remove"]);
    drop(listener);
    let other = ingress.apply(&table(&[])).await;
    assert!(matches!(other, Err(IngressError::Runtime(_))), "the port is free: {other:?}");
    assert_eq!(engine.take_calls(), ["image", "create", "put gen", "start", "remove"]);
}

#[tokio::test(start_paused = true)]
async fn changed_setting_replaces_container() {
    let engine = Engine::default();
    engine.ingress_at(8080).apply(&table(&[])).await.unwrap();
    engine.take_calls();
    assert!(engine.ingress_at(8081).apply(&table(&[])).await.unwrap().changed);
    let calls = engine.take_calls();
    assert_eq!(calls[..4], ["image", "stop", "remove", "create"], "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn new_orchestrator_takes_over_settings_and_image_of_tag() {
    let engine = Engine::default();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    engine.ingress_at(8080).apply(&wanted).await.unwrap();
    let next = engine.ingress_at(8081);
    next.observe().await.unwrap();
    assert_eq!(next.listening(), ["127.0.0.1:8080".parse().unwrap()], "what really is published");
    let said = next.repair().await.unwrap().unwrap();
    assert!(said.contains("settings changed") && said.contains("no request"), "{said}");
    assert_eq!(engine.served(), wanted, "the routes stay");
    next.observe().await.unwrap();
    assert_eq!(next.listening(), ["127.0.0.1:8081".parse().unwrap()]);
    assert_eq!(next.repair().await.unwrap(), None);

    engine.move_tag("sha256:2");
    assert_eq!(next.repair().await.unwrap(), None, "a new image is taken over at a start only");
    let said = engine.ingress_at(8081).repair().await.unwrap().unwrap();
    assert!(said.contains("another image"), "{said}");
    assert_eq!(engine.served(), wanted);
}

#[tokio::test(start_paused = true)]
async fn container_stays_while_its_replacement_cannot_start() {
    let engine = Engine::default();
    let first = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    engine.ingress_at(8080).apply(&first).await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let next = engine.ingress_at(listener.local_addr().unwrap().port());
    assert!(matches!(next.repair().await, Err(IngressError::PortTaken { .. })));
    let second = table(&[route("b.test", "/", "web", &[endpoint(20, 80)])]);
    let applied = next.apply(&second).await.unwrap();
    assert!(applied.warnings.iter().any(|text| text.contains("former settings")), "{applied:?}");
    assert_eq!(engine.served(), second, "what runs gets new routes");
}

#[tokio::test(start_paused = true)]
async fn old_nginx_causes_warning_and_gets_no_unknown_directive() {
    let engine = Engine::default();
    engine.set_version("nginx version: nginx/1.22.1");
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    for _ in 0..2 {
        let warnings = ingress.apply(&wanted).await.unwrap().warnings;
        assert!(warnings.iter().any(|text| text.contains("1.22.1")), "{warnings:?}");
    }
    assert!(!engine.reads("keepalive_min_timeout") && !engine.reads("keepalive 0"));
}

#[tokio::test(start_paused = true)]
async fn address_drains_after_window_and_last_connection() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let both = [endpoint(20, 80), endpoint(21, 80)];
    let left = both[0].socket();
    let kept = both[1].socket();
    ingress.apply(&table(&[route("a.test", "/", "web", &both)])).await.unwrap();
    ingress.apply(&table(&[route("a.test", "/", "web", &both[1..])])).await.unwrap();
    assert!(!ingress.drained(left).await.unwrap().is_yes(), "one more request may be sent");
    tokio::time::advance(Duration::from_secs(2)).await;
    engine.connect(left);
    assert!(!ingress.drained(left).await.unwrap().is_yes(), "a request is in flight");
    engine.disconnect();
    tokio::time::advance(Duration::from_millis(250)).await;
    engine.flood(true);
    assert!(ingress.drained(left).await.is_err(), "a truncated snapshot proves nothing");
    engine.flood(false);
    assert!(ingress.drained(left).await.unwrap().is_yes());
    assert!(!ingress.drained(kept).await.unwrap().is_yes(), "a routed address receives requests");
    engine.lose();
    assert!(ingress.drained(kept).await.unwrap().is_yes(), "nothing is routed");
}

#[tokio::test(start_paused = true)]
async fn old_generations_are_removed_except_the_former_one() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    for last in 20..60 {
        let wanted = table(&[route("a.test", "/", "web", &[endpoint(last, 80)])]);
        ingress.apply(&wanted).await.unwrap();
        assert!(engine.generations() >= 2 && engine.generations() <= 11);
    }
}

#[tokio::test(start_paused = true)]
async fn remove_stops_gracefully_and_is_idempotent() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    ingress.apply(&table(&[])).await.unwrap();
    engine.take_calls();
    ingress.remove().await.unwrap();
    ingress.remove().await.unwrap();
    assert_eq!(engine.take_calls(), ["stop", "remove"]);
}

#[test]
fn reloads_are_limited_to_one_per_second_after_a_burst_of_two() {
    let pace = Engine::default().ingress().pace();
    assert_eq!(pace, Pace { burst: 2, period: Duration::from_secs(1) });
}

#[tokio::test(start_paused = true)]
async fn container_off_its_network_is_down_and_replaced() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let table = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&table).await.unwrap();
    engine.leave_network();
    let seen = ingress.observe().await.unwrap();
    let ObservedIngress::Down { reason } = seen else { panic!("{seen:?}") };
    assert_eq!(reason, "its container is not on the instance's network");
    assert!(ingress.apply(&table).await.unwrap().changed);
    assert_eq!(ingress.observe().await.unwrap(), ObservedIngress::Serving { table });
}
