//! Commands that use what runs: how much it takes, a way in, and waiting for it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;
use dubernetes_core::app::Duration;
use dubernetes_core::plan::{Phase, PodState};

use super::{FormatArgs, ObjectName, SelectorArgs};
use crate::complete;

/// `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// `apps` or `pods`, then names; an app's name stands for all its pods.
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::of_typed_kind))]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// Leave out the line with the columns' names.
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// Show those first that use the most; unless given, the order of the names.
    #[arg(long, value_name = "WHAT")]
    pub(crate) sort_by: Option<SortBy>,
}

/// By what use is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortBy {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

/// `port-forward`.
#[derive(Debug, Args)]
pub(crate) struct PortForwardArgs {
    /// A pod, or an app (one of its ready pods).
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          add = ArgValueCompleter::new(complete::apps_and_pods))]
    pub(crate) name: ObjectName,
    /// `LOCAL:REMOTE`; `PORT` for the same on both sides; `:REMOTE` for a free port.
    #[arg(value_name = "PORTS", required = true, value_parser = PortPair::parse)]
    pub(crate) ports: Vec<PortPair>,
    /// The address of this machine to listen on. Others than those of loopback let everybody in
    /// who reaches it.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) address: IpAddr,
    /// How the addresses are written that are listened on.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: ForwardFormat,
}

/// How it is written where connections are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForwardFormat {
    /// For people.
    Text,
    /// A JSON object on each line.
    Json,
}

/// A port of this machine that leads to a port of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortPair {
    /// The port here; 0 for a free one.
    pub(crate) local: u16,
    /// The port there.
    pub(crate) remote: u16,
}

impl PortPair {
    fn parse(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().ok().filter(|port: &u16| *port > 0);
        let pair = match text.split_once(':') {
            None => port(text).map(|port| Self { local: port, remote: port }),
            Some(("", remote)) => port(remote).map(|remote| Self { local: 0, remote }),
            Some((local, remote)) => {
                port(local).zip(port(remote)).map(|(local, remote)| Self { local, remote })
            }
        };
        pair.ok_or_else(|| {
            "ports from 1 to 65535 were expected, as `8080:80`, `80` or `:80`".to_owned()
        })
    }
}

/// `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitForArgs {
    /// Apps and pods.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse, required_unless_present = "selector",
          conflicts_with = "selector", add = ArgValueCompleter::new(complete::apps_and_pods))]
    pub(crate) names: Vec<ObjectName>,
    /// What to wait for: `ready`, `deleted`, or `phase=WORD` with a word of the column STATUS of
    /// apps or STATE of pods.
    #[arg(long = "for", value_name = "CONDITION", value_parser = Condition::parse,
          add = ArgValueCompleter::new(complete::conditions))]
    pub(crate) condition: Condition,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// How long to wait at most.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = Duration::parse)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// An app is as wanted; a pod takes requests.
    Ready,
    /// Nothing of it is left.
    Deleted,
    /// Its word is this one; which of the two, says what it is.
    Phase {
        /// The word as an app's.
        app: Option<Phase>,
        /// The word as a pod's.
        pod: Option<PodState>,
    },
}

const PHASES: [Phase; 6] = [
    Phase::Pending,
    Phase::Progressing,
    Phase::Ready,
    Phase::Degraded,
    Phase::Failed,
    Phase::Deleting,
];

const STATES: [PodState; 8] = [
    PodState::Pending,
    PodState::Starting,
    PodState::Running,
    PodState::BackOff,
    PodState::Draining,
    PodState::Stopping,
    PodState::Exited,
    PodState::Unknown,
];

impl Condition {
    /// All of them, as they are typed.
    pub(crate) fn words() -> Vec<String> {
        let words = PHASES.iter().map(|phase| phase.as_str());
        let words = words.chain(STATES.iter().map(|state| state.as_str()));
        let words = words.map(|word| format!("phase={word}")).collect::<BTreeSet<_>>();
        ["ready", "deleted"].map(str::to_owned).into_iter().chain(words).collect()
    }

    /// Also `condition=Ready` and `delete`, as kubectl has them.
    fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "ready" | "condition=ready" => return Ok(Self::Ready),
            "delete" | "deleted" => return Ok(Self::Deleted),
            _ => {}
        }
        let Some(word) = lower.strip_prefix("phase=") else {
            return Err("`ready`, `deleted` or `phase=WORD` was expected".to_owned());
        };
        let app = PHASES.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(word));
        let pod = STATES.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(word));
        if app.is_none() && pod.is_none() {
            let phases: Vec<_> = PHASES.iter().map(|phase| phase.as_str()).collect();
            let states: Vec<_> = STATES.iter().map(|state| state.as_str()).collect();
            let (phases, states) = (phases.join(", "), states.join(", "));
            return Err(format!("an app is {phases}; a pod is {states}"));
        }
        Ok(Self::Phase { app, pod })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_with_kubectl() {
        for (text, pair) in [
            ("8080:80", Some((8080, 80))),
            ("80", Some((80, 80))),
            (":80", Some((0, 80))),
            ("0:80", None),
            ("80:", None),
            ("80:0", None),
            ("70000", None),
            ("a:80", None),
            ("1:2:3", None),
            ("", None),
        ] {
            let parsed = PortPair::parse(text).ok();
            assert_eq!(parsed.map(|pair| (pair.local, pair.remote)), pair, "{text}");
        }
    }

    #[test]
    fn conditions_are_written_as_with_kubectl() {
        for (text, condition) in [
            ("ready", Condition::Ready),
            ("condition=Ready", Condition::Ready),
            ("delete", Condition::Deleted),
            ("deleted", Condition::Deleted),
            ("phase=failed", Condition::Phase { app: Some(Phase::Failed), pod: None }),
            ("phase=BackOff", Condition::Phase { app: None, pod: Some(PodState::BackOff) }),
            (
                "phase=Pending",
                Condition::Phase { app: Some(Phase::Pending), pod: Some(PodState::Pending) },
            ),
        ] {
            assert_eq!(Condition::parse(text), Ok(condition), "{text}");
        }
        assert!(Condition::parse("phase=Redy").unwrap_err().contains("Ready"));
        assert!(Condition::parse("well").is_err());
    }
}
