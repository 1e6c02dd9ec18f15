//! Volumes: `NAME:/target[:ro]` for a named volume, `/folder:/target[:ro]` for a host folder.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::escape::{is_hidden, quote};
use super::text::{ParseError, text_traits};

/// One mount of a replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Volume {
    /// What is mounted.
    pub source: VolumeSource,
    /// The mount point, an absolute path in the container.
    pub target: String,
    /// Whether the mount is read-only.
    pub read_only: bool,
}

/// The source of a volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeSource {
    /// A named volume of the engine, shared by the app's replicas.
    Named(String),
    /// A folder of the host, as an absolute path.
    Bind(String),
}

/// Host folders of the system itself. Mounting one, or a folder above one, would give a replica
/// control of the machine.
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
    /// Parses `NAME:/target` or `/folder:/target`, with an optional `:ro` or `:rw`.
    ///
    /// # Errors
    ///
    /// Returns the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parts = text.split(':');
        let source = parts.next().unwrap_or_default();
        let Some(target) = parts.next() else {
            let found = quote(text);
            return Err(format!("expected `NAME:/target` or `/folder:/target`, not {found}").into());
        };
        let read_only = match parts.next() {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(mode) => {
                return Err(format!("the mode must be `ro` or `rw`, not {}", quote(mode)).into());
            }
        };
        if parts.next().is_some() {
            return Err("a volume has at most three parts: source, target and mode".into());
        }
        Ok(Self { source: parse_source(source)?, target: parse_target(target)?, read_only })
    }
}

text_traits!(Volume);

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.read_only { ":ro" } else { "" };
        match &self.source {
            VolumeSource::Named(name) => write!(f, "{name}:{}{mode}", self.target),
            VolumeSource::Bind(path) => write!(f, "{path}:{}{mode}", self.target),
        }
    }
}

/// Returns the system folder that contains `path` or is inside it. Such a `path` must not be
/// mounted.
pub fn find_system_folder(path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Some("/");
    }
    SYSTEM_FOLDERS.into_iter().find(|folder| is_inside(path, folder) || is_inside(folder, path))
}

/// Returns the file system of the kernel that contains the container path `target`.
pub(super) fn kernel_folder_above(target: &str) -> Option<&'static str> {
    ["/proc", "/sys", "/dev"].into_iter().find(|folder| is_inside(target, folder))
}

fn is_inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn parse_source(source: &str) -> Result<VolumeSource, ParseError> {
    if source.starts_with('/') {
        let path = check_absolute(source, "a host folder")?;
        return match find_system_folder(&path) {
            Some(folder) => Err(format!(
                "cannot mount {}: it contains or is inside the system folder `{folder}`",
                quote(&path)
            )
            .into()),
            None => Ok(VolumeSource::Bind(path)),
        };
    }
    if source.starts_with(['.', '~']) {
        return Err(format!("a host folder must be an absolute path, not {}", quote(source)).into());
    }
    let mut chars = source.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if first && rest && source.len() <= 128 {
        Ok(VolumeSource::Named(source.to_owned()))
    } else {
        Err(format!(
            "a volume name must be 1 to 128 letters, digits, `_`, `.` and `-`, and start with a \
             letter or digit, not {}",
            quote(source)
        )
        .into())
    }
}

fn parse_target(target: &str) -> Result<String, ParseError> {
    let target = check_absolute(target, "the target of a volume")?;
    if target == "/" {
        return Err("a volume cannot be mounted on `/`".into());
    }
    match kernel_folder_above(&target) {
        Some(folder) => Err(format!("a volume cannot be mounted on `{folder}`").into()),
        None => Ok(target),
    }
}

/// Checks an absolute path, and removes its empty segments. `what` names it in the error.
pub(super) fn check_absolute(path: &str, what: &str) -> Result<String, ParseError> {
    if !path.starts_with('/') {
        return Err(format!("{what} must be an absolute path, not {}", quote(path)).into());
    }
    if path.len() > 1024 {
        return Err(format!("{what} may have at most 1024 characters").into());
    }
    if let Some(bad) = path.chars().find(|c| is_hidden(*c)) {
        let bad = u32::from(bad);
        return Err(format!("{what} must not contain the character U+{bad:04X}").into());
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(format!("{what} must not contain a segment `.` or `..`").into());
    }
    // Otherwise `//etc` would not be recognized as `/etc`.
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    Ok(format!("/{}", segments.join("/")))
}
