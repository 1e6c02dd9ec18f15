//! `logs --access`: prints requests to an app.

use dubernetes_api::wire::AccessLogEntry;
use dubernetes_core::app::PodName;
use dubernetes_core::error::{is_unsafe, one_line};
use dubernetes_core::ingress::AccessLogQuery;
use futures_util::StreamExt as _;

use crate::args::LineFormat;
use crate::output;
use crate::report::{self, Result};
use crate::target::Target;

pub(super) async fn print_all(
    target: &Target,
    query: &AccessLogQuery,
    format: LineFormat,
) -> Result {
    let mut entries = target.client.access_log(query);
    while let Some(entry) = entries.next().await {
        let line = match format {
            LineFormat::Text => text(&entry?),
            LineFormat::Json => json(&entry?)?,
        };
        output::print_raw(line.as_bytes())?;
    }
    if query.follow {
        report::note("the ingress has ended, and its log with it");
    }
    Ok(())
}

/// Formats a request. Method and path are the client's text.
fn text(entry: &AccessLogEntry) -> String {
    let AccessLogEntry { time, client, status, duration_ms, .. } = entry;
    let pod = entry.pod.as_ref().map_or("-", PodName::as_str);
    let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { one_line(text) };
    let (method, path) = (shown(&entry.method), shown(&entry.path));
    format!("{time:.3}  {pod}  {client}  {method} {path}  {status}  {duration_ms}ms\n")
}

/// Formats a request as JSON that is safe to show.
fn json(entry: &AccessLogEntry) -> Result<String> {
    let json = serde_json::to_string(entry)?;
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match c {
            c if is_unsafe(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pod: Option<&str>, path: &str) -> AccessLogEntry {
        AccessLogEntry {
            time: "2026-11-30T00:12:01.120Z".parse().unwrap(),
            app: "web".parse().unwrap(),
            pod: pod.map(|pod| pod.parse().unwrap()),
            client: "203.0.113.9".parse().unwrap(),
            method: if path.is_empty() { String::new() } else { "GET".to_owned() },
            host: "web.test".to_owned(),
            path: path.to_owned(),
            protocol: "HTTP/1.1".to_owned(),
            status: 200,
            bytes: 7,
            duration_ms: 12,
        }
    }

    #[test]
    fn request_is_one_line() {
        let line = text(&entry(Some("web-1"), "/a b"));
        let expected = "2026-11-30T00:12:01.120Z  web-1  203.0.113.9  GET /a b  200  12ms\n";
        assert_eq!(line, expected);
        let refused = text(&entry(None, ""));
        assert!(refused.contains("  -  203.0.113.9  - -  200  "), "{refused}");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let hostile = entry(None, "/\u{1b}[2J\n\r\u{7f}\u{9b}\u{202e}x");
        let shown = [text(&hostile), json(&hostile).unwrap()];
        for line in &shown {
            assert_eq!(line.chars().filter(|c| is_unsafe(*c)).count(), 1, "{line:?}");
            assert!(line.ends_with('\n'), "{line:?}");
        }
        let read: AccessLogEntry = serde_json::from_str(&shown[1]).unwrap();
        assert_eq!(read, hostile);
    }
}
