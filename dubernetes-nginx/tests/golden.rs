//! The rendered files of several tables, byte for byte: one file of `golden/` for each case.
//!
//! `DUBERNETES_UPDATE_GOLDEN=1` rewrites the files; the difference is reviewed like code.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use std::net::Ipv4Addr;
use std::path::Path;

use dubernetes_core::app::{AppName, Duration, RoutePath, RouteProtocol, Secret};
use dubernetes_core::certificate::KeyPair;
use dubernetes_core::ingress::{
    Endpoint, HostTls, Listener, Protocol, Route, RouteTable, TrustedProxies,
};
use dubernetes_core::runtime::FileEntry;
use dubernetes_nginx::config::{Generation, Proxies, RenderContext, write};
use dubernetes_nginx::features::{Features, JsEngine, Stream};
use dubernetes_nginx::version::Version;

fn route(host: &str, path: &str, app: &str, endpoints: &[(u8, u16)]) -> Route {
    let endpoint = |(index, (last, port)): (usize, &(u8, u16))| Endpoint {
        pod: format!("{app}-{}", index + 1).parse().unwrap(),
        address: Ipv4Addr::new(10, 89, 0, *last).into(),
        port: *port,
    };
    let path = RoutePath::parse(path).unwrap();
    Route::new(
        host.parse().unwrap(),
        path,
        AppName::parse(app).unwrap(),
        endpoints.iter().enumerate().map(endpoint).collect(),
    )
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
        ..RouteTable::default()
    }
}

fn context(version: Option<Version>) -> RenderContext {
    RenderContext {
        address: Ipv4Addr::new(10, 89, 0, 2),
        gateway: Ipv4Addr::new(10, 89, 0, 1),
        any_address: false,
        version,
        features: Features::default(),
        keepalive_window: Duration::from_secs(1),
        proxies: Proxies { trusted: Vec::new(), proxy_protocol: false, has_realip: true },
        https_port: None,
        access_log: true,
        count_requests: false,
    }
}

