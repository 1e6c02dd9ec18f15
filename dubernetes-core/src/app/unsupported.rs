//! What a specification needs of the runtime, and a runtime may lack.

use std::collections::BTreeSet;

use crate::runtime::Capability;

use super::{AppSpec, Check, ContainerOptions, InvalidSpec, Problem, PullPolicy};

impl AppSpec {
    /// Returns the capabilities that the specification needs, with the keys that need them.
    pub fn needs(&self) -> Vec<(&'static str, Capability)> {
        let health = self.health.as_ref();
        let limits = &self.resources;
        let default = ContainerOptions::default();
        let options = &self.options;
        let option = |key, is_set| (key, Capability::ContainerOptions, is_set);
        let runs_program = self.artifact.program().is_some();
        let needs = [
            ("image", Capability::ContainerImages, !runs_program),
            ("program", Capability::Programs, runs_program),
            // A program has no registry to pull from.
            ("pull", Capability::ContainerImages, self.pull != PullPolicy::default()),
            ("working_dir", Capability::WorkingDir, options.working_dir.is_some()),
            option("user", options.user.is_some()),
            option("init", options.init != default.init),
            option("shm_size", options.shm_size.is_some()),
            option("tmpfs", !options.tmpfs.is_empty()),
            option("ulimits", !options.ulimits.is_empty()),
            option("cap_add", !options.cap_add.is_empty()),
            option("cap_drop", !options.cap_drop.is_empty()),
            option("read_only", options.read_only),
            option("devices", !options.devices.is_empty()),
            option("extra_hosts", !options.extra_hosts.is_empty()),
            option("no_new_privileges", options.no_new_privileges != default.no_new_privileges),
            ("volumes", Capability::Volumes, !self.volumes.is_empty()),
            ("resources", Capability::Limits, limits.cpu.is_some() || limits.memory.is_some()),
            ("files", Capability::Files, !self.files.is_empty()),
            (
                "health.exec",
                Capability::Exec,
                health.is_some_and(|health| matches!(health.check, Check::Exec(_))),
            ),
            // Without planned addresses a container has one port of its own, and no address.
            (
                "health.port",
                Capability::PlannedAddresses,
                health.and_then(|health| health.port).is_some_and(|port| port != self.port()),
            ),
            (
                "access.port",
                Capability::PlannedAddresses,
                self.access.iter().any(|access| self.other_port(access).is_some()),
            ),
            ("ports", Capability::PlannedAddresses, !self.ports.is_empty()),
        ];
        let needed = needs.into_iter().filter(|(_, _, is_needed)| *is_needed);
        needed.map(|(key, capability, _)| (key, capability)).collect()
    }

    /// Checks that a runtime that lacks these capabilities can run the whole specification.
    ///
    /// # Errors
    ///
    /// One problem for each key that needs a missing capability.
    pub fn check_for(&self, lacks: &BTreeSet<Capability>) -> Result<(), InvalidSpec> {
        let missing = self.needs().into_iter().filter(|(_, capability)| lacks.contains(capability));
        let problem = |(key, capability): (&str, Capability)| Problem {
            path: key.to_owned(),
            message: format!("needs {}, which this runtime does not support", capability.as_str()),
            hint: hint(key),
        };
        let problems: Vec<_> = missing.map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(InvalidSpec { problems }) }
    }
}

/// Returns what to write instead of a key.
fn hint(key: &str) -> Option<String> {
    let hint = match key {
        "image" => "it runs programs of the machine: write `program: PATH` instead",
        "program" => "programs run with `--runtime process`; otherwise write `image`",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Artifact, Health, Memory, Volume};
    use super::*;

    #[test]
    fn specification_needs_what_its_keys_need() {
        let mut spec = AppSpec::new("web".parse().unwrap(), "web:1".parse().unwrap());
        let mut all = BTreeSet::from(Capability::ALL);
        all.remove(&Capability::ContainerImages);
        assert_eq!(spec.check_for(&all), Ok(()));
        spec.volumes.push(Volume::parse("data:/data").unwrap());
        spec.resources.memory = Some(Memory::parse("32Mi").unwrap());
        let command = Check::Exec(vec!["true".to_owned()]);
        spec.health = Some(Health { port: Some(81), ..Health::new(command) });
        let text = spec.check_for(&all).unwrap_err().to_string();
        for expected in [
            "volumes: needs volumes, which this runtime does not support",
            "resources: needs resource limits",
            "health.exec: needs commands in containers",
            "health.port: needs planned addresses",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(spec.check_for(&BTreeSet::new()), Ok(()));
    }

    #[test]
    fn image_and_program_need_a_runtime_for_them() {
        let image = AppSpec::new("web".parse().unwrap(), "web:1".parse().unwrap());
        let artifact = Artifact::Program("/srv/web".parse().unwrap());
        let program = AppSpec::of_artifact("web".parse().unwrap(), artifact);
        let pulled = AppSpec { pull: PullPolicy::Always, ..program.clone() };
        let text = |spec: &AppSpec, lacks| {
            spec.check_for(&BTreeSet::from([lacks])).map_err(|error| error.to_string())
        };
        let needs = |key: &str, what: &str| {
            let hint = hint(key).map(|hint| format!(" ({hint})")).unwrap_or_default();
            Err(format!("{key}: needs {what}, which this runtime does not support{hint}"))
        };
        assert_eq!(text(&image, Capability::Programs), Ok(()));
        assert_eq!(text(&image, Capability::ContainerImages), needs("image", "container images"));
        assert_eq!(text(&program, Capability::ContainerImages), Ok(()));
        assert_eq!(text(&program, Capability::Programs), needs("program", "programs of the host"));
        assert_eq!(text(&pulled, Capability::ContainerImages), needs("pull", "container images"));
    }
}
