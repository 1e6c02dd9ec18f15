//! How requests reach an app: hosts, a path prefix and a port. These values reach the nginx
//! configuration, so their grammars are allow-lists.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::escape::quote_char;
use super::text::{ParseError, checked_text, word_enum};
use super::tls::Tls;
use super::{AppSpec, HostPattern, is_default};

/// The hosts under which an app answers, the path prefix, and how its requests reach the app.
///
/// An app with one of these writes it as a mapping, an app with several as a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The hosts, without repetition. Empty: every host that no other route claims.
    #[serde(
        rename = "host",
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "write_hosts",
        deserialize_with = "read_hosts"
    )]
    pub hosts: Vec<HostPattern>,
    /// The path prefix that is routed to the app, in whole segments. Default: `/`.
    #[serde(default, skip_serializing_if = "RoutePath::is_root")]
    pub path: RoutePath,
    /// The port of each replica that gets the requests. Default: the app's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether `path` is removed from the request's path before the app gets it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strip_prefix: bool,
    /// What the app speaks. Default: `http`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: RouteProtocol,
    /// Whether connections to a replica are kept, and used for several requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keepalive: bool,
    /// Whether the whole body of a request is read before the request is passed on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub buffer_requests: bool,
    /// The certificate for HTTPS. Default: the hosts are served over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl Access {
    /// Returns the hosts, of which there is at least one.
    pub fn patterns(&self) -> Vec<HostPattern> {
        if self.hosts.is_empty() { vec![HostPattern::Any] } else { self.hosts.clone() }
    }
}

word_enum!(
    /// What an app speaks at a port.
    #[derive(Default)]
    RouteProtocol of "access.protocol" {
        /// HTTP/1.1.
        #[default]
        Http = "http",
        /// HTTP/2 without TLS, as gRPC uses it.
        H2c = "h2c",
    }
);

impl AppSpec {
    /// Returns the hosts that are served over HTTPS, each with where its certificate comes from.
    /// Names without a `tls` of their own get that of `default`; an authority issues none for
    /// wildcards.
    pub fn tls_hosts<'a>(
        &'a self,
        default: Option<&'a Tls>,
    ) -> impl Iterator<Item = (&'a HostPattern, &'a Tls)> {
        let has_own = |host: &HostPattern| {
            self.access.iter().any(|access| access.tls.is_some() && access.hosts.contains(host))
        };
        let entries = self.access.iter().filter_map(move |access| {
            Some((access, access.tls.as_ref().or(default)?)).filter(|(_, tls)| tls.is_on())
        });
        entries.flat_map(move |(access, tls)| {
            let is_default = access.tls.is_none();
            let gets =
                move |host: &&HostPattern| !is_default || (host.name().is_some() && !has_own(host));
            access.hosts.iter().filter(gets).map(move |host| (host, tls))
        })
    }
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
        return Err("a host must not contain a wildcard".into());
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

fn write_hosts<S: Serializer>(hosts: &[HostPattern], serializer: S) -> Result<S::Ok, S::Error> {
    match hosts {
        [one] => one.serialize(serializer),
        many => many.serialize(serializer),
    }
}

fn read_hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HostPattern>, D::Error> {
    struct Hosts;

    impl<'de> serde::de::Visitor<'de> for Hosts {
        type Value = Vec<HostPattern>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a host or a list of hosts")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            HostPattern::parse(text).map(|host| vec![host]).map_err(E::custom)
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut seq: A,
        ) -> Result<Self::Value, A::Error> {
            let mut hosts = Vec::new();
            while let Some(host) = seq.next_element::<String>()? {
                hosts.push(HostPattern::parse(&host).map_err(serde::de::Error::custom)?);
            }
            if hosts.is_empty() {
                return Err(serde::de::Error::invalid_length(0, &"at least one host"));
            }
            Ok(hosts)
        }
    }

    deserializer.deserialize_any(Hosts)
}

/// Writes one entry as a mapping, and several as a list.
pub(super) fn write_list<S: Serializer>(list: &[Access], serializer: S) -> Result<S::Ok, S::Error> {
    match list {
        [one] => one.serialize(serializer),
        many => many.serialize(serializer),
    }
}

/// Reads a mapping or a list of mappings.
pub(super) fn read_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Access>, D::Error> {
    struct List;

    impl<'de> serde::de::Visitor<'de> for List {
        type Value = Vec<Access>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a mapping or a list of mappings")
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            let one = Access::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
            Ok(vec![one])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(seq))
        }
    }

    deserializer.deserialize_any(List)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::app::AppSpec;

    fn written(access: &Value) -> Value {
        let app = json!({"name": "a", "image": "b", "access": access});
        let spec: AppSpec = serde_json::from_value(app).unwrap();
        serde_json::to_value(spec).unwrap()["access"].take()
    }

    #[test]
    fn one_entry_is_a_mapping_and_several_are_a_list() {
        for same in [
            json!({"host": "a.test"}),
            json!({}),
            json!({"host": ["a.test", "*.a.test"], "path": "/x"}),
            json!([{"host": "a.test"}, {"host": "b.test", "port": 81, "protocol": "h2c"}]),
            json!([{"path": "/x", "strip_prefix": true}, {}]),
            json!({"keepalive": true, "buffer_requests": true}),
        ] {
            assert_eq!(written(&same), same);
        }
        assert_eq!(written(&json!([{"host": "a.test"}])), json!({"host": "a.test"}));
        assert_eq!(written(&Value::Null), Value::Null);
    }

    #[test]
    fn bad_access_is_refused() {
        for bad in [
            json!({"hots": "a"}),
            json!({"host": []}),
            json!({"host": "*"}),
            json!({"host": ["*"]}),
            json!([{"host": "a b"}]),
            json!("a.test"),
            json!({"protocol": "grpc"}),
        ] {
            let app = json!({"name": "a", "image": "b", "access": bad});
            assert!(serde_json::from_value::<AppSpec>(app).is_err(), "{bad}");
        }
    }
}