fn check(name: &str, table: &RouteTable, context: &RenderContext) {
    let generation = write(table, context).unwrap();
    let rendered = show(&generation);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("DUBERNETES_UPDATE_GOLDEN").is_ok_and(|v| v == "1") {
        std::fs::write(&path, &rendered).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(rendered == golden, "{name} differs; rendered:\n{rendered}");
}

fn show(generation: &Generation) -> String {
    let show = |(path, contents): (&String, &bytes::Bytes)| {
        format!("#### {path}\n{}\n", String::from_utf8_lossy(contents))
    };
    generation.files.iter().map(show).collect()
}

#[test]
fn empty_table_renders_as_golden() {
    check("empty.conf", &RouteTable::default(), &context(Some(Version::new(1, 30, 6))));
}

#[test]
fn several_apps_hosts_and_paths_render_as_golden() {
    check("several.conf", &several(), &context(Some(Version::new(1, 30, 6))));
}

#[test]
fn counted_requests_render_as_golden() {
    let with_module =
        Features { names: true, stream: Some(Stream::BuiltIn), js: Some(JsEngine::Qjs) };
    let context = context(Some(Version::new(1, 30, 6)));
    let counted = RenderContext { features: with_module, count_requests: true, ..context.clone() };
    check("counted.conf", &named(), &counted);
    let unlogged = RenderContext { access_log: false, ..counted.clone() };
    let unlogged = write(&named(), &unlogged).unwrap();
    let main = String::from_utf8_lossy(&unlogged.files["nginx.conf"]);
    assert!(main.contains("js_set") && !main.contains("$upstream_addr"), "{main}");
    // Without the module, and without a route, nothing is counted.
    let lacks = RenderContext { features: Features { js: None, ..with_module }, ..counted.clone() };
    for (table, context) in [(named(), lacks), (RouteTable::default(), counted.clone())] {
        let uncounted = RenderContext { count_requests: false, ..context.clone() };
        assert_eq!(write(&table, &context), write(&table, &uncounted));
    }
}

fn named() -> RouteTable {
    let listener = |app: &str, last: u8, port: u16, protocol, endpoints: &[(u8, u16)]| Listener {
        app: AppName::parse(app).unwrap(),
        address: Ipv4Addr::new(10, 89, 2, last),
        port,
        protocol,
        endpoints: route("any.test", "/", app, endpoints).endpoints,
        keepalive: false,
        buffer_requests: false,
    };
    RouteTable {
        routes: vec![route("shop.test", "/", "web", &[(20, 8080)])],
        listeners: vec![
            listener("web", 7, 80, Protocol::Http, &[(20, 8080)]),
            listener("web", 7, 8080, Protocol::Http, &[(20, 8080)]),
            listener("api", 8, 80, Protocol::Http, &[]),
            listener("db", 9, 5432, Protocol::Tcp, &[(30, 5432), (31, 5432)]),
            listener("other", 10, 5432, Protocol::Tcp, &[(32, 5432)]),
            listener("gone", 11, 6379, Protocol::Tcp, &[]),
            listener("dns", 12, 53, Protocol::Udp, &[(33, 53)]),
        ],
        ..RouteTable::default()
    }
}

#[test]
fn kinds_of_routes_render_as_golden() {
    let base = named();
    let api = route("*", "/v1.0/api", "api", &[(40, 9090)]);
    let calls = route("grpc.shop.test", "/", "calls", &[(50, 50051)]);
    let stripped = route("grpc.shop.test", "/x", "calls", &[]);
    let of_name = Listener {
        app: AppName::parse("calls").unwrap(),
        address: Ipv4Addr::new(10, 89, 2, 12),
        port: 50051,
        protocol: Protocol::H2c,
        endpoints: calls.endpoints.clone(),
        keepalive: false,
        buffer_requests: false,
    };
    let at_80 = Listener { port: 80, protocol: Protocol::Http, ..of_name.clone() };
    let at_80 = Listener { buffer_requests: true, ..at_80 };
    let table = RouteTable {
        routes: vec![
            route("shop.test", "/", "web", &[(20, 8080)]),
            route("*.shop.test", "/", "web", &[(20, 8080)]),
            Route { strip_prefix: true, buffer_requests: true, ..api },
            Route { protocol: RouteProtocol::H2c, ..calls },
            Route { protocol: RouteProtocol::H2c, strip_prefix: true, ..stripped },
        ],
        listeners: vec![base.listeners[0].clone(), at_80, of_name],
        ..RouteTable::default()
    };
    let features = Features { names: true, stream: None, js: None };
    let context = RenderContext { features, ..context(Some(Version::new(1, 30, 6))) };
    check("routes.conf", &table, &context);
}

#[test]
fn outside_is_any_address_on_a_port_that_names_do_not_have() {
    let inside = context(None);
    let outside = RenderContext { any_address: true, ..inside.clone() };
    let listens = |context: &RenderContext| {
        let rendered = show(&write(&several(), context).unwrap());
        let lines = rendered.lines().map(str::trim).filter(|line| line.starts_with("listen "));
        lines.map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let (inside, outside) = (listens(&inside), listens(&outside));
    assert!(inside.iter().any(|line| line.starts_with("listen 10.89.0.2:80 ")), "{inside:?}");
    assert!(outside.iter().any(|line| line.starts_with("listen 0.0.0.0:10180 ")), "{outside:?}");
    let private = outside.iter().filter(|line| line.starts_with("listen 10.89.0.2:"));
    assert_eq!(private.count(), 1, "{outside:?}");
}

#[test]
fn kept_connections_render_as_golden() {
    let kept = |route: Route| Route { keepalive: true, ..route };
    let mut name = named().listeners.swap_remove(0);
    let same = Listener { port: 8080, ..name.clone() };
    name.keepalive = true;
    let table = RouteTable {
        routes: vec![
            kept(route("shop.test", "/", "web", &[(20, 8080)])),
            kept(Route { strip_prefix: true, ..route("shop.test", "/x", "web", &[(20, 8080)]) }),
            kept(route("shop.test", "/y", "web", &[])),
            route("other.test", "/", "web", &[(20, 9090)]),
        ],
        listeners: vec![name, same],
        ..RouteTable::default()
    };
    for (file, version) in
        [("kept.conf", Version::new(1, 30, 6)), ("kept_old_nginx.conf", Version::new(1, 22, 1))]
    {
        let features = Features { names: true, stream: None, js: None };
        check(file, &table, &RenderContext { features, ..context(Some(version)) });
    }
}

/// Returns a context in which `trusted` proxies are in front.
fn proxied(trusted: &str, proxy_protocol: bool) -> RenderContext {
    let context = context(Some(Version::new(1, 30, 6)));
    let trusted = TrustedProxies::parse(trusted).unwrap().networks(context.gateway);
    let proxies = Proxies { trusted, proxy_protocol, has_realip: true };
    RenderContext { proxies, features: Features { names: true, stream: None, js: None }, ..context }
}

#[test]
fn trusted_proxies_render_as_golden() {
    let h2c = route("grpc.shop.test", "/", "calls", &[(50, 50051)]);
    let table = RouteTable {
        routes: vec![
            route("shop.test", "/", "web", &[(20, 8080)]),
            route("*", "/", "web", &[(20, 8080)]),
            Route { protocol: RouteProtocol::H2c, ..h2c },
        ],
        listeners: vec![named().listeners.swap_remove(0)],
        ..RouteTable::default()
    };
    let trusted = "host-gateway,192.0.2.0/24,2001:db8::1";
    check("trusted_proxies.conf", &table, &proxied(trusted, false));
    check("proxy_protocol.conf", &table, &proxied(trusted, true));
}

#[test]
fn proxies_are_believed_at_hosts_alone_and_need_the_realip_module() {
    let files = |table: &RouteTable, context: &RenderContext| {
        let files = write(table, context).unwrap().files;
        files.values().map(|file| String::from_utf8_lossy(file)).collect::<String>()
    };
    let mut context = proxied("192.0.2.0/24", true);
    let names = RouteTable { listeners: named().listeners, ..RouteTable::default() };
    for table in [&names, &RouteTable::default()] {
        let text = files(table, &context);
        assert!(!text.contains("192.0.2.0") && !text.contains("$dubernetes_is_trusted"), "{text}");
        assert_eq!(text.matches("proxy_protocol").count(), 1, "the port of requests: {text}");
    }
    assert!(files(&named(), &context).contains("set_real_ip_from 192.0.2.0/24;"));
    context.proxies.has_realip = false;
    let text = files(&named(), &context);
    assert!(!text.contains("192.0.2.0") && !text.contains("realip"), "{text}");
    assert!(text.contains("listen 10.89.0.2:80 default_server proxy_protocol;"), "{text}");
}

fn tls(host: &str, has_certificate: bool, answers_challenges: bool) -> HostTls {
    let pem = |what: &str| Secret::new(format!("{what} of {host}\n"));
    HostTls {
        host: host.parse().unwrap(),
        app: AppName::parse("web").unwrap(),
        certificate: has_certificate.then(|| KeyPair::new(pem("chain"), pem("key"))),
        answers_challenges,
    }
}

/// Returns hosts with a certificate, one that waits for it, one with a certificate of the user for
/// a wildcard, and one without HTTPS.
fn secured() -> RouteTable {
    RouteTable {
        routes: vec![
            route("shop.test", "/", "web", &[(20, 8080)]),
            route("shop.test", "/api", "api", &[(40, 3000)]),
            route("new.test", "/", "web", &[(20, 8080)]),
            route("*.files.test", "/", "web", &[(20, 8080)]),
            route("plain.test", "/", "web", &[(20, 8080)]),
        ],
        tls: vec![
            tls("shop.test", true, true),
            tls("new.test", false, true),
            tls("*.files.test", true, false),
        ],
        ..RouteTable::default()
    }
}

#[test]
fn certificates_render_as_golden() {
    let at = |port, context| RenderContext { https_port: Some(port), ..context };
    let new = Some(Version::new(1, 30, 6));
    check("tls.conf", &secured(), &at(443, context(new)));
    let proxied = proxied("192.0.2.0/24", true);
    check("tls_behind_a_proxy.conf", &secured(), &at(8443, proxied));
}

#[test]
fn old_nginx_serves_certificates_without_the_directive_http2() {
    let text = |version| {
        let context = RenderContext { https_port: Some(443), ..context(version) };
        let files = write(&secured(), &context).unwrap().files;
        files.values().map(|file| String::from_utf8_lossy(file)).collect::<String>()
    };
    assert!(text(Some(Version::new(1, 25, 1))).contains("http2 on;"));
    for old in [Some(Version::new(1, 25, 0)), None] {
        assert!(!text(old).contains("http2"), "{old:?}");
    }
}

#[test]
fn certificates_are_left_out_where_nothing_listens_for_https() {
    let plain = RouteTable { tls: Vec::new(), ..secured() };
    let write = |table| write(table, &context(None)).unwrap().files;
    let (mut with, mut without) = (write(&secured()), write(&plain));
    for (files, is_secured) in [(&mut with, true), (&mut without, false)] {
        let table = files.remove("table.json").unwrap();
        assert_eq!(String::from_utf8_lossy(&table).contains("\"tls\""), is_secured);
        files.remove("generation.conf");
    }
    assert_eq!(with, without);
}

#[test]
fn certificates_are_private_files_and_the_table_has_their_hashes_alone() {
    let context = RenderContext { https_port: Some(443), ..context(None) };
    let generation = write(&secured(), &context).unwrap();
    let mut private = Vec::new();
    for entry in generation.entries() {
        let (path, contents, is_private) = match entry {
            FileEntry::PrivateFile { path, contents } => (path, contents, true),
            FileEntry::File { path, contents } => (path, contents, false),
            FileEntry::Directory { .. } | FileEntry::Symlink { .. } => continue,
        };
        let text = String::from_utf8_lossy(&contents);
        assert_eq!(is_private, text.starts_with("chain of") || text.starts_with("key of"));
        assert!(is_private || !text.contains("key of"), "{path}:\n{text}");
        private.extend(is_private.then(|| path.rsplit_once('/').unwrap().1.to_owned()));
    }
    assert_eq!(private, ["_.files.test.key", "_.files.test.pem", "shop.test.key", "shop.test.pem"]);
}

#[test]
fn any_difference_of_a_certificate_changes_digest() {
    let at = |https_port| RenderContext { https_port, ..context(None) };
    let digest = |table: &RouteTable, port| write(table, &at(port)).unwrap().digest;
    let base = digest(&secured(), Some(443));
    let mut renewed = secured();
    renewed.tls[0].certificate = tls("other.test", true, true).certificate;
    let mut asked = secured();
    asked.tls[2].answers_challenges = true;
    assert_ne!(digest(&renewed, Some(443)), base);
    assert_ne!(digest(&asked, Some(443)), base);
    assert_ne!(digest(&secured(), Some(8443)), base);
    assert_ne!(digest(&secured(), None), base);
}

#[test]
fn variable_that_no_line_sets_is_not_used() {
    let route = Route { strip_prefix: true, ..route("a.test", "/x", "web", &[]) };
    let table = RouteTable { routes: vec![route], ..RouteTable::default() };
    let files = write(&table, &context(None)).unwrap().files;
    let text = files.values().map(|file| String::from_utf8_lossy(file)).collect::<String>();
    assert!(!text.contains("$dubernetes_prefix") && !text.contains("$dubernetes_target"));
}

#[test]
fn names_render_as_golden() {
    let features = Features { names: true, stream: Some(Stream::Module), js: None };
    let context = RenderContext { features, ..context(Some(Version::new(1, 30, 6))) };
    check("names.conf", &named(), &context);
}

#[test]
fn names_are_left_out_where_image_lacks_them() {
    let files = |names, stream| {
        let features = Features { names, stream, js: None };
        let context = RenderContext { features, ..context(None) };
        let mut files = write(&named(), &context).unwrap().files;
        files.retain(|path, _| path.ends_with(".conf"));
        Vec::from_iter(files.into_keys()).join(" ")
    };
    let without = "apps/web.conf generation.conf hosts/shop.test.conf nginx.conf";
    assert_eq!(files(false, Some(Stream::BuiltIn)), without);
    assert_eq!(files(true, None), format!("apps/api.conf {without}"));
    let streams = "streams/db.conf streams/dns.conf streams/other.conf";
    let all = format!("apps/api.conf {without} {streams}");
    assert_eq!(files(true, Some(Stream::BuiltIn)), all);
}

#[test]
fn old_nginx_gets_only_known_directives() {
    check("old_nginx.conf", &several(), &context(Some(Version::new(1, 22, 1))));
}

#[test]
fn unknown_nginx_version_gets_directives_of_every_version() {
    let old = write(&several(), &context(Some(Version::new(1, 22, 1)))).unwrap();
    let unknown = write(&several(), &context(None)).unwrap();
    assert_eq!(unknown.files, old.files);
}

#[test]
fn any_difference_changes_digest() {
    let version = Some(Version::new(1, 30, 6));
    let base = write(&several(), &context(version)).unwrap();
    assert_eq!(write(&several(), &context(version)).unwrap(), base);
    let mut renamed = several();
    renamed.routes[0].endpoints[0].pod = "web-9".parse().unwrap();
    let mut moved = context(version);
    moved.gateway = Ipv4Addr::new(10, 89, 0, 254);
    let mut other_window = context(version);
    other_window.keepalive_window = Duration::from_secs(5);
    for other in [
        write(&several(), &other_window).unwrap(),
        write(&renamed, &context(version)).unwrap(),
        write(&several(), &moved).unwrap(),
        write(&several(), &proxied("192.0.2.0/24", false)).unwrap(),
        write(&RouteTable::default(), &proxied("none", true)).unwrap(),
        write(&several(), &context(Some(Version::new(1, 27, 4)))).unwrap(),
        write(&RouteTable::default(), &context(version)).unwrap(),
    ] {
        assert_ne!(other.digest, base.digest);
    }
}

#[test]
fn long_hosts_have_distinct_file_names() {
    let host = |last: &str| {
        let label = "a".repeat(60);
        format!("{label}.{label}.{label}.{}.{last}", "b".repeat(60))
    };
    let table = RouteTable {
        routes: vec![
            route(&host("testone"), "/", "web", &[(20, 80)]),
            route(&host("testtwo"), "/", "web", &[(20, 80)]),
        ],
        ..RouteTable::default()
    };
    let generation = write(&table, &context(None)).unwrap();
    let files: Vec<_> = generation.files.keys().filter(|f| f.starts_with("hosts/")).collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|file| file.len() <= 255), "{files:?}");
}
