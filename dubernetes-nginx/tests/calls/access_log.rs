//! The access log: when it is bounded, and what is read of it.

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{AccessLogQuery, Ingress as _, RouteTable};
use dubernetes_nginx::NginxIngress;
use futures_util::TryStreamExt as _;

use crate::engine::{Engine, endpoint, route, table};

const LINE: &str = r#"{"app":"web","pod":"","connected":"","time":"1.000","client":"10.0.0.1","method":"GET","host":"a.test","path":"/?a","protocol":"HTTP/1.1","status":"503","bytes":"0","seconds":"0.000"}
"#;

fn routed(last: u8) -> RouteTable {
    table(&[route("a.test", "/", "web", &[endpoint(last, 80)])])
}

fn query() -> AccessLogQuery {
    AccessLogQuery::new(AppName::parse("web").unwrap())
}

/// Returns the paths of the logged requests.
async fn read(ingress: &NginxIngress) -> Option<Result<Vec<String>, String>> {
    let log = ingress.access_log(&query()).await.unwrap()?;
    let log = log.map_err(|error| error.to_string());
    Some(log.map_ok(|entry| entry.path).try_collect().await)
}

fn rotations(engine: &Engine) -> usize {
    engine.take_calls().iter().filter(|call| *call == "exec rotation").count()
}

#[tokio::test(start_paused = true)]
async fn log_is_bounded_from_each_start_on_and_that_of_a_running_nginx_once() {
    let engine = Engine::default();
    let ingress = engine.ingress_with(|config| config.access_log = true);
    ingress.apply(&routed(20)).await.unwrap();
    assert!(engine.reads("set $dubernetes_app"));
    assert_eq!(rotations(&engine), 1);
    ingress.apply(&routed(21)).await.unwrap();
    assert_eq!(rotations(&engine), 0);

    // One that another orchestrator started, without a log.
    let engine = Engine::default();
    engine.ingress().apply(&routed(20)).await.unwrap();
    assert!(!engine.reads("access_log /") && rotations(&engine) == 0);
    let next = engine.ingress_with(|config| config.access_log = true);
    let said = next.repair().await.unwrap().unwrap();
    assert!(said.contains("rendered again"), "the container is not replaced: {said}");
    assert!(engine.reads("access_log /"));
    assert_eq!(rotations(&engine), 1);
    next.apply(&routed(21)).await.unwrap();
    assert_eq!(rotations(&engine), 0);
}

#[tokio::test(start_paused = true)]
async fn log_is_read_unless_it_is_off() {
    let engine = Engine::default();
    assert_eq!(read(&engine.ingress()).await, None, "it is off");
    let ingress = engine.ingress_with(|config| config.access_log = true);
    assert_eq!(read(&ingress).await, Some(Ok(Vec::new())), "nginx does not run");
    ingress.apply(&routed(20)).await.unwrap();
    engine.set_log(LINE);
    assert_eq!(read(&ingress).await, Some(Ok(vec!["/".to_owned()])));
    engine.lose_tools();
    let unsupported = read(&ingress).await.unwrap().unwrap_err();
    assert!(unsupported.contains("has no shell"), "{unsupported}");
}
