//! The surroundings of a real nginx for the contract suite.

use std::any::Any;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::identity;
use dubernetes_core::ingress::{Endpoint, HostPort};
use dubernetes_testkit::contract::Need;
use dubernetes_testkit::contract::ingress::{
    Answer, FailingEndpoint, KeptConnection, Request, World,
};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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
        let address = listener.local_addr().unwrap();
        let received = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let is_request = stream.read(&mut request).await.is_ok_and(|length| length > 0);
                count.fetch_add(u32::from(is_request), Ordering::SeqCst);
            }
        });
        let pod = PodName::replica(&AppName::parse("fails").unwrap(), 1);
        let endpoint = Endpoint { pod, address: address.ip(), port: address.port() };
        Self { fixture, failing: FailingEndpoint { endpoint, received } }
    }

    async fn send_to(&self, port: u16, request: &Request) -> Answer {
        let connected = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = connected.map_err(|error| error.to_string())?;
        Connection { port, stream: Some(stream) }.exchange(request, "close").await
    }
}

#[async_trait]
impl World for NginxWorld {
    fn upstreams(&self) -> Vec<Endpoint> {
        self.fixture.upstreams.clone()
    }

    async fn send(&self, request: &Request) -> Answer {
        self.send_to(self.fixture.port, request).await
    }

    fn offers(&self, need: Need) -> bool {
        matches!(need, Need::SlowRequests | Need::KeptConnections | Need::Kill | Need::TakenPort)
    }

    async fn begin_slow_request(&self, host: &str) -> BoxFuture<'static, Answer> {
        let request = Request::get(host, "/?wait=5s");
        let stream = TcpStream::connect(("127.0.0.1", self.fixture.port)).await.unwrap();
        let mut connection = Connection { port: self.fixture.port, stream: Some(stream) };
        let answer = tokio::spawn(async move { connection.exchange(&request, "close").await });
        eventually("the request is in flight", || async {
            let upstreams = self.fixture.upstreams.iter();
            let connected = upstreams.map(|endpoint| self.fixture.is_connected(endpoint.socket()));
            futures_util::future::join_all(connected).await.contains(&true)
        })
        .await;
        Box::pin(async { answer.await.map_err(|error| error.to_string())? })
    }

    async fn connect(&self) -> Result<Box<dyn KeptConnection>, String> {
        Ok(Box::new(Connection { port: self.fixture.port, stream: None }))
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
        self.send_to(host.port(), &Request::get("published.test", "/")).await
    }
}

/// A connection of a client. It is opened again once nginx has said that it closes it.
#[derive(Debug)]
struct Connection {
    port: u16,
    stream: Option<TcpStream>,
}

#[async_trait]
impl KeptConnection for Connection {
    async fn send(&mut self, request: &Request) -> Answer {
        self.exchange(request, "keep-alive").await
    }
}

impl Connection {
    async fn exchange(&mut self, request: &Request, connection: &str) -> Answer {
        let answer = self.try_exchange(request, connection).await.map_err(|e| e.to_string())?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| format!("not HTTP: {answer:?}"))?;
        Ok((status, answer))
    }

    async fn try_exchange(&mut self, request: &Request, kind: &str) -> std::io::Result<String> {
        let Request { method, host, target, body } = request;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(("127.0.0.1", self.port)).await?,
        };
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}Connection: {kind}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let answer = read_answer(&mut stream).await?;
        if !answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// Reads one answer of known length, or to the end of the connection.
async fn read_answer(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                return Ok(text);
            }
        }
        if stream.read_buf(&mut read).await? == 0 {
            let is_empty = read.is_empty();
            let closed = || std::io::Error::other("closed without an answer");
            return if is_empty { Err(closed()) } else { Ok(text) };
        }
    }
}
