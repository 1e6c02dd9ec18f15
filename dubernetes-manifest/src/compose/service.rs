//! One service: what becomes of each of its keys.

use super::draft::{Draft, Out};
use super::names::{Names, quoted};
use super::notes::{At, Notes};
use super::project::Project;
use super::{env, files, health, options, ports, text, volumes};
use crate::node::{Entry, Node, Value};

/// Parts of the names of images that start with s6-overlay.
const OWN_INIT: [&str; 2] = ["paperless-ngx/", "linuxserver/"];

/// A service that is being read.
pub(super) struct Service<'a> {
    pub(super) key: &'a str,
    pub(super) project: &'a Project,
    pub(super) names: &'a Names<'a>,
    pub(super) draft: &'a mut Draft,
    notes: &'a mut Notes,
}

/// Reads a service into `draft`.
pub(super) fn read<'a>(
    entry: &'a Entry,
    project: &'a Project,
    names: &'a Names<'a>,
    draft: &'a mut Draft,
    notes: &'a mut Notes,
) {
    let at = At::new("services", entry);
    let mut service = Service { key: &entry.key, project, names, draft, notes };
    let keys = entry.value.map().unwrap_or_default();
    for key in keys {
        service.read_key(&at.below(key), key);
    }
    ports::read(&mut service, &at, keys);
    service.check_image(&at, keys);
    service.check_init(&at, keys);
}

