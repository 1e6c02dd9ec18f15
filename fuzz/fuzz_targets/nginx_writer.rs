//! Builds routes from arbitrary texts: they are either refused by their types, or add no structural
//! character to nginx's files.

#![no_main]

use std::net::Ipv4Addr;

use dubernetes_core::app::Duration;
use dubernetes_core::ingress::RouteTable;
use dubernetes_nginx::config::{Proxies, RenderContext, write};
use dubernetes_nginx::features::Features;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const CONTEXT: RenderContext = RenderContext {
    address: Ipv4Addr::new(10, 89, 0, 2),
    any_address: false,
    gateway: Ipv4Addr::new(10, 89, 0, 1),
    version: None,
    features: Features { names: false, stream: None, js: None },
    keepalive_window: Duration::from_secs(1),
    proxies: Proxies { trusted: Vec::new(), proxy_protocol: false, has_realip: true },
    https_port: None,
    access_log: true,
    count_requests: false,
};

/// Returns a table with one route, if its texts are legal.
fn table(host: &str, path: &str, app: &str, endpoints: &[Value]) -> Option<RouteTable> {
    let route = json!({"app": app, "host": host, "path": path, "endpoints": endpoints});
    serde_json::from_value(json!({"routes": [route]})).ok()
}

/// Counts the structural characters in nginx's files.
fn count_structure(table: &RouteTable) -> Vec<usize> {
    let Ok(generation) = write(table, &CONTEXT) else { panic!("legal texts are refused") };
    // nginx does not read this JSON file.
    let files = generation.files.iter().filter(|(name, _)| *name != "table.json");
    let text: String = files.map(|(_, file)| String::from_utf8_lossy(file).into_owned()).collect();
    ['{', '}', ';', '"', '\'', '\\', '$', '#', '\n', '\r', '\0', ' ']
        .map(|sign| text.matches(sign).count())
        .to_vec()
}

type Pods<'a> = Vec<(&'a str, [u8; 4], u16)>;

fuzz_target!(|input: (&str, &str, &str, Pods)| {
    let (host, path, app, pods) = &input;
    let endpoints = |named: bool| -> Vec<Value> {
        let endpoint = |(pod, address, port): &(&str, [u8; 4], u16)| {
            let pod = if named { pod } else { "web-1" };
            json!({"pod": pod, "address": Ipv4Addr::from(*address), "port": port})
        };
        pods.iter().map(endpoint).collect()
    };
    // A wildcard is a pattern, in which each dot is escaped.
    let dots = host.matches('.').count();
    let plain_host = match *host {
        "*" => "*".to_owned(),
        wild if wild.starts_with("*.") => format!("*{}", ".a".repeat(dots)),
        _ => "a.test".to_owned(),
    };
    let plain = table(&plain_host, if *path == "/" { "/" } else { "/x" }, "a", &endpoints(false));
    let Some(plain) = plain else { panic!("the JSON form of a table has changed") };
    if let Some(table) = table(host, path, app, &endpoints(true)) {
        assert_eq!(count_structure(&table), count_structure(&plain), "{input:?}");
    }
});
