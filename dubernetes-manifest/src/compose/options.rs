//! Keys with a value of their own: limits, users, options of the container.

use super::draft::Out;
use super::notes::At;
use super::service::Service;
use super::text;
use crate::node::{Entry, Node, Value};

/// Reads a key that no other file reads.
pub(super) fn read(service: &mut Service<'_>, at: &At, entry: &Entry) {
    let node = &entry.value;
    match entry.key.as_str() {
        "user" | "working_dir" => service.set_text(&entry.key, at, node),
        "init" | "read_only" => read_flag(service, &entry.key, at, node),
        "cap_add" | "cap_drop" | "devices" | "tmpfs" => read_list(service, &entry.key, at, node),
        "extra_hosts" => read_extra_hosts(service, at, node),
        "shm_size" => read_size(service, "shm_size", at, node),
        "ulimits" => read_ulimits(service, at, node),
        "security_opt" => read_security(service, at, node),
        "pull_policy" => read_pull(service, at, node),
        "stop_signal" => read_stop(service, "signal", at, node),
        "stop_grace_period" => read_stop(service, "grace", at, node),
        "scale" => read_replicas(service, at, node),
        "mem_limit" => read_memory(service, at, node),
        "cpus" => read_cpu(service, at, node),
        "deploy" => read_deploy(service, at, node),
        "stdin_open" | "tty" | "privileged" | "attach" if node.text() == Some("false") => {}
        key => service.no_equivalent(at, key),
    }
}

fn read_flag(service: &mut Service<'_>, key: &str, at: &At, node: &Node) {
    let known = node.text().and_then(text::with_default);
    match known.as_deref() {
        Some("true") => service.set(key, Out::Bool(true), at),
        Some("false") => service.set(key, Out::Bool(false), at),
        _ => service.not_taken(at, "`true` or `false` was expected"),
    }
}

fn read_list(service: &mut Service<'_>, key: &str, at: &At, node: &Node) {
    for (index, (item, line)) in text::texts(node).into_iter().enumerate() {
        let at = at.item(index, line);
        let item = service.convert(&at, item);
        service.push(key, Out::Text(item), &at);
    }
}

fn read_extra_hosts(service: &mut Service<'_>, at: &At, node: &Node) {
    if let Value::Map(entries) = &node.value {
        for entry in entries {
            let address = entry.value.text().unwrap_or_default();
            let line = format!("{}:{address}", entry.key);
            service.push("extra_hosts", Out::Text(line), &at.below(entry));
        }
        return;
    }
    for (index, (item, line)) in text::texts(node).into_iter().enumerate() {
        let at = at.item(index, line);
        let item = match item.split_once('=') {
            Some((host, address)) => format!("{host}:{address}"),
            None => item.to_owned(),
        };
        service.push("extra_hosts", Out::Text(item), &at);
    }
}

fn read_size(service: &mut Service<'_>, key: &str, at: &At, node: &Node) {
    let Some(value) = node.text() else { return service.not_taken(at, "a size was expected") };
    let value = service.convert(at, value);
    service.set(key, Out::Text(text::size(&value)), at);
}

fn read_ulimits(service: &mut Service<'_>, at: &At, node: &Node) {
    let Value::Map(limits) = &node.value else {
        return service.not_taken(at, "a mapping was expected");
    };
    for limit in limits {
        let value = match limit.value.map() {
            Some(pair) => {
                let find = |name: &str| pair.iter().find(|entry| entry.key == name);
                let find = |name| find(name).and_then(|entry| entry.value.text());
                find("soft").zip(find("hard")).map(|(soft, hard)| format!("{soft}:{hard}"))
            }
            None => limit.value.text().map(str::to_owned),
        };
        let at = at.below(limit);
        match value {
            Some(value) => service.insert("ulimits", &limit.key, Out::Text(value), &at),
            None => service.not_taken(&at, "a number, or `soft` and `hard`, was expected"),
        }
    }
}

