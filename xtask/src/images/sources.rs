//! Reads apt's package sources, in both formats.

use std::fmt::Write as _;
use std::path::Path;

/// A package source with its trust settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
    trust: Vec<(String, String)>,
}

impl Source {
    /// Formats the source as a deb822 stanza with another suite.
    pub(super) fn to_stanza(&self, suite: &str) -> String {
        let mut text =
            format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n", self.uri);
        for (key, value) in &self.trust {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key}: {value}");
        }
        text
    }

    /// Whether the source holds a whole distribution, not just updates or a single vendor's
    /// packages.
    fn is_archive(&self) -> bool {
        let extra = ["-security", "-updates", "-backports", "-proposed", "/"];
        let is_base = |suite: &String| !extra.iter().any(|part| suite.contains(part));
        self.components.iter().any(|c| c == "main") && self.suites.iter().any(is_base)
    }
}

/// Returns the distribution's archive. Of several archives, prefers one with the usual name of a
/// Debian mirror.
pub(super) fn find_archive(etc_apt: &Path) -> Option<Source> {
    let mut archives = read_sources(etc_apt);
    archives.retain(Source::is_archive);
    let usual =
        archives.iter().position(|source| source.uri.trim_end_matches('/').ends_with("/debian"));
    (!archives.is_empty()).then(|| archives.swap_remove(usual.unwrap_or(0)))
}

fn read_sources(etc_apt: &Path) -> Vec<Source> {
    let mut found =
        parse_list(&std::fs::read_to_string(etc_apt.join("sources.list")).unwrap_or_default());
    let parts = std::fs::read_dir(etc_apt.join("sources.list.d"));
    let mut parts: Vec<_> = parts.into_iter().flatten().flatten().map(|e| e.path()).collect();
    parts.sort();
    for part in parts {
        let text = std::fs::read_to_string(&part).unwrap_or_default();
        match part.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(parse_list(&text)),
            Some("sources") => found.extend(text.split("\n\n").filter_map(parse_stanza)),
            _ => {}
        }
    }
    found
}

/// Parses the one-line format: `deb [options] uri suite component…`.
fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb ")?.trim_start();
    let mut trust = Vec::new();
    if let Some(after) = rest.strip_prefix('[') {
        let (options, after) = after.split_once(']')?;
        trust = options.split_whitespace().filter_map(parse_option).collect();
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let uri = words.next()?;
    let suite = words.next()?;
    Some(Source { uri, suites: vec![suite], components: words.collect(), trust })
}

fn parse_option(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    match key {
        "signed-by" => Some(("Signed-By".to_owned(), value.to_owned())),
        "trusted" => Some(("Trusted".to_owned(), value.to_owned())),
        _ => None,
    }
}

/// Parses the deb822 format: fields, with continuation lines indented.
fn parse_stanza(text: &str) -> Option<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut()?;
            value.push('\n');
            value.push_str(line);
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    let field = |wanted: &str| {
        let found = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    };
    let words = |wanted: &str| -> Vec<String> {
        field(wanted).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    if field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no")) {
        return None;
    }
    if !words("Types").iter().any(|kind| kind == "deb") {
        return None;
    }
    let trust = ["Signed-By", "Trusted"]
        .into_iter()
        .filter_map(|key| field(key).map(|value| (key.to_owned(), value.to_owned())));
    Some(Source {
        uri: words("URIs").into_iter().next()?,
        suites: words("Suites"),
        components: words("Components"),
        trust: trust.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_keeps_only_trust_options() {
        let line =
            "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib # x";
        let source = parse_line(line).unwrap();
        assert!(source.is_archive());
        let stanza = "Types: deb\nURIs: http://mirror.test/debian\nSuites: sid\nComponents: main\n\
                      Signed-By: /k.gpg\n";
        assert_eq!(source.to_stanza("sid"), stanza);
        assert_eq!(parse_line("# deb http://mirror.test/debian bookworm main"), None);
        assert_eq!(parse_line("deb-src http://mirror.test/debian bookworm main"), None);
    }

    #[test]
    fn stanza_keeps_key_of_several_lines() {
        let text = "Types: deb deb-src\nURIs: http://mirror.test/debian\n\
                    Suites: trixie trixie-updates\n# a remark\nComponents: main\n\
                    Signed-By:\n -----BEGIN\n .\n -----END\n";
        let source = parse_stanza(text).unwrap();
        assert!(source.is_archive());
        assert!(source.to_stanza("sid").ends_with("Signed-By: \n -----BEGIN\n .\n -----END\n"));
        assert_eq!(parse_stanza(&format!("Enabled: no\n{text}")), None);
    }

    #[test]
    fn updates_and_vendor_sources_are_not_archives() {
        let is_archive = |line: &str| parse_line(line).unwrap().is_archive();
        assert!(!is_archive("deb http://mirror.test/debian-security bookworm-security main"));
        assert!(!is_archive("deb http://other.test/linux stable extra"));
        assert!(!is_archive("deb http://other.test/tool ./"));
    }
}
