//! The reasons of events.

use std::fmt;

/// The reason of an event, as one word in upper camel case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventReason {
    /// A certificate could not be obtained.
    CertificateFailed,
    /// A certificate was issued.
    CertificateIssued,
    /// A revision has all its replicas.
    Complete,
    /// A container was created.
    Created,
    /// A container could not be created.
    CreateFailed,
    /// Nothing of a deleted app is left.
    Deleted,
    /// The engine is reachable again.
    EngineReachable,
    /// The engine is unreachable.
    EngineUnreachable,
    /// Events are missing, because the store did not take them.
    EventsLost,
    /// A replica's process exited.
    Exited,
    /// A container has the instance's labels and is not its own. It is left alone.
    Foreign,
    /// A container was removed outside Dubernetes.
    Gone,
    /// An image declares a health check, and its app has none.
    HealthCheckUnused,
    /// The ingress could not serve the routes.
    IngressFailed,
    /// The configuration of the ingress was changed outside Dubernetes, and restored.
    IngressRepaired,
    /// Advice from the ingress, such as an old proxy version.
    IngressWarning,
    /// The limits of a container were changed outside Dubernetes.
    LimitsChanged,
    /// The network could not be created.
    NetworkFailed,
    /// A ready replica is no longer ready.
    NotReady,
    /// A replica exceeded its memory limit.
    OomKilled,
    /// A container was paused outside Dubernetes.
    Paused,
    /// A pre-deploy hook succeeded.
    PreDeployed,
    /// A program could not be found.
    ProgramMissing,
    /// An image could not be pulled.
    PullFailed,
    /// The memory of a deleted app could not be dropped.
    PurgeFailed,
    /// The ingress refused the routes of an app.
    Quarantined,
    /// A replica is ready.
    Ready,
    /// A result could not be recorded.
    RecordFailed,
    /// An apply was refused.
    Refused,
    /// A container, the ingress or the network could not be removed.
    RemoveFailed,
    /// A user asked for a change.
    Requested,
    /// An image is available on the engine.
    Resolved,
    /// A revision failed.
    RevisionFailed,
    /// A revision failed, and an earlier one was restored.
    RolledBack,
    /// The ingress serves other endpoints.
    Routed,
    /// A secret that an app uses was changed.
    SecretChanged,
    /// A replica's process runs.
    Started,
    /// A container could not be started.
    StartFailed,
    /// A container was stopped.
    Stopped,
    /// A container could not be stopped.
    StopFailed,
    /// Everything that the instance owned was removed.
    TornDown,
    /// A replica failed `health.failures` probes in a row and is replaced.
    Unhealthy,
}

impl EventReason {
    /// Returns the word, such as `PullFailed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CertificateFailed => "CertificateFailed",
            Self::CertificateIssued => "CertificateIssued",
            Self::Complete => "Complete",
            Self::Created => "Created",
            Self::CreateFailed => "CreateFailed",
            Self::Deleted => "Deleted",
            Self::EngineReachable => "EngineReachable",
            Self::EngineUnreachable => "EngineUnreachable",
            Self::EventsLost => "EventsLost",
            Self::Exited => "Exited",
            Self::Foreign => "Foreign",
            Self::Gone => "Gone",
            Self::HealthCheckUnused => "HealthCheckUnused",
            Self::IngressFailed => "IngressFailed",
            Self::IngressRepaired => "IngressRepaired",
            Self::IngressWarning => "IngressWarning",
            Self::LimitsChanged => "LimitsChanged",
            Self::NetworkFailed => "NetworkFailed",
            Self::NotReady => "NotReady",
            Self::OomKilled => "OOMKilled",
            Self::Paused => "Paused",
            Self::PreDeployed => "PreDeployed",
            Self::ProgramMissing => "ProgramMissing",
            Self::PullFailed => "PullFailed",
            Self::PurgeFailed => "PurgeFailed",
            Self::Quarantined => "Quarantined",
            Self::Ready => "Ready",
            Self::RecordFailed => "RecordFailed",
            Self::Refused => "Refused",
            Self::RemoveFailed => "RemoveFailed",
            Self::Requested => "Requested",
            Self::Resolved => "Resolved",
            Self::RevisionFailed => "RevisionFailed",
            Self::RolledBack => "RolledBack",
            Self::Routed => "Routed",
            Self::SecretChanged => "SecretChanged",
            Self::Started => "Started",
            Self::StartFailed => "StartFailed",
            Self::Stopped => "Stopped",
            Self::StopFailed => "StopFailed",
            Self::TornDown => "TornDown",
            Self::Unhealthy => "Unhealthy",
        }
    }
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
