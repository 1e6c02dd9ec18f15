//! Fixture for tests of nginx: a network with three upstreams, an ingress that is not started yet,
//! and clients on the host.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dubernetes_core::app::{AppName, ImageRef, InstanceName, PodName, PullPolicy, RoutePath};
use dubernetes_core::identity;
use dubernetes_core::ingress::{Endpoint, Route, TrustedProxies};
use dubernetes_core::labels::INSTANCE;
use dubernetes_core::runtime::{
    ContainerId, ContainerRequest, ContainerRuntime, Network, NetworkAddress, Networks,
    StatsReader, run_command,
};
use dubernetes_docker::DockerRuntime;
use dubernetes_nginx::config::{GENERATION_PATH, PRIVATE_PORT};
use dubernetes_nginx::{NginxConfig, NginxIngress};
use dubernetes_testkit::gate::engine_or_skip;
use dubernetes_tests::port::Port;
use dubernetes_tests::websocket::WebSocket;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

// Images built by `cargo xtask images`.
const UPSTREAM: &str = "dubernetes-whoami:1";
const TOOLS: &str = "dubernetes-test-busybox:1";
const NGINX: &str = "dubernetes-nginx:1.30";
/// Port of the first upstream minus one; each upstream has a port of its own.
const BASE_PORT: u16 = 8080;
const LIMIT: Duration = Duration::from_secs(20);
/// State of an open connection in the kernel's table.
const ESTABLISHED: &str = " 01 ";

/// Network and upstreams of one test.
#[derive(Debug)]
pub(crate) struct NginxFixture {
    pub(crate) runtime: DockerRuntime,
    pub(crate) instance: InstanceName,
    pub(crate) upstreams: Vec<Endpoint>,
    /// Host port of the ingress.
    pub(crate) port: u16,
    pub(crate) network: Network,
    /// Another port of the host.
    pub(crate) published: Port,
    nginx: ImageRef,
    _port: Port,
}

/// Runs `test` with a new fixture, and removes all containers and the network afterwards, also if
/// the test fails.
pub(crate) async fn with_fixture<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    test: impl FnOnce(Arc<NginxFixture>) -> F,
) {
    let Some((runtime, nginx)) = connect_engine(name).await else { return };
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let instance = format!("t-ingress-{}-{number}", std::process::id());
    let instance = InstanceName::parse(&instance).unwrap();
    let created = {
        let runtime = runtime.clone();
        let instance = instance.clone();
        let create = NginxFixture::create(runtime, instance, nginx);
        tokio::spawn(async move { Arc::new(create.await) }).await
    };
    let outcome = match created {
        Ok(fixture) => tokio::spawn(test(fixture)).await,
        Err(failed) => Err(failed),
    };
    if outcome.is_err() {
        print_logs(&runtime, &instance).await;
    }
    for container in runtime.list(&instance).await.unwrap() {
        ContainerRuntime::remove(&runtime, &container.id).await.unwrap();
    }
    Networks::remove(&runtime, &instance).await.unwrap();
    if let Err(failed) = outcome {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// Returns the engine and the nginx image, or prints why the test is skipped.
async fn connect_engine(test: &str) -> Option<(DockerRuntime, ImageRef)> {
    let runtime = engine_or_skip(test, DockerRuntime::connect(None).await)?;
    let nginx = std::env::var("DUBERNETES_INGRESS_IMAGE").unwrap_or_else(|_| NGINX.to_owned());
    let nginx = ImageRef::parse(&nginx).unwrap();
    for image in [&nginx, &ImageRef::parse(UPSTREAM).unwrap(), &ImageRef::parse(TOOLS).unwrap()] {
        let image = image.clone().into();
        engine_or_skip(test, runtime.resolve(&image, PullPolicy::Never).await)?;
    }
    Some((runtime, nginx))
}

/// Prints state and last log lines of all containers.
async fn print_logs(runtime: &DockerRuntime, instance: &InstanceName) {
    for container in runtime.list(instance).await.unwrap_or_default() {
        let state = &container.state;
        let logs = docker(&format!("logs --tail 20 {}", container.name)).await;
        let line = format!("{} is {state:?}\n{logs}\n", container.name);
        let _ = tokio::io::stderr().write_all(line.as_bytes()).await;
    }
}

/// Runs a command of the engine and returns both of its outputs.
async fn docker(arguments: &str) -> String {
    let run = tokio::process::Command::new("docker").args(arguments.split(' ')).output().await;
    let run = run.unwrap();
    format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr))
}

pub(crate) fn route(host: &str, path: &str, app: &str, endpoints: &[Endpoint]) -> Route {
    let path = RoutePath::parse(path).unwrap();
    Route::new(host.parse().unwrap(), path, AppName::parse(app).unwrap(), endpoints.to_vec())
}

