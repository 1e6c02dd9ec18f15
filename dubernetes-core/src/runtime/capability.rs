//! What a runtime may offer beyond the required methods.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::app::ContainerOptions;

use super::{ContainerRequest, RuntimeError, Stdio};

/// A feature that a runtime may offer beyond the required methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
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
    /// A stream of events.
    Events,
    /// Addresses that the planner chooses.
    PlannedAddresses,
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
    pub const ALL: [Self; 12] = [
        Self::Volumes,
        Self::Limits,
        Self::Exec,
        Self::Tty,
        Self::Files,
        Self::Logs,
        Self::Stats,
        Self::Events,
        Self::PlannedAddresses,
        Self::ContainerOptions,
        Self::Ports,
        Self::SeveralHosts,
    ];

    /// Returns the capability as a noun, such as `volumes`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volumes => "volumes",
            Self::Limits => "resource limits",
            Self::Exec => "commands in containers",
            Self::Tty => "terminals",
            Self::Files => "files in containers",
            Self::Logs => "logs",
            Self::Stats => "statistics",
            Self::Events => "events",
            Self::PlannedAddresses => "planned addresses",
            Self::ContainerOptions => "container options",
            Self::Ports => "published ports",
            Self::SeveralHosts => "several hosts",
        }
    }
}

impl ContainerRequest {
    /// Returns the capabilities that the request needs.
    pub fn needs(&self) -> BTreeSet<Capability> {
        let has_options = self.options != ContainerOptions::default() || !self.sysctls.is_empty();
        let has_place = self.network.is_some() || self.more_addresses.is_some();
        let needs = [
            (Capability::Volumes, !self.volumes.is_empty()),
            (Capability::Limits, self.resources.cpu.is_some() || self.resources.memory.is_some()),
            (Capability::Exec, self.stdio != Stdio::default()),
            (Capability::Tty, self.stdio.tty.is_some()),
            (Capability::Files, !self.files.is_empty()),
            (Capability::PlannedAddresses, has_place),
            (Capability::ContainerOptions, has_options),
            (Capability::Ports, !self.ports.is_empty()),
        ];
        needs.into_iter().filter(|(_, is_needed)| *is_needed).map(|(needed, _)| needed).collect()
    }

    /// Checks that a runtime that offers these capabilities can create the whole container: the
    /// first line of [`ContainerRuntime::create`](super::ContainerRuntime::create).
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Unsupported`] with the first capability that is missing.
    pub fn check_for(&self, offered: &BTreeSet<Capability>) -> Result<(), RuntimeError> {
        match self.needs().difference(offered).next() {
            Some(missing) => Err(RuntimeError::Unsupported { what: missing.as_str() }),
            None => Ok(()),
        }
    }
}
