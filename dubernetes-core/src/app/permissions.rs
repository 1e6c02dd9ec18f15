//! What apps may do to the host: nothing, unless the administrator of the orchestrator allows it.

use std::fmt;

use super::escape::quote;
use super::text::{ParseError, parse_traits, word_enum};
use super::{AppSpec, Problem, Volume, VolumeSource, find_system_folder};

word_enum!(
    /// Power over the host that an app may be given.
    Permission of "allow" {
        /// Capabilities of the kernel beyond those of the engine.
        CapAdd = "cap_add",
        /// Devices of the host.
        Devices = "devices",
        /// Folders and files of the system, such as the engine's socket.
        HostPaths = "host-paths",
    }
);

/// The permissions of the apps of one orchestrator. Default: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(Vec<Permission>);

impl Permissions {
    /// Parses `none`, or permissions joined by commas.
    ///
    /// # Errors
    ///
    /// Returns the list of legal words.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text == "none" {
            return Ok(Self::default());
        }
        let allowed = text.split(',').map(|word| Permission::parse(word.trim()));
        allowed.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether apps have `permission`.
    pub fn allow(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }
}

parse_traits!(Permissions);

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let words: Vec<&str> = self.0.iter().map(|permission| permission.as_str()).collect();
        f.write_str(&words.join(","))
    }
}

impl AppSpec {
    /// Returns a problem for each value that needs a permission which is not in `allowed`.
    pub fn forbidden(&self, allowed: &Permissions) -> Vec<Problem> {
        let capabilities = self.options.cap_add.iter().enumerate();
        let capabilities = capabilities.filter(|(_, capability)| !capability.is_default());
        let capabilities = capabilities.map(|(index, capability)| {
            let what = format!("the capability `{capability}`");
            (Permission::CapAdd, format!("cap_add.{index}"), what)
        });
        let devices = self.options.devices.iter().enumerate().map(|(index, device)| {
            let what = format!("the device {}", quote(device.as_str()));
            (Permission::Devices, format!("devices.{index}"), what)
        });
        let folders = self.volumes.iter().enumerate().filter_map(|(index, volume)| {
            let what = describe_system_folder(volume)?;
            Some((Permission::HostPaths, format!("volumes.{index}"), what))
        });
        let needed = capabilities.chain(devices).chain(folders);
        let refused = needed.filter(|(permission, _, _)| !allowed.allow(*permission));
        refused.map(|(permission, path, what)| problem(permission, path, &what)).collect()
    }
}

fn describe_system_folder(volume: &Volume) -> Option<String> {
    let VolumeSource::Bind(path) = &volume.source else { return None };
    let folder = find_system_folder(path)?;
    let path = quote(path);
    Some(format!("{path}, which contains or is inside the system folder `{folder}`,"))
}

fn problem(permission: Permission, path: String, what: &str) -> Problem {
    Problem {
        path,
        message: format!("{what} gives control of the host, and is not allowed"),
        hint: Some(format!(
            "the administrator allows it with `serve --allow {permission}` or the setting \
             `allow: {permission}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AppSpec, Device, KernelCapability};
    use super::*;

    #[test]
    fn permissions_are_none_or_a_list() {
        for text in ["none", "devices", "cap_add,devices,host-paths"] {
            assert_eq!(Permissions::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "all", "devices,", "none,devices"] {
            assert!(Permissions::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn power_over_the_host_needs_its_own_permission() {
        let mut spec = AppSpec::new("web".parse().unwrap(), "web:1".parse().unwrap());
        spec.options.cap_add =
            ["CHOWN", "NET_ADMIN"].map(|c| KernelCapability::parse(c).unwrap()).into();
        spec.options.devices = vec![Device::parse("/dev/kvm").unwrap()];
        let volumes = ["data:/data", "/srv/a:/a", "/var/run/docker.sock:/s", "/:/host"];
        spec.volumes = volumes.map(|volume| Volume::parse(volume).unwrap()).into();
        let paths = |allowed: &str| -> Vec<String> {
            let allowed = Permissions::parse(allowed).unwrap();
            spec.forbidden(&allowed).into_iter().map(|problem| problem.path).collect()
        };
        assert_eq!(paths("none"), ["cap_add.1", "devices.0", "volumes.2", "volumes.3"]);
        assert_eq!(paths("host-paths"), ["cap_add.1", "devices.0"]);
        assert_eq!(paths("cap_add,devices,host-paths"), [""; 0]);
        let text = spec.forbidden(&Permissions::default())[2].to_string();
        assert!(text.contains("`serve --allow host-paths`"), "{text}");
    }
}
