//! Any text that comes in through serde is refused, or nginx reads exactly the routes.
//!
//! The files are parsed by a tokenizer of this test, which follows nginx's rules and not the
//! writer, so that text that breaks out of its place shows as a different tree.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

#[path = "writer_properties/hostile.rs"]
mod hostile;
#[path = "writer_properties/servers.rs"]
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use dubernetes_core::app::{AppSpec, Duration, HostPattern, PodName, RouteProtocol, Secret};
use dubernetes_core::certificate::KeyPair;
use dubernetes_core::ingress::{Endpoint, HostTls, Route, RouteTable};
use dubernetes_manifest::Source;
use dubernetes_nginx::config::{Generation, Proxies, RenderContext, write};
use dubernetes_nginx::features::{Features, JsEngine, Stream};
use dubernetes_nginx::version::Version;
use hostile::{CHAIN, HOSTILE, KEY};
use proptest::prelude::*;
use serde_json::{Value, json};

fn table_of(routes: impl IntoIterator<Item = Route>) -> RouteTable {
    RouteTable { routes: routes.into_iter().collect(), ..RouteTable::default() }
}

const CONTEXT: RenderContext = RenderContext {
    features: Features { names: true, stream: Some(Stream::BuiltIn), js: Some(JsEngine::Qjs) },
    address: Ipv4Addr::new(10, 89, 0, 2),
    gateway: Ipv4Addr::new(10, 89, 0, 1),
    any_address: false,
    version: Some(Version::new(1, 30, 6)),
    keepalive_window: Duration::from_secs(1),
    proxies: Proxies { trusted: Vec::new(), proxy_protocol: false, has_realip: true },
    https_port: Some(443),
    access_log: true,
    count_requests: true,
};

/// A directive as nginx reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directive {
    words: Vec<String>,
    block: Option<Vec<Self>>,
}

fn line(words: &[&str]) -> Directive {
    Directive { words: words.iter().map(|word| (*word).to_owned()).collect(), block: None }
}

fn block(words: &[&str], inside: Vec<Directive>) -> Directive {
    Directive { block: Some(inside), ..line(words) }
}

/// Parses a file. Words end at white space, `;`, `{` and `}`; a quote at the start of a word
/// encloses it, a backslash escapes the next character, `#` starts a comment.
fn read(text: &str) -> Result<Vec<Directive>, String> {
    let mut open: Vec<(Vec<String>, Vec<Directive>)> = vec![(Vec::new(), Vec::new())];
    let mut words: Vec<String> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '#' => while chars.next().is_some_and(|c| c != '\n') {},
            ';' => {
                let words = std::mem::take(&mut words);
                open.last_mut().ok_or("unmatched `}`")?.1.push(Directive { words, block: None });
            }
            '{' => open.push((std::mem::take(&mut words), Vec::new())),
            '}' => {
                let (words, inside) = open.pop().ok_or("unmatched `}`")?;
                let directive = Directive { words, block: Some(inside) };
                open.last_mut().ok_or("unmatched `}`")?.1.push(directive);
            }
            quote @ ('"' | '\'') => {
                let mut word = String::new();
                loop {
                    match chars.next().ok_or("unclosed quote")? {
                        '\\' => word.extend(chars.next()),
                        c if c == quote => break,
                        c => word.push(c),
                    }
                }
                words.push(word);
            }
            c => {
                let mut word = String::from(c);
                while let Some(c) =
                    chars.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '{' | '}'))
                {
                    word.push(c);
                }
                words.push(word);
            }
        }
    }
    match (open.pop(), open.is_empty() && words.is_empty()) {
        (Some((_, top)), true) => Ok(top),
        _ => Err("unclosed block or directive".into()),
    }
}

