//! Which calls of the engine are made for a change, for none, for a bad app, and when things fail.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

#[path = "calls/engine.rs"]
mod engine;

use dubernetes_core::ingress::{Ingress as _, IngressError, ObservedIngress};

use crate::engine::{Engine, endpoint, route, table};

const START: &[&str] = &["image", "create", "put gen", "start", "exec nginx -v"];
const CHANGE: &[&str] = &["put gen", "exec nginx -T", "put link", "signal SIGHUP"];
/// After a change: old generations, now and then, and how many workers there are.
const AFTER: &[&str] = &["exec ls", "exec cat tcp"];

fn joined(parts: &[&[&str]]) -> Vec<String> {
    parts.iter().flat_map(|part| part.iter().map(|call| (*call).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_table_makes_a_container_then_checks_before_it_reloads() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    let applied = ingress.apply(&wanted).await.unwrap();
    assert!(applied.changed && applied.quarantined.is_empty() && applied.warnings.is_empty());
    let former = &["exec cat table"];
    assert_eq!(engine.take_calls(), joined(&[START, former, CHANGE, AFTER]));
    assert_eq!(engine.served(), wanted);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_table_makes_no_changing_call() {
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
    assert_eq!(engine.take_calls(), Vec::<String>::new(), "a quiet round runs nothing in nginx");
}

#[tokio::test(start_paused = true)]
async fn another_life_of_the_program_adopts_what_is_served() {
    let engine = Engine::default();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    engine.ingress().apply(&wanted).await.unwrap();
    engine.take_calls();
    let next = engine.ingress();
    let observed = next.observe().await.unwrap();
    assert_eq!(observed, ObservedIngress::Serving { table: wanted.clone() });
    assert!(!next.apply(&wanted).await.unwrap().changed);
    assert_eq!(engine.take_calls(), ["exec cat table", "exec nginx -v", "exec cat files"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_app_keeps_its_last_good_routes_and_the_rest_is_served() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let good = route("a.test", "/", "web", &[endpoint(20, 80)]);
    let last = route("b.test", "/", "bad", &[endpoint(30, 80)]);
    ingress.apply(&table(&[good, last.clone()])).await.unwrap();
    engine.take_calls();
    engine.refuse(":66 ");
    let moved = route("a.test", "/", "web", &[endpoint(21, 80)]);
    let wanted = table(&[moved.clone(), route("b.test", "/", "bad", &[endpoint(31, 66)])]);
    let applied = ingress.apply(&wanted).await.unwrap();
    assert_eq!(applied.quarantined.len(), 1);
    let (app, reason) = applied.quarantined.first_key_value().unwrap();
    assert_eq!((app.as_str(), reason.as_str()), ("bad", "no such port in apps/bad.conf:4"));
    assert_eq!(engine.served(), table(&[moved, last]));
    let check = ["put gen", "exec nginx -T"];
    // All, each of the two alone, and then what is left.
    let checks = [check, check, check, check].concat();
    assert_eq!(
        engine.take_calls(),
        joined(&[&checks, &["put link", "signal SIGHUP", "exec cat tcp"]])
    );

    let again = ingress.apply(&wanted).await.unwrap();
    assert_eq!((again.changed, again.quarantined), (false, applied.quarantined));
    assert_eq!(engine.take_calls(), Vec::<String>::new(), "a known bad app is not checked again");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_only_fails_as_a_whole_is_refused_and_nothing_is_activated() {
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
async fn two_apps_in_one_place_leave_it_to_the_first() {
    let engine = Engine::default();
    let first = route("a.test", "/", "web", &[endpoint(20, 80)]);
    let second = route("a.test", "/", "late", &[endpoint(30, 80)]);
    let applied = engine.ingress().apply(&table(&[first.clone(), second])).await.unwrap();
    assert_eq!(applied.quarantined.len(), 1);
    assert_eq!(applied.quarantined.first_key_value().unwrap().1, "`a.test/` belongs to app `web`");
    assert_eq!(engine.served(), table(&[first]));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_cut_on_the_way_is_never_activated() {
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
async fn a_killed_nginx_is_started_with_the_files_that_it_has() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&wanted).await.unwrap();
    engine.take_calls();
    engine.exit(137);
    let down = ingress.observe().await.unwrap();
    assert_eq!(down, ObservedIngress::Down { reason: "its container ended with code 137".into() });
    assert!(ingress.apply(&wanted).await.unwrap().changed);
    assert_eq!(engine.take_calls(), ["start"]);

    engine.pause();
    assert!(ingress.apply(&wanted).await.unwrap().changed);
    assert_eq!(engine.take_calls(), ["stop", "start"]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_nginx_comes_back_with_its_last_good_files() {
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
async fn files_that_somebody_changed_are_put_back_and_read_again() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let wanted = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&wanted).await.unwrap();
    engine.take_calls();
    engine.damage("apps/web.conf");
    tokio::time::advance(std::time::Duration::from_secs(16)).await;
    assert!(ingress.apply(&wanted).await.unwrap().changed);
    assert_eq!(
        engine.take_calls(),
        ["exec cat files", "put gen", "put link", "exec cat files", "signal SIGHUP"],
        "nginx may have read them"
    );
    assert!(!ingress.apply(&wanted).await.unwrap().changed);
}

#[tokio::test(start_paused = true)]
async fn a_look_at_whole_files_is_one_command_and_damage_is_mended() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    assert!(!ingress.repair().await.unwrap(), "nothing is there");
    ingress.apply(&table(&[route("a.test", "/", "web", &[endpoint(20, 80)])])).await.unwrap();
    engine.take_calls();
    assert!(!ingress.repair().await.unwrap());
    assert_eq!(engine.take_calls(), ["exec cat files"]);
    // Another life of the program, which was never asked to change anything, does the same.
    for life in [ingress, engine.ingress()] {
        life.observe().await.unwrap();
        engine.damage("hosts/a.test.conf");
        assert!(life.repair().await.unwrap());
        assert_eq!(engine.take_calls().pop().as_deref(), Some("signal SIGHUP"));
        assert!(!life.repair().await.unwrap() && !engine.reads("damaged"));
        engine.take_calls();
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_never_ends_fails_the_change_after_a_while() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    ingress.apply(&table(&[])).await.unwrap();
    engine.hang();
    let start = tokio::time::Instant::now();
    let late = ingress.apply(&table(&[route("a.test", "/", "web", &[])])).await;
    let is_timeout = matches!(&late, Err(IngressError::Runtime(error)) if error.to_string().contains("nginx -T"));
    assert!(is_timeout, "{late:?}");
    assert_eq!(start.elapsed(), std::time::Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_never_shows_is_not_acknowledged() {
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
        "what serves is what was acknowledged"
    );
    engine.ignore_reloads(false);
    assert!(ingress.apply(&second).await.unwrap().changed);
    assert_eq!(engine.served(), second);
}

#[tokio::test(start_paused = true)]
async fn until_a_change_is_acknowledged_the_last_table_is_what_is_seen() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let first = table(&[route("a.test", "/", "web", &[endpoint(20, 80)])]);
    ingress.apply(&first).await.unwrap();
    let second = table(&[route("b.test", "/", "web", &[endpoint(20, 80)])]);
    let look = async {
        // A new worker answers already, and an older one may still do so, too.
        while engine.served() != second {
            tokio::task::yield_now().await;
        }
        ingress.observe().await.unwrap()
    };
    let (applied, seen) = tokio::join!(ingress.apply(&second), look);
    assert!(applied.unwrap().changed);
    assert_eq!(seen, ObservedIngress::Serving { table: first });
    assert_eq!(ingress.observe().await.unwrap(), ObservedIngress::Serving { table: second });
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_refused_leaves_nothing_and_names_a_taken_port() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let engine = Engine::default();
    engine.refuse_start(true);
    let ingress = engine.ingress_at(port);
    let taken = ingress.apply(&table(&[])).await;
    assert!(
        matches!(&taken, Err(IngressError::PortTaken { port: named, .. }) if *named == port),
        "{taken:?}"
    );
    assert_eq!(engine.take_calls(), ["image", "create", "put gen", "start", "remove"]);
    drop(holder);
    let other = ingress.apply(&table(&[])).await;
    assert!(matches!(other, Err(IngressError::Runtime(_))), "the port is free: {other:?}");
    assert_eq!(engine.take_calls(), ["image", "create", "put gen", "start", "remove"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_setting_replaces_the_container() {
    let engine = Engine::default();
    engine.ingress_at(8080).apply(&table(&[])).await.unwrap();
    engine.take_calls();
    assert!(engine.ingress_at(8081).apply(&table(&[])).await.unwrap().changed);
    let calls = engine.take_calls();
    assert_eq!(calls[..4], ["image", "stop", "remove", "create"], "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_nginx_is_warned_of_and_gets_no_unknown_directive() {
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
async fn an_address_is_drained_after_the_window_and_its_last_connection() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    let both = [endpoint(20, 80), endpoint(21, 80)];
    let (left, kept) = (both[0].address, both[1].address);
    ingress.apply(&table(&[route("a.test", "/", "web", &both)])).await.unwrap();
    ingress.apply(&table(&[route("a.test", "/", "web", &both[1..])])).await.unwrap();
    assert!(!ingress.drained(left).await.unwrap(), "a kept connection may bring one request more");
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    engine.connect(left);
    assert!(!ingress.drained(left).await.unwrap(), "a request is under way");
    engine.disconnect();
    tokio::time::advance(std::time::Duration::from_millis(250)).await;
    engine.flood(true);
    assert!(ingress.drained(left).await.is_err(), "what was cut says nothing");
    engine.flood(false);
    assert!(ingress.drained(left).await.unwrap());
    assert!(!ingress.drained(kept).await.unwrap(), "an address of the table gets requests");
    engine.lose();
    assert!(ingress.drained(kept).await.unwrap(), "nothing routes to anywhere");
}

#[tokio::test(start_paused = true)]
async fn another_life_of_the_program_waits_the_whole_window_again() {
    let engine = Engine::default();
    engine.ingress().apply(&table(&[])).await.unwrap();
    let next = engine.ingress();
    next.observe().await.unwrap();
    assert!(!next.drained(endpoint(20, 80).address).await.unwrap());
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert!(next.drained(endpoint(20, 80).address).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn old_generations_are_removed_but_the_last_one() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    for last in 20..60 {
        let wanted = table(&[route("a.test", "/", "web", &[endpoint(last, 80)])]);
        ingress.apply(&wanted).await.unwrap();
        assert!(engine.generations() >= 2 && engine.generations() <= 11);
    }
}

#[tokio::test(start_paused = true)]
async fn removing_stops_gently_and_is_idempotent() {
    let engine = Engine::default();
    let ingress = engine.ingress();
    ingress.apply(&table(&[])).await.unwrap();
    engine.take_calls();
    ingress.remove().await.unwrap();
    ingress.remove().await.unwrap();
    assert_eq!(engine.take_calls(), ["stop", "remove"]);
}
