//! The environment and the files of an app. Contents of files become Secrets, or ConfigMaps where
//! everybody in the container may read them; those of secrets are referred to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dubernetes_core::app::env::{parse_env_file, value_text};
use dubernetes_core::app::{
    AppSpec, ConfigFile, ContentRef, ContentSource, EnvValue, FileTarget, Secret,
};

use super::container::literal;
use super::names::{dns_label, metadata};
use super::notes::Notes;
use super::object::Object;

/// The key in a Secret of the cluster that holds the value of a secret.
const VALUE: &str = "value";
/// The volume with all files.
const VOLUME: &str = "files";

/// What the environment and the files of an app become.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) secrets: Vec<Object>,
    pub(super) config_maps: Vec<Object>,
    pub(super) env_from: Vec<Object>,
    pub(super) env: Vec<Object>,
    pub(super) mounts: Vec<Object>,
    pub(super) volume: Option<Object>,
    /// A hash over the contents, which rolls the pods when one has changed.
    pub(super) hash: Option<String>,
}

pub(super) fn export(spec: &AppSpec, notes: &mut Notes) -> Contents {
    let mut contents = Contents { hash: hash(spec), ..Contents::default() };
    export_env_files(spec, &mut contents, notes);
    export_env(spec, &mut contents, notes);
    export_files(spec, &mut contents, notes);
    contents
}

fn hash(spec: &AppSpec) -> Option<String> {
    let all = spec.content_refs().into_iter();
    // Certificates are for the ingress.
    let of_pods = all.filter(|(path, _)| path.first().is_none_or(|key| key != "access"));
    let hashes = of_pods.filter_map(|(_, file)| file.hash());
    let hashes: String = hashes.map(|hash| hash.to_string()).collect();
    (!hashes.is_empty()).then(|| Secret::new(hashes).hash().to_string())
}

/// Each file is a Secret of its own, since a later one overrides an earlier one.
fn export_env_files(spec: &AppSpec, contents: &mut Contents, notes: &mut Notes) {
    for (index, reference) in spec.env_file.iter().enumerate() {
        let path = format!("env_file.{index}");
        let own = match spec.env_file.len() {
            1 => format!("{}-env-file", spec.name),
            _ => format!("{}-env-file-{}", spec.name, index + 1),
        };
        let lines = reference.known_content().map(|file| parse_env_file(file.reveal()));
        let name = match (reference.secret_name(), lines) {
            (None, Some(Ok(lines))) => {
                let lines = lines.into_iter();
                let data = lines.map(|(name, value)| (name.to_string(), value.into_bytes()));
                contents.secrets.push(secret(&own, spec, data.collect(), &path, notes));
                own
            }
            (name, _) => {
                let name = name.map_or(own, ToString::to_string);
                let file = shown_file(reference);
                notes.add(
                    path,
                    format!(
                        "its variables are not exported: the pods read them from the Secret \
                             `{name}`, which must have a key for each"
                    ),
                    format!("`kubectl create secret generic {name} --from-env-file={file}`"),
                );
                name
            }
        };
        let source = Object::new().with("name", name);
        contents.env_from.push(Object::new().with("secretRef", source));
    }
}

fn export_env(spec: &AppSpec, contents: &mut Contents, notes: &mut Notes) {
    let own = format!("{}-env", spec.name);
    let mut data = Vec::new();
    for (name, value) in &spec.env {
        let variable = Object::new().with("name", name.as_str());
        let reference = match value {
            EnvValue::Text(text) => {
                contents.env.push(variable.with("value", literal(text)));
                continue;
            }
            EnvValue::From(reference) => reference,
        };
        let text = reference.known_content().and_then(|file| value_text(file).ok());
        let (secret, key) = match (reference.secret_name(), text) {
            (None, Some(text)) => {
                data.push((name.to_string(), text.as_bytes().to_vec()));
                (own.clone(), name.as_str())
            }
            _ => {
                let own = format!("{own}-{}", dns_label(name.as_str()));
                (refer(&format!("env.{name}"), reference, &own, notes), VALUE)
            }
        };
        let source = Object::new().with("name", secret).with("key", key);
        contents.env.push(variable.with("valueFrom", Object::new().with("secretKeyRef", source)));
    }
    if !data.is_empty() {
        contents.secrets.push(secret(&own, spec, data, "env", notes));
    }
}

/// Notes that a Secret must be on the cluster, and returns its name.
fn refer(path: &str, reference: &ContentRef, own: &str, notes: &mut Notes) -> String {
    let name = reference.secret_name().map_or(own.to_owned(), ToString::to_string);
    let file = shown_file(reference);
    notes.add(
        path,
        format!(
            "the content of {} is not exported: the pods read it from the key `{VALUE}` of \
                 the Secret `{name}`",
            reference.source.describe()
        ),
        format!(
            "`kubectl create secret generic {name} --from-file={VALUE}={file}`, without a \
                 line break at its end"
        ),
    );
    name
}

fn shown_file(reference: &ContentRef) -> String {
    match &reference.source {
        ContentSource::File(path) => path.to_string(),
        ContentSource::Secret(_) => "FILE".to_owned(),
    }
}

/// Returns a Secret with contents of files, and notes that it has them.
fn secret(
    name: &str,
    spec: &AppSpec,
    data: Vec<(String, Vec<u8>)>,
    path: &str,
    notes: &mut Notes,
) -> Object {
    note_contents(name, path, notes);
    Object::of_kind("v1", "Secret", metadata(name, &spec.name))
        .with("type", "Opaque")
        .with("data", encoded(data))
}