/// Returns the expected file of one host, built from the texts as they came in.
fn expected_host(
    routes: &BTreeMap<String, &Route>,
    generation: &Generation,
    tls: Option<&HostTls>,
) -> Vec<Directive> {
    let (_, any) = routes.first_key_value().unwrap();
    let mut inside = match tls {
        None => vec![line(&["listen", "10.89.0.2:80"])],
        Some(_) => {
            let file = any.host.to_string().replace('*', "_");
            let file = |end: &str| format!("certificates/{file}.{end}");
            vec![
                line(&["listen", "10.89.0.2:443", "ssl"]),
                line(&["http2", "on"]),
                line(&["ssl_certificate", &file("pem")]),
                line(&["ssl_certificate_key", &file("key")]),
            ]
        }
    };
    match servers::expected_name(&any.host) {
        Some(name) => inside.push(name),
        None => inside[0].words.push("default_server".to_owned()),
    }
    let only = servers::only_app(routes);
    inside.extend(servers::of_server(only));
    for (path, route) in routes {
        let below = format!("{}/", path.trim_end_matches('/'));
        if path != "/" {
            let body = expected_location(route, generation, "^", "/");
            let body = servers::of_location(only, route, body);
            inside.push(block(&["location", "=", path], body));
        }
        let pattern = format!("^{}(/.*)$", route.path.as_str().replace('.', "\\."));
        let body = expected_location(route, generation, &pattern, "$1");
        let body = servers::of_location(only, route, body);
        inside.push(block(&["location", &below], body));
    }
    if routes.values().any(|route| !route.endpoints.is_empty()) {
        if routes.values().any(|route| route.keepalive && !route.endpoints.is_empty()) {
            let strips = |route: &&Route| route.strip_prefix && !route.path.is_root();
            let mut stripped = routes.values().copied().filter(strips);
            let stripped = stripped.any(|route| !route.endpoints.is_empty());
            let target = if stripped { "$dubernetes_target" } else { "" };
            let url = format!("http://$dubernetes_upstream{target}");
            let once = line(&["proxy_next_upstream", "off"]);
            let again = vec![once, line(&["proxy_pass", &url])];
            inside.push(block(&["location", "@again"], again));
        }
        let add = line(&["add_header", "Retry-After", "5", "always"]);
        let none = line(&["return", "503", "this app has no ready replica"]);
        inside.push(block(&["location", "@unreached"], vec![add, none]));
        inside.push(block(&["location", "@broken_off"], vec![line(&["return", "502"])]));
        inside.push(block(&["location", "@timed_out"], vec![line(&["return", "504"])]));
    }
    if !routes.contains_key("/") {
        let none = line(&["return", "404", "no app answers under this path"]);
        inside.push(block(&["location", "/"], vec![none]));
    }
    match tls {
        None => vec![block(&["server"], inside)],
        Some(tls) if tls.certificate.is_none() => vec![expected_http(tls)],
        Some(tls) => vec![expected_http(tls), block(&["server"], inside)],
    }
}

/// Returns the expected server for requests over HTTP to a host that is served over HTTPS.
fn expected_http(tls: &HostTls) -> Directive {
    let mut inside = vec![line(&["listen", "10.89.0.2:80"])];
    inside.extend(servers::expected_name(&tls.host));
    inside.extend(servers::of_server(Some(&tls.app)));
    if tls.answers_challenges {
        let folder = line(&["alias", "/etc/nginx/dubernetes/acme/"]);
        let words = ["location", "/.well-known/acme-challenge/"];
        inside.push(block(&words, vec![folder]));
    }
    let answer = if tls.certificate.is_some() {
        vec![line(&["return", "308", "https://$host$request_uri"])]
    } else {
        let add = line(&["add_header", "Retry-After", "5", "always"]);
        vec![add, line(&["return", "503", "this host has no certificate yet"])]
    };
    inside.push(block(&["location", "/"], answer));
    block(&["server"], inside)
}

