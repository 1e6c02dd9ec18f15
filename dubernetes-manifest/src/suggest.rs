//! The nearest legal text to one that was refused, as a hint.

use dubernetes_core::app::{AppName, HostName, ImageRef, RoutePath, Signal};

use super::keys;

/// What to write instead of `text` for the field at `path`.
pub(super) fn instead(path: &str, text: &str) -> String {
    let found = match path.split('.').next() {
        Some("name") => name(text).map(|name| format!("for example `name: {name}`")),
        Some("image") => image(text).map(|image| format!("for example `image: {image}`")),
        Some("access") if path == "access.path" => {
            route_path(text).map(|path| format!("for example `path: {path}`"))
        }
        Some("access") => host(text),
        Some("stop") if path == "stop.signal" => signal(text),
        _ => None,
    };
    found.unwrap_or_else(|| format!("for example `{}`", keys::example(path)))
}

/// `a_b.C` becomes `a-b-c`.
pub(super) fn name(text: &str) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .collect();
    let joined = words.join("-");
    let cut = joined.get(..joined.len().min(63))?.trim_end_matches('-');
    let name = AppName::parse(cut).or_else(|_| AppName::parse(&format!("{cut}-app"))).ok()?;
    Some(name.as_str().to_owned())
}

fn image(text: &str) -> Option<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let trimmed = bare.trim().trim_end_matches([':', '@', '/']);
    let (path, tag) = match trimmed.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path.to_lowercase(), format!(":{tag}")),
        _ => (trimmed.to_lowercase(), String::new()),
    };
    Some(ImageRef::parse(&format!("{path}{tag}")).ok()?.as_str().to_owned())
}

fn route_path(text: &str) -> Option<String> {
    let segments: Vec<&str> =
        text.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let path = RoutePath::parse(&format!("/{}", segments.join("/"))).ok()?;
    (!path.is_root()).then(|| path.as_str().to_owned())
}

/// `http://a.test:80/shop` becomes `a.test` and `/shop`.
fn host(text: &str) -> Option<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (authority, path) = match bare.split_once('/') {
        Some((authority, path)) => (authority, route_path(path)),
        None => (bare, None),
    };
    let name = authority.split(':').next().unwrap_or_default();
    let host = HostName::parse(name.trim().trim_matches('.')).ok()?;
    Some(match path {
        Some(path) => format!("for example `host: {host}` with `path: {path}`"),
        None => format!("for example `host: {host}`"),
    })
}

fn signal(text: &str) -> Option<String> {
    let upper = text.trim().to_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let names = Signal::ALL.map(Signal::as_str);
    let (_, near) = keys::nearest(&full, &names)?;
    Some(format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_legal_text_is_suggested() {
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
            ("access.path", "shop", "for example `path: /shop`"),
            ("access.path", "/../etc", "for example `path: /etc`"),
            ("stop.signal", "term", "did you mean `SIGTERM`?"),
            ("volumes.3", "x", "for example `volumes: [\"cache:/var/cache/myapp\"]`"),
        ];
        for (path, text, hint) in cases {
            assert_eq!(instead(path, text), hint, "{text} for {path}");
        }
    }
}
