//! Files that are put into every container: `files: { /etc/app/app.conf: ./app.conf }`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::content::FileRef;
use super::escape::quoted;
use super::names::checked_text;
use super::volume::{VolumeSource, check_absolute};
use super::{Volume, content};

/// The largest number of entries in `files`.
pub const MAX_FILES: usize = 64;

/// Files that the engine itself mounts into every container, over whatever is there.
const OF_ENGINE: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

checked_text!(
    /// Where a file is put: an absolute path in the container.
    FileTarget,
    check_target
);

fn check_target(target: &str) -> Result<String, String> {
    if target.ends_with('/') {
        return Err(format!("the target of a file is no folder, unlike {}", quoted(target)));
    }
    let target = check_absolute(target, "the target of a file")?;
    let inside = |outer: &&str| target == **outer || target.starts_with(&format!("{outer}/"));
    if let Some(folder) = ["/proc", "/sys", "/dev"].iter().find(|outer| inside(outer)) {
        return Err(format!("a file cannot be put into `{folder}`"));
    }
    if OF_ENGINE.contains(&target.as_str()) {
        return Err(format!("the engine writes `{target}` itself"));
    }
    Ok(target)
}

/// A file that is put into every container.
///
/// Serialized, it is a [`FileRef`] with a `mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Read", into = "Shown")]
pub struct ConfigFile {
    /// Where it comes from.
    pub source: FileRef,
    /// Who may read it.
    pub mode: FileMode,
}

/// Who may do what with a file, as `chmod` writes it; `0644` unless given. Its owner is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileMode(u16);

impl FileMode {
    /// Reads three octal digits, and a zero before them if wished.
    ///
    /// # Errors
    ///
    /// The rule that `text` breaks, as a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = if text.len() == 4 { text.strip_prefix('0') } else { Some(text) };
        // `from_str_radix` would take a sign as well.
        let octal = |digits: &&str| digits.len() == 3 && !digits.starts_with('+');
        let digits = digits.filter(octal);
        match digits.and_then(|digits| u16::from_str_radix(digits, 8).ok()) {
            Some(mode) => Ok(Self(mode)),
            None => Err(format!("`mode` is three octal digits, not {}", quoted(text))),
        }
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }

    fn is_default(self) -> bool {
        self == Self::default()
    }
}

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
struct Shown {
    file: content::FilePath,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

impl From<ConfigFile> for Shown {
    fn from(shown: ConfigFile) -> Self {
        let sha256 = shown.source.hash().map(|hash| hash.to_string());
        let mode = (!shown.mode.is_default()).then(|| shown.mode.to_string());
        Self { file: shown.source.file, sha256, mode }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    file: content::FilePath,
    sha256: Option<String>,
    content: Option<String>,
    mode: Option<String>,
}

impl TryFrom<Read> for ConfigFile {
    type Error = String;

    fn try_from(Read { file, sha256, content, mode }: Read) -> Result<Self, String> {
        let hash = sha256.as_deref().map(content::ContentHash::parse).transpose()?;
        let content = content.as_deref().map(content::decode).transpose()?;
        let mode = mode.as_deref().map(FileMode::parse).transpose()?;
        let source = FileRef::joined(file, hash, content)?;
        Ok(Self { source, mode: mode.unwrap_or_default() })
    }
}

/// The volume into which a file would be put: there it would be everybody's, and stay.
pub(super) fn volume_above<'v>(target: &FileTarget, volumes: &'v [Volume]) -> Option<&'v Volume> {
    let under = |volume: &&Volume| {
        let rest = target.as_str().strip_prefix(volume.target.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    volumes.iter().find(under)
}

/// What a volume is, for a message.
pub(super) fn describe(volume: &Volume) -> String {
    match &volume.source {
        VolumeSource::Named(name) => format!("the volume `{name}`"),
        VolumeSource::Bind(path) => format!("the folder {} of the host", quoted(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_a_target_is_a_file_of_the_container() {
        for (text, bits) in [("0400", 0o400), ("644", 0o644), ("0777", 0o777)] {
            assert_eq!(FileMode::parse(text).map(FileMode::bits), Ok(bits), "{text}");
        }
        for text in ["", "8", "0800", "04000", "1644", "+44", "0o644", "u=r"] {
            assert!(FileMode::parse(text).is_err(), "{text}");
        }
        for target in ["/a", "/etc/app/app.conf", "//etc//x"] {
            assert!(FileTarget::parse(target).is_ok(), "{target}");
        }
        for target in ["", "/", "a", "/a/", "/a/../b", "/proc/x", "/dev/null", "/etc/hosts"] {
            assert!(FileTarget::parse(target).is_err(), "{target}");
        }
    }
}
