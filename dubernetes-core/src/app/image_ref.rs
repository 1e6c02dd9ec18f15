//! References of images, and of programs in their place. This is the only code that takes one
//! apart.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::FilePath;
use super::escape::{quote, quote_char};
use super::text::{ParseError, checked_text};

checked_text!(
    /// What replicas run: an image, as `[host[:port]/]path[:tag][@sha256:digest]` of at most 255
    /// characters, or a program of the host, as [`ImageRef::of_program`] writes it.
    ImageRef,
    check_image
);

/// Distinguishes a program from an image. No image has this character.
const PROGRAM: &str = "program=";

impl ImageRef {
    /// Returns a program of the host in the place of an image. Written `program=` and its path.
    ///
    /// # Examples
    ///
    /// ```
    /// use dubernetes_core::app::{FilePath, ImageRef};
    ///
    /// let web = ImageRef::of_program(&FilePath::parse("/srv/web")?);
    /// assert_eq!(web, "program=/srv/web");
    /// assert_eq!(web.program(), Some("/srv/web"));
    /// # Ok::<(), dubernetes_core::app::ParseError>(())
    /// ```
    pub fn of_program(path: &FilePath) -> Self {
        Self(format!("{PROGRAM}{path}").into())
    }

    /// Returns the path of the program, or its name without a folder; `None` for an image.
    pub fn program(&self) -> Option<&str> {
        self.as_str().strip_prefix(PROGRAM)
    }

    /// Returns the program, if its path does not start at the root.
    pub(super) fn relative_program(&self) -> Option<&str> {
        self.program().filter(|path| !Path::new(path).is_absolute())
    }

    /// Returns the host and port of the registry, if the reference names one.
    pub fn registry(&self) -> Option<&str> {
        split(self.as_str()).registry
    }

    /// Returns the reference with an explicit tag or digest: without one, an engine would pull
    /// every tag.
    ///
    /// # Examples
    ///
    /// ```
    /// use dubernetes_core::app::ImageRef;
    ///
    /// let web = ImageRef::parse("localhost:5000/team/web")?;
    /// assert_eq!(web.with_default_tag(), "localhost:5000/team/web:latest");
    /// # Ok::<(), dubernetes_core::app::ParseError>(())
    /// ```
    pub fn with_default_tag(&self) -> String {
        match split(self.as_str()) {
            Parts { tag: None, digest: None, .. } => format!("{self}:latest"),
            Parts { .. } => self.to_string(),
        }
    }
}

/// The key of a specification that names an image or a program.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Image(ImageRef),
    Program(FilePath),
}

/// Writes `image` or `program` into a specification.
pub(super) fn write_key<S: Serializer>(image: &ImageRef, to: S) -> Result<S::Ok, S::Error> {
    let key = match image.program().map(FilePath::parse) {
        Some(path) => Key::Program(path.map_err(serde::ser::Error::custom)?),
        None => Key::Image(image.clone()),
    };
    key.serialize(to)
}

/// Reads `image` or `program` of a specification.
pub(super) fn read_key<'de, D: Deserializer<'de>>(from: D) -> Result<ImageRef, D::Error> {
    Ok(match Key::deserialize(from)? {
        Key::Image(image) => image,
        Key::Program(path) => ImageRef::of_program(&path),
    })
}

struct Parts<'a> {
    registry: Option<&'a str>,
    path: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

fn split(text: &str) -> Parts<'_> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (registry, rest) = match rest.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest)
        }
        Some(_) | None => (None, rest),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    Parts { registry, path, tag, digest }
}

fn check_image(text: &str) -> Result<String, ParseError> {
    if let Some(path) = text.strip_prefix(PROGRAM) {
        return FilePath::parse(path).map(|_| text.to_owned());
    }
    if text.is_empty() {
        return Err("an image reference cannot be empty".into());
    }
    if text.len() > 255 {
        let found = text.chars().count();
        let message = format!("an image reference may have at most 255 characters, not {found}");
        return Err(message.into());
    }
    if text.contains("://") {
        return Err("an image reference must not contain a scheme such as `http://`".into());
    }
    let Parts { registry, path, tag, digest } = split(text);
    digest.map_or(Ok(()), check_digest)?;
    registry.map_or(Ok(()), check_registry)?;
    tag.map_or(Ok(()), check_tag)?;
    path.split('/').try_for_each(check_image_segment)?;
    Ok(text.to_owned())
}

