//! What is written for a table, byte for byte: one file of `golden/` for each case.
//!
//! `DUBERNETES_UPDATE_GOLDEN=1` writes them anew; the difference is reviewed like code.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use std::net::Ipv4Addr;
use std::path::Path;

use dubernetes_core::app::{AppName, HostName, RoutePath};
use dubernetes_core::ingress::{Endpoint, Route, RouteTable};
use dubernetes_nginx::config::{Generation, Site, write};
use dubernetes_nginx::version::Version;

fn route(host: &str, path: &str, app: &str, endpoints: &[(u8, u16)]) -> Route {
    let endpoint = |(index, (last, port)): (usize, &(u8, u16))| Endpoint {
        pod: format!("{app}-{}", index + 1),
        address: Ipv4Addr::new(10, 89, 0, *last),
        port: *port,
    };
    Route {
        host: HostName::parse(host).unwrap(),
        path: RoutePath::parse(path).unwrap(),
        app: AppName::parse(app).unwrap(),
        endpoints: endpoints.iter().enumerate().map(endpoint).collect(),
    }
}

fn several() -> RouteTable {
    RouteTable {
        routes: vec![
            route("shop.test", "/", "web", &[(20, 8080), (21, 8080), (22, 9090)]),
            route("www.shop.test", "/", "web", &[(20, 8080), (21, 8080), (22, 9090)]),
            route("shop.test", "/api", "api", &[(40, 3000)]),
            route("shop.test", "/api/v2", "next", &[]),
            route("files.test", "/only.here/~me", "files", &[(60, 80)]),
        ],
    }
}

fn site(version: Option<Version>) -> Site {
    let (address, gateway) = (Ipv4Addr::new(10, 89, 0, 2), Ipv4Addr::new(10, 89, 0, 1));
    Site { address, gateway, version }
}

fn check(name: &str, table: &RouteTable, site: &Site) {
    let generation = write(table, site).unwrap();
    let written = show(&generation);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("DUBERNETES_UPDATE_GOLDEN").is_ok_and(|v| v == "1") {
        std::fs::write(&path, &written).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(written == golden, "{name} differs; this was written:\n{written}");
}

fn show(generation: &Generation) -> String {
    let show = |(path, contents): (&String, &bytes::Bytes)| {
        format!("#### {path}\n{}\n", String::from_utf8_lossy(contents))
    };
    generation.files.iter().map(show).collect()
}

#[test]
fn no_route_at_all() {
    check("empty.conf", &RouteTable::default(), &site(Some(Version::new(1, 30, 6))));
}

#[test]
fn several_apps_hosts_and_paths() {
    check("several.conf", &several(), &site(Some(Version::new(1, 30, 6))));
}

#[test]
fn an_old_nginx_gets_only_what_it_knows() {
    check("old_nginx.conf", &several(), &site(Some(Version::new(1, 22, 1))));
}

#[test]
fn an_nginx_of_unknown_version_gets_what_every_nginx_knows() {
    let old = write(&several(), &site(Some(Version::new(1, 22, 1)))).unwrap();
    let unknown = write(&several(), &site(None)).unwrap();
    assert_eq!(unknown.files, old.files);
}

#[test]
fn each_difference_is_a_generation_of_its_own() {
    let version = Some(Version::new(1, 30, 6));
    let base = write(&several(), &site(version)).unwrap();
    assert_eq!(write(&several(), &site(version)).unwrap(), base);
    let mut renamed = several();
    renamed.routes[0].endpoints[0].pod = "web-9".into();
    let mut moved = site(version);
    moved.gateway = Ipv4Addr::new(10, 89, 0, 254);
    for other in [
        write(&renamed, &site(version)).unwrap(),
        write(&several(), &moved).unwrap(),
        write(&several(), &site(Some(Version::new(1, 27, 4)))).unwrap(),
        write(&RouteTable::default(), &site(version)).unwrap(),
    ] {
        assert_ne!(other.digest, base.digest);
    }
}

#[test]
fn hosts_of_any_length_have_files_of_their_own() {
    let host = |last: &str| {
        let label = "a".repeat(60);
        format!("{label}.{label}.{label}.{}.{last}", "b".repeat(60))
    };
    let table = RouteTable {
        routes: vec![
            route(&host("testone"), "/", "web", &[(20, 80)]),
            route(&host("testtwo"), "/", "web", &[(20, 80)]),
        ],
    };
    let generation = write(&table, &site(None)).unwrap();
    let files: Vec<_> = generation.files.keys().filter(|f| f.starts_with("hosts/")).collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|file| file.len() <= 255), "{files:?}");
}
