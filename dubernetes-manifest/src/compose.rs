//! Import of Compose files: one app per service, and a note for every key without an equivalent.
//!
//! `service` dispatches the keys of a service; the files beside it read those that need more than
//! a line. `draft` is the app that results: the reader of manifests has accepted each of its keys.
//! `notes` collects what has no equivalent, is changed, or has to be known: nothing is dropped in
//! silence.

mod draft;
mod env;
mod files;
mod health;
mod names;
mod notes;
mod options;
mod ports;
mod project;
mod service;
mod text;
mod volumes;

pub use notes::KeyPlace;

use std::collections::BTreeSet;

use dubernetes_core::app::AppName;

use crate::batch::locate_all;
use crate::node::{Entry, Node, Place, Value};
use crate::raw_diagnostic::RawDiagnostic;
use crate::{Diagnostics, Note, Source, decode, yaml};
use draft::Draft;
use names::Names;
use notes::Notes;
use project::Project;

/// The apps of a Compose file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The apps, in the order of the services.
    pub apps: Vec<ImportedApp>,
    /// What has no equivalent, is changed, or has to be known, in the order of the file.
    pub notes: Vec<Note<KeyPlace>>,
}

/// The manifest of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedApp {
    /// The name of the app.
    pub name: AppName,
    /// The manifest, as YAML.
    pub yaml: String,
}

/// Turns a Compose file into manifests. `folder` is the path from the manifests to the folder of
/// the Compose file, which relative paths begin with: `.` if they are in the same one.
///
/// Variables stay as they are, for `apply`. No file is read.
///
/// # Errors
///
/// The file is not YAML, or no Compose file: nothing is imported then.
///
/// # Examples
///
/// ```
/// use dubernetes_manifest::Source;
/// use dubernetes_manifest::compose::import;
///
/// let compose = "services:\n  web:\n    image: shop:${TAG:-1}\n    expose: [8080]\n";
/// let source = Source { name: "compose.yaml".into(), text: compose.into() };
/// let imported = import(&source, ".")?;
/// assert_eq!(imported.apps[0].yaml, "name: web\nimage: \"shop:${TAG:-1}\"\nport: 8080\n");
/// # Ok::<(), dubernetes_manifest::Diagnostics>(())
/// ```
pub fn import(source: &Source, folder: &str) -> Result<Imported, Diagnostics> {
    let failed = |found: Vec<RawDiagnostic>| {
        let found = found.into_iter().map(|diagnostic| (0, diagnostic)).collect();
        locate_all(std::slice::from_ref(source), found)
    };
    let text = decode::decode(&source.text).map_err(|diagnostic| failed(vec![*diagnostic]))?;
    let yaml::Documents { roots, diagnostics } = yaml::read(text);
    if !diagnostics.is_empty() {
        return Err(failed(diagnostics));
    }
    let root = read_root(&roots).map_err(|diagnostic| failed(vec![*diagnostic]))?;
    Ok(import_root(&root, folder, source.shown_name()))
}

/// The services of a file, and its other keys.
struct Root<'n> {
    services: &'n [Entry],
    entries: &'n [Entry],
}

fn read_root(roots: &[Node]) -> Result<Root<'_>, Box<RawDiagnostic>> {
    let refused = |place, message: &str| {
        let hint = "a Compose file has a mapping `services`, with one mapping per service";
        Err(Box::new(RawDiagnostic::new(place, "", message, hint)))
    };
    let [root] = roots else {
        return refused(Place::FILE, "a Compose file is one YAML document");
    };
    let Value::Map(entries) = &root.value else {
        return refused(root.place, "a Compose file must be a mapping");
    };
    let Some(services) = entries.iter().find(|entry| entry.key == "services") else {
        return refused(root.place, "`services` is missing");
    };
    match services.value.map() {
        Some(list) if !list.is_empty() => Ok(Root { services: list, entries }),
        Some(_) | None => {
            refused(services.value.place, "`services` must be a mapping with at least one entry")
        }
    }
}

fn import_root(root: &Root<'_>, folder: &str, source: String) -> Imported {
    let mut notes = Notes::new(source);
    let names = Names::new(root.services, &mut notes);
    let project = Project::read(root.entries, root.services, folder, &mut notes);
    let mut apps = Vec::new();
    for entry in root.services {
        let Some(name) = names.of(&entry.key) else { continue };
        let mut draft = Draft::new(name);
        service::read(entry, &project, &names, &mut draft, &mut notes);
        apps.push(ImportedApp { name: name.clone(), yaml: draft.to_yaml() });
    }
    note_variables(&apps, &mut notes);
    Imported { apps, notes: notes.into_list() }
}

/// Compose reads `.env` by itself and takes an unset variable as empty. `apply` does neither.
fn note_variables(apps: &[ImportedApp], notes: &mut Notes) {
    let variables: BTreeSet<_> = apps.iter().flat_map(|app| text::variables(&app.yaml)).collect();
    if variables.is_empty() {
        return;
    }
    let needed: Vec<_> = variables.iter().filter(|variable| !variable.has_default).collect();
    let names: Vec<_> = needed.iter().map(|variable| format!("`{}`", variable.name)).collect();
    let message = match names.is_empty() {
        true => "`apply` replaces variables only if it is given some".to_owned(),
        false => {
            format!("`apply` needs the variables {}: none is taken as empty", names.join(", "))
        }
    };
    notes.add_for_file(message, "`dubernetes apply --env-file .env`, or `--set NAME=VALUE`");
}
