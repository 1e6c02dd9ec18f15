//! Why an action is taken.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::app::{Duration, RevisionId};
use crate::certificate::Authority;
use crate::format::{exit_code, replicas};

/// Why an action is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reason {
    /// A container is to be created, and its network does not exist.
    NoNetwork,
    /// The image of the revision is not resolved yet.
    ImageUnresolved,
    /// The engine no longer has the image that the revision was resolved to.
    ImageGone,
    /// Fewer replicas exist than are wanted.
    BelowReplicas {
        /// Wanted replicas.
        desired: u32,
        /// Existing replicas.
        existing: u32,
    },
    /// More replicas exist than are wanted.
    AboveReplicas {
        /// Wanted replicas.
        desired: u32,
        /// Existing replicas.
        existing: u32,
    },
    /// Replicas of an older revision exist.
    NewRevision {
        /// The wanted revision.
        revision: RevisionId,
        /// Its existing replicas.
        existing: u32,
        /// Wanted replicas.
        desired: u32,
    },
    /// A replica of another revision replaces the replica.
    Replaced {
        /// That revision.
        by: RevisionId,
        /// Why it publishes ports of the host itself, and so stops before its successor starts.
        #[serde(skip_serializing_if = "Option::is_none")]
        stops_first: Option<String>,
    },
    /// The container of the replica publishes other ports of the host than it should.
    OtherPorts {
        /// Why it publishes any; `None`: it should publish none.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The process of the replica exited.
    Exited {
        /// Exit code.
        code: i64,
        /// Whether it was killed for exceeding its memory limit.
        out_of_memory: bool,
        /// Number of the restart that follows, from 1.
        restart: u32,
    },
    /// The orchestrator stopped the replica in order to restart it.
    Stopped {
        /// Why.
        why: String,
        /// Number of the restart that follows, from 1.
        restart: u32,
    },
    /// The container of the replica could not be started.
    StartFailed {
        /// The engine's error.
        error: String,
        /// Number of the restart that follows, from 1.
        restart: u32,
    },
    /// The container of the replica was paused outside Dubernetes.
    Paused,
    /// The replica is not on the instance's network at its planned address.
    OffNetwork,
    /// The replica failed too many probes in a row.
    Unhealthy {
        /// Result of the last probe.
        reason: String,
    },
    /// The pre-deploy hook has to succeed before the revision replaces anything.
    BeforeRevision {
        /// The revision.
        revision: RevisionId,
    },
    /// The pre-deploy hook exceeded its time limit.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The pre-deploy hook has ended, or is no longer needed.
    PreDeployDone,
    /// A client asked for a one-off container.
    OneOffRequested,
    /// The one-off container has ended, or its client has.
    OneOffDone,
    /// The rollout has a result.
    RolloutRecorded {
        /// The revision.
        revision: RevisionId,
        /// The result, as a sentence fragment.
        what: String,
    },
    /// A host of the app has no certificate yet.
    NoCertificate {
        /// Who issues it.
        authority: Authority,
    },
    /// The certificate of a host expires.
    CertificateDue {
        /// When it expires.
        not_after: Timestamp,
    },
    /// The certificate of a host is to be issued by another authority.
    OtherAuthority {
        /// Which one.
        authority: Authority,
    },
    /// No app has the host of a certificate any more.
    HostGone,
    /// A container was created and not started yet.
    NotStarted,
    /// A newer container has the slot of the replica.
    Superseded,
    /// A user asked for another replica in its place.
    Evicted,
    /// The evicted container is gone.
    EvictionDone,
    /// The app was deleted.
    AppDeleted,
    /// A user asked to remove everything that the instance owns.
    Teardown,
    /// Nothing that the instance owned is left.
    TornDown,
    /// Nothing of the deleted app is left.
    NothingLeft,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetwork => f.write_str("the instance has no network yet"),
            Self::ImageUnresolved => f.write_str("image not resolved yet"),
            Self::ImageGone => f.write_str("image is no longer on the engine"),
            Self::BelowReplicas { desired, existing }
            | Self::AboveReplicas { desired, existing } => {
                let exist = if *existing == 1 { "exists" } else { "exist" };
                write!(f, "{} wanted, {existing} {exist}", replicas(*desired))
            }
            Self::NewRevision { revision, existing, desired } => {
                write!(f, "revision {revision}: {existing} of {desired} replicas exist")
            }
            Self::Replaced { by, stops_first } => {
                write!(f, "replaced by revision {by}")?;
                match stops_first {
                    Some(why) => write!(f, ", and publishes `ports` itself: {why}"),
                    None => Ok(()),
                }
            }
            Self::OtherPorts { why: Some(why) } => {
                write!(f, "its container shall publish other ports: {why}")
            }
            Self::OtherPorts { why: None } => {
                f.write_str("its container shall publish no port any more")
            }
            Self::Exited { out_of_memory: true, restart, .. } => {
                write!(f, "out of memory; restart {restart}")
            }
            Self::Exited { code, restart, .. } => {
                write!(f, "{}; restart {restart}", exit_code(*code))
            }
            Self::Stopped { why, restart } => write!(f, "{why}; restart {restart}"),
            Self::StartFailed { error, restart } => {
                write!(f, "start failed: {error}; restart {restart}")
            }
            Self::Paused => f.write_str("container was paused outside Dubernetes"),
            Self::OffNetwork => f.write_str("not on the instance's network at its planned address"),
            Self::Unhealthy { reason } => write!(f, "unhealthy: {reason}"),
            Self::BeforeRevision { revision } => write!(f, "revision {revision}: pre-deploy hook"),
            Self::TimedOut { limit } => write!(f, "exceeded its time limit of {limit}"),
            Self::PreDeployDone => f.write_str("pre-deploy hook has ended"),
            Self::OneOffRequested => f.write_str("one-off container for a client"),
            Self::OneOffDone => f.write_str("no client waits for the one-off container"),
            Self::RolloutRecorded { revision, what } => write!(f, "revision {revision}: {what}"),
            Self::NoCertificate { authority } => {
                write!(f, "no certificate yet, issued by {}", authority_text(*authority))
            }
            Self::CertificateDue { not_after } => {
                write!(f, "the certificate expires on {}", not_after.strftime("%Y-%m-%d"))
            }
            Self::OtherAuthority { authority } => {
                write!(f, "the certificate is to be issued by {}", authority_text(*authority))
            }
            Self::HostGone => f.write_str("no app has this host"),
            Self::NotStarted => f.write_str("created, not started"),
            Self::Superseded => f.write_str("superseded by a newer container"),
            Self::Evicted => f.write_str("evicted by a user"),
            Self::EvictionDone => f.write_str("the evicted container is gone"),
            Self::AppDeleted => f.write_str("app was deleted"),
            Self::Teardown => f.write_str("the instance is torn down"),
            Self::TornDown => f.write_str("nothing of the instance is left"),
            Self::NothingLeft => f.write_str("nothing of the app is left"),
        }
    }
}

fn authority_text(authority: Authority) -> &'static str {
    match authority {
        Authority::Internal => "the instance's own authority",
        Authority::Acme => "ACME",
    }
}
