//! What a runtime may offer beyond the required methods.

use serde::{Deserialize, Serialize};

/// A feature that a runtime may offer beyond the required methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
    /// Images of containers, as registries have them.
    ContainerImages,
    /// Programs of the host in the place of images.
    Programs,
    /// Named volumes and mounted directories.
    Volumes,
    /// CPU and memory limits.
    Limits,
    /// Commands in running containers.
    Exec,
    /// Terminals for commands.
    Tty,
    /// Files in containers, before the start and later.
    Files,
    /// Output of containers, readable at any time.
    Logs,
    /// Resource usage.
    Stats,
    /// Images that are read, and loaded from an archive.
    Images,
    /// A stream of events.
    Events,
    /// Addresses that the planner chooses.
    PlannedAddresses,
    /// A directory in which the process starts.
    WorkingDir,
    /// Users, kernel limits and the other
    /// [`ContainerOptions`](crate::app::ContainerOptions).
    ContainerOptions,
    /// Ports of the host that lead to a container.
    Ports,
    /// Containers on several hosts.
    SeveralHosts,
}

impl Capability {
    /// Every capability, in declaration order.
    pub const ALL: [Self; 16] = [
        Self::ContainerImages,
        Self::Programs,
        Self::Volumes,
        Self::Limits,
        Self::Exec,
        Self::Tty,
        Self::Files,
        Self::Logs,
        Self::Stats,
        Self::Images,
        Self::Events,
        Self::PlannedAddresses,
        Self::WorkingDir,
        Self::ContainerOptions,
        Self::Ports,
        Self::SeveralHosts,
    ];

    /// Returns the capability as a noun, such as `volumes`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContainerImages => "container images",
            Self::Programs => "programs of the host",
            Self::Volumes => "volumes",
            Self::Limits => "resource limits",
            Self::Exec => "commands in containers",
            Self::Tty => "terminals",
            Self::Files => "files in containers",
            Self::Logs => "logs",
            Self::Stats => "statistics",
            Self::Images => "images from archives",
            Self::Events => "events",
            Self::PlannedAddresses => "planned addresses",
            Self::WorkingDir => "working directories",
            Self::ContainerOptions => "container options",
            Self::Ports => "published ports",
            Self::SeveralHosts => "several hosts",
        }
    }
}
