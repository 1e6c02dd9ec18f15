//! Volumes: claims of storage, folders of a node, and folders in memory.

use dubernetes_core::app::{AppSpec, Order, Tmpfs, Volume, VolumeSource};

use super::names::{Names, dns_label, metadata};
use super::notes::Notes;
use super::object::Object;

/// The size of a claim: a manifest has none.
const SIZE: &str = "1Gi";
/// The longest name of a StatefulSet, whose pods have a label with the name and a hash.
const MAX_SET_NAME: usize = 52;
const SHM: &str = "/dev/shm";

/// What the volumes of an app become.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// Claims that are objects of their own.
    pub(super) claims: Vec<Object>,
    /// Claims that a StatefulSet makes for its pod. There are some only in a StatefulSet.
    pub(super) templates: Vec<Object>,
    pub(super) volumes: Vec<Object>,
    pub(super) mounts: Vec<Object>,
    /// The names of the volumes so far, with what they hold.
    known: Vec<(String, String)>,
}

/// Returns whether a StatefulSet runs the app: for a single replica that writes to a volume of its
/// own, since there is never a second one then, not even when a node fails.
fn is_set(spec: &AppSpec) -> bool {
    let writes =
        |volume: &Volume| !volume.read_only && matches!(volume.source, VolumeSource::Named(_));
    spec.replicas <= 1
        && spec.rollout.order != Some(Order::StartFirst)
        && spec.pre_deploy.is_none()
        && spec.name.as_str().len() <= MAX_SET_NAME
        && spec.volumes.iter().any(writes)
}

pub(super) fn export(spec: &AppSpec, names: &mut Names, notes: &mut Notes) -> Volumes {
    let mut found = Volumes::default();
    for (index, volume) in spec.volumes.iter().enumerate() {
        let path = format!("volumes.{index}");
        let name = found.add(spec, volume, &path, names, notes);
        let read_only = volume.read_only.then_some(true);
        found.mounts.push(mount(&name, &volume.target).with_some("readOnly", read_only));
        if volume.relabel.is_some() {
            notes.say(&path, "`z` and `Z` are not exported: the nodes label volumes themselves");
        }
    }
    for (index, tmpfs) in spec.options.tmpfs.iter().enumerate() {
        let name = found.claim_name("tmpfs", tmpfs.target());
        let options = MemoryOptions::read(tmpfs, &format!("tmpfs.{index}"), notes);
        let read_only = options.read_only.then_some(true);
        found.volumes.push(in_memory(&name, options.size));
        found.mounts.push(mount(&name, tmpfs.target()).with_some("readOnly", read_only));
    }
    if let Some(size) = spec.options.shm_size {
        let name = found.claim_name("shm", SHM);
        found.volumes.push(in_memory(&name, Some(size.to_string())));
        found.mounts.push(mount(&name, SHM));
    }
    found
}

impl Volumes {
    /// Adds the volume of a mount, unless an earlier mount has it, and returns its name.
    fn add(
        &mut self,
        spec: &AppSpec,
        volume: &Volume,
        path: &str,
        names: &mut Names,
        notes: &mut Notes,
    ) -> String {
        let (VolumeSource::Named(source)
        | VolumeSource::Shared(source)
        | VolumeSource::External(source)
        | VolumeSource::Bind(source)) = &volume.source;
        let holds = format!("{:?}", volume.source);
        if let Some((name, _)) = self.known.iter().find(|(_, known)| *known == holds) {
            return name.clone();
        }
        let label = dns_label(source);
        let name = self.claim_name(&label, &holds);
        match &volume.source {
            VolumeSource::Named(_) if is_set(spec) => {
                note_claim(path, false, notes);
                self.templates.push(claim(Object::new().with("name", name.as_str()), false));
            }
            VolumeSource::Named(_) => {
                let claim_name = format!("{}-{name}", spec.name);
                let is_shared =
                    spec.replicas > 1 || !spec.stops_first() || spec.pre_deploy.is_some();
                note_claim(path, is_shared, notes);
                self.claims.push(claim_object(&claim_name, spec, is_shared));
                self.volumes.push(claimed(&name, &claim_name));
            }
            VolumeSource::Shared(_) => {
                let claim_name = format!("shared-{label}");
                if names.add_claim(&claim_name) {
                    note_claim(path, true, notes);
                    self.claims.push(claim_object(&claim_name, spec, true));
                }
                self.volumes.push(claimed(&name, &claim_name));
            }
            VolumeSource::External(_) => {
                notes.say(path, format!("the claim `{label}` must be on the cluster"));
                self.volumes.push(claimed(&name, &label));
            }
            VolumeSource::Bind(folder) => {
                notes.add(
                    path,
                    format!(
                        "`{folder}` is a folder of the node on which the pod runs, and not \
                             the same one on each"
                    ),
                    "use a named volume, or pin the pod to a node with `nodeSelector`",
                );
                let folder = Object::new().with("path", folder.as_str());
                self.volumes
                    .push(Object::new().with("name", name.as_str()).with("hostPath", folder));
            }
        }
        name
    }

