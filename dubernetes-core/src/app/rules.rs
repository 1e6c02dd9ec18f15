//! Rules over several fields of one specification, or over a whole list.
//!
//! The same rules serve the file (which adds line and column) and the API (which adds nothing to the path).

use std::collections::BTreeMap;

use super::AppSpec;

/// The largest `replicas`: a bridge ends near 1,000 ports, and one replica costs about 13 MB
/// outside its container.
pub const MAX_REPLICAS: u16 = 250;
/// The largest number of entries in `env`.
pub const MAX_ENV_ENTRIES: usize = 256;
/// The longest value of one entry in `env`, in bytes.
pub const MAX_ENV_VALUE_BYTES: usize = 32 << 10;
/// The longest `env` with all its names and values, in bytes.
pub const MAX_ENV_BYTES: usize = 256 << 10;
/// The largest number of entries in `command`, `args`, `labels`, `volumes` and `access.host`.
const MAX_LIST: usize = 256;

/// A rule that a specification breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field: keys and list positions joined by dots, such as `env.PATH` or `volumes.1`.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do, where that is not plain from the message.
    pub hint: Option<String>,
}

impl Problem {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: None }
    }
}

pub(super) fn problems(spec: &AppSpec) -> Vec<Problem> {
    let mut found = Vec::new();
    if spec.replicas > MAX_REPLICAS {
        found.push(Problem {
            path: "replicas".into(),
            message: format!("`replicas` is at most {MAX_REPLICAS}, not {}", spec.replicas),
            hint: Some(
                "one machine's network bridge holds about 1000 ports, and a replica costs about 13 MB"
                    .into(),
            ),
        });
    }
    if spec.port == 0 {
        found.push(Problem::new("port", "`port` is a number from 1 to 65535, not 0"));
    }
    hosts(spec, &mut found);
    argv("command", &spec.command, &mut found);
    argv("args", &spec.args, &mut found);
    env(spec, &mut found);
    labels(spec, &mut found);
    volumes(spec, &mut found);
    found
}

fn hosts(spec: &AppSpec, found: &mut Vec<Problem>) {
    let Some(access) = &spec.access else { return };
    if access.hosts.is_empty() || access.hosts.len() > MAX_LIST {
        found.push(Problem::new(
            "access.host",
            format!("`host` has 1 to {MAX_LIST} entries, not {}", access.hosts.len()),
        ));
    }
    let mut seen = BTreeMap::new();
    for (index, host) in access.hosts.iter().enumerate() {
        if seen.insert(host, index).is_some() {
            found.push(Problem::new(
                format!("access.host.{index}"),
                format!("the host `{host}` stands here twice"),
            ));
        }
    }
}

fn argv(key: &str, words: &[String], found: &mut Vec<Problem>) {
    if words.len() > MAX_LIST {
        found.push(Problem::new(key, format!("`{key}` has at most {MAX_LIST} entries")));
    }
    for (index, word) in words.iter().enumerate() {
        if word.contains('\0') {
            found.push(Problem::new(format!("{key}.{index}"), "a NUL character is not allowed"));
        }
    }
}

fn env(spec: &AppSpec, found: &mut Vec<Problem>) {
    if spec.env.len() > MAX_ENV_ENTRIES {
        found.push(Problem::new(
            "env",
            format!("`env` has at most {MAX_ENV_ENTRIES} entries, not {}", spec.env.len()),
        ));
    }
    let mut total = 0;
    for (name, value) in &spec.env {
        total += name.as_str().len() + value.len();
        if value.contains('\0') {
            found.push(Problem::new(
                format!("env.{name}"),
                format!("the value of `{name}` has a NUL character, which is not allowed"),
            ));
        }
        if value.len() > MAX_ENV_VALUE_BYTES {
            found.push(Problem::new(
                format!("env.{name}"),
                format!("the value of `{name}` has {} bytes, at most 32 KiB are allowed", value.len()),
            ));
        }
    }
    if total > MAX_ENV_BYTES {
        found.push(Problem::new("env", "`env` has at most 256 KiB with all names and values"));
    }
}

fn labels(spec: &AppSpec, found: &mut Vec<Problem>) {
    if spec.labels.len() > MAX_LIST {
        found.push(Problem::new("labels", format!("`labels` has at most {MAX_LIST} entries")));
    }
    for (key, value) in &spec.labels {
        let path = format!("labels.{key}");
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if key.is_empty() || key.len() > 128 || !key.chars().all(legal) {
            found.push(Problem::new(
                path,
                format!(
                    "the key of a label has 1 to 128 letters, digits, `.`, `_`, `-` and `/`, unlike `{}`",
                    key.escape_debug()
                ),
            ));
        } else if key == "dubernetes" || key.starts_with("dubernetes.") {
            found.push(Problem::new(path, "labels that begin with `dubernetes.` are reserved"));
        } else if value.len() > 4096 || value.contains('\0') {
            found.push(Problem::new(
                path,
                format!("the value of the label `{key}` has at most 4096 bytes and no NUL character"),
            ));
        }
    }
}

fn volumes(spec: &AppSpec, found: &mut Vec<Problem>) {
    if spec.volumes.len() > MAX_LIST {
        found.push(Problem::new("volumes", format!("`volumes` has at most {MAX_LIST} entries")));
    }
    let mut seen = BTreeMap::new();
    for (index, volume) in spec.volumes.iter().enumerate() {
        if let Some(first) = seen.insert(&volume.target, index) {
            found.push(Problem::new(
                format!("volumes.{index}"),
                format!(
                    "`{}` is already the target of volume {} of this list",
                    volume.target,
                    first + 1
                ),
            ));
        }
    }
}
