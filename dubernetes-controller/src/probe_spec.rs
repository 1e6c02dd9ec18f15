//! What a replica is asked, and which answers are good ones.
//!
//! A file's `health` says what. Without it an app with `access` is asked for a connection, and of
//! another one nothing is asked.

use jiff::SignedDuration;
use tokio::time::Duration;

use dubernetes_core::app::{AppSpec, Check, Duration as Span, Health};
use dubernetes_core::error::one_line;
use dubernetes_core::runtime::{ContainerId, Probe, ProbeAnswer, ProbeTarget};
use dubernetes_core::state::ObservedReplica;

/// So much of a body, or of a command's output, is told.
const MAX_EXCERPT: usize = 200;

/// A probe_spec to one replica, with the rules for its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProbeSpec {
    /// The container that is asked.
    pub(super) id: ContainerId,
    pub(super) method: ProbeMethod,
    /// The time to the next one while the replica is ready.
    pub(super) interval: Duration,
    /// So many good answers make it ready.
    pub(super) success: u32,
    /// So many bad ones make it not ready.
    pub(super) failures: u32,
    /// So many bad ones have it replaced; never, if `None`.
    pub(super) replace_after: Option<u32>,
    /// Bad answers before it was ready count for that only after so long.
    pub(super) start_period: SignedDuration,
}

/// How it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProbeMethod {
    /// By a connection or a request from here.
    Probe(ProbeTarget),
    /// By a command in the container.
    Command {
        /// The command and its arguments.
        command: Vec<String>,
        /// How long it may take.
        timeout: Span,
    },
}

/// The probe_spec to a replica that runs `spec`, of an app that is routed or not.
pub(super) fn of(replica: &ObservedReplica, spec: &AppSpec, is_routed: bool) -> Option<ProbeSpec> {
    let default = Health::new(Check::Tcp);
    let own = spec.health.as_ref();
    let health = match own {
        Some(health) => health,
        None if is_routed => &default,
        None => return None,
    };
    let port = health.port.unwrap_or(replica.labels.port);
    let target = |probe| {
        let (id, address) = (replica.id.clone(), replica.labels.address);
        ProbeMethod::Probe(ProbeTarget { id, address, probe, timeout: health.timeout })
    };
    let method = match &health.check {
        Check::Http(path) => target(Probe::Http { port, path: path.to_string() }),
        Check::Tcp => target(Probe::Tcp { port }),
        Check::Exec(command) => {
            ProbeMethod::Command { command: command.clone(), timeout: health.timeout }
        }
    };
    Some(ProbeSpec {
        id: replica.id.clone(),
        method,
        interval: health.interval.to_std(),
        success: u32::from(health.success),
        failures: u32::from(health.failures),
        // What nobody asked to be watched is only taken out of the routes.
        replace_after: own.map(|health| u32::from(health.replace_after)),
        start_period: health.start_period.to_signed(),
    })
}

/// What a replica that has become ready does, as a sentence fragment.
pub(super) fn ready(probe_spec: &ProbeSpec) -> String {
    match &probe_spec.method {
        ProbeMethod::Probe(ProbeTarget { probe: Probe::Tcp { port }, .. }) => {
            format!("port {port} takes connections")
        }
        ProbeMethod::Probe(_) => format!("{} is answered", asked(probe_spec)),
        ProbeMethod::Command { .. } => format!("{} succeeds", asked(probe_spec)),
    }
}

/// A good answer, as a sentence fragment.
pub(super) fn success(probe_spec: &ProbeSpec, answer: &ProbeAnswer) -> String {
    match answer {
        ProbeAnswer::Http { status, .. } => format!("{}: status {status}", asked(probe_spec)),
        ProbeAnswer::Exited { code, .. } => format!("{}: exit code {code}", asked(probe_spec)),
        ProbeAnswer::Connected | ProbeAnswer::Refused { .. } | ProbeAnswer::Failed { .. } => {
            ready(probe_spec)
        }
    }
}

/// What is wrong with an answer, as a sentence fragment; `None` for a good one.
pub(super) fn failure(probe_spec: &ProbeSpec, answer: &ProbeAnswer) -> Option<String> {
    let at = |reason: &str| match &probe_spec.method {
        ProbeMethod::Probe(ProbeTarget { probe: Probe::Tcp { .. }, .. }) => reason.to_owned(),
        ProbeMethod::Probe(_) | ProbeMethod::Command { .. } => {
            format!("{}: {reason}", asked(probe_spec))
        }
    };
    let told = |start: String, text: &str| {
        let end = text.char_indices().nth(MAX_EXCERPT).map_or(text.len(), |(index, _)| index);
        let line = one_line(&text[..end]);
        if line.is_empty() { start } else { format!("{start}: {line}") }
    };
    match answer {
        ProbeAnswer::Connected
        | ProbeAnswer::Http { status: 200..=399, .. }
        | ProbeAnswer::Exited { code: 0, .. } => None,
        ProbeAnswer::Http { status, body } => {
            Some(told(format!("{} answered with status {status}", asked(probe_spec)), body))
        }
        ProbeAnswer::Exited { code, output } => {
            Some(told(format!("{} ended with exit code {code}", asked(probe_spec)), output))
        }
        ProbeAnswer::Refused { port, open } => Some(at(&open.instead_of(*port))),
        ProbeAnswer::Failed { reason } => Some(at(reason)),
    }
}

fn asked(probe_spec: &ProbeSpec) -> String {
    match &probe_spec.method {
        ProbeMethod::Probe(ProbeTarget { probe: Probe::Http { port, path }, .. }) => {
            format!("GET :{port}{path}")
        }
        ProbeMethod::Probe(ProbeTarget { probe: Probe::Tcp { port }, .. }) => {
            format!("port {port}")
        }
        ProbeMethod::Command { command, .. } => {
            let words = one_line(&command.join(" "));
            format!("`{}`", words.chars().take(80).collect::<String>())
        }
    }
}
