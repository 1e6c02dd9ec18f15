//! Files that are copied into every container: `files: { /etc/app/app.conf: ./app.conf }`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SecretName;
use super::content::{ContentRef, FilePath, ShownSource};
use super::escape::quote;
use super::quantity::parse_whole;
use super::text::{ParseError, checked_text, parse_traits};
use super::volume::{Volume, VolumeSource, check_absolute, kernel_folder_above};

/// The largest number of entries in `files`.
pub const MAX_FILES: usize = 64;

/// Files that the engine mounts into every container, over any other content.
const ENGINE_FILES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

checked_text!(
    /// The target of a file: an absolute path in the container.
    FileTarget,
    check_target
);

fn check_target(target: &str) -> Result<String, ParseError> {
    if target.ends_with('/') {
        let found = quote(target);
        return Err(format!("the target of a file must be a file, not the folder {found}").into());
    }
    let target = check_absolute(target, "the target of a file")?;
    if let Some(folder) = kernel_folder_above(&target) {
        return Err(format!("a file cannot be put into `{folder}`").into());
    }
    if ENGINE_FILES.contains(&target.as_str()) {
        return Err(format!("`{target}` is written by the engine").into());
    }
    Ok(target)
}

/// A file that is copied into every container.
///
/// Serializes as a [`ContentRef`] with a `mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawConfigFile", into = "ShownConfigFile")]
pub struct ConfigFile {
    /// The file or secret, and its content.
    pub source: ContentRef,
    /// The permissions in the container.
    pub mode: FileMode,
    /// The owner in the container. Default: the user of the container where it is a number, else
    /// root.
    pub owner: Option<FileOwner>,
}

/// The owner of a file, as numbers: `1000:1000`, or `1000` for the group of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileOwner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

impl FileOwner {
    /// Parses `UID` or `UID:GID`.
    ///
    /// # Errors
    ///
    /// Returns the expected form.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let number = |digits| parse_whole(digits).and_then(|number| u32::try_from(number).ok());
        match (number(user), number(group)) {
            (Some(user), Some(group)) => Ok(Self { user, group }),
            _ => {
                let found = quote(text);
                Err(format!("expected numbers, such as `1000` or `1000:1000`, not {found}").into())
            }
        }
    }
}

parse_traits!(FileOwner);

impl fmt::Display for FileOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// The permissions of a file, as `chmod` writes them. Default: `0644`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileMode(u16);

impl FileMode {
    /// Parses three octal digits, with an optional `0` in front.
    ///
    /// # Errors
    ///
    /// Returns the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let digits = if text.len() == 4 { text.strip_prefix('0') } else { Some(text) };
        // `from_str_radix` would accept a sign as well.
        let is_octal = |digits: &&str| digits.len() == 3 && !digits.starts_with('+');
        let digits = digits.filter(is_octal);
        match digits.and_then(|digits| u16::from_str_radix(digits, 8).ok()) {
            Some(mode) => Ok(Self(mode)),
            None => Err(format!("`mode` must be three octal digits, not {}", quote(text)).into()),
        }
    }

    /// Returns the permission bits.
    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }

    fn is_default(self) -> bool {
        self == Self::default()
    }
}

parse_traits!(FileMode);

impl Default for FileMode {
    fn default() -> Self {
        Self(0o644)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[derive(Serialize)]
struct ShownConfigFile {
    #[serde(flatten)]
    source: ShownSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

impl From<ConfigFile> for ShownConfigFile {
    fn from(file: ConfigFile) -> Self {
        let sha256 = file.source.hash().map(|hash| hash.to_string());
        let mode = (!file.mode.is_default()).then(|| file.mode.to_string());
        let owner = file.owner.map(|owner| owner.to_string());
        Self { source: file.source.source.into(), sha256, mode, owner }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfigFile {
    file: Option<FilePath>,
    secret: Option<SecretName>,
    sha256: Option<String>,
    content: Option<String>,
    mode: Option<String>,
    owner: Option<String>,
}

impl TryFrom<RawConfigFile> for ConfigFile {
    type Error = ParseError;

    fn try_from(raw: RawConfigFile) -> Result<Self, ParseError> {
        let (sha256, content) = (raw.sha256.as_deref(), raw.content.as_deref());
        let source = ContentRef::from_raw(raw.file, raw.secret, sha256, content)?;
        let mode = raw.mode.as_deref().map(FileMode::parse).transpose()?;
        let owner = raw.owner.as_deref().map(FileOwner::parse).transpose()?;
        Ok(Self { source, mode: mode.unwrap_or_default(), owner })
    }
}

/// Returns the volume that contains `target`. A file in a volume would be shared by all replicas
/// and outlive them.
pub(super) fn volume_above<'v>(target: &FileTarget, volumes: &'v [Volume]) -> Option<&'v Volume> {
    let contains = |volume: &&Volume| {
        let rest = target.as_str().strip_prefix(volume.target.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    volumes.iter().find(contains)
}

/// Returns a description of `volume` for messages.
pub(super) fn describe_volume(volume: &Volume) -> String {
    match &volume.source {
        VolumeSource::Named(name) | VolumeSource::Shared(name) | VolumeSource::External(name) => {
            format!("the volume `{name}`")
        }
        VolumeSource::Bind(path) => format!("the host folder {}", quote(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_is_octal() {
        for (text, bits) in [("0400", 0o400), ("644", 0o644), ("0777", 0o777)] {
            assert_eq!(FileMode::parse(text).map(FileMode::bits), Ok(bits), "{text}");
        }
        for text in ["", "8", "0800", "04000", "1644", "+44", "0o644", "u=r"] {
            assert!(FileMode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn owner_is_one_or_two_numbers() {
        for (text, shown) in [("1000", "1000:1000"), ("0:12", "0:12"), ("4294967295", "")] {
            let owner = FileOwner::parse(text).unwrap().to_string();
            assert!(shown.is_empty() || owner == shown, "{owner}");
        }
        for text in ["", ":", "1:", ":1", "root", "-1", "1:2:3", "4294967296", "01"] {
            assert!(FileOwner::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn target_is_a_file_of_the_container() {
        for target in ["/a", "/etc/app/app.conf", "//etc//x"] {
            assert!(FileTarget::parse(target).is_ok(), "{target}");
        }
        for target in ["", "/", "a", "/a/", "/a/../b", "/proc/x", "/dev/null", "/etc/hosts"] {
            assert!(FileTarget::parse(target).is_err(), "{target}");
        }
    }
}
