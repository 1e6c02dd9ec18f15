//! Blocks: what cannot be done until a person acts.

use std::fmt;

use serde::Serialize;

use crate::app::{AppName, RevisionId};
use crate::format::join;
use crate::runtime::ContainerId;

use super::Rule;

/// The rule of ports that replicas publish themselves.
pub(super) const PORT_OWNER: Rule =
    Rule::new("a port of the host has one owner", "nothing is stopped before it is free");

/// Why something is blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Containers of an app that the store does not know. They are left alone.
    Orphans {
        /// Their names.
        containers: Vec<String>,
    },
    /// A container with our label whose other labels cannot be read, or that has another name than
    /// they give it. It is left alone.
    Unreadable {
        /// The container.
        id: ContainerId,
        /// What is wrong.
        reason: String,
    },
    /// A newer revision than the stored one runs, with other content: the store is an old copy.
    NewerThanStore {
        /// The stored revision.
        stored: RevisionId,
        /// The running revision.
        running: RevisionId,
    },
    /// Another app has the host and path.
    RouteTaken {
        /// The conflict as a sentence fragment.
        conflict: String,
    },
    /// The specification needs capabilities that the runtime does not have. Nothing of the app is
    /// changed.
    Unsupported {
        /// What needs which capability.
        problems: Vec<String>,
    },
    /// Several replicas would have to publish the same ports of the host themselves.
    SharedPorts {
        /// Wanted replicas.
        replicas: u16,
        /// Why the ingress does not publish them.
        why: String,
    },
    /// Another process has a port of the host that the replica publishes itself.
    PortTaken {
        /// Which port, and who has it.
        message: String,
    },
    /// The app has hosts with `tls`, and the ingress takes no requests over HTTPS.
    NoHttps,
    /// Apps start after each other, so none of them starts.
    StartCycle {
        /// The apps, each after the next, and the last after the first.
        apps: Vec<AppName>,
    },
    /// The network has no free address for the name of the app.
    NoNameAddress {
        /// Number of addresses for names.
        capacity: u32,
        /// Whether the app publishes ports of the host, which lead to that address.
        has_ports: bool,
    },
    /// The network has no free address.
    NoAddress {
        /// Number of addresses for replicas.
        capacity: u32,
    },
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphans { containers } => write!(
                f,
                "not in the store, but its containers exist: {}; apply its file to adopt them",
                containers.join(", ")
            ),
            Self::Unreadable { id, reason } => write!(
                f,
                "container {id:.12} has the label of the instance, but {reason}; it is left alone"
            ),
            Self::NewerThanStore { stored, running } => write!(
                f,
                "revision {running} runs, but the store has only revision {stored}: it is an old \
                 copy; apply the file again"
            ),
            Self::RouteTaken { conflict } => f.write_str(conflict),
            Self::Unsupported { problems } => f.write_str(&problems.join("; ")),
            Self::SharedPorts { replicas, why } => write!(
                f,
                "`ports` allows one replica, not {replicas}, because it publishes them itself: \
                 {why}; set `replicas: 1`, or use `nginx:stable-alpine` for the ingress"
            ),
            Self::PortTaken { message } => f.write_str(message),
            Self::NoHttps => f.write_str(
                "`tls` needs a port for HTTPS, and the orchestrator was started without \
                 `--https-port`; its hosts are served over HTTP",
            ),
            Self::StartCycle { apps } => {
                write!(f, "`after` makes {} wait for each other", join(apps))
            }
            Self::NoNameAddress { capacity, has_ports } => {
                let ports = if *has_ports { ", and its `ports` are not published" } else { "" };
                write!(
                    f,
                    "other apps cannot reach it by its name{ports}: all {capacity} addresses for \
                     names are in use"
                )
            }
            Self::NoAddress { capacity } => {
                write!(f, "all {capacity} addresses of the instance's network are in use")
            }
        }
    }
}

impl Block {
    /// Returns the rule that `why` shows, and what a person can do; `{}` stands for the app.
    pub(crate) fn row(&self) -> (Rule, String) {
        const LEFT_ALONE: Rule =
            Rule::new("unknown containers are left alone", "the store may be wrong");
        match self {
            Self::Orphans { .. } => (LEFT_ALONE, "apply the file of `{}` to adopt them".to_owned()),
            Self::Unreadable { id, .. } => {
                (LEFT_ALONE, format!("remove it with the engine: `docker rm {id:.12}`"))
            }
            Self::NewerThanStore { .. } => (
                Rule::new(
                    "an old copy of the store changes nothing",
                    "until the file is applied again",
                ),
                "apply the newest file of `{}` again".to_owned(),
            ),
            Self::RouteTaken { .. } => (
                Rule::new(
                    "a host and path, or a port of the host, belongs to one app",
                    "the first app keeps it",
                ),
                "give `{}` another host or path in `access`, or another port in `ports`".to_owned(),
            ),
            Self::Unsupported { .. } => (
                Rule::new("a specification is applied as a whole", "or not at all"),
                "take these keys out of the file of `{}`, or use another runtime".to_owned(),
            ),
            Self::SharedPorts { .. } => (
                PORT_OWNER,
                "set `replicas: 1` for `{}`, or use `dubernetes serve --ingress-image \
                 nginx:stable-alpine`"
                    .to_owned(),
            ),
            Self::PortTaken { .. } => {
                (PORT_OWNER, "free the port, or give `{}` another one in `ports`".to_owned())
            }
            Self::NoHttps => (
                Rule::new("HTTPS needs a port of the host", ""),
                "start the orchestrator with `dubernetes serve --https-port 443`, or delete `tls` \
                 from the file of `{}`"
                    .to_owned(),
            ),
            Self::StartCycle { .. } => (
                Rule::new("an app starts after those in `after`", "later it is independent"),
                "remove one of these names from the `after` of `{}`".to_owned(),
            ),
            Self::NoNameAddress { .. } => (
                Rule::new("the name of each app has its own address", "the first apps keep theirs"),
                "delete an app with `access` or `port`, or use a second instance".to_owned(),
            ),
            Self::NoAddress { .. } => (
                Rule::new("each replica has its own address", ""),
                "reduce `replicas`, or use a second instance".to_owned(),
            ),
        }
    }
}