fn check_digest(digest: &str) -> Result<(), ParseError> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)) {
        return Err(format!(
            "an image digest must be `sha256:` and 64 hexadecimal digits, not {}",
            quote(digest)
        )
        .into());
    }
    Ok(())
}

fn check_registry(host: &str) -> Result<(), ParseError> {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_label = |text: &str| {
        !text.is_empty()
            && text.chars().all(is_legal)
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    if !name.split('.').all(is_label) {
        return Err(format!("{} is not a valid registry name", quote(name)).into());
    }
    let is_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    match port {
        Some(port) if !is_digits(port) || port.parse::<u16>().map_or(true, |p| p == 0) => {
            Err(format!("{} is not a valid registry port", quote(port)).into())
        }
        _ => Ok(()),
    }
}

fn check_tag(tag: &str) -> Result<(), ParseError> {
    if tag.is_empty() {
        return Err("the tag after `:` is empty".into());
    }
    if tag.len() > 128 {
        return Err("a tag may have at most 128 characters".into());
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match tag.chars().find(|c| !is_legal(*c)) {
        Some(bad) => Err(format!(
            "a tag may only contain letters, digits, `_`, `.` and `-`, not {}",
            quote_char(bad)
        )
        .into()),
        None if tag.starts_with(['.', '-']) => {
            Err(format!("the tag {} must start with a letter, digit or `_`", quote(tag)).into())
        }
        None => Ok(()),
    }
}

fn check_image_segment(segment: &str) -> Result<(), ParseError> {
    if segment.is_empty() {
        return Err("an image path must not contain an empty segment".into());
    }
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_legal = |c: char| is_word(c) || matches!(c, '_' | '.' | '-');
    if let Some(bad) = segment.chars().find(|c| !is_legal(*c)) {
        let hint = if bad.is_ascii_uppercase() { "; write it in lower case" } else { "" };
        return Err(format!(
            "an image path may only contain `a-z`, `0-9`, `_`, `.` and `-`, not {}{hint}",
            quote_char(bad)
        )
        .into());
    }
    if !(segment.starts_with(is_word) && segment.ends_with(is_word)) {
        return Err(format!(
            "the image path segment {} must start and end with a letter or digit",
            quote(segment)
        )
        .into());
    }
    // Registries accept one dot, one or two underscores, or any number of hyphens in a row.
    let is_separator =
        |gap: &str| matches!(gap, "" | "." | "_" | "__") || gap.chars().all(|c| c == '-');
    if segment.split(is_word).all(is_separator) {
        Ok(())
    } else {
        let segment = quote(segment);
        Err(format!("the image path segment {segment} has two separators in a row").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specification_names_an_image_or_a_program() {
        use super::super::AppSpec;
        for json in [
            r#"{"name":"web","image":"web:1","replicas":1}"#,
            r#"{"name":"web","program":"/srv/web","replicas":1}"#,
        ] {
            let spec: AppSpec = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&spec).unwrap(), json);
            assert_eq!(ImageRef::parse(spec.image.as_str()).as_ref(), Ok(&spec.image));
        }
        for json in [
            r#"{"name":"web"}"#,
            r#"{"name":"web","image":"web:1","program":"/srv/web"}"#,
            r#"{"name":"web","program":"~/web"}"#,
        ] {
            assert!(serde_json::from_str::<AppSpec>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn reference_without_tag_gets_latest() {
        let digest = format!("web@sha256:{}", "0".repeat(64));
        for (text, expected) in [
            ("web", "web:latest"),
            ("localhost:5000/team/web", "localhost:5000/team/web:latest"),
            ("localhost:5000/web:1", "localhost:5000/web:1"),
            (digest.as_str(), digest.as_str()),
        ] {
            assert_eq!(ImageRef::parse(text).unwrap().with_default_tag(), expected);
        }
    }
}
