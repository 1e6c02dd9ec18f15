//! References of images. This is the only code that takes one apart.

use super::escape::{quote, quote_char};
use super::text::{ParseError, checked_text};

checked_text!(
    /// An image, as `[host[:port]/]path[:tag][@sha256:digest]` of at most 255 characters.
    ImageRef,
    check_image
);

impl ImageRef {
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
