//! A certificate authority of a test's own: Pebble, which speaks ACME, in a container on the host's
//! network. It refuses one nonce in five.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dubernetes_core::app::{HostName, ImageRef, PullPolicy};
use dubernetes_core::certificate::{Authority, CertificateIssuer as _, ChallengeResponder};
use dubernetes_core::clock::SystemClock;
use dubernetes_core::ingress::IngressError;
use dubernetes_core::runtime::ContainerRuntime as _;
use dubernetes_docker::DockerRuntime;
use dubernetes_testkit::gate::engine_or_skip;
use dubernetes_tls::{AcmeSettings, TlsIssuer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::checks::SOON;
use crate::port::Port;
use crate::program::docker;
use crate::server::Server;

/// Built by `cargo xtask images`.
const IMAGE: &str = "dubernetes-pebble:1";

/// The authority. Dropping it removes its container.
#[derive(Debug)]
pub struct Pebble {
    container: String,
    port: Port,
    folder: TempDir,
}

impl Pebble {
    /// Starts an authority that checks hosts at `http_port` of 127.0.0.1. It knows the names of
    /// `hosts` alone. Returns `None`, and says that the test is skipped, without an engine or the
    /// image.
    pub async fn start(test: &str, http_port: u16, hosts: &[&str]) -> Option<Self> {
        Self::start_with(test, http_port, hosts, &[]).await
    }

    /// Like [`Self::start`]. Each check of a host takes up to three seconds.
    pub async fn start_slow(test: &str, http_port: u16, hosts: &[&str]) -> Option<Self> {
        let slow = ["--env", "PEBBLE_VA_NOSLEEP=0", "--env", "PEBBLE_VA_SLEEPTIME=3"];
        Self::start_with(test, http_port, hosts, &slow).await
    }

    async fn start_with(
        test: &str,
        http_port: u16,
        hosts: &[&str],
        options: &[&str],
    ) -> Option<Self> {
        let runtime = engine_or_skip(test, DockerRuntime::connect(None).await)?;
        let image = ImageRef::parse(IMAGE).unwrap().into();
        engine_or_skip(test, runtime.resolve(&image, PullPolicy::Never).await)?;
        let folder = tempfile::Builder::new().prefix("dubernetes-pebble-").tempdir().unwrap();
        let port = Port::take();
        let management = Port::take();
        let container = format!("dubernetes-test-pebble-{}-{}", std::process::id(), port.number);
        let pebble = Self { container, port, folder };
        pebble.write_files(management.number, http_port).await;
        pebble.run(hosts, options).await;
        Some(pebble)
    }

    /// Returns how to reach the authority.
    pub fn settings(&self) -> AcmeSettings {
        AcmeSettings {
            directory: format!("https://localhost:{}/dir", self.port.number),
            contact: Some("mailto:admin@example.com".to_owned()),
            root: Some(self.root()),
        }
    }

    /// Returns the file with the certificate that the authority's own HTTPS leads to.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Ends the authority. It does not answer from then on.
    pub async fn stop(&self) {
        let _ = docker(&["rm", "--force", &self.container]).await;
    }

    /// Writes the configuration, and a certificate for the authority's own HTTPS.
    async fn write_files(&self, management: u16, http_port: u16) {
        let issuer = TlsIssuer::new("pebble", Arc::new(SystemClock));
        let account = issuer.register(Authority::Internal).await.unwrap();
        let root = issuer.root(Authority::Internal, &account).unwrap().unwrap();
        let host = HostName::parse("localhost").unwrap();
        let own = issuer.issue(Authority::Internal, &account, &host).await.unwrap();
        let configuration = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port.number),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": "/etc/pebble/chain.pem",
            "privateKey": "/etc/pebble/key.pem",
            "httpPort": http_port,
            "tlsPort": 1,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "the only one", "validityPeriod": 7_776_000}},
        }});
        let files = [
            ("config.json", configuration.to_string().into_bytes()),
            ("chain.pem", own.chain.into_bytes()),
            ("key.pem", own.key.reveal().to_vec()),
            ("root.pem", root.into_bytes()),
        ];
        for (name, content) in files {
            std::fs::write(self.folder.path().join(name), content).unwrap();
        }
    }

    /// Starts the container, and waits until the authority answers.
    async fn run(&self, hosts: &[&str], options: &[&str]) {
        let mount = format!("{}:/etc/pebble:ro", self.folder.path().display());
        let names: Vec<String> = hosts.iter().map(|host| format!("{host}:127.0.0.1")).collect();
        let mut arguments = vec!["run", "--detach", "--name", &self.container];
        arguments.extend(["--network", "host", "--volume", &mount]);
        for name in &names {
            arguments.extend(["--add-host", name]);
        }
        arguments.extend(options);
        arguments.extend([IMAGE, "-config", "/etc/pebble/config.json"]);
        let _ = docker(&arguments).await;
        let address = ("127.0.0.1", self.port.number);
        crate::eventually("Pebble listens", SOON, async || {
            TcpStream::connect(address).await.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let remove = ["rm", "--force", "--volumes", &self.container];
        // What cannot be removed fails no test.
        let _ = std::process::Command::new("docker").args(remove).output();
    }
}

/// A server that answers challenges, in place of nginx. Dropping it ends it.
#[derive(Debug)]
pub struct Answers {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<String, String>,
    published: usize,
    is_wrong: bool,
}

impl Answers {
    /// Starts a server at a free port of the host.
    pub async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let answers = Arc::clone(&state);
        let serve = move |_, stream| answer(stream, Arc::clone(&answers));
        Self { server: Server::start(serve).await.unwrap(), state }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Answers wrongly from now on.
    pub fn fail(&self) {
        self.state.lock().unwrap().is_wrong = true;
    }

    /// Returns how many tokens were published, and how many of them are left.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.published, state.answers.len())
    }
}

#[async_trait]
impl ChallengeResponder for Answers {
    async fn publish(&self, token: &str, answer: &str) -> Result<(), IngressError> {
        let mut state = self.state.lock().unwrap();
        state.published += 1;
        let _ = state.answers.insert(token.to_owned(), answer.to_owned());
        Ok(())
    }

    async fn withdraw(&self, token: &str) -> Result<(), IngressError> {
        let _ = self.state.lock().unwrap().answers.remove(token);
        Ok(())
    }
}

/// Answers one request, and closes the connection.
async fn answer(stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    let _ = stream.read_line(&mut first).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let text = {
        let state = state.lock().unwrap();
        let path = first.split(' ').nth(1).unwrap_or_default();
        let token = path.strip_prefix("/.well-known/acme-challenge/");
        let answer = token.and_then(|token| state.answers.get(token)).cloned();
        answer.map(|answer| if state.is_wrong { "wrong".to_owned() } else { answer })
    };
    let (status, text) = text.map_or(("404 Not Found", String::new()), |text| ("200 OK", text));
    let length = text.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