/// Waits until `check` holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl NginxFixture {
    async fn create(runtime: DockerRuntime, instance: InstanceName, nginx: ImageRef) -> Self {
        let network = Networks::ensure(&runtime, &instance).await.unwrap();
        let port = Port::take();
        let mut fixture = Self {
            runtime,
            instance,
            upstreams: Vec::new(),
            port: port.number,
            network,
            nginx,
            published: Port::take(),
            _port: port,
        };
        for ordinal in 1..=3 {
            let endpoint = fixture.start_upstream(ordinal).await;
            fixture.upstreams.push(endpoint);
        }
        fixture
    }

    async fn start_upstream(&self, ordinal: u8) -> Endpoint {
        let app = AppName::parse("who").unwrap();
        let pod = PodName::replica(&app, ordinal.into());
        let address = self.address(20 + u32::from(ordinal));
        let port = BASE_PORT + u16::from(ordinal);
        let env = [
            ("WHOAMI_NAME", pod.to_string()),
            ("WHOAMI_PORT", port.to_string()),
            ("DUBERNETES_APP", app.to_string()),
        ];
        let id = self.create_container(pod.as_str(), UPSTREAM, address, env, &[]).await;
        self.runtime.start(&id).await.unwrap();
        eventually("the upstream listens", || async {
            TcpStream::connect((address, port)).await.is_ok()
        })
        .await;
        Endpoint { pod, address: address.into(), port }
    }

    async fn create_container<const N: usize>(
        &self,
        name: &str,
        image: &str,
        address: Ipv4Addr,
        env: [(&str, String); N],
        command: &[&str],
    ) -> ContainerId {
        let request = ContainerRequest {
            hostname: name.to_owned(),
            labels: BTreeMap::from([(INSTANCE.to_owned(), self.instance.to_string())]),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            env: env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            network: Some(NetworkAddress {
                network: self.network.id.clone(),
                address: Some(address.into()),
            }),
            ..ContainerRequest::new(format!("dubernetes.{}.{name}", self.instance), image)
        };
        self.runtime.create(&request).await.unwrap()
    }

    pub(crate) fn address(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network.subnet.network()) + offset)
    }

    /// Returns a new ingress without cached state, as after a restart of the orchestrator.
    pub(crate) fn ingress(&self) -> NginxIngress {
        self.ingress_behind("none", false)
    }

    /// Returns the same for a proxy in front that is believed.
    pub(crate) fn ingress_behind(&self, trusted: &str, proxy_protocol: bool) -> NginxIngress {
        let config = NginxConfig {
            instance: self.instance.clone(),
            image: self.nginx.clone(),
            pull: PullPolicy::Never,
            http_bind: vec![Ipv4Addr::LOCALHOST.into()],
            https_port: None,
            http_port: self.port,
            keepalive_window: NginxConfig::KEEPALIVE_WINDOW,
            trusted_proxies: TrustedProxies::parse(trusted).unwrap(),
            proxy_protocol,
            access_log: true,
            count_requests: true,
        };
        NginxIngress::new(
            Arc::new(self.runtime.clone()),
            Arc::new(dubernetes_controller::TcpDialer::default()),
            config,
        )
    }

    /// Returns the name of nginx's container.
    pub(crate) fn container(&self) -> String {
        identity::ingress_name(&self.instance)
    }

    pub(crate) async fn docker(&self, arguments: &str) {
        docker(arguments).await;
    }

    /// Whether nginx has an open connection to the address of `endpoint`.
    pub(crate) async fn is_connected(&self, endpoint: SocketAddr) -> bool {
        let IpAddr::V4(address) = endpoint.ip() else { return false };
        let id = ContainerId(self.container().into());
        let table = run_command(&self.runtime, &id, &["cat", "/proc/net/tcp"], None).await.unwrap();
        let remote = format!("{:08X}:", u32::from_ne_bytes(address.octets()));
        let is_open = |line: &str| line.contains(&remote) && line.contains(ESTABLISHED);
        String::from_utf8_lossy(&table.stdout).lines().any(is_open)
    }

    /// Requests nginx's private generation endpoint from another container, and returns the output.
    pub(crate) async fn request_generation_from_container(&self) -> String {
        let url = format!("http://{}:{PRIVATE_PORT}{GENERATION_PATH}", self.address(2));
        let id =
            self.create_container("asks", TOOLS, self.address(40), [], &["sleep", "600"]).await;
        self.runtime.start(&id).await.unwrap();
        let output =
            run_command(&self.runtime, &id, &["wget", "-q", "-O", "-", &url], None).await.unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    /// Sends `GET path` with additional headers over a fresh connection, and returns the raw
    /// answer.
    pub(crate) async fn request(
        &self,
        host: &str,
        path: &str,
        headers: &str,
    ) -> Result<String, String> {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
        self.exchange(&head).await.map_err(|error| error.to_string())
    }

    /// Sends `POST /` with a body over a fresh connection, and returns the raw answer.
    pub(crate) async fn post(&self, host: &str, body: &str) -> Result<String, String> {
        let length = body.len();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        self.exchange(&head).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> std::io::Result<String> {
        exchange(self.port, request).await
    }

    /// Asserts that this upstream answers the next GET for `host`.
    pub(crate) async fn assert_served_by(&self, host: &str, upstream: &Endpoint) {
        let answer = self.request(host, "/", "").await.unwrap();
        let by = format!("Name: {}", upstream.pod);
        assert!(answer.lines().any(|line| line == by), "expected `{by}` from {host}: {answer}");
    }

    /// Opens a connection to the ingress without sending anything.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Opens a websocket to an upstream's `/echo`.
    pub(crate) async fn websocket(&self, host: &str) -> WebSocket {
        WebSocket::open(self.port, host).await.unwrap()
    }

    /// Returns the number of nginx's worker processes, including old ones.
    pub(crate) async fn count_workers(&self) -> usize {
        docker(&format!("top {} -eo pid,args", self.container())).await.matches("worker").count()
    }

    /// Prints a line to standard error, past the output capture of the test runner.
    pub(crate) async fn print_line(&self, text: &str) {
        let _ = tokio::io::stderr().write_all(format!("{text}\n").as_bytes()).await;
    }

    /// Returns the memory use of nginx's container.
    pub(crate) async fn memory_bytes(&self) -> u64 {
        let id = ContainerId(self.container().into());
        StatsReader::read(&self.runtime, &id).await.unwrap().memory_bytes
    }
}

/// Sends a request over a fresh connection, and returns the raw answer.
async fn exchange(port: u16, request: impl AsRef<[u8]>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request.as_ref()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await??;
    if answer.is_empty() {
        return Err(std::io::Error::other("closed without an answer"));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