impl Service<'_> {
    fn read_key(&mut self, at: &At, entry: &Entry) {
        let node = &entry.value;
        if node.is_null() && entry.key != "command" && entry.key != "entrypoint" {
            return;
        }
        match entry.key.as_str() {
            key if key.starts_with("x-") => {}
            // Read together, at the end.
            "ports" | "expose" | "build" => {}
            "image" => self.set_text("image", at, node),
            "command" => self.read_command("args", at, node),
            "entrypoint" => self.read_command("command", at, node),
            "environment" => env::read(self, at, node),
            "env_file" => env::read_files(self, at, node),
            "volumes" => volumes::read(self, at, node),
            "healthcheck" => health::read(self, at, node),
            "secrets" => files::read(self, "secrets", at, node),
            "configs" => files::read(self, "configs", at, node),
            "depends_on" => self.read_dependencies(at, node),
            "links" => self.read_links(at, node),
            "container_name" | "hostname" => self.read_other_name(at, node),
            "networks" => self.read_networks(at, node),
            "labels" => self.read_labels(at, node),
            "restart" => self.read_restart(at, node),
            _ => options::read(self, at, entry),
        }
    }

    /// The services after which this one starts.
    fn read_dependencies(&mut self, at: &At, node: &Node) {
        let Value::Map(entries) = &node.value else {
            for (name, _) in text::texts(node) {
                self.start_after(at, name, false);
            }
            return;
        };
        for entry in entries {
            let Value::Map(options) = &entry.value.value else {
                self.start_after(at, &entry.key, false);
                continue;
            };
            let condition = options.iter().find(|option| option.key == "condition");
            let condition = condition.and_then(|option| option.value.text());
            self.start_after(at, &entry.key, condition == Some("service_completed_successfully"));
        }
    }

    fn start_after(&mut self, at: &At, service: &str, has_to_end: bool) {
        match self.names.of(service) {
            Some(_) if has_to_end => self.note(
                at,
                &format!("not taken: `{service}` has to end, and every app is kept running"),
                "write what it does as `pre_deploy`",
            ),
            Some(app) => self.push("after", Out::text(app.as_str()), at),
            None => self.not_taken(at, &format!("there is no service `{service}`")),
        }
    }

    fn read_links(&mut self, at: &At, node: &Node) {
        let names: Vec<_> = text::texts(node).into_iter().map(|(name, _)| name).collect();
        self.note(
            at,
            &format!("not taken: {}: apps reach each other by their names", quoted(&names)),
            "use the name of the app where the link has another one",
        );
    }

    /// Other names under which Compose resolves a service.
    fn read_other_name(&mut self, at: &At, node: &Node) {
        let Some(name) = node.text() else { return self.not_taken(at, "a text was expected") };
        let users = if name == self.key { Vec::new() } else { self.names.users_of(name) };
        match users.is_empty() {
            true => self.say(at, "not taken: containers are named after the app"),
            false => self.note(
                at,
                &format!("not taken: {} may use the name as a host", quoted(&users)),
                "write the name of the app in their values",
            ),
        }
    }

    /// A note about the networks themselves is at the key of the file.
    fn read_networks(&mut self, at: &At, node: &Node) {
        let Value::Map(networks) = &node.value else {
            if !self.project.has_networks {
                self.say(at, "not taken: all apps of an instance see each other");
            }
            return;
        };
        for network in networks {
            let Value::Map(options) = &network.value.value else { continue };
            for option in options {
                let at = at.below(network).below(option);
                if option.key != "aliases" {
                    self.not_taken(&at, "a network has no such option");
                    continue;
                }
                let aliases = text::texts(&option.value);
                let aliases: Vec<_> = aliases.into_iter().map(|(name, _)| name).collect();
                self.note(
                    &at,
                    &format!("not taken: an app has one name, and not {}", quoted(&aliases)),
                    "write the name of the app in the values of the others",
                );
            }
        }
    }

    fn read_labels(&mut self, at: &At, node: &Node) {
        let mut routes = false;
        let mut read = |service: &mut Self, at: &At, name: &str, value: &str| {
            if name.starts_with("traefik.") || name.starts_with("caddy") {
                routes = true;
                return;
            }
            let value = service.convert(at, value);
            service.insert("labels", name, Out::Text(value), at);
        };
        match node.map() {
            Some(entries) => {
                for entry in entries {
                    let value = entry.value.text().unwrap_or_default();
                    read(self, &at.below(entry), &entry.key, value);
                }
            }
            None => {
                for (index, (label, line)) in text::texts(node).into_iter().enumerate() {
                    let (name, value) = label.split_once('=').unwrap_or((label, ""));
                    read(self, &at.item(index, line), name, value);
                }
            }
        }
        if routes {
            self.note(
                at,
                "the labels of another proxy are not taken: routes are part of the app",
                "write `access: { host: myapp.example.org }`",
            );
        }
    }

    fn read_restart(&mut self, at: &At, node: &Node) {
        match node.text() {
            Some("always" | "unless-stopped") => {}
            Some("no") => self.note(
                at,
                "not taken: a replica that exits is always restarted",
                "run a command that ends with `dubernetes run NAME`, or as `pre_deploy`",
            ),
            _ => self.say(at, "not taken: a replica that exits is always restarted"),
        }
    }

    /// Reads a command: words, or a line that is split as Compose does, without a shell.
    fn read_command(&mut self, key: &str, at: &At, node: &Node) {
        let words = match node.list() {
            Some(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
            None => match node.text().map(text::split_words) {
                Some(Some(words)) => words,
                Some(None) => return self.not_taken(at, "a quote is never closed"),
                None => Vec::new(),
            },
        };
        let words: Vec<_> = words.iter().map(|word| self.convert(at, word)).collect();
        match words.is_empty() {
            false => self.set(key, Out::texts(words), at),
            true if node.is_null() => {}
            true => self.say(at, "an empty command is that of the image"),
        }
    }

    /// Every app has an image. One that is built here gets a name to build it under.
    fn check_image(&mut self, at: &At, keys: &[Entry]) {
        let build = keys.iter().find(|key| key.key == "build").map(|key| at.below(key));
        if self.draft.has("image") {
            if let Some(at) = build {
                let help = format!("build it with `docker compose build {}`", self.key);
                self.note(&at, "not taken: images are not built here", &help);
            }
            return;
        }
        let image = format!("{}:latest", self.draft.name());
        match build {
            None => self.note(at, "`image` is missing", "name an image that is on the engine"),
            Some(at) => self.note(
                &at,
                &format!("images are not built here: this one has to be built as `{image}`"),
                &format!("build it with `docker build -t {image} FOLDER`"),
            ),
        }
        self.set("image", Out::Text(image), at);
    }

    /// Some images have an init process of their own, which must be process 1.
    fn check_init(&mut self, at: &At, keys: &[Entry]) {
        let image = keys.iter().find(|key| key.key == "image");
        let image = image.and_then(|key| key.value.text()).unwrap_or_default();
        if !self.draft.has("init") && OWN_INIT.iter().any(|known| image.contains(known)) {
            self.say(at, "`init: false` is set: the image has an init process of its own");
            self.set("init", Out::Bool(false), at);
        }
    }

    /// Sets a key to the text of a node.
    pub(super) fn set_text(&mut self, key: &str, at: &At, node: &Node) {
        match node.text() {
            Some(value) => {
                let value = self.convert(at, value);
                self.set(key, Out::Text(value), at);
            }
            None => self.not_taken(at, "a text was expected"),
        }
    }

    /// Returns a text with the variables of a manifest.
    pub(super) fn convert(&mut self, at: &At, value: &str) -> String {
        let converted = text::convert(value);
        for change in converted.changed {
            self.note(
                at,
                &format!("{change}: a manifest has no such form"),
                "write `${NAME}`, `${NAME:-default}` or `${NAME:?text}`",
            );
        }
        converted.text
    }

    pub(super) fn set(&mut self, key: &str, value: Out, at: &At) {
        self.draft.set(key, value, at, self.notes);
    }

    pub(super) fn push(&mut self, key: &str, value: Out, at: &At) {
        self.draft.push(key, value, at, self.notes);
    }

    pub(super) fn insert(&mut self, key: &str, name: &str, value: Out, at: &At) {
        self.draft.insert(key, name, value, at, self.notes);
    }

    pub(super) fn note(&mut self, at: &At, message: &str, help: &str) {
        self.notes.add(at, message, help);
    }

    pub(super) fn say(&mut self, at: &At, message: &str) {
        self.notes.say(at, message);
    }

    /// Adds a note with the reason why a key is not taken.
    pub(super) fn not_taken(&mut self, at: &At, why: &str) {
        self.notes.say(at, format!("not taken: {why}"));
    }

    /// Adds a note about a key that a manifest does not have.
    pub(super) fn no_equivalent(&mut self, at: &At, key: &str) {
        self.notes.no_equivalent(at, key);
    }
}
