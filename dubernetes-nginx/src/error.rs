//! What nginx said, made fit for a person.

use dubernetes_core::error::{Cause, one_line};
use dubernetes_core::ingress::IngressError;

use crate::config::ROOT;

/// The line with which nginx refused a configuration, without time, process and folder.
pub(crate) fn refusal(output: &str) -> String {
    let lines = || output.lines().filter(|line| !line.trim().is_empty());
    let grave = |line: &&str| ["[emerg]", "[alert]", "[crit]"].iter().any(|at| line.contains(at));
    let line = lines().find(grave).or_else(|| lines().next_back());
    line.map_or_else(|| "nginx gave no reason".to_owned(), plain)
}

/// The lines with which nginx warned of a configuration that it accepts.
pub(crate) fn warnings(output: &str) -> Vec<String> {
    output.lines().filter(|line| line.contains("[warn]")).map(plain).collect()
}

/// A failure of which only the text is known.
pub(crate) fn failed(text: impl Into<String>) -> IngressError {
    IngressError::Failed(Cause::text(text))
}

fn plain(line: &str) -> String {
    let text = line.split_once("] ").map_or(line, |(_, text)| text);
    let text = match text.split_once(": ") {
        // `1#1: text`: the process and thread that wrote it.
        Some((process, text)) if process.chars().all(|c| c.is_ascii_digit() || c == '#') => text,
        _ => text,
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
    fn a_refusal_is_the_first_emergency_without_noise() {
        let output = "2026/01/02 03:04:05 [warn] 7#7: something\n\
            2026/01/02 03:04:05 [emerg] 7#7: invalid port in upstream \"10.0.0.1:0\" in \
            /etc/nginx/dubernetes/gen-0a/apps/web.conf:4\n\
            nginx: configuration file /etc/nginx/dubernetes/gen-0a/nginx.conf test failed\n";
        assert_eq!(refusal(output), "invalid port in upstream \"10.0.0.1:0\" in apps/web.conf:4");
        assert_eq!(warnings(output), ["something"]);
        assert_eq!(refusal("  \n"), "nginx gave no reason");
        assert_eq!(refusal("cannot load"), "cannot load");
    }
}
