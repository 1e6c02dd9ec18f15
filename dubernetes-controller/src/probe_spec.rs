//! Probe specifications: what a replica is probed with, and which answers count as success.
//!
//! The file's `health` decides. Without it an app with `access` is probed by a TCP connection to
//! its port, and any other app is not probed.

use std::net::SocketAddr;

use dubernetes_core::app::{AppName, AppSpec, Check, Duration as Span, Health, HostName};
use dubernetes_core::dial::{Probe, ProbeAnswer};
use dubernetes_core::error::one_line;
use dubernetes_core::runtime::ContainerId;
use dubernetes_core::state::{DesiredState, ObservedReplica};
use jiff::SignedDuration;
use tokio::time::Duration;

/// Maximum characters shown of a response body or a command's output.
const MAX_EXCERPT: usize = 200;
/// Maximum characters shown of a command.
const MAX_COMMAND: usize = 80;

/// The probe of one replica, with the thresholds for its results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProbeSpec {
    /// The container to probe.
    pub(super) id: ContainerId,
    /// Its app.
    pub(super) app: AppName,
    pub(super) method: ProbeMethod,
    /// Time between two probes of a ready replica.
    pub(super) interval: Duration,
    /// Successes in a row after which the replica is ready.
    pub(super) success: u32,
    /// Failures in a row after which the replica is not ready.
    pub(super) failures: u32,
    /// Failures after which the replica is replaced; `None` means never.
    pub(super) replace_after: Option<u32>,
    /// Time after the start in which failures of a replica that was never ready do not count
    /// towards `replace_after`.
    pub(super) start_period: SignedDuration,
}

/// How a replica is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProbeMethod {
    /// Dials the replica's endpoint from this process.
    Dial {
        /// The endpoint; `None` if the runtime does not report it.
        endpoint: Option<SocketAddr>,
        /// The port, as the specification names it.
        port: u16,
        /// What is sent.
        probe: Probe,
        /// Deadline of the answer.
        timeout: Span,
    },
    /// Runs a command in the container.
    Command {
        /// The command and its arguments.
        command: Vec<String>,
        /// Deadline of the command.
        timeout: Span,
    },
}

impl ProbeSpec {
    /// Returns the probe of a replica: that of its own revision, or, if that is not kept any more,
    /// of the present one.
    pub(super) fn of(desired: &DesiredState, replica: &ObservedReplica) -> Option<Self> {
        let stored = desired.apps.get(&replica.labels.app)?;
        let mut kept = desired.revisions.get(&replica.labels.app).into_iter().flatten();
        let own = kept.find(|kept| kept.revision == replica.labels.revision);
        let spec = own.map_or(&stored.spec, |kept| &kept.spec);
        Self::new(replica, spec, &stored.spec)
    }

    /// Returns the probe of a replica that runs `spec`, or `None` if it is not probed. `current` is
    /// the specification of the app now, whatever `spec` says.
    pub(super) fn new(
        replica: &ObservedReplica,
        spec: &AppSpec,
        current: &AppSpec,
    ) -> Option<Self> {
        let default = Health::new(Check::Tcp);
        let health = match &spec.health {
            Some(health) => health,
            None if current.is_reachable() => &default,
            None => return None,
        };
        let port = health.port.unwrap_or(replica.labels.port);
        let endpoint = replica.endpoint.map(|found| match health.port {
            Some(other) if other != replica.labels.port => SocketAddr::new(found.ip(), other),
            Some(_) | None => found,
        });
        let timeout = health.timeout;
        let dial = |probe| ProbeMethod::Dial { endpoint, port, probe, timeout };
        let method = match &health.check {
            Check::Http(path) => {
                // Frameworks refuse requests whose host they do not serve.
                let host = health.host.as_ref().or(current.first_host());
                let host = host.map_or_else(|| spec.name.to_string(), HostName::to_string);
                dial(Probe::Http { host: Some(host), path: path.to_string() })
            }
            Check::Tcp => dial(Probe::Tcp),
            Check::Exec(command) => ProbeMethod::Command { command: command.clone(), timeout },
        };
        Some(Self {
            id: replica.id.clone(),
            app: replica.labels.app.clone(),
            method,
            interval: health.interval.to_std(),
            success: u32::from(health.success),
            failures: u32::from(health.failures),
            // The default probe takes a replica out of the routes, and never replaces it.
            replace_after: spec.health.as_ref().map(|health| u32::from(health.replace_after)),
            start_period: health.start_period.to_signed(),
        })
    }

