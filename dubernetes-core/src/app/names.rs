//! Names that reach the engine, labels and routes: each checked against its grammar once.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::escape::{quoted, shown};

/// Implements a text newtype over a check: parsing, display and serde all go through the check.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and keeps it.
            ///
            /// # Errors
            ///
            /// The rule that `text` breaks, as a sentence fragment.
            pub fn parse(text: &str) -> Result<Self, String> {
                $check(text).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::parse(text)
            }
        }
    };
}

pub(super) use checked_text;

checked_text!(
    /// The name of an app: 1 to 63 of `a-z`, `0-9` and `-`, a letter or digit at both ends.
    /// `ingress` is reserved.
    AppName,
    check_app_name
);
checked_text!(
    /// The name of an instance; the grammar of [`AppName`].
    InstanceName,
    check_label
);
checked_text!(
    /// The name of an environment variable: `[A-Za-z_][A-Za-z0-9_.-]*`, at most 256 characters.
    EnvName,
    check_env_name
);
checked_text!(
    /// A reference to an image: `[host[:port]/]path[:tag][@sha256:digest]`, at most 255
    /// characters.
    ImageRef,
    check_image
);

impl Default for InstanceName {
    fn default() -> Self {
        Self("default".into())
    }
}

fn check_app_name(text: &str) -> Result<String, String> {
    if text == "ingress" {
        return Err("`ingress` is reserved for the ingress container".into());
    }
    check_label(text)
}

fn check_label(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a name cannot be empty".into());
    }
    if text.len() > 63 {
        return Err(format!("a name has at most 63 characters, this has {}", text.chars().count()));
    }
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(bad) = text.chars().find(|c| !legal(*c)) {
        return Err(format!(
            "a name has only `a-z`, `0-9` and `-`, not `{}`",
            shown(bad.encode_utf8(&mut [0; 4]))
        ));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("a name begins and ends with a letter or digit".into());
    }
    Ok(text.to_owned())
}

fn check_env_name(text: &str) -> Result<String, String> {
    let Some(first) = text.chars().next() else {
        return Err("the name of a variable cannot be empty".into());
    };
    if text.len() > 256 {
        return Err("the name of a variable has at most 256 characters".into());
    }
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err(format!(
            "the name of a variable begins with a letter or `_`, not `{}`",
            shown(first.encode_utf8(&mut [0; 4]))
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match text.chars().find(|c| !legal(*c)) {
        Some(bad) => Err(format!(
            "the name of a variable has only letters, digits, `_`, `.` and `-`, not `{}`",
            shown(bad.encode_utf8(&mut [0; 4]))
        )),
        None => Ok(text.to_owned()),
    }
}

fn check_image(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("an image reference cannot be empty".into());
    }
    if text.len() > 255 {
        return Err(format!(
            "an image reference has at most 255 characters, this has {}",
            text.chars().count()
        ));
    }
    if text.contains("://") {
        return Err("an image reference has no scheme such as `http://`".into());
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if let Some(digest) = digest {
        check_digest(digest)?;
    }
    let (host, rest) = match rest.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest)
        }
        _ => (None, rest),
    };
    if let Some(host) = host {
        check_registry(host)?;
    }
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    path.split('/').try_for_each(check_image_segment)?;
    Ok(text.to_owned())
}

fn check_digest(digest: &str) -> Result<(), String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)) {
        return Err(format!(
            "the digest of an image is `sha256:` and 64 hexadecimal digits, not {}",
            quoted(digest)
        ));
    }
    Ok(())
}

fn check_registry(host: &str) -> Result<(), String> {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let label = |text: &str| {
        !text.is_empty()
            && text.chars().all(legal)
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    if !name.split('.').all(label) {
        return Err(format!("{} is not the name of a registry", quoted(name)));
    }
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    match port {
        Some(port) if !digits(port) || port.parse::<u16>().map_or(true, |p| p == 0) => {
            Err(format!("{} is not the port of a registry", quoted(port)))
        }
        _ => Ok(()),
    }
}

fn check_tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() {
        return Err("the tag after `:` is empty".into());
    }
    if tag.len() > 128 {
        return Err("a tag has at most 128 characters".into());
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match tag.chars().find(|c| !legal(*c)) {
        Some(bad) => Err(format!(
            "a tag has only letters, digits, `_`, `.` and `-`, not `{}`",
            shown(bad.encode_utf8(&mut [0; 4]))
        )),
        None if tag.starts_with(['.', '-']) => {
            Err(format!("a tag begins with a letter, digit or `_`, unlike {}", quoted(tag)))
        }
        None => Ok(()),
    }
}

fn check_image_segment(segment: &str) -> Result<(), String> {
    if segment.is_empty() {
        return Err("an image's path has an empty part".into());
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let legal = |c: char| word(c) || matches!(c, '_' | '.' | '-');
    if let Some(bad) = segment.chars().find(|c| !legal(*c)) {
        let hint = if bad.is_ascii_uppercase() { "; it is written in lower case" } else { "" };
        return Err(format!(
            "an image's path has only `a-z`, `0-9`, `_`, `.` and `-`, not `{}`{hint}",
            shown(bad.encode_utf8(&mut [0; 4]))
        ));
    }
    if !(segment.starts_with(word) && segment.ends_with(word)) {
        return Err(format!(
            "each part of an image's path begins and ends with a letter or digit, unlike {}",
            quoted(segment)
        ));
    }
    // Registries know one dot, one or two underscores, or any number of hyphens in a row.
    let separator =
        |gap: &str| matches!(gap, "" | "." | "_" | "__") || gap.chars().all(|c| c == '-');
    if segment.split(word).all(separator) {
        Ok(())
    } else {
        Err(format!("{} in the image's path has two separators in a row", quoted(segment)))
    }
}
