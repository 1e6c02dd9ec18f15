//! What a request for a container needs of the runtime.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::{AppSpec, ContainerOptions, Resources};

use super::{Capability, ContainerRequest, RuntimeError, Stdio};

impl ContainerRequest {
    /// Returns the request for a container that has the program of its image, port 80 and nothing
    /// else: no labels, no network, no limits.
    pub fn new(name: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            hostname: String::new(),
            image: image.into(),
            labels: BTreeMap::new(),
            command: Vec::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            secret_env: BTreeMap::new(),
            files: Vec::new(),
            port: AppSpec::USUAL_PORT,
            network: None,
            more_addresses: None,
            names: None,
            resources: Resources::default(),
            volumes: Vec::new(),
            ports: Vec::new(),
            stop_signal: None,
            options: ContainerOptions::default(),
            stdio: Stdio::default(),
            sysctls: BTreeMap::new(),
        }
    }

    /// Returns the capabilities that the request needs.
    pub fn needs(&self) -> BTreeSet<Capability> {
        let usual = ContainerOptions {
            working_dir: self.options.working_dir.clone(),
            ..ContainerOptions::default()
        };
        let has_options = self.options != usual || !self.sysctls.is_empty();
        let has_place = self.network.is_some() || self.more_addresses.is_some();
        let needs = [
            (Capability::Volumes, !self.volumes.is_empty()),
            (Capability::Limits, self.resources.cpu.is_some() || self.resources.memory.is_some()),
            (Capability::Exec, self.stdio != Stdio::default()),
            (Capability::Tty, self.stdio.tty.is_some()),
            (Capability::Files, !self.files.is_empty()),
            (Capability::PlannedAddresses, has_place),
            (Capability::WorkingDir, self.options.working_dir.is_some()),
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
