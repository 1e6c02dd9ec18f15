//! Hosts and paths out of any bytes: refused by their types, or written with no character in the
//! files that the allow-lists do not have.

#![no_main]

use std::net::Ipv4Addr;

use dubernetes_core::ingress::RouteTable;
use dubernetes_nginx::config::{Site, write};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const SITE: Site = Site {
    address: Ipv4Addr::new(10, 89, 0, 2),
    gateway: Ipv4Addr::new(10, 89, 0, 1),
    version: None,
};

/// The table with one route, if its texts are legal.
fn table(host: &str, path: &str, app: &str) -> Option<RouteTable> {
    let route = json!({"app": app, "host": host, "path": path, "endpoints": []});
    serde_json::from_value(json!({"routes": [route]})).ok()
}

/// How many of these characters make structure in nginx's files.
fn structure(table: &RouteTable) -> Vec<usize> {
    let Ok(generation) = write(table, &SITE) else { panic!("legal texts are refused") };
    let text: String =
        generation.files.values().map(|file| String::from_utf8_lossy(file).into_owned()).collect();
    ['{', '}', ';', '"', '\'', '\\', '$', '#', '\n', '\r', '\0']
        .map(|sign| text.matches(sign).count())
        .to_vec()
}

fuzz_target!(|texts: (&str, &str, &str)| {
    let (host, path, app) = texts;
    let plain = table("a.test", if path == "/" { "/" } else { "/x" }, "a");
    let Some(plain) = plain else { panic!("the shape of a table has changed") };
    if let Some(table) = table(host, path, app) {
        assert_eq!(structure(&table), structure(&plain), "{texts:?}");
    }
});
