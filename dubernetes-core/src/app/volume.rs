//! Volumes: `NAME:/target[:ro]` for a named one, `/folder:/target[:ro]` for a folder of the host.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::escape::{is_hidden, quoted};

/// One mount of a replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Volume {
    /// What is mounted.
    pub source: VolumeSource,
    /// Where, as an absolute path in the container.
    pub target: String,
    /// Whether the replica may only read it.
    pub read_only: bool,
}

/// What a volume is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeSource {
    /// A volume that the engine keeps under this name, shared by the app's replicas.
    Named(String),
    /// A folder of the host, as an absolute path.
    Bind(String),
}

/// Folders of the host that hold the system itself: mounting one, or a folder above one, gives a
/// replica control of the machine.
const SYSTEM_FOLDERS: [&str; 17] = [
    "/etc",
    "/proc",
    "/sys",
    "/dev",
    "/boot",
    "/run",
    "/var/run",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/dubernetes",
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/root",
];

impl Volume {
    /// Reads `NAME:/target`, `/folder:/target`, each with `:ro` or `:rw` behind it if wished.
    ///
    /// # Errors
    ///
    /// The rule that `text` breaks, as a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let source = parts.next().unwrap_or_default();
        let Some(target) = parts.next() else {
            return Err(format!(
                "`NAME:/target` or `/folder:/target` was expected, not {}",
                quoted(text)
            ));
        };
        let read_only = match parts.next() {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(mode) => {
                return Err(format!("the mode is `ro` or `rw`, not {}", quoted(mode)));
            }
        };
        if parts.next().is_some() {
            return Err("a volume has at most three parts: source, target and mode".into());
        }
        Ok(Self { source: check_source(source)?, target: check_target(target)?, read_only })
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.read_only { ":ro" } else { "" };
        match &self.source {
            VolumeSource::Named(name) => write!(f, "{name}:{}{mode}", self.target),
            VolumeSource::Bind(path) => write!(f, "{path}:{}{mode}", self.target),
        }
    }
}

impl TryFrom<String> for Volume {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Volume> for String {
    fn from(volume: Volume) -> Self {
        volume.to_string()
    }
}

/// Whether mounting `path` would give a replica the system itself, and which folder of it.
pub fn system_folder(path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Some("/");
    }
    let under = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    SYSTEM_FOLDERS.into_iter().find(|folder| under(path, folder) || under(folder, path))
}

fn check_source(source: &str) -> Result<VolumeSource, String> {
    if source.starts_with('/') {
        let path = check_absolute(source, "the folder of the host")?;
        return match system_folder(&path) {
            Some(folder) => Err(format!(
                "{} cannot be mounted: it holds or lies in `{folder}`, which belongs to the system",
                quoted(&path)
            )),
            None => Ok(VolumeSource::Bind(path)),
        };
    }
    if source.starts_with(['.', '~']) {
        return Err(format!(
            "a folder of the host is written as an absolute path, not {}",
            quoted(source)
        ));
    }
    let mut chars = source.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if first && rest && (1..=128).contains(&source.len()) {
        Ok(VolumeSource::Named(source.to_owned()))
    } else {
        Err(format!(
            "the name of a volume has letters, digits, `_`, `.` and `-`, and begins with a letter or digit, unlike {}",
            quoted(source)
        ))
    }
}

fn check_target(target: &str) -> Result<String, String> {
    let target = check_absolute(target, "the target of a volume")?;
    let forbidden = ["/proc", "/sys", "/dev"];
    let inside = |outer: &&str| target == **outer || target.starts_with(&format!("{outer}/"));
    match forbidden.iter().find(|outer| inside(outer)) {
        _ if target == "/" => Err("a volume cannot be mounted on `/`".into()),
        Some(folder) => Err(format!("a volume cannot be mounted on `{folder}`")),
        None => Ok(target),
    }
}

pub(super) fn check_absolute(path: &str, what: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("{what} is an absolute path, not {}", quoted(path)));
    }
    if path.len() > 1024 {
        return Err(format!("{what} has at most 1024 characters"));
    }
    if let Some(bad) = path.chars().find(|c| is_hidden(*c)) {
        return Err(format!("{what} cannot contain the character U+{:04X}", u32::from(bad)));
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(format!("{what} has no segment `.` or `..`"));
    }
    // Without empty segments, so that `//etc` is seen for what it is.
    let clean: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    Ok(format!("/{}", clean.join("/")))
}
