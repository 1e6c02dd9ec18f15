//! Volumes: `NAME:/target` for a named volume, `/folder:/target` for a host folder, each with an
//! optional list of modes such as `:ro`.

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
    /// The label that SELinux gets for a host folder, if any.
    pub relabel: Option<Relabel>,
}

/// The source of a volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeSource {
    /// A named volume of the app, shared by its replicas.
    Named(String),
    /// A named volume of the instance, shared by all apps that name it.
    Shared(String),
    /// A volume that exists on the engine under this name.
    External(String),
    /// A folder of the host: an absolute path, or one that starts with `.` until
    /// [`Volume::resolve`].
    Bind(String),
}

/// How SELinux labels a host folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relabel {
    /// `z`: for all containers.
    Shared,
    /// `Z`: for one container.
    Private,
}

/// Host folders of the system itself. Mounting one, or a folder above one, gives a replica
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
    /// Parses `NAME:/target`, `./folder:/target` or `/folder:/target`, with optional modes joined
    /// by commas: `ro` or `rw`; `shared` or `external` for a name; `z` or `Z` for a folder.
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
        let modes = parts.next();
        if parts.next().is_some() {
            return Err("a volume has at most three parts: source, target and mode".into());
        }
        let mut volume = Self {
            source: parse_source(source)?,
            target: parse_target(target)?,
            read_only: false,
            relabel: None,
        };
        for mode in modes.into_iter().flat_map(|modes| modes.split(',')) {
            volume.set_mode(mode)?;
        }
        Ok(volume)
    }

    fn set_mode(&mut self, mode: &str) -> Result<(), ParseError> {
        match (mode, &self.source) {
            ("ro", _) => self.read_only = true,
            ("rw", _) => self.read_only = false,
            ("shared", VolumeSource::Named(name)) => {
                self.source = VolumeSource::Shared(name.clone());
            }
            ("external", VolumeSource::Named(name)) => {
                self.source = VolumeSource::External(name.clone());
            }
            ("z", VolumeSource::Bind(_)) => self.relabel = Some(Relabel::Shared),
            ("Z", VolumeSource::Bind(_)) => self.relabel = Some(Relabel::Private),
            ("shared" | "external", _) => {
                return Err(format!("the mode `{mode}` is for one named volume").into());
            }
            ("z" | "Z", _) => return Err(format!("the mode `{mode}` is for host folders").into()),
            (mode, _) => {
                let found = quote(mode);
                return Err(format!("the mode must be `ro` or `rw`, not {found}").into());
            }
        }
        Ok(())
    }

    /// Makes a relative host folder absolute. It starts at `folder`, an absolute path.
    ///
    /// # Errors
    ///
    /// Returns the rule that the absolute path breaks.
    pub fn resolve(&mut self, folder: &str) -> Result<(), ParseError> {
        let VolumeSource::Bind(path) = &mut self.source else { return Ok(()) };
        if !path.starts_with('.') {
            return Ok(());
        }
        let mut segments: Vec<&str> = Vec::new();
        for segment in folder.split('/').chain(path.split('/')) {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        let absolute = check_absolute(&format!("/{}", segments.join("/")), "a host folder")?;
        if absolute.contains(':') {
            let found = quote(&absolute);
            return Err(format!("a host folder cannot contain `:`: {found}").into());
        }
        *path = absolute;
        Ok(())
    }

    /// Returns whether the source is a host folder whose place is not known yet.
    pub fn is_relative(&self) -> bool {
        matches!(&self.source, VolumeSource::Bind(path) if path.starts_with('.'))
    }

    /// Returns the modes, as the manifest writes them.
    pub fn modes(&self) -> Vec<&'static str> {
        let source = match self.source {
            VolumeSource::Shared(_) => Some("shared"),
            VolumeSource::External(_) => Some("external"),
            VolumeSource::Named(_) | VolumeSource::Bind(_) => None,
        };
        let relabel = self.relabel.map(|relabel| match relabel {
            Relabel::Shared => "z",
            Relabel::Private => "Z",
        });
        let read_only = self.read_only.then_some("ro");
        read_only.into_iter().chain(source).chain(relabel).collect()
    }
}

text_traits!(Volume);

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (VolumeSource::Named(source)
        | VolumeSource::Shared(source)
        | VolumeSource::External(source)
        | VolumeSource::Bind(source)) = &self.source;
        write!(f, "{source}:{}", self.target)?;
        let modes = self.modes();
        if modes.is_empty() { Ok(()) } else { write!(f, ":{}", modes.join(",")) }
    }
}

/// Returns the system folder that contains `path` or is inside it. To mount such a `path`
/// needs a permission.
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
        return check_absolute(source, "a host folder").map(VolumeSource::Bind);
    }
    let is_relative = matches!(source.split('/').next(), Some("." | ".."));
    if is_relative && source.len() <= 1024 && !source.contains(is_hidden) {
        return Ok(VolumeSource::Bind(source.to_owned()));
    }
    if source.starts_with(['.', '~']) || source.contains('/') {
        let found = quote(source);
        return Err(format!("a host folder must start with `/`, `./` or `../`, not {found}").into());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_is_written_as_it_was_read() {
        for text in [
            "data:/data",
            "data:/data:ro",
            "media:/media:shared",
            "media:/media:ro,external",
            "/srv/a:/a:ro,Z",
            "./data:/data:z",
            "../x:/x",
        ] {
            assert_eq!(Volume::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Volume::parse("a:/a:rw").unwrap().to_string(), "a:/a");
        for text in [
            "a:/a:z",
            "/a:/a:shared",
            "a:/a:shared,external",
            "a:/a:x",
            "a:/a:",
            "~/a:/a",
            ".a:/a",
            "a/b:/a",
            "a:/a:ro:z",
        ] {
            assert!(Volume::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn relative_folder_starts_at_the_folder_of_the_manifest() {
        for (text, expected) in [
            ("./data:/d", "/srv/app/data:/d"),
            (".:/d", "/srv/app:/d"),
            ("../../../etc:/d:ro", "/etc:/d:ro"),
            ("/a:/d", "/a:/d"),
            ("a:/d", "a:/d"),
        ] {
            let mut volume = Volume::parse(text).unwrap();
            volume.resolve("/srv/app").unwrap();
            assert_eq!(volume.to_string(), expected);
            assert!(!volume.is_relative(), "{text}");
        }
        assert!(Volume::parse("./a:/d").unwrap().resolve("/srv/a:b").is_err());
    }
}
