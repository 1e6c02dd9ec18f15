//! `volumes` and `tmpfs` of a service.

use super::draft::Out;
use super::notes::At;
use super::service::Service;
use super::text;
use crate::node::{Entry, Node, Value};

/// Reads the list of mounts.
pub(super) fn read(service: &mut Service<'_>, at: &At, node: &Node) {
    let Value::List(items) = &node.value else {
        return service.not_taken(at, "a list was expected");
    };
    for (index, item) in items.iter().enumerate() {
        let at = at.item(index, item.place.line);
        match item.map() {
            Some(options) => read_object(service, &at, options),
            None => {
                let Some(short) = item.text() else { continue };
                read_short(service, &at, short);
            }
        }
    }
}

/// One mount, in the parts of the short form.
struct Mount<'m> {
    source: Option<&'m str>,
    target: &'m str,
    modes: Vec<&'m str>,
}

fn read_short(service: &mut Service<'_>, at: &At, short: &str) {
    let parts = text::split_parts(short);
    let mount = match &parts[..] {
        [target] => Mount { source: None, target, modes: Vec::new() },
        [source, target] => Mount { source: Some(source), target, modes: Vec::new() },
        [source, target, modes] => {
            Mount { source: Some(source), target, modes: modes.split(',').collect() }
        }
        _ => return service.not_taken(at, "expected `SOURCE:TARGET:MODE`"),
    };
    add(service, at, &mount);
}

fn read_object(service: &mut Service<'_>, at: &At, options: &[Entry]) {
    let find = |name: &str| {
        options.iter().find(|option| option.key == name).and_then(|option| option.value.text())
    };
    let Some(target) = find("target") else {
        return service.not_taken(at, "`target` is missing");
    };
    for option in options {
        note_option(service, &at.below(option), option);
    }
    match find("type") {
        Some("tmpfs") => {
            let size = options.iter().find(|option| option.key == "tmpfs").and_then(|option| {
                let Value::Map(entries) = &option.value.value else { return None };
                entries.iter().find(|entry| entry.key == "size")?.value.text()
            });
            let size = size.map(|size| format!(":size={}", text::size(size).trim_end_matches('i')));
            let mount = format!("{target}{}", size.unwrap_or_default().to_ascii_lowercase());
            return service.push("tmpfs", Out::Text(mount), at);
        }
        Some("bind" | "volume") | None => {}
        Some(other) => {
            return service.not_taken(at, &format!("mounts of type `{other}` are not supported"));
        }
    }
    let mut modes = Vec::new();
    if find("read_only") == Some("true") {
        modes.push("ro");
    }
    let bind = options.iter().find(|option| option.key == "bind");
    if let Some(Value::Map(entries)) = bind.map(|bind| &bind.value.value) {
        let selinux = entries.iter().find(|entry| entry.key == "selinux");
        modes.extend(selinux.and_then(|entry| entry.value.text()));
    }
    add(service, at, &Mount { source: find("source"), target, modes });
}

fn note_option(service: &mut Service<'_>, at: &At, option: &Entry) {
    let Value::Map(entries) = &option.value.value else {
        if option.key == "consistency" {
            service.say(at, "not taken: it has no effect on Linux");
        }
        return;
    };
    for entry in entries {
        let is_known = matches!(
            (option.key.as_str(), entry.key.as_str()),
            ("bind", "selinux" | "create_host_path") | ("tmpfs", "size")
        );
        if !is_known {
            service.not_taken(&at.below(entry), "a mount has no such option");
        }
    }
}

fn add(service: &mut Service<'_>, at: &At, mount: &Mount<'_>) {
    let target = service.convert(at, mount.target);
    let Some(source) = mount.source else {
        let name = slug(mount.target);
        service.say(at, &format!("the volume without a name is called `{name}`"));
        return service.push("volumes", Out::Text(format!("{name}:{target}")), at);
    };
    let source = service.convert(at, source);
    let is_path = source.starts_with(['/', '.', '~', '$']);
    let mut modes = Vec::new();
    for mode in &mount.modes {
        match *mode {
            "ro" => modes.push("ro"),
            "rw" => {}
            "z" | "Z" if is_path => modes.push(mode),
            "z" | "Z" => service.say(at, "`z` is not taken: a volume needs no label of SELinux"),
            "cached" | "delegated" | "consistent" => {
                service.say(at, &format!("`{mode}` is not taken: it has no effect on Linux"));
            }
            other => service.not_taken(at, &format!("a mount has no mode `{other}`")),
        }
    }
    if is_path {
        return add_path(service, at, &source, &target, &modes);
    }
    let (name, kind) = match service.project.external(&source) {
        Some(name) => (name.to_owned(), Some("external")),
        None if service.project.is_shared(&source) => (source, Some("shared")),
        None => (source, None),
    };
    modes.extend(kind);
    push_volume(service, at, &name, &target, &modes);
}

fn push_volume(service: &mut Service<'_>, at: &At, source: &str, target: &str, modes: &[&str]) {
    let modes = if modes.is_empty() { String::new() } else { format!(":{}", modes.join(",")) };
    service.push("volumes", Out::Text(format!("{source}:{target}{modes}")), at);
}

/// Adds a folder of the host, or a file that is read-only.
fn add_path(service: &mut Service<'_>, at: &At, source: &str, target: &str, modes: &[&str]) {
    if source.starts_with('~') {
        return service.note(
            at,
            "not taken: a manifest does not know whose home folder `~` is",
            "write the whole path",
        );
    }
    if matches!(source, "/etc/localtime" | "/etc/timezone") {
        return service.note(
            at,
            "not taken: it is a file of the system",
            "set the time zone in `env`, such as `TZ: Europe/Berlin`",
        );
    }
    let path = service.project.path(source);
    if modes.contains(&"ro") && is_config_file(source) {
        service.say(at, "the file is copied: a change of it needs another `apply`");
        return service.insert("files", target, Out::Text(path), at);
    }
    if source.starts_with("/var/run/docker.sock") {
        service.note(
            at,
            "the engine's socket gives the app control of the machine",
            "`apply` refuses it unless the orchestrator runs with `--allow host-paths`",
        );
    }
    push_volume(service, at, &path, target, modes);
}

/// Whether a path is that of a file: its last part has an extension.
fn is_config_file(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or(path);
    let extension = last.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    !path.starts_with('$') && extension.is_some_and(|(_, extension)| is_word(extension))
}

/// Returns the name of a volume without one.
fn slug(target: &str) -> String {
    let words: Vec<_> = target.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join("-").to_ascii_lowercase()
}
