//! The answer: facts about the replica and the request, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Method, Uri, Version};
use serde_json::{Value, json};

use crate::addresses;
use crate::settings::Identity;

/// A request, and the identity of the replica that answers it.
#[derive(Debug)]
pub(crate) struct Answer {
    identity: Identity,
    host_name: String,
    addresses: Vec<IpAddr>,
    remote: SocketAddr,
    method: Method,
    uri: Uri,
    version: Version,
    headers: BTreeMap<String, Vec<String>>,
    body: Option<u64>,
    count: Option<u64>,
    called: Option<String>,
}

impl Answer {
    /// Collects the facts. `body` is the number of bytes in the request body.
    pub(crate) fn new(
        identity: &Identity,
        remote: SocketAddr,
        (method, uri, version): (Method, Uri, Version),
        headers: &HeaderMap,
        body: u64,
    ) -> Self {
        let reads_body = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        Self {
            identity: identity.clone(),
            host_name: addresses::host_name(),
            addresses: addresses::addresses().into_iter().collect(),
            // Show IPv4 clients of the IPv6 socket with their IPv4 address.
            remote: SocketAddr::new(remote.ip().to_canonical(), remote.port()),
            method,
            uri,
            version,
            headers: by_canonical_name(headers),
            body: (reads_body || body > 0).then_some(body),
            count: None,
            called: None,
        }
    }

    /// Adds the number of this request.
    pub(crate) fn set_count(&mut self, count: u64) {
        self.count = Some(count);
    }

    /// Adds the replica of another app that was called.
    pub(crate) fn set_called(&mut self, replica: String) {
        self.called = Some(replica);
    }

    /// Formats one fact per line, then the request line and the headers in alphabetical order.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        let mut line = |key: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{key}: {value}");
        };
        for (key, value) in self.identity_lines() {
            line(key, value);
        }
        line("Hostname", &self.host_name);
        for address in &self.addresses {
            line("IP", &address.to_string());
        }
        line("RemoteAddr", &self.remote.to_string());
        for (key, number) in [("BodyLength", self.body), ("Count", self.count)] {
            if let Some(number) = number {
                line(key, &number.to_string());
            }
        }
        if let Some(replica) = &self.called {
            line("Called", replica);
        }
        let _ = writeln!(out, "{} {} {:?}", self.method, self.uri, self.version);
        for (name, values) in &self.headers {
            for value in values {
                let _ = writeln!(out, "{name}: {value}");
            }
        }
        out
    }

    /// Formats the facts as a JSON object.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "hostname": self.host_name,
            "ip": self.addresses,
            "name": self.identity.name,
            "app": self.identity.app,
            "replica": self.identity.replica,
            "revision": self.identity.revision,
            "remoteAddr": self.remote.to_string(),
            "method": self.method.as_str(),
            "url": self.uri.to_string(),
            "host": self.headers.get("Host").and_then(|values| values.first()),
            "headers": self.headers,
            "bodyLength": self.body,
            "count": self.count,
            "called": self.called,
        })
    }

    fn identity_lines(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Identity { name, app, replica, revision } = &self.identity;
        [("Name", name), ("App", app), ("Replica", replica), ("Revision", revision)]
            .into_iter()
            .filter_map(|(key, value)| value.as_deref().map(|value| (key, value)))
    }
}

/// Groups headers by their canonical names, such as `User-Agent`. The library has them in lower
/// case.
fn by_canonical_name(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        by_name.entry(canonical(name.as_str())).or_default().push(value);
    }
    by_name
}

fn canonical(name: &str) -> String {
    let capitalize = |part: &str| {
        let (first, rest) = part.split_at(usize::from(!part.is_empty()));
        first.to_ascii_uppercase() + rest
    };
    name.split('-').map(capitalize).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn answer(identity: &Identity, method: Method, body: u64) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static("test"));
        headers.insert("host", HeaderValue::from_static("whoami.local"));
        headers.append("accept", HeaderValue::from_static("a"));
        headers.append("accept", HeaderValue::from_static("b"));
        let request = (method, Uri::from_static("/x?y=1"), Version::HTTP_11);
        Answer::new(identity, ([10, 0, 0, 9], 1234).into(), request, &headers, body)
    }

    #[test]
    fn text_ends_with_request_and_sorted_headers() {
        let text = answer(&Identity::default(), Method::GET, 0).to_text();
        let end = "RemoteAddr: 10.0.0.9:1234\nGET /x?y=1 HTTP/1.1\nAccept: a\nAccept: b\n\
                   Host: whoami.local\nUser-Agent: test\n";
        assert!(text.ends_with(end), "{text}");
        assert!(text.starts_with("Hostname: "), "{text}");
    }

    #[test]
    fn answer_has_identity_of_replica() {
        let identity = Identity {
            name: Some("n".into()),
            app: Some("web".into()),
            replica: Some("2".into()),
            revision: Some("r7".into()),
        };
        let answer = answer(&identity, Method::GET, 0);
        assert!(answer.to_text().starts_with("Name: n\nApp: web\nReplica: 2\nRevision: r7\n"));
        assert_eq!(answer.to_json()["revision"], "r7");
        assert_eq!(answer.to_json()["host"], "whoami.local");
    }

    #[test]
    fn ipv4_client_has_ipv4_address() {
        let remote: SocketAddr = "[::ffff:10.0.0.9]:80".parse().unwrap();
        let request = (Method::GET, Uri::from_static("/"), Version::HTTP_11);
        let answer = Answer::new(&Identity::default(), remote, request, &HeaderMap::new(), 0);
        assert!(answer.to_text().contains("RemoteAddr: 10.0.0.9:80\n"), "{}", answer.to_text());
    }

    #[test]
    fn body_length_is_shown_for_empty_body() {
        let identity = Identity::default();
        assert!(answer(&identity, Method::POST, 0).to_text().contains("\nBodyLength: 0\n"));
        assert!(answer(&identity, Method::GET, 5).to_text().contains("\nBodyLength: 5\n"));
        assert!(!answer(&identity, Method::GET, 0).to_text().contains("BodyLength"));
    }
}