/// Notes that a Secret in the output has contents of files.
pub(super) fn note_contents(name: &str, path: &str, notes: &mut Notes) {
    notes.add(
        path,
        format!("the Secret `{name}` has the contents of files, which base64 does not hide"),
        "keep it out of version control",
    );
}

pub(super) fn encoded(data: Vec<(String, Vec<u8>)>) -> Object {
    let entry =
        |object: Object, (key, bytes): (String, Vec<u8>)| object.with(&key, STANDARD.encode(bytes));
    data.into_iter().fold(Object::new(), entry)
}

/// The files of an app by where they come from.
#[derive(Default)]
struct Sources {
    config: Vec<(String, Vec<u8>)>,
    config_items: Vec<Object>,
    secret: Vec<(String, Vec<u8>)>,
    secret_items: Vec<Object>,
    others: Vec<Object>,
}

fn export_files(spec: &AppSpec, contents: &mut Contents, notes: &mut Notes) {
    if spec.files.is_empty() {
        return;
    }
    let mut sources = Sources::default();
    let mut keys = Vec::new();
    for (target, file) in &spec.files {
        let key = file_key(target, &mut keys);
        let item = item(&key, file);
        let own = file.source.known_content().filter(|_| file.source.secret_name().is_none());
        match own.map(|content| content.reveal().to_vec()) {
            Some(bytes) if is_private(target, file) => {
                sources.secret.push((key.clone(), bytes));
                sources.secret_items.push(item);
            }
            Some(bytes) => {
                sources.config.push((key.clone(), bytes));
                sources.config_items.push(item);
            }
            None => {
                let path = format!("files.{target}");
                let own = format!("{}-{}", spec.name, dns_label(&key));
                let name = refer(&path, &file.source, &own, notes);
                let item = Object::new().with("key", VALUE).with("path", key.as_str());
                let item = item.with("mode", file.mode.bits());
                sources.others.push(projection("secret", &name, vec![item]));
            }
        }
        if let Some(owner) = file.owner {
            notes.add(
                format!("files.{target}"),
                format!("the owner {owner} is not exported: files of volumes belong to root"),
                "give the file a mode that the user of the container can read",
            );
        }
        contents.mounts.push(
            Object::new()
                .with("name", VOLUME)
                .with("mountPath", target.as_str())
                .with("subPath", key)
                .with("readOnly", true),
        );
    }
    notes.say("files", "the files are mounted read-only, where Dubernetes puts a copy");
    contents.volume = Some(add_objects(spec, sources, contents, notes));
}

/// Adds the ConfigMap and the Secret of the files, and returns the volume with all files.
fn add_objects(
    spec: &AppSpec,
    sources: Sources,
    contents: &mut Contents,
    notes: &mut Notes,
) -> Object {
    let name = format!("{}-files", spec.name);
    let mut projections = Vec::new();
    if !sources.config.is_empty() {
        contents.config_maps.push(config_map(&name, spec, sources.config));
        projections.push(projection("configMap", &name, sources.config_items));
    }
    if !sources.secret.is_empty() {
        contents.secrets.push(secret(&name, spec, sources.secret, "files", notes));
        projections.push(projection("secret", &name, sources.secret_items));
    }
    projections.extend(sources.others);
    Object::new().with("name", VOLUME).with("projected", Object::new().with("sources", projections))
}

fn config_map(name: &str, spec: &AppSpec, data: Vec<(String, Vec<u8>)>) -> Object {
    let is_text = |(_, bytes): &(String, Vec<u8>)| {
        let is_legal = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_legal))
    };
    let (texts, binaries): (Vec<_>, Vec<_>) = data.into_iter().partition(is_text);
    let texts = texts.into_iter().fold(Object::new(), |object, (key, bytes)| {
        object.with(&key, String::from_utf8_lossy(&bytes).into_owned())
    });
    Object::of_kind("v1", "ConfigMap", metadata(name, &spec.name))
        .with("data", texts)
        .with("binaryData", encoded(binaries))
}

fn projection(kind: &str, name: &str, items: Vec<Object>) -> Object {
    Object::new().with(kind, Object::new().with("name", name).with("items", items))
}

fn item(key: &str, file: &ConfigFile) -> Object {
    Object::new().with("key", key).with("path", key).with("mode", file.mode.bits())
}

/// Returns whether a file is not for everybody: by its mode, or by the folder for secrets.
fn is_private(target: &FileTarget, file: &ConfigFile) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    let folders = ["/run/secrets/", "/var/run/secrets/"];
    file.mode.bits() & READ_BY_OTHERS == 0
        || folders.iter().any(|folder| target.as_str().starts_with(folder))
}

/// Returns the key of a file: its name, with a number where another file has the same.
fn file_key(target: &FileTarget, keys: &mut Vec<String>) -> String {
    let name = target.as_str().rsplit('/').next().unwrap_or_default();
    let legal = |c: char| match c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
        true => c,
        false => '_',
    };
    let name: String = name.chars().map(legal).take(240).collect();
    let name = name.trim_start_matches('.');
    let name = if name.is_empty() { VOLUME } else { name };
    let numbered = (2..).map(|number: u32| format!("{number}-{name}"));
    let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
    let key = candidates.find(|key| !keys.contains(key)).unwrap_or_default();
    keys.push(key.clone());
    key
}
