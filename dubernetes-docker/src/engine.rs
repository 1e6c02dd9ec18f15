//! The connection: where the engine is, and that every call to it has a deadline.
//!
//! Nothing is kept open between calls, so an engine that comes back is found by the next call.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use dubernetes_core::error::{Cause, one_line};
use dubernetes_core::runtime::RuntimeError;
use tokio::sync::Mutex;

use crate::error::{Failure, unreachable};

/// Reads: the engine answers in 20 ms; ten seconds are for a machine that is swapping.
pub(crate) const READ: Duration = Duration::from_secs(10);
/// Calls that change something: a start takes 0.4 s, and a slow disk many times that.
pub(crate) const WRITE: Duration = Duration::from_secs(30);
/// What the engine may need beside the grace to stop a container.
pub(crate) const STOP_MARGIN: Duration = Duration::from_secs(15);

/// The client's own limit is one for all calls; ours are per call and shorter, but for a stop
/// with the longest grace (an hour), so this one only has to be out of their way.
const CLIENT_LIMIT_SECONDS: u64 = 2 * 3600;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A container engine behind a Unix socket.
#[derive(Debug)]
pub(crate) struct Engine {
    socket: String,
    docker: OnceLock<Docker>,
    /// The state of the orchestrator, which no container gets to see.
    pub(crate) state_dir: OnceLock<PathBuf>,
    /// Held while a network is made. An engine lets two networks have one name, and as long as
    /// they do, starts no container on either.
    pub(crate) making_network: Mutex<()>,
}

impl Engine {
    /// Names an engine, and calls nobody.
    pub(crate) fn new(host: Option<&str>) -> Result<Self, RuntimeError> {
        let environment = std::env::var("DOCKER_HOST").ok();
        let socket = socket_path(host, environment.as_deref())?;
        Ok(Self {
            socket,
            docker: OnceLock::new(),
            state_dir: OnceLock::new(),
            making_network: Mutex::default(),
        })
    }

    /// Where the engine is, as a person would write it.
    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.socket)
    }

    /// The client, made at the first call: making it fails while the socket does not exist.
    pub(crate) fn docker(&self) -> Result<&Docker, RuntimeError> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker);
        }
        let docker =
            Docker::connect_with_unix(&self.socket, CLIENT_LIMIT_SECONDS, API_DEFAULT_VERSION)
                .map_err(|error| unreachable(self, Cause::new(error)))?
                .with_request_modifier(|mut request| {
                    mend_credentials(&mut request);
                    request
                });
        Ok(self.docker.get_or_init(|| docker))
    }

    /// Waits for one call, `limit` at most.
    pub(crate) async fn call<T>(
        &self,
        limit: Duration,
        operation: &str,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| Failure::new(self, operation, error)),
            Err(_) => Err(Failure::timeout(operation)),
        }
    }
}

/// The engine reads credentials in the URL-safe alphabet, and takes those it cannot read for none
/// at all; the client writes the standard one.
fn mend_credentials(request: &mut bollard::BollardRequest) {
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth")
        && let Some(mended) = value
            .to_str()
            .ok()
            .and_then(|text| text.replace('+', "-").replace('/', "_").parse().ok())
    {
        *value = mended;
        value.set_sensitive(true);
    }
}

/// The socket's path: `host`, else `DOCKER_HOST`, else the usual place.
fn socket_path(host: Option<&str>, environment: Option<&str>) -> Result<String, RuntimeError> {
    let named = host.or(environment).map(str::trim).filter(|host| !host.is_empty());
    let Some(named) = named else { return Ok(DEFAULT_SOCKET.to_owned()) };
    let path = named.strip_prefix("unix://").unwrap_or(named);
    if Path::new(path).is_absolute() {
        return Ok(path.to_owned());
    }
    let named = one_line(named);
    Err(RuntimeError::Rejected {
        operation: format!("connect to `{named}`"),
        message: "an engine is reached by a Unix socket on this machine, written as \
                  `unix:///path/to/docker.sock`"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: Option<&str>, environment: Option<&str>, socket: Option<&str>) {
        assert_eq!(socket_path(host, environment).ok().as_deref(), socket);
    }

    #[test]
    fn a_named_host_wins_over_the_environment_and_that_over_the_usual_place() {
        check(Some("unix:///a.sock"), Some("unix:///b.sock"), Some("/a.sock"));
        check(None, Some("unix:///b.sock"), Some("/b.sock"));
        check(Some("/c.sock"), None, Some("/c.sock"));
        check(None, None, Some("/var/run/docker.sock"));
        check(None, Some(""), Some("/var/run/docker.sock"));
    }

    #[test]
    fn other_schemes_are_refused_rather_than_ignored() {
        for host in ["tcp://127.0.0.1:2375", "ssh://box", "unix://relative.sock", "docker.sock"] {
            check(Some(host), None, None);
            check(None, Some(host), None);
        }
    }

    #[test]
    fn a_missing_socket_is_no_error_until_a_call_is_made() {
        let engine = Engine::new(Some("unix:///nonexistent/engine.sock")).unwrap();
        let error = engine.docker().unwrap_err();
        assert!(error.is_unreachable(), "{error:?}");
        assert!(error.to_string().contains("unix:///nonexistent/engine.sock"));
    }

    #[test]
    fn credentials_are_written_in_the_alphabet_that_the_engine_reads() {
        let mut request = hyper::Request::post("/images/create")
            .header("X-Registry-Auth", "ab+/cd==")
            .body(bollard::body_full(bytes::Bytes::new()))
            .unwrap();
        mend_credentials(&mut request);
        assert_eq!(request.headers()["x-registry-auth"], "ab-_cd==");
    }
}
