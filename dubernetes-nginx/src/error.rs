//! Parses the messages of nginx into text for users.

use dubernetes_core::error::{SharedError, one_line};
use dubernetes_core::ingress::IngressError;

use crate::config::ROOT;

/// Returns the line with which nginx refused a configuration, without time, process and directory.
pub(crate) fn parse_refusal(output: &str) -> String {
    let lines = || output.lines().filter(|line| !line.trim().is_empty());
    let is_grave =
        |line: &&str| ["[emerg]", "[alert]", "[crit]"].iter().any(|level| line.contains(level));
    let line = lines().find(is_grave).or_else(|| lines().next_back());
    line.map_or_else(|| "nginx gave no reason".to_owned(), strip_prefixes)
}

/// Returns the warnings about a configuration that nginx accepted.
pub(crate) fn parse_warnings(output: &str) -> Vec<String> {
    output.lines().filter(|line| line.contains("[warn]")).map(strip_prefixes).collect()
}

/// Why the output of a command in the ingress cannot be relied on.
pub(crate) const LOST_OUTPUT: &str = "the engine lost output of a command in the ingress";

/// Creates an error of which only the text is known.
pub(crate) fn failure(text: impl Into<String>) -> IngressError {
    IngressError::Failed(SharedError::text(text))
}

fn strip_prefixes(line: &str) -> String {
    let text = line.split_once("] ").map_or(line, |(_, text)| text);
    let text = match text.split_once(": ") {
        // `1#1: text`: the process and the thread.
        Some((process, text)) if process.chars().all(|c| c.is_ascii_digit() || c == '#') => text,
        Some(_) | None => text,
    };
    let Some((before, after)) = text.split_once(&format!("{ROOT}/gen-")) else {
        return one_line(text);
    };
    let file = after.split_once('/').map_or(after, |(_, file)| file);
    one_line(&format!("{before}{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_first_emergency_without_noise() {
        let output = "2026/01/02 03:04:05 [warn] 7#7: something\n\
            2026/01/02 03:04:05 [emerg] 7#7: invalid port in upstream \"10.0.0.1:0\" in \
            /etc/nginx/dubernetes/gen-0a/apps/web.conf:4\n\
            nginx: configuration file /etc/nginx/dubernetes/gen-0a/nginx.conf test failed\n";
        let refusal = parse_refusal(output);
        assert_eq!(refusal, "invalid port in upstream \"10.0.0.1:0\" in apps/web.conf:4");
        assert_eq!(parse_warnings(output), ["something"]);
        assert_eq!(parse_refusal("  \n"), "nginx gave no reason");
        assert_eq!(parse_refusal("cannot load"), "cannot load");
    }
}
