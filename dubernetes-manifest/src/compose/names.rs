//! Names of services: the grammar of apps is narrower.

use std::collections::BTreeMap;

use dubernetes_core::app::AppName;

use super::notes::{At, Notes};
use crate::node::{Entry, Node, Value};
use crate::suggest::suggest_name;

/// The names of all services, and where they are used.
pub(super) struct Names<'n> {
    apps: BTreeMap<&'n str, AppName>,
    /// The texts of all services under `environment`, `command` and the like.
    texts: Vec<(&'n str, &'n str)>,
}

impl<'n> Names<'n> {
    pub(super) fn new(services: &'n [Entry], notes: &mut Notes) -> Self {
        let mut names = Self { apps: BTreeMap::new(), texts: Vec::new() };
        for service in services {
            collect(&service.key, &service.value, &mut names.texts);
        }
        for service in services {
            let Some(name) = names.free_name(&service.key) else { continue };
            if name != service.key.as_str() {
                names.note_new_name(service, &name, notes);
            }
            names.apps.insert(&service.key, name);
        }
        names
    }

    /// Returns the name of the app that a service becomes.
    pub(super) fn of(&self, service: &str) -> Option<&AppName> {
        self.apps.get(service)
    }

    /// Returns the ports on which other services reach this one, such as `db:5432`.
    pub(super) fn ports_used(&self, service: &str) -> Vec<u16> {
        let prefix = format!("{service}:");
        let mut ports = Vec::new();
        for (_, text) in self.texts.iter().filter(|(user, _)| *user != service) {
            for (start, _) in text.match_indices(&prefix) {
                let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                let rest = &text[start + prefix.len()..];
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let is_whole = !text[..start].ends_with(is_name);
                if let (true, Ok(port)) = (is_whole, rest[..end].parse::<u16>())
                    && port > 0
                    && !ports.contains(&port)
                {
                    ports.push(port);
                }
            }
        }
        ports
    }

    /// Returns the services whose texts contain a host name as a whole word.
    pub(super) fn users_of(&self, host: &str) -> Vec<&'n str> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let uses = |text: &str| {
            text.match_indices(host).any(|(start, _)| {
                let after = &text[start + host.len()..];
                !text[..start].ends_with(is_name) && !after.starts_with(is_name)
            })
        };
        let mut users: Vec<_> =
            self.texts.iter().filter(|(_, text)| uses(text)).map(|(user, _)| *user).collect();
        users.dedup();
        users
    }

    fn free_name(&self, service: &str) -> Option<AppName> {
        let name = AppName::parse(service).ok();
        let near = || suggest_name(service);
        let other = || AppName::parse(&format!("app-{}", self.apps.len() + 1)).ok();
        let is_free = |name: &AppName| self.apps.values().all(|taken| taken != name);
        name.or_else(near).filter(is_free).or_else(other)
    }

    fn note_new_name(&self, service: &Entry, name: &AppName, notes: &mut Notes) {
        let at = At::new("services", service);
        let users = self.users_of(&service.key);
        let message = format!("the app is called `{name}`: a name has only `a-z`, `0-9` and `-`");
        match users.is_empty() {
            true => notes.say(&at, message),
            false => notes.add(
                &at,
                format!("{message}; {} may use the old name as a host", quoted(&users)),
                &format!("write `{name}` in their values"),
            ),
        }
    }
}

/// Joins names for a message.
pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Collects the texts in which a service may name another one as a host.
fn collect<'n>(service: &'n str, node: &'n Node, texts: &mut Vec<(&'n str, &'n str)>) {
    let Value::Map(entries) = &node.value else { return };
    for entry in entries {
        let holds_hosts =
            matches!(entry.key.as_str(), "environment" | "command" | "entrypoint" | "healthcheck");
        if holds_hosts {
            collect_all(service, &entry.value, texts);
        }
    }
}

fn collect_all<'n>(service: &'n str, node: &'n Node, texts: &mut Vec<(&'n str, &'n str)>) {
    match &node.value {
        Value::Map(entries) => {
            entries.iter().for_each(|entry| collect_all(service, &entry.value, texts));
        }
        Value::List(items) => items.iter().for_each(|item| collect_all(service, item, texts)),
        Value::Plain(_)
        | Value::Text(_)
        | Value::Number(_)
        | Value::Bool(_)
        | Value::Null
        | Value::Refused => texts.extend(node.text().map(|text| (service, text))),
    }
}
