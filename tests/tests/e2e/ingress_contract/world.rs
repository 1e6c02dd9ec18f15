//! The surroundings of a real nginx for the contract suite.

use std::any::Any;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::identity;
use dubernetes_core::ingress::{Endpoint, HostPort};
use dubernetes_testkit::contract::Need;
use dubernetes_testkit::contract::ingress::{
    Answer, FailingEndpoint, HttpConnection, KeptConnection, Request, World,
};
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;

use super::nginx_fixture::{NginxFixture, eventually};

/// The fixture, and an upstream on this host that never answers.
#[derive(Debug)]
pub(crate) struct NginxWorld {
    fixture: Arc<NginxFixture>,
    failing: FailingEndpoint,
}

impl NginxWorld {
    pub(crate) async fn new(fixture: Arc<NginxFixture>) -> Self {
        // The first address of a network is that of this host.
        let listener = TcpListener::bind((fixture.address(1), 0)).await.unwrap();
        let pod = PodName::replica(&AppName::parse("fails").unwrap(), 1);
        Self { fixture, failing: FailingEndpoint::start(pod, listener).unwrap() }
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.fixture.port).into()
    }
}

#[async_trait]
impl World for NginxWorld {
    fn upstreams(&self) -> Vec<Endpoint> {
        self.fixture.upstreams.clone()
    }

    async fn send(&self, request: &Request) -> Answer {
        HttpConnection::send_once(self.address(), request).await
    }

    fn offers(&self, need: Need) -> bool {
        use Need::{KeptConnections, Kill, RequestCounts, SlowRequests, TakenPort};
        matches!(need, SlowRequests | KeptConnections | Kill | TakenPort | RequestCounts)
    }

    async fn begin_slow_request(&self, host: &str) -> BoxFuture<'static, Answer> {
        let request = Request::get(host, "/?wait=5s");
        let address = self.address();
        let answer =
            tokio::spawn(async move { HttpConnection::send_once(address, &request).await });
        eventually("the request is in flight", || async {
            let upstreams = self.fixture.upstreams.iter();
            let connected = upstreams.map(|endpoint| self.fixture.is_connected(endpoint.socket()));
            futures_util::future::join_all(connected).await.contains(&true)
        })
        .await;
        Box::pin(async { answer.await.map_err(|error| error.to_string())? })
    }

    async fn connect(&self) -> Result<Box<dyn KeptConnection>, String> {
        Ok(Box::new(HttpConnection::new(self.address())))
    }

    async fn kill(&self) -> Result<(), String> {
        self.fixture.docker(&format!("kill {}", self.fixture.container())).await;
        Ok(())
    }

    async fn take_port(&self) -> Result<Box<dyn Any + Send>, String> {
        let taken = std::net::TcpListener::bind(("127.0.0.1", self.fixture.port));
        Ok(Box::new(taken.map_err(|error| error.to_string())?))
    }

    fn dead_endpoint(&self) -> Option<Endpoint> {
        // Nothing listens on port 9 of an upstream.
        Some(Endpoint { port: 9, ..self.fixture.upstreams[0].clone() })
    }

    fn failing_endpoint(&self) -> Option<FailingEndpoint> {
        Some(self.failing.clone())
    }

    fn host_port(&self) -> Option<HostPort> {
        let app = AppName::parse("published").ok()?;
        let subnet = self.fixture.network.subnet;
        let address = identity::pick_name_address(subnet, &app, &BTreeSet::new())?;
        let mapping = format!("127.0.0.1:{}:5432", self.fixture.published.number).parse().ok()?;
        Some(HostPort { app, mapping, address })
    }

    async fn get_at(&self, host: SocketAddr) -> Answer {
        let address = (Ipv4Addr::LOCALHOST, host.port()).into();
        HttpConnection::send_once(address, &Request::get("published.test", "/")).await
    }
}
