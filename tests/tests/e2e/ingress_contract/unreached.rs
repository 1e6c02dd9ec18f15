//! Requests to replicas that are gone, on a real nginx.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dubernetes_core::ingress::Ingress as _;
use dubernetes_testkit::contract::ingress::World as _;

use super::nginx_fixture::{NginxFixture, route, with_fixture};
use super::table;
use super::world::NginxWorld;

const UNAVAILABLE: &str = "this app has no ready replica";

async fn kill(fixture: &NginxFixture, number: usize) {
    let pod = &fixture.upstreams[number].pod;
    fixture.docker(&format!("kill dubernetes.{}.{pod}", fixture.instance)).await;
}

#[tokio::test]
async fn replica_that_is_gone_costs_less_than_a_second() {
    with_fixture("replica_that_is_gone_costs_less_than_a_second", |fixture| async move {
        let only = route("only.test", "/", "only", &fixture.upstreams[..1]);
        let both = route("both.test", "/", "both", &fixture.upstreams[..2]);
        fixture.ingress().apply(&table(&[&only, &both])).await.unwrap();
        for _ in 0..10 {
            fixture.assert_served_by("only.test", &fixture.upstreams[0]).await;
        }
        kill(&fixture, 0).await;
        for _ in 0..4 {
            let start = Instant::now();
            let get = fixture.request("only.test", "/", "").await.unwrap();
            let took = start.elapsed();
            assert!(took < Duration::from_secs(1), "{took:?}: {get}");
            let post = fixture.post("only.test", "text").await.unwrap();
            for answer in [get, post] {
                assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
                assert!(answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
                assert!(answer.ends_with(UNAVAILABLE), "{answer}");
            }
            let start = Instant::now();
            fixture.assert_served_by("both.test", &fixture.upstreams[1]).await;
            let took = start.elapsed();
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn answer_of_the_app_and_broken_answer_stay_as_they_are() {
    with_fixture("answer_of_the_app_and_broken_answer_stay_as_they_are", |fixture| async move {
        let only = route("a.test", "/", "web", &fixture.upstreams[..1]);
        fixture.ingress().apply(&table(&[&only])).await.unwrap();
        let head = "POST /health HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\
                    Connection: close\r\n\r\n504";
        fixture.exchange(head).await.unwrap();
        let own = fixture.request("a.test", "/health", "").await.unwrap();
        assert!(own.starts_with("HTTP/1.1 504 "), "{own}");
        assert!(own.ends_with("\r\n\r\n"), "the app's answer has no body: {own}");

        let world = NginxWorld::new(Arc::clone(&fixture)).await;
        let slow = world.begin_slow_request("a.test").await;
        kill(&fixture, 0).await;
        let (status, broken) = slow.await.unwrap();
        assert_eq!(status, 502, "{broken}");
        assert!(!broken.contains(UNAVAILABLE), "{broken}");
    })
    .await;
}
