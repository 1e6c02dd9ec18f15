//! Options of the container: user, rights, and limits of the kernel.

use dubernetes_core::app::{AppSpec, ContainerOptions, ExtraHost, KernelCapability, User};

use super::names::is_domain;
use super::notes::Notes;
use super::object::Object;

/// Returns the security context of the container, and notes what Kubernetes has no field for.
pub(super) fn security_context(spec: &AppSpec, notes: &mut Notes) -> Object {
    let options = &spec.options;
    note_missing(options, notes);
    let (user, group) = ids(options.user.as_ref());
    if let Some(named) = options.user.as_ref().filter(|named| has_name(named)) {
        notes.add(
            "user",
            format!("a name is not exported, as in `{named}`: Kubernetes takes numbers"),
            "write `user: \"UID:GID\"`; `id` in a container of the image shows them",
        );
    }
    let names = |list: &[KernelCapability]| -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    };
    let capabilities =
        Object::new().with("add", names(&options.cap_add)).with("drop", names(&options.cap_drop));
    Object::new()
        .with_some("runAsUser", user)
        .with_some("runAsGroup", group)
        .with_some("readOnlyRootFilesystem", options.read_only.then_some(true))
        .with("allowPrivilegeEscalation", !options.no_new_privileges)
        .with("capabilities", capabilities)
}

/// Returns the group that the files of volumes get, if the user of the container is a number.
pub(super) fn group_of_files(spec: &AppSpec) -> Option<u32> {
    let (user, group) = ids(spec.options.user.as_ref());
    group.or(user).filter(|id| *id != 0)
}

/// Returns the user and the group, where they are numbers.
fn ids(user: Option<&User>) -> (Option<u32>, Option<u32>) {
    let Some(user) = user else { return (None, None) };
    let mut ids = user.as_str().split(':').map(|id| id.parse().ok());
    (ids.next().flatten(), ids.next().flatten())
}

fn has_name(user: &User) -> bool {
    user.as_str().split(':').any(|id| id.parse::<u32>().is_err())
}

fn note_missing(options: &ContainerOptions, notes: &mut Notes) {
    if options.init {
        notes.add(
            "init",
            "process 1 is the program of the image: no init passes signals on or reaps orphans",
            "put an init such as `tini` into the image, if the program is not made for that",
        );
    }
    if !options.devices.is_empty() {
        let devices: Vec<String> = options.devices.iter().map(|one| format!("`{one}`")).collect();
        notes.add(
            "devices",
            format!("not exported: {}", devices.join(", ")),
            "a device plugin offers devices as resources of a node",
        );
    }
    if !options.ulimits.is_empty() {
        let names: Vec<String> = options.ulimits.keys().map(|name| format!("`{name}`")).collect();
        notes.add(
            "ulimits",
            format!(
                "not exported: {}: pods have the limits of the container runtime",
                names.join(", ")
            ),
            "set them in the configuration of the container runtime on the nodes",
        );
    }
}

/// Returns the lines of `/etc/hosts`, one entry for each address.
pub(super) fn host_aliases(spec: &AppSpec, notes: &mut Notes) -> Vec<Object> {
    let mut aliases: Vec<(String, Vec<String>)> = Vec::new();
    for (index, line) in spec.options.extra_hosts.iter().enumerate() {
        let path = format!("extra_hosts.{index}");
        let Some((name, address)) = readable(line, &path, notes) else { continue };
        match aliases.iter_mut().find(|(known, _)| *known == address) {
            Some((_, names)) => names.push(name),
            None => aliases.push((address, vec![name])),
        }
    }
    let alias = |(address, names): (String, Vec<String>)| {
        Object::new().with("ip", address).with("hostnames", names)
    };
    aliases.into_iter().map(alias).collect()
}

fn readable(line: &ExtraHost, path: &str, notes: &mut Notes) -> Option<(String, String)> {
    let (name, address) = line.as_str().split_once(':')?;
    let name = name.to_ascii_lowercase();
    if address == "host-gateway" {
        notes.add(
            path,
            format!("not exported: `{line}`: a pod knows its node only when it runs"),
            "let the app read the address from a variable with `fieldRef: status.hostIP`",
        );
        return None;
    }
    if !is_domain(&name) {
        notes.say(path, format!("not exported: `{name}` is no name of a host for Kubernetes"));
        return None;
    }
    Some((name, address.to_owned()))
}
