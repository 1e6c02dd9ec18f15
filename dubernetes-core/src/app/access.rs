//! How requests reach an app: hosts and a path prefix. These values reach the nginx
//! configuration, so their grammars are allow-lists.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::escape::quote_char;
use super::text::{ParseError, checked_text};

/// The hosts under which an app answers, and the path prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// At least one host, without repetition.
    #[serde(rename = "host", serialize_with = "write_hosts", deserialize_with = "read_hosts")]
    pub hosts: Vec<HostName>,
    /// The path prefix that is routed to the app, in whole segments. Default: `/`.
    #[serde(default, skip_serializing_if = "RoutePath::is_root")]
    pub path: RoutePath,
}

checked_text!(
    /// A host name: labels of `a-z`, `0-9` and `-`, joined by `.`; at most 253 characters. Upper
    /// case is lowered. No wildcard, port, scheme, path or address.
    HostName,
    check_host
);
checked_text!(
    /// A path prefix: `/`, then letters, digits and `.`, `_`, `~`, `-`, `/`; at most 255
    /// characters, without empty segments, `.` or `..`. A trailing slash is dropped.
    RoutePath,
    check_path
);

impl RoutePath {
    /// Returns whether this is `/`, which matches every path.
    pub fn is_root(&self) -> bool {
        self == "/"
    }
}

impl Default for RoutePath {
    fn default() -> Self {
        Self("/".into())
    }
}

fn check_host(text: &str) -> Result<String, ParseError> {
    if text.is_empty() {
        return Err("a host cannot be empty".into());
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii()) {
        let bad = quote_char(bad);
        return Err(format!("a host must be ASCII, without {bad}; write its `xn--` form").into());
    }
    if text.contains("://") {
        return Err("a host must not contain a scheme such as `http://`".into());
    }
    if text.contains('*') {
        return Err("wildcards in hosts are not supported".into());
    }
    if text.len() > 253 {
        return Err("a host may have at most 253 characters".into());
    }
    let host = text.to_ascii_lowercase();
    host.split('.').try_for_each(check_host_label)?;
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.chars().all(|c| c.is_ascii_digit()) {
        return Err("a host must be a name, not an address".into());
    }
    Ok(host)
}

fn check_host_label(label: &str) -> Result<(), ParseError> {
    if label.is_empty() {
        return Err("a host must not start or end with a dot, or have two dots in a row".into());
    }
    if label.len() > 63 {
        return Err("each label of a host may have at most 63 characters".into());
    }
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(bad) = label.chars().find(|c| !is_legal(*c)) {
        let hint = match bad {
            ':' => "; set the port with `--http-port`",
            '/' => "; put the path in `access.path`",
            _ => "",
        };
        return Err(format!(
            "a host may only contain `a-z`, `0-9`, `-` and `.`, not {}{hint}",
            quote_char(bad)
        )
        .into());
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("each label of a host must start and end with a letter or digit".into());
    }
    Ok(())
}

fn check_path(text: &str) -> Result<String, ParseError> {
    if !text.starts_with('/') {
        return Err("a path must start with `/`".into());
    }
    if text.len() > 255 {
        return Err("a path may have at most 255 characters".into());
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-' | '/');
    if let Some(bad) = text.chars().find(|c| !is_legal(*c)) {
        return Err(format!(
            "a path may only contain letters, digits and `.`, `_`, `~`, `-`, `/`, not {}",
            quote_char(bad)
        )
        .into());
    }
    if text.contains("//") {
        return Err("a path must not contain an empty segment".into());
    }
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("a path must not contain a segment `.` or `..`".into());
    }
    let trimmed = text.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

fn write_hosts<S: Serializer>(hosts: &[HostName], serializer: S) -> Result<S::Ok, S::Error> {
    match hosts {
        [one] => one.serialize(serializer),
        many => many.serialize(serializer),
    }
}

fn read_hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HostName>, D::Error> {
    struct Hosts;

    impl<'de> serde::de::Visitor<'de> for Hosts {
        type Value = Vec<HostName>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a host or a list of hosts")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            HostName::parse(text).map(|host| vec![host]).map_err(E::custom)
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut seq: A,
        ) -> Result<Self::Value, A::Error> {
            let mut hosts = Vec::new();
            while let Some(host) = seq.next_element()? {
                hosts.push(host);
            }
            Ok(hosts)
        }
    }

    deserializer.deserialize_any(Hosts)
}
