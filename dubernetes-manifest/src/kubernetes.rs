//! Export to Kubernetes manifests: the objects that an app becomes there, and a note for every key
//! without an equivalent.
//!
//! [`KEYS`] says what becomes of each key; a test goes through all keys of the reference.
//! `workload` is the object that runs the replicas, with the pod from `pod`, whose container is
//! from `container`, `probes` and `options`. `contents` makes Secrets and ConfigMaps of referenced
//! files, `volumes` claims, `service` and `ingress` what leads to the replicas. `notes` collects
//! what has no equivalent, is changed, or has to be known: nothing is dropped in silence.
//!
//! No file is read, and nothing is asked of a cluster: objects that only a cluster has, such as the
//! values of secrets, are referred to by name.

mod container;
mod contents;
mod ingress;
mod names;
mod notes;
mod object;
mod options;
mod pod;
mod probes;
mod service;
mod table;
mod volumes;
mod workload;

pub use notes::KeyOfApps;
pub use table::{KEYS, Row};

use dubernetes_core::app::{AppName, AppSpec};

use crate::Note;
use names::Names;
use notes::Notes;
use object::Object;

/// The Kubernetes manifests of some apps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// The apps, in the order in which they were given. Those that cannot run in a container are
    /// not among them.
    pub apps: Vec<ExportedApp>,
    /// What has no equivalent, is changed, or has to be known.
    pub notes: Vec<Note<KeyOfApps>>,
}

/// The Kubernetes manifests of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedApp {
    /// The name of the app.
    pub name: AppName,
    /// The Secrets with the contents of files, as YAML; empty without one.
    pub secrets: String,
    /// All other objects, as YAML.
    pub objects: String,
}

/// Turns apps into Kubernetes manifests. The contents of files that were not read are referred to
/// as those of secrets are.
///
/// # Examples
///
/// ```
/// use dubernetes_core::app::AppSpec;
/// use dubernetes_manifest::kubernetes::export;
///
/// let spec = AppSpec::new("shop".parse()?, "shop:1.5".parse()?);
/// let exported = export(&[&spec]);
/// assert!(exported.apps[0].objects.starts_with("apiVersion: apps/v1\nkind: Deployment\n"));
/// # Ok::<(), dubernetes_core::app::ParseError>(())
/// ```
pub fn export(specs: &[&AppSpec]) -> Exported {
    let mut names = Names::new(specs);
    let mut exported = Exported::default();
    let mut all_notes = Vec::new();
    for spec in specs {
        let mut notes = Notes::new(&spec.name);
        exported.apps.extend(export_app(spec, &mut names, &mut notes));
        all_notes.extend(notes.into_list());
    }
    exported.notes = notes::merge(all_notes);
    exported
}

fn export_app(spec: &AppSpec, names: &mut Names, notes: &mut Notes) -> Option<ExportedApp> {
    if spec.artifact.program().is_some() {
        notes.add(
            "program",
            "the app is not exported: Kubernetes runs images, and this is a program",
            "build an image with the program, and write `image` instead",
        );
        return None;
    }
    let contents = contents::export(spec, notes);
    let volumes = volumes::export(spec, names, notes);
    let ingress = ingress::export(spec, names, notes);
    let secrets = contents.secrets.iter().chain(&ingress.secrets);
    let secrets = to_yaml(secrets.cloned().collect());
    let mut objects: Vec<Object> = contents.config_maps.clone();
    objects.extend(volumes.claims.iter().cloned());
    let services = service::export(spec, names, notes);
    objects.extend(workload::export(spec, names, &contents, &volumes, services, notes));
    objects.extend(ingress.ingress);
    Some(ExportedApp { name: spec.name.clone(), secrets, objects: to_yaml(objects) })
}

/// Returns objects as a stream of documents.
fn to_yaml(objects: Vec<Object>) -> String {
    let documents: Vec<String> = objects.into_iter().map(Object::into_yaml).collect();
    documents.join("---\n")
}