/// Returns the expected inside of a location.
fn expected_location(
    route: &Route,
    generation: &Generation,
    pattern: &str,
    stripped: &str,
) -> Vec<Directive> {
    if route.endpoints.is_empty() {
        return vec![
            line(&["add_header", "Retry-After", "5", "always"]),
            line(&["return", "503", "this app has no ready replica"]),
        ];
    }
    let (pool, mut body) = (pool(route, generation), Vec::new());
    if route.keepalive {
        body.push(line(&["set", "$dubernetes_upstream", &pool]));
    }
    let keeps = if body.is_empty() { "" } else { "$dubernetes_pool" };
    let strips = route.strip_prefix && !route.path.is_root();
    if strips {
        body.insert(0, line(&["set", "$dubernetes_prefix", route.path.as_str()]));
        body.push(line(&["rewrite", pattern, stripped, "break"]));
    }
    let target = if strips { "$dubernetes_target" } else { "" };
    match route.protocol {
        RouteProtocol::Http => {
            if route.buffer_requests {
                body.push(line(&["proxy_request_buffering", "on"]));
            }
            body.push(line(&["proxy_pass", &format!("http://{pool}{keeps}{target}")]));
        }
        RouteProtocol::H2c => {
            body.push(line(&["client_body_timeout", "1h"]));
            body.push(line(&["grpc_pass", &format!("grpc://{pool}")]));
        }
    }
    body
}

/// Returns the name of the only upstream of the route's app that has the route's endpoints.
fn pool(route: &Route, generation: &Generation) -> String {
    let file = &generation.files[&format!("apps/{}.conf", route.app)];
    let pools = read(&String::from_utf8_lossy(file)).unwrap();
    let count = route.endpoints.len();
    let sockets = route.endpoints.iter().map(|e| format!("{}:{}", e.address, e.port)).cycle();
    let wanted: Vec<_> = sockets.take(count * 4_usize.div_ceil(count)).collect();
    let has = |pool: &&Directive| {
        let inside = pool.block.as_ref().unwrap();
        let servers = inside.iter().filter(|line| line.words[0] == "server");
        servers.map(|line| line.words[1].clone()).collect::<Vec<_>>() == wanted
    };
    let mut found: Vec<_> = pools.iter().filter(has).collect();
    assert!(!route.keepalive || found.len() == 2, "it keeps no connections");
    found.retain(|pool| !pool.words[1].ends_with(".kept"));
    assert_eq!(found.len(), 1, "one upstream for each distinct set of endpoints");
    found[0].words[1].clone()
}

fn check(table: &RouteTable) {
    let generation = write(table, &CONTEXT).unwrap();
    let mut hosts: BTreeMap<String, BTreeMap<String, &Route>> = BTreeMap::new();
    for route in &table.routes {
        let host = route.host.to_string().replace('*', "_");
        let paths = hosts.entry(host).or_default();
        paths.entry(route.path.to_string()).or_insert(route);
    }
    let mut left: BTreeSet<_> = generation.files.keys().cloned().collect();
    for (host, routes) in &hosts {
        let path = format!("hosts/{host}.conf");
        let text = String::from_utf8_lossy(&generation.files[&path]).into_owned();
        let (_, any) = routes.first_key_value().unwrap();
        let tls = table.tls_of(&any.host);
        assert_eq!(read(&text), Ok(expected_host(routes, &generation, tls)), "{path}:\n{text}");
        left.remove(&path);
        if tls.is_some_and(|tls| tls.certificate.is_some()) {
            for (end, text) in [("pem", CHAIN), ("key", KEY)] {
                let path = format!("certificates/{host}.{end}");
                assert_eq!(generation.files[&path], text, "a certificate is not changed");
                left.remove(&path);
            }
        }
    }
    let routed = table.routes.iter().filter(|route| !route.endpoints.is_empty());
    for route in routed {
        let path = format!("apps/{}.conf", route.app);
        let text = String::from_utf8_lossy(&generation.files[&path]).into_owned();
        let mut number = 0;
        for pool in read(&text).unwrap() {
            let is_kept = pool.words[1].ends_with(".kept");
            number += usize::from(!is_kept);
            let end = if is_kept { ".kept" } else { "" };
            let name = format!("{}.{number}{end}", route.app);
            assert_eq!(pool.words, ["upstream", &name], "{text}");
            let inside = pool.block.as_ref().unwrap();
            assert_eq!(inside[0].words[..2], ["zone".to_owned(), name], "{text}");
            let is_limit = |line: &&Directive| line.words[0].starts_with("keepalive");
            let limits = Vec::from_iter(inside.iter().filter(is_limit));
            assert_eq!(limits.len() == 1, !is_kept, "{text}");
            assert_eq!(*limits[0], line(&["keepalive", if is_kept { "32" } else { "0" }]));
            for server in &inside[1..inside.len() - limits.len()] {
                let [name, _, fails] = &server.words[..] else { panic!("{text}") };
                assert_eq!((name.as_str(), fails.as_str()), ("server", "max_fails=0"), "{text}");
            }
        }
        left.remove(&path);
    }
    assert_eq!(
        generation.files["nginx.conf"],
        write(&kinds(table), &CONTEXT).unwrap().files["nginx.conf"]
    );
    let script = (!table.routes.is_empty()).then_some("requests.js");
    let fixed = ["generation.conf", "nginx.conf", "table.json"].into_iter().chain(script);
    assert_eq!(left, fixed.map(str::to_owned).collect(), "there is no other file");
    let back: RouteTable = serde_json::from_slice(&generation.files["table.json"]).unwrap();
    assert_eq!(&back, table);
}

