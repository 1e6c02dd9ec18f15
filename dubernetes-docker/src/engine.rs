//! Connection to the container engine: its socket, and a deadline for every call.
//!
//! No connection stays open between calls, so the next call reaches an engine that was restarted.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use dubernetes_core::app::InstanceName;
use dubernetes_core::error::one_line;
use dubernetes_core::identity;
use dubernetes_core::runtime::RuntimeError;
use tokio::sync::Mutex;

use crate::error::{CallError, unreachable};
use crate::owners::Owners;
use crate::pulls::Pulls;

/// Deadline of reads. The engine answers in 20 ms; ten seconds allow for a host that is swapping.
pub(crate) const READ: Duration = Duration::from_secs(10);
/// Pause before a read is sent again.
const READ_PAUSE: Duration = Duration::from_millis(50);
/// Deadline of changes. A start takes 0.4 s, and many times that on a slow disk.
pub(crate) const WRITE: Duration = Duration::from_secs(30);
/// Time that the engine gets to stop a container, in addition to the grace period.
pub(crate) const STOP_MARGIN: Duration = Duration::from_secs(15);

/// Timeout of the client library, the same for all calls. It must exceed our own deadlines, of
/// which the longest is that of a stop with the maximum grace period of one hour.
const CLIENT_TIMEOUT_SECONDS: u64 = 2 * 3600;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A container engine behind a Unix socket.
#[derive(Debug)]
pub(crate) struct Engine {
    socket: String,
    docker: OnceLock<Docker>,
    /// State directory of the orchestrator, which no container may mount.
    pub(crate) state_dir: OnceLock<PathBuf>,
    /// Whether containers may mount folders of the system.
    pub(crate) allow_system_mounts: AtomicBool,
    /// Whether networks span the nodes of a swarm.
    pub(crate) has_overlay: AtomicBool,
    /// Pulls in flight.
    pub(crate) pulls: Pulls,
    /// Claims made by this process.
    pub(crate) owners: Owners,
    /// Held while a network is created. Some engines allow two networks with the same name, and
    /// then start no container on either.
    pub(crate) network_creation: Mutex<()>,
}

impl Engine {
    /// Creates the value without calling the engine.
    pub(crate) fn new(host: Option<&str>) -> Result<Self, RuntimeError> {
        let environment = std::env::var("DOCKER_HOST").ok();
        let socket = resolve_socket(host, environment.as_deref())?;
        Ok(Self {
            socket,
            docker: OnceLock::new(),
            state_dir: OnceLock::new(),
            allow_system_mounts: AtomicBool::new(false),
            has_overlay: AtomicBool::new(false),
            pulls: Pulls::default(),
            owners: Owners::default(),
            network_creation: Mutex::default(),
        })
    }

    /// Returns the address of the engine as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.socket)
    }

    /// Returns the name of the instance's network.
    pub(crate) fn network_name(&self, instance: &InstanceName) -> String {
        match self.has_overlay.load(Ordering::Relaxed) {
            true => identity::overlay_name(instance),
            false => identity::network_name(instance),
        }
    }

    /// Returns the client. The first call creates it, since that fails while the socket does not
    /// exist.
    pub(crate) fn docker(&self) -> Result<&Docker, RuntimeError> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker);
        }
        let docker =
            Docker::connect_with_unix(&self.socket, CLIENT_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
                .map_err(|error| unreachable(self.endpoint(), &error))?
                .with_request_modifier(|mut request| {
                    fix_credentials_alphabet(&mut request);
                    request
                });
        Ok(self.docker.get_or_init(|| docker))
    }

    /// Awaits one call, until `deadline` at most.
    pub(crate) async fn call<T>(
        &self,
        deadline: Duration,
        operation: &str,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(deadline, call).await {
            Ok(answer) => answer.map_err(|error| self.call_error(operation, error)),
            Err(_) => Err(CallError::timeout(operation)),
        }
    }

    /// Awaits a read, and repeats it if it fails in a way that may pass. A pass makes many reads,
    /// and one that fails would make the whole engine count as unreachable.
    pub(crate) async fn read<T, C>(
        &self,
        operation: &str,
        call: impl Fn() -> C,
    ) -> Result<T, CallError>
    where
        C: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let mut sent = 0;
        loop {
            let answer = self.call(READ, operation, call()).await;
            sent += 1;
            if !answer.as_ref().is_err_and(|error| sent < error.read_attempts()) {
                return answer;
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
    }

    /// Converts an error of the client.
    pub(crate) fn call_error(&self, operation: &str, error: bollard::errors::Error) -> CallError {
        CallError::new(self.endpoint(), operation, error)
    }
}

