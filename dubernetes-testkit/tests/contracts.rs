//! The contract suites on the fakes.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::ingress::Endpoint;
use dubernetes_testkit::contract::{container_runtime, ingress};
use dubernetes_testkit::{Answer, Behaviour, FakeIngress, FakeRuntime, TokioClock};

#[tokio::test]
async fn the_fake_runtime_keeps_the_contract() {
    let runtime = FakeRuntime::new(TokioClock::new());
    runtime.add_image("sleeper:1", Behaviour::default());
    let facts = container_runtime::Facts {
        instance: InstanceName::parse("one").unwrap(),
        other_instance: InstanceName::parse("two").unwrap(),
        image: ImageRef::parse("sleeper:1").unwrap(),
        missing_image: ImageRef::parse("missing:1").unwrap(),
        real_commands: false,
    };
    container_runtime::run(&runtime, &facts).await;
}

#[derive(Debug)]
struct FakeWorld(FakeIngress);

#[async_trait]
impl ingress::World for FakeWorld {
    fn upstreams(&self) -> Vec<Endpoint> {
        let endpoint =
            |n| Endpoint { pod: format!("web-{n}"), address: Ipv4Addr::new(10, 1, 0, n), port: 80 };
        (21..24).map(endpoint).collect()
    }

    async fn get(&self, host: &str, path: &str) -> Result<(u16, String), String> {
        match self.0.request(host, path) {
            Answer::Endpoint(endpoint) => Ok((200, endpoint.pod)),
            Answer::Unavailable => Ok((503, String::new())),
            Answer::NotFound => Ok((404, String::new())),
            Answer::Refused => Err("no proxy runs".to_owned()),
        }
    }
}

#[tokio::test]
async fn the_fake_ingress_keeps_the_contract() {
    let fake = FakeIngress::default();
    ingress::run(&fake, &FakeWorld(fake.clone())).await;
}