    /// Returns a name that no other volume of the pod has.
    fn claim_name(&mut self, label: &str, holds: &str) -> String {
        let label = if label.is_empty() { "volume" } else { label };
        // `files` is the volume of the files.
        let is_free =
            |name: &String| name != "files" && self.known.iter().all(|(known, _)| known != name);
        let numbered = (2..).map(|number: u32| super::names::fit(label, &format!("-{number}")));
        let mut candidates = std::iter::once(label.to_owned()).chain(numbered);
        let name = candidates.find(is_free).unwrap_or_default();
        self.known.push((name.clone(), holds.to_owned()));
        name
    }
}

fn note_claim(path: &str, is_shared: bool, notes: &mut Notes) {
    notes.add(
        path,
        format!("the claim asks for {SIZE}, since a manifest has no size; the data is not moved"),
        match is_shared {
            true => "set `storage`, and a storage class that offers `ReadWriteMany`",
            false => "set `storage`, and copy the data before the app starts",
        },
    );
}

fn claim_object(name: &str, spec: &AppSpec, is_shared: bool) -> Object {
    claim(metadata(name, &spec.name), is_shared)
}

fn claim(metadata: Object, is_shared: bool) -> Object {
    let mode = if is_shared { "ReadWriteMany" } else { "ReadWriteOnce" };
    let requests = Object::new().with("storage", SIZE);
    let spec = Object::new()
        .with("accessModes", vec![mode])
        .with("resources", Object::new().with("requests", requests));
    Object::of_kind("v1", "PersistentVolumeClaim", metadata).with("spec", spec)
}

fn claimed(name: &str, claim: &str) -> Object {
    let source = Object::new().with("claimName", claim);
    Object::new().with("name", name).with("persistentVolumeClaim", source)
}

fn in_memory(name: &str, size: Option<String>) -> Object {
    let folder = Object::new().with("medium", "Memory").with_some("sizeLimit", size);
    Object::new().with("name", name).with("emptyDir", folder)
}

fn mount(name: &str, target: &str) -> Object {
    Object::new().with("name", name).with("mountPath", target)
}

/// The options of a folder in memory that Kubernetes has.
#[derive(Debug, Default)]
struct MemoryOptions {
    size: Option<String>,
    read_only: bool,
}

impl MemoryOptions {
    fn read(tmpfs: &Tmpfs, path: &str, notes: &mut Notes) -> Self {
        let mut found = Self::default();
        for option in tmpfs.options().split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", size)) if memory(size).is_some() => found.size = memory(size),
                None if option == "ro" => found.read_only = true,
                None if option == "rw" => {}
                _ => notes.say(path, format!("the option `{option}` is not exported")),
            }
        }
        found
    }
}

/// Returns a size as Kubernetes writes it: `64m` of the kernel is `64Mi`. A percentage has none,
/// and 0 is no limit.
fn memory(size: &str) -> Option<String> {
    let lower = size.to_ascii_lowercase();
    let digits = lower.trim_end_matches(['k', 'm', 'g']);
    let number: u64 = digits.parse().ok()?;
    let unit = match &lower[digits.len()..] {
        "" => "",
        "k" => "Ki",
        "m" => "Mi",
        "g" => "Gi",
        _ => return None,
    };
    (number > 0).then(|| format!("{number}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_the_kernel_is_one_of_kubernetes() {
        for (size, expected) in [
            ("64m", Some("64Mi")),
            ("1G", Some("1Gi")),
            ("100k", Some("100Ki")),
            ("1000", Some("1000")),
            ("50%", None),
            ("64mm", None),
            ("0", None),
        ] {
            assert_eq!(memory(size).as_deref(), expected, "{size}");
        }
    }
}