/// Rewrites credentials in the URL-safe alphabet. The client writes the standard alphabet; the
/// engine expects the URL-safe one and silently ignores credentials that it cannot decode.
fn fix_credentials_alphabet(request: &mut bollard::BollardRequest) {
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth")
        && let Some(fixed) = value
            .to_str()
            .ok()
            .and_then(|text| text.replace('+', "-").replace('/', "_").parse().ok())
    {
        *value = fixed;
        value.set_sensitive(true);
    }
}

/// Returns the path of the socket: `host`, else `DOCKER_HOST`, else the default.
fn resolve_socket(host: Option<&str>, environment: Option<&str>) -> Result<String, RuntimeError> {
    let named = host.or(environment).map(str::trim).filter(|host| !host.is_empty());
    let Some(named) = named else { return Ok(DEFAULT_SOCKET.to_owned()) };
    let path = named.strip_prefix("unix://").unwrap_or(named);
    if Path::new(path).is_absolute() {
        return Ok(path.to_owned());
    }
    let named = one_line(named);
    Err(RuntimeError::Rejected {
        operation: format!("connect to `{named}`"),
        message: format!("use a Unix socket on this host, such as `unix://{DEFAULT_SOCKET}`"),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use bollard::errors::Error;

    use super::*;

    #[track_caller]
    fn check(host: Option<&str>, environment: Option<&str>, socket: Option<&str>) {
        assert_eq!(resolve_socket(host, environment).ok().as_deref(), socket);
    }

    #[test]
    fn host_takes_precedence_over_environment_and_default() {
        check(Some("unix:///a.sock"), Some("unix:///b.sock"), Some("/a.sock"));
        check(None, Some("unix:///b.sock"), Some("/b.sock"));
        check(Some("/c.sock"), None, Some("/c.sock"));
        check(None, None, Some("/var/run/docker.sock"));
        check(None, Some(""), Some("/var/run/docker.sock"));
    }

    #[test]
    fn unsupported_schemes_are_rejected() {
        for host in ["tcp://127.0.0.1:2375", "ssh://box", "unix://relative.sock", "docker.sock"] {
            check(Some(host), None, None);
            check(None, Some(host), None);
        }
    }

    #[test]
    fn missing_socket_fails_at_the_first_call_only() {
        let engine = Engine::new(Some("unix:///nonexistent/engine.sock")).unwrap();
        let error = engine.docker().unwrap_err();
        assert!(error.is_unreachable(), "{error:?}");
        assert!(error.to_string().contains("unix:///nonexistent/engine.sock"));
    }

    #[tokio::test(start_paused = true)]
    async fn read_is_repeated_after_failures_that_may_pass() {
        let engine = Engine::new(Some("unix:///nonexistent/engine.sock")).unwrap();
        let status = |status_code| {
            let message = String::new();
            move || Error::DockerResponseServerError { status_code, message: message.clone() }
        };
        let unreadable = || Error::JsonDataError { message: String::new(), column: 1 };
        let cases: [(u32, &dyn Fn() -> Error, bool, u32); 6] = [
            (0, &status(500), true, 1),
            (2, &status(500), true, 3),
            (3, &status(503), false, 3),
            (1, &status(404), false, 1),
            (19, &unreadable, true, 20),
            (20, &unreadable, false, 20),
        ];
        for (failures, error, succeeds, calls) in cases {
            let made = AtomicU32::new(0);
            let read = engine.read("read", async || {
                let fails = made.fetch_add(1, Ordering::Relaxed) < failures;
                if fails { Err(error()) } else { Ok(()) }
            });
            assert_eq!(read.await.is_ok(), succeeds, "{failures} times {}", error());
            assert_eq!(made.load(Ordering::Relaxed), calls, "{failures} times {}", error());
        }
    }

    #[test]
    fn credentials_are_sent_in_the_url_safe_alphabet() {
        let body = bollard::body_full(bytes::Bytes::new());
        let mut request = bollard::BollardRequest::new(body);
        request.headers_mut().insert("x-registry-auth", "ab+/cd==".parse().unwrap());
        fix_credentials_alphabet(&mut request);
        assert_eq!(request.headers()["x-registry-auth"], "ab-_cd==");
    }
}
