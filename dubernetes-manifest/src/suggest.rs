//! Hints for invalid values: the nearest legal text, or an example.

use super::nearest::nearest;
use super::reference;
use dubernetes_core::app::{AppName, HostName, ImageRef, RoutePath, Signal};

/// Returns the example of the field at `path` as a hint.
pub(super) fn example_hint(path: &str) -> String {
    format!("for example `{}`", reference::example(path))
}

/// Returns what to write instead of `text` in the field at `path`.
pub(super) fn suggestion(path: &str, text: &str) -> String {
    let last = path.rsplit('.').find(|key| !key.chars().all(|c| c.is_ascii_digit()));
    let suggested = match path.split('.').next() {
        Some("name") => suggest_name(text).map(|name| format!("for example `name: {name}`")),
        Some("image") => suggest_image(text).map(|image| format!("for example `image: {image}`")),
        Some("access") if last == Some("path") => {
            suggest_route_path(text).map(|path| format!("for example `path: {path}`"))
        }
        Some("access") if last == Some("host") => suggest_host(text),
        Some("stop") if path == "stop.signal" => suggest_signal(text),
        _ => None,
    };
    suggested.unwrap_or_else(|| example_hint(path))
}

/// Returns the nearest legal name: `a_b.C` becomes `a-b-c`.
pub(super) fn suggest_name(text: &str) -> Option<AppName> {
    let lower = text.trim().to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .collect();
    let joined = words.join("-");
    let cut = joined.get(..joined.len().min(63))?.trim_end_matches('-');
    AppName::parse(cut).or_else(|_| AppName::parse(&format!("{cut}-app"))).ok()
}

fn suggest_image(text: &str) -> Option<ImageRef> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let trimmed = bare.trim().trim_end_matches([':', '@', '/']);
    let (path, tag) = match trimmed.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path.to_lowercase(), format!(":{tag}")),
        _ => (trimmed.to_lowercase(), String::new()),
    };
    ImageRef::parse(&format!("{path}{tag}")).ok()
}

fn suggest_route_path(text: &str) -> Option<RoutePath> {
    let segments: Vec<&str> =
        text.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let path = RoutePath::parse(&format!("/{}", segments.join("/"))).ok()?;
    (!path.is_root()).then_some(path)
}

/// Splits `http://a.test:80/shop` into `a.test` and `/shop`.
fn suggest_host(text: &str) -> Option<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (authority, path) = match bare.split_once('/') {
        Some((authority, path)) => (authority, suggest_route_path(path)),
        None => (bare, None),
    };
    let name = authority.split(':').next().unwrap_or_default();
    let host = HostName::parse(name.trim().trim_matches('.')).ok()?;
    Some(match path {
        Some(path) => format!("for example `host: {host}` with `path: {path}`"),
        None => format!("for example `host: {host}`"),
    })
}

fn suggest_signal(text: &str) -> Option<String> {
    let upper = text.trim().to_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let (_, near) = nearest(&full, Signal::WORDS)?;
    Some(format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestion_is_the_nearest_legal_text_or_an_example() {
        let cases = [
            ("name", "My_App.2", "for example `name: my-app-2`"),
            ("name", "ingress", "for example `name: ingress-app`"),
            ("name", "--help", "for example `name: help`"),
            ("name", "🦀", "for example `name: myapp`"),
            ("image", "x/UPPER:1.0", "for example `image: x/upper:1.0`"),
            ("image", "x:", "for example `image: x`"),
            ("image", "a b", "for example `image: myapp-image:1.5`"),
            ("access.host", "http://a.test:80/x", "for example `host: a.test` with `path: /x`"),
            ("access.host.1", ".test", "for example `host: test`"),
            ("access.2.host.1", "a.test.", "for example `host: a.test`"),
            ("access.0.path", "shop", "for example `path: /shop`"),
            ("access.0.protocol", "grpc", "for example `protocol: h2c`"),
            ("access.path", "shop", "for example `path: /shop`"),
            ("access.path", "/../etc", "for example `path: /etc`"),
            ("stop.signal", "term", "did you mean `SIGTERM`?"),
            ("volumes.3", "x", "for example `volumes: [\"cache:/var/cache/myapp\"]`"),
        ];
        for (path, text, hint) in cases {
            assert_eq!(suggestion(path, text), hint, "{text} for {path}");
        }
    }
}