fn read_security(service: &mut Service<'_>, at: &At, node: &Node) {
    for (index, (item, line)) in text::texts(node).into_iter().enumerate() {
        let at = at.item(index, line);
        match item.replace('=', ":").as_str() {
            // The default of a manifest.
            "no-new-privileges" | "no-new-privileges:true" => {}
            "no-new-privileges:false" => service.set("no_new_privileges", Out::Bool(false), &at),
            _ => service.no_equivalent(&at, "security_opt"),
        }
    }
}

fn read_pull(service: &mut Service<'_>, at: &At, node: &Node) {
    match node.text() {
        Some("missing" | "if_not_present") => {}
        Some(policy @ ("always" | "never")) => service.set("pull", Out::text(policy), at),
        _ => service.no_equivalent(at, "pull_policy"),
    }
}

fn read_stop(service: &mut Service<'_>, key: &str, at: &At, node: &Node) {
    let Some(value) = node.text() else { return service.not_taken(at, "a text was expected") };
    let value = service.convert(at, value);
    let value = match key {
        "signal" if !value.starts_with("SIG") && !value.contains("${") => format!("SIG{value}"),
        _ => value,
    };
    service.insert("stop", key, Out::Text(value), at);
}

fn read_replicas(service: &mut Service<'_>, at: &At, node: &Node) {
    let known = node.text().map(|value| service.convert(at, value));
    let known = known.as_deref().and_then(text::with_default);
    match known.and_then(|value| value.parse().ok()) {
        Some(count) => service.set("replicas", Out::Whole(count), at),
        None => service.not_taken(at, "a whole number was expected"),
    }
}

fn read_memory(service: &mut Service<'_>, at: &At, node: &Node) {
    let Some(value) = node.text() else { return service.not_taken(at, "a size was expected") };
    let value = service.convert(at, value);
    service.insert("resources", "memory", Out::Text(text::size(&value)), at);
}

fn read_cpu(service: &mut Service<'_>, at: &At, node: &Node) {
    let Some(value) = node.text() else { return service.not_taken(at, "a number was expected") };
    let value = service.convert(at, value);
    service.insert("resources", "cpu", Out::Text(value), at);
}

fn read_deploy(service: &mut Service<'_>, at: &At, node: &Node) {
    let Value::Map(options) = &node.value else {
        return service.not_taken(at, "a mapping was expected");
    };
    for option in options {
        let at = at.below(option);
        match option.key.as_str() {
            "replicas" => read_replicas(service, &at, &option.value),
            "resources" => read_resources(service, &at, &option.value),
            "restart_policy" if restarts_always(&option.value) => {}
            "restart_policy" => {
                service.say(&at, "not taken: a replica that exits is always restarted");
            }
            "update_config" | "rollback_config" => service.note(
                &at,
                "not taken: an update replaces one replica at a time, and rolls back by itself",
                "`dubernetes explain rollout`",
            ),
            _ => service.not_taken(&at, "there is one machine, and no swarm"),
        }
    }
}

fn restarts_always(node: &Node) -> bool {
    let Value::Map(options) = &node.value else { return false };
    options.iter().all(|option| option.key == "condition" && option.value.text() == Some("any"))
}

fn read_resources(service: &mut Service<'_>, at: &At, node: &Node) {
    let Value::Map(kinds) = &node.value else {
        return service.not_taken(at, "a mapping was expected");
    };
    for kind in kinds {
        let at = at.below(kind);
        let Value::Map(values) = &kind.value.value else { continue };
        for value in values {
            let at = at.below(value);
            match (kind.key.as_str(), value.key.as_str()) {
                ("limits", "memory") => read_memory(service, &at, &value.value),
                ("limits", "cpus") => read_cpu(service, &at, &value.value),
                (_, "devices") => service.no_equivalent(&at, "device_requests"),
                ("reservations", _) => {
                    service.not_taken(&at, "nothing is reserved on a single machine");
                }
                _ => service.no_equivalent(&at, "pids_limit"),
            }
        }
    }
}