/// Returns a table of the same kinds of routes, without a text of `table`.
fn kinds(table: &RouteTable) -> RouteTable {
    let app = |route: &Route| Route {
        host: if route.host == HostPattern::Any { HostPattern::Any } else { parse("a.test") },
        path: if route.strip_prefix && !route.path.is_root() { parse("/x") } else { parse("/") },
        app: parse("a"),
        ..route.clone()
    };
    let is_certified = |tls: &HostTls| tls.certificate.is_some();
    let routed = table.routes.iter().filter_map(|route| table.tls_of(&route.host));
    let tls = routed.clone().find(|tls| is_certified(tls)).or(routed.clone().next()).cloned();
    let tls = tls.map(|tls| HostTls { host: parse("a.test"), app: parse("a"), ..tls });
    RouteTable { tls: tls.into_iter().collect(), ..table_of(table.routes.iter().map(app)) }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

#[test]
fn hostile_texts_are_refused_by_serde() {
    for text in HOSTILE {
        let good = json!({"host": "a.test", "path": "/", "app": "web", "endpoints": []});
        serde_json::from_value::<Route>(good.clone()).unwrap();
        for field in ["host", "path", "app"] {
            // `/` is a legal path.
            let mut route = good.clone();
            route[field] = json!(text);
            let read = serde_json::from_value::<Route>(route);
            let legal_path = field == "path" && *text == "/";
            assert!(read.is_err() || legal_path, "{field} {text:?} was accepted");
        }
        let mut route = good.clone();
        route["endpoints"] = json!([{"pod": text, "address": "10.89.0.9", "port": 80}]);
        assert!(serde_json::from_value::<Route>(route).is_err(), "pod {text:?} was accepted");
    }
}

/// The places of all texts in a value.
fn texts(value: &Value, at: &str, places: &mut Vec<String>) {
    match value {
        Value::String(_) => places.push(at.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, &format!("{at}/{index}"), places);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                texts(item, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What nginx gets of an app with one replica.
fn files_of(app: &AppSpec) -> Generation {
    let pod = PodName::replica(&app.name, 1);
    let endpoint = Endpoint { pod, address: Ipv4Addr::new(10, 89, 0, 9).into(), port: app.port() };
    write(&table_of(Route::of_app(app, &[endpoint])), &CONTEXT).unwrap()
}

#[test]
fn only_name_and_access_of_an_app_reach_the_files() {
    let good = include_bytes!("../../dubernetes-manifest/tests/manifests/good/everything.yaml");
    let read =
        |text: Vec<u8>| dubernetes_manifest::parse(&[Source { name: "app.yaml".into(), text }]);
    let app = read(good.to_vec()).unwrap().apps.remove(0).spec;
    let plain = files_of(&app);
    let whole = serde_json::to_value(&app).unwrap();
    let mut places = Vec::new();
    texts(&whole, "", &mut places);
    assert!(places.len() > 30, "{places:?}");
    let mut refused = 0;
    let mut accepted = 0;
    for (n, place) in places.iter().enumerate() {
        for (m, text) in HOSTILE.iter().enumerate() {
            let old = whole.pointer(place).unwrap().as_str().unwrap();
            // Replaces the text, appends to it or prepends to it, in turn.
            let new = match (n + m) % 3 {
                0 => (*text).to_owned(),
                1 => format!("{old}{text}"),
                _ => format!("{text}{old}"),
            };
            let mut changed = whole.clone();
            *changed.pointer_mut(place).unwrap() = json!(new);
            // JSON is valid YAML.
            match read(changed.to_string().into_bytes()) {
                Ok(parsed) => {
                    accepted += 1;
                    let files = files_of(&parsed.apps[0].spec);
                    if place == "/name" || place.starts_with("/access/") {
                        // Another legal name, such as the old one with `.test` appended.
                        check(&files.table);
                    } else {
                        assert!(files == plain, "{place}: {new:?} reached nginx");
                    }
                }
                Err(problems) => {
                    refused += 1;
                    let shown = problems.to_string();
                    let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                    assert!(!shown.contains(hidden), "{place}: {shown:?}");
                }
            }
        }
    }
    assert!(refused > 300 && accepted > 300, "{refused} refused, {accepted} accepted");
}

#[test]
fn tokenizer_detects_break_out() {
    let text = "server { listen 80; server_name a.test; return 200 \"pwned\"; }";
    let expected = line(&["server_name", "a.test"]);
    let top = read(text).unwrap();
    assert_eq!(top[0].block.as_ref().unwrap().len(), 3);
    assert_eq!(top[0].block.as_ref().unwrap()[1], expected);
    assert!(read("server {").is_err() && read("}").is_err() && read("a \"b").is_err());
}

/// Generates legal text, hostile text, and mixtures.
fn text(legal: &'static str) -> impl Strategy<Value = String> {
    let hostile = proptest::sample::select(HOSTILE);
    prop_oneof![
        6 => legal,
        1 => hostile.clone().prop_map(str::to_owned),
        1 => (legal, hostile).prop_map(|(a, b)| a + b),
        1 => any::<String>(),
    ]
}

prop_compose! {
    fn raw_route()(
        host in text("(|\\*\\.)[a-c]\\.[Tt]est|\\*"),
        [strip_prefix, keepalive, buffers] in any::<[bool; 3]>(),
        h2c in any::<bool>(),
        path in text("(/[a-b._~-]{0,3}){1,3}"),
        app in text("[a-c]{1,2}"),
        endpoints in proptest::collection::vec((any::<String>(), 0..4_u8, 0..3_u16), 0..3),
    ) -> Value {
        let endpoint = |(pod, last, port)| {
            json!({"pod": pod, "address": format!("10.89.0.{last}"), "port": port})
        };
        let endpoints: Vec<_> = endpoints.into_iter().map(endpoint).collect();
        let protocol = if h2c { "h2c" } else { "http" };
        json!({
            "host": host, "path": path, "app": app, "endpoints": endpoints,
            "strip_prefix": strip_prefix, "protocol": protocol, "keepalive": keepalive && !h2c,
            "buffer_requests": buffers,
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn parsed_files_are_exactly_the_routes(
        raw in proptest::collection::vec(raw_route(), 0..12),
    ) {
        let accepted = raw.into_iter().filter_map(|route| serde_json::from_value(route).ok());
        check(&table_of(accepted));
    }

    #[test]
    fn parsed_files_of_hosts_over_https_are_exactly_the_routes_and_certificates(
        raw in proptest::collection::vec((raw_route(), any::<[bool; 3]>()), 0..12),
    ) {
        let mut table = RouteTable::default();
        for (route, [is_secured, has_certificate, answers_challenges]) in raw {
            let Ok(route) = serde_json::from_value::<Route>(route) else { continue };
            let is_new = table.routes.iter().all(|other| other.host != route.host);
            if is_new && is_secured && route.host != HostPattern::Any {
                let pair = || KeyPair::new(Secret::new(CHAIN), Secret::new(KEY));
                table.tls.push(HostTls {
                    host: route.host.clone(),
                    app: route.app.clone(),
                    certificate: has_certificate.then(pair),
                    answers_challenges,
                });
            }
            table.routes.push(route);
        }
        check(&table);
    }
}
