//! What services share: volumes, secrets and configs, and where relative paths begin.

use std::collections::BTreeMap;

use super::names::quoted;
use super::notes::{At, Notes};
use super::text;
use crate::node::{Entry, Node, Value};

/// The keys of the file besides `services`.
pub(super) struct Project {
    folder: String,
    /// Volumes that exist on the engine, by their key, with their name there.
    external: BTreeMap<String, String>,
    /// The number of services that name a volume.
    users: BTreeMap<String, usize>,
    /// Files of secrets and configs, by kind and key.
    files: BTreeMap<(&'static str, String), String>,
    /// Whether the file has `networks`, and a note about it.
    pub(super) has_networks: bool,
}

impl Project {
    pub(super) fn read(
        entries: &[Entry],
        services: &[Entry],
        folder: &str,
        notes: &mut Notes,
    ) -> Self {
        let mut project = Self {
            folder: folder.trim_end_matches('/').to_owned(),
            external: BTreeMap::new(),
            users: volume_users(services),
            files: BTreeMap::new(),
            has_networks: entries.iter().any(|entry| entry.key == "networks"),
        };
        for entry in entries {
            let at = At { path: entry.key.clone(), line: entry.key_place.line };
            match entry.key.as_str() {
                "services" => {}
                key if key.starts_with("x-") => {}
                "version" => notes.say(&at, "not taken: it has no meaning"),
                "name" => notes.add(
                    &at,
                    "not taken: apps of one instance see each other, other instances are separate",
                    "`dubernetes --instance NAME apply …` for an instance of its own",
                ),
                "volumes" => project.read_volumes(&at, &entry.value, notes),
                "secrets" => project.read_files("secrets", &at, &entry.value, notes),
                "configs" => project.read_files("configs", &at, &entry.value, notes),
                "networks" => note_networks(&at, &entry.value, notes),
                key => notes.no_equivalent(&at, key),
            }
        }
        project
    }

    /// Returns a path of the Compose file as the manifest writes it: an absolute one as it is, any
    /// other beginning at the folder of the manifest.
    pub(super) fn path(&self, path: &str) -> String {
        if path.starts_with(['/', '$', '~']) {
            return path.to_owned();
        }
        let path = path.strip_prefix("./").unwrap_or(path);
        match path {
            "." | "" => self.folder.clone(),
            path => format!("{}/{path}", self.folder),
        }
    }

    /// Returns the name on the engine of a volume that exists there.
    pub(super) fn external(&self, volume: &str) -> Option<&str> {
        self.external.get(volume).map(String::as_str)
    }

    /// Returns whether several services name a volume.
    pub(super) fn is_shared(&self, volume: &str) -> bool {
        self.users.get(volume).is_some_and(|users| *users > 1)
    }

    /// Returns the file of a secret or a config.
    pub(super) fn file(&self, kind: &'static str, name: &str) -> Option<&str> {
        self.files.get(&(kind, name.to_owned())).map(String::as_str)
    }

    fn read_volumes(&mut self, at: &At, node: &Node, notes: &mut Notes) {
        let Value::Map(volumes) = &node.value else { return };
        let mut own = Vec::new();
        for volume in volumes {
            let at = at.below(volume);
            let has_note = self.read_volume(&volume.key, &at, &volume.value, notes);
            if !has_note {
                own.push(volume.key.as_str());
            }
        }
        let are_new = match own.len() {
            0 => return,
            1 => "volume NAMES is new",
            _ => "volumes NAMES are new",
        };
        let are_new = are_new.replace("NAMES", &quoted(&own));
        notes.add(
            at,
            format!("the {are_new}: the data stays in the volumes of Compose"),
            "to use a volume of Compose, write its name on the engine with `:external`",
        );
    }

    /// Returns whether the volume exists on the engine, or has a note about its name.
    fn read_volume(&mut self, key: &str, at: &At, node: &Node, notes: &mut Notes) -> bool {
        let Value::Map(options) = &node.value else { return false };
        let find = |name: &str| options.iter().find(|option| option.key == name);
        let name = find("name").and_then(|entry| entry.value.text());
        let is_external = find("external")
            .is_some_and(|entry| entry.value.map().is_some() || entry.value.text() == Some("true"));
        if is_external {
            let name = text::convert(name.unwrap_or(key)).text;
            self.external.insert(key.to_owned(), name);
        } else if let Some(name) = name {
            notes.add(
                at,
                format!("the name `{name}` is not taken: volumes are named after the app"),
                &format!("to use the volume that Compose made, write `{name}:/target:external`"),
            );
        }
        for option in options {
            let is_known = match option.key.as_str() {
                "external" | "name" => true,
                "driver" => option.value.text() == Some("local"),
                key => key.starts_with("x-"),
            };
            if !is_known {
                notes.add(
                    &at.below(option),
                    "not taken: volumes are those of the engine's own driver",
                    "create the volume with the engine, and name it with `:external`",
                );
            }
        }
        is_external || name.is_some()
    }

    fn read_files(&mut self, kind: &'static str, at: &At, node: &Node, notes: &mut Notes) {
        let Value::Map(files) = &node.value else { return };
        for file in files {
            let at = at.below(file);
            let Value::Map(options) = &file.value.value else { continue };
            let source = options.iter().find(|option| option.key == "file");
            match source.and_then(|source| source.value.text()) {
                Some(path) => {
                    let path = self.path(&text::convert(path).text);
                    self.files.insert((kind, file.key.clone()), path);
                }
                None => notes.add(
                    &at,
                    "not taken: only files are read",
                    "put the content into a file, and write `files: { /path: ./file }`",
                ),
            }
        }
    }
}

fn note_networks(at: &At, node: &Node, notes: &mut Notes) {
    let Value::Map(networks) = &node.value else { return };
    let names: Vec<_> = networks.iter().map(|network| network.key.as_str()).collect();
    notes.add(
        at,
        format!("not taken: {}: all apps of an instance see each other", quoted(&names)),
        "use separate instances to keep apps apart",
    );
}

/// Counts the services that name each volume.
fn volume_users(services: &[Entry]) -> BTreeMap<String, usize> {
    let mut users = BTreeMap::new();
    for service in services {
        let mut names: Vec<_> = volume_sources(&service.value);
        names.sort_unstable();
        names.dedup();
        for name in names {
            *users.entry(name.to_owned()).or_default() += 1;
        }
    }
    users
}

fn volume_sources(service: &Node) -> Vec<&str> {
    let Value::Map(keys) = &service.value else { return Vec::new() };
    let Some(volumes) = keys.iter().find(|entry| entry.key == "volumes") else {
        return Vec::new();
    };
    let Value::List(items) = &volumes.value.value else { return Vec::new() };
    items.iter().filter_map(volume_source).collect()
}

fn volume_source(item: &Node) -> Option<&str> {
    match item.map() {
        Some(options) => options.iter().find(|option| option.key == "source")?.value.text(),
        None => item.text()?.split_once(':').map(|(source, _)| source),
    }
}