    /// Describes what a replica does that has become ready, as a sentence fragment.
    pub(super) fn describe_ready(&self) -> String {
        match &self.method {
            ProbeMethod::Dial { port, probe: Probe::Tcp, .. } => {
                format!("port {port} accepts connections")
            }
            ProbeMethod::Dial { probe: Probe::Http { .. }, .. } => {
                format!("{} succeeds", self.describe())
            }
            ProbeMethod::Command { .. } => format!("{} succeeds", self.describe()),
        }
    }

    /// Describes a successful answer, as a sentence fragment.
    pub(super) fn describe_success(&self, answer: &ProbeAnswer) -> String {
        match answer {
            ProbeAnswer::Http { status, .. } => format!("{}: status {status}", self.describe()),
            ProbeAnswer::Exited { code, .. } => format!("{}: exit code {code}", self.describe()),
            ProbeAnswer::Connected | ProbeAnswer::Refused { .. } | ProbeAnswer::Failed { .. } => {
                self.describe_ready()
            }
        }
    }

    /// Describes what is wrong with an answer, as a sentence fragment; `None` for a success.
    pub(super) fn failure(&self, answer: &ProbeAnswer) -> Option<String> {
        match answer {
            ProbeAnswer::Connected
            | ProbeAnswer::Http { status: 200..=399, .. }
            | ProbeAnswer::Exited { code: 0, .. } => None,
            ProbeAnswer::Http { status, body } => {
                let start = format!("{} returned status {status}", self.describe());
                Some(with_excerpt(start, body))
            }
            ProbeAnswer::Exited { code, output } => {
                let start = format!("{} exited with code {code}", self.describe());
                Some(with_excerpt(start, output))
            }
            ProbeAnswer::Refused { port, open } => {
                Some(self.failure_with_reason(&open.explain_refused(*port)))
            }
            ProbeAnswer::Failed { reason } => Some(self.failure_with_reason(reason)),
        }
    }

    fn failure_with_reason(&self, reason: &str) -> String {
        match &self.method {
            // The reason of a TCP probe names the port already.
            ProbeMethod::Dial { probe: Probe::Tcp, .. } => reason.to_owned(),
            ProbeMethod::Dial { probe: Probe::Http { .. }, .. } | ProbeMethod::Command { .. } => {
                format!("{}: {reason}", self.describe())
            }
        }
    }

    /// Describes the probe, such as `GET :8080/healthz`.
    fn describe(&self) -> String {
        match &self.method {
            ProbeMethod::Dial { port, probe: Probe::Http { path, .. }, .. } => {
                format!("GET :{port}{path}")
            }
            ProbeMethod::Dial { port, probe: Probe::Tcp, .. } => format!("port {port}"),
            ProbeMethod::Command { command, .. } => {
                let line = one_line(&command.join(" "));
                format!("`{}`", line.chars().take(MAX_COMMAND).collect::<String>())
            }
        }
    }
}

/// Appends the beginning of `text`, on one line, if there is any.
fn with_excerpt(start: String, text: &str) -> String {
    let end = text.char_indices().nth(MAX_EXCERPT).map_or(text.len(), |(index, _)| index);
    let line = one_line(&text[..end]);
    if line.is_empty() { start } else { format!("{start}: {line}") }
}
