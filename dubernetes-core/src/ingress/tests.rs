use super::*;

fn table(routes: &[(&str, &str, &str)]) -> RouteTable {
    let route = |(host, path, app): &(&str, &str, &str)| {
        Route::new(host.parse().unwrap(), path.parse().unwrap(), app.parse().unwrap(), vec![])
    };
    RouteTable { routes: routes.iter().map(route).collect(), ..RouteTable::default() }
}

fn check(table: &RouteTable, cases: &[(&str, &str, Option<&str>)]) {
    for (host, target, expected) in cases {
        let found = table.find(host, target).map(|route| route.app.as_str());
        assert_eq!(found, *expected, "{host}{target}");
    }
}

#[test]
fn find_matches_prefixes_on_segment_boundaries() {
    let table = table(&[("a.test", "/api", "api")]);
    check(
        &table,
        &[
            ("a.test", "/api", Some("api")),
            ("a.test", "/api/", Some("api")),
            ("a.test", "/api/x", Some("api")),
            ("a.test", "/api?x", Some("api")),
            ("a.test", "/api/?/x", Some("api")),
            ("a.test", "/apix", None),
            ("a.test", "/ap", None),
            ("a.test", "/API", None),
            ("a.test", "/x?/api", None),
            ("a.test", "/", None),
            ("a.test", "", None),
        ],
    );
}

#[test]
fn find_prefers_longest_prefix_and_first_of_equals() {
    let table = table(&[
        ("a.test", "/", "web"),
        ("a.test", "/api/v2", "next"),
        ("a.test", "/api", "api"),
        ("a.test", "/api", "late"),
    ]);
    check(
        &table,
        &[
            ("a.test", "/", Some("web")),
            ("a.test", "", Some("web")),
            ("a.test", "*", Some("web")),
            ("a.test", "/apix", Some("web")),
            ("a.test", "/api/v1", Some("api")),
            ("a.test", "/api/v2/x", Some("next")),
            ("a.test", "/api/v20", Some("api")),
        ],
    );
}

#[test]
fn find_ignores_case_and_port_of_host() {
    let table = table(&[("a.test", "/", "a"), ("www.a.test", "/", "www")]);
    check(
        &table,
        &[
            ("A.Test", "/", Some("a")),
            ("a.test:8080", "/", Some("a")),
            ("www.a.test", "/", Some("www")),
            ("b.a.test", "/", None),
            ("test", "/", None),
            ("[::1]:80", "/", None),
            ("", "/", None),
        ],
    );
}

#[test]
fn find_prefers_a_name_to_a_wildcard_and_a_wildcard_to_the_rest() {
    let table = table(&[
        ("*", "/", "rest"),
        ("*.a.test", "/", "wild"),
        ("www.a.test", "/x", "www"),
        ("*", "/deep/path", "deep"),
    ]);
    check(
        &table,
        &[
            ("www.a.test", "/x", Some("www")),
            // The host is claimed, and no route of it has the path.
            ("www.a.test", "/", None),
            ("b.a.test", "/x", Some("wild")),
            ("b.a.test:8080", "/deep/path", Some("wild")),
            ("c.b.a.test", "/", Some("rest")),
            ("a.test", "/deep/path/x", Some("deep")),
            ("192.0.2.1", "/", Some("rest")),
            ("", "/", Some("rest")),
        ],
    );
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint { pod: "web-1".parse().unwrap(), address: Ipv4Addr::LOCALHOST.into(), port }
}

fn spec(access: &serde_json::Value) -> AppSpec {
    let app = serde_json::json!({"name": "web", "image": "x", "port": 8080, "access": access});
    serde_json::from_value(app).unwrap()
}

#[test]
fn routes_of_app_lead_to_the_port_of_their_entry() {
    let spec = spec(&serde_json::json!([
        {"host": ["a.test", "*.a.test"]},
        {"path": "/api", "port": 9090, "strip_prefix": true},
        {"host": "g.test", "port": 8080, "protocol": "h2c"},
        {"host": "k.test", "keepalive": true, "buffer_requests": true},
    ]));
    let routes = Route::of_app(&spec, &[endpoint(8081)]);
    let shown = routes.iter().map(|route| {
        let Route { host, path, strip_prefix, protocol, keepalive, buffer_requests, .. } = route;
        let port = route.endpoints[0].port;
        format!("{host}{path} {port} {strip_prefix} {protocol} {keepalive} {buffer_requests}")
    });
    let expected = [
        "a.test/ 8081 false http false false",
        "*.a.test/ 8081 false http false false",
        "*/api 9090 true http false false",
        "g.test/ 8081 false h2c false false",
        "k.test/ 8081 false http true true",
    ];
    assert_eq!(Vec::from_iter(shown), expected);
}

#[test]
fn name_takes_requests_at_each_port_of_access() {
    let ports = |access| {
        let listeners = Listener::of_app(&spec(&access), Ipv4Addr::LOCALHOST, &[endpoint(8080)]);
        let show = |l: &Listener| {
            let keeps = if l.keepalive { " kept" } else { "" };
            let buffers = if l.buffer_requests { " buffered" } else { "" };
            format!("{}>{} {:?}{keeps}{buffers}", l.port, l.endpoints[0].port, l.protocol)
        };
        Vec::from_iter(listeners.iter().map(show)).join(", ")
    };
    let json = |text: &str| serde_json::from_str(text).unwrap();
    assert_eq!(ports(json("{}")), "80>8080 Http, 8080>8080 Http");
    assert_eq!(ports(json(r#"{"protocol": "h2c"}"#)), "80>8080 H2c, 8080>8080 H2c");
    let several = json(r#"[{}, {"host": "g.test", "port": 9090, "protocol": "h2c"}]"#);
    assert_eq!(ports(several), "80>8080 Http, 8080>8080 Http, 9090>9090 H2c");
    let usual = json(r#"[{}, {"host": "g.test", "port": 80}]"#);
    assert_eq!(ports(usual), "80>80 Http, 8080>8080 Http");
    let kept =
        json(r#"[{}, {"path": "/x", "keepalive": true}, {"port": 81, "buffer_requests": true}]"#);
    assert_eq!(ports(kept), "80>8080 Http kept, 81>81 Http buffered, 8080>8080 Http kept");
}

#[test]
fn published_port_is_a_listener_of_the_name() {
    let shown = |app: serde_json::Value| {
        let spec: AppSpec = serde_json::from_value(app).unwrap();
        let listeners = Listener::of_app(&spec, Ipv4Addr::LOCALHOST, &[endpoint(8080)]);
        let show = |l: &Listener| format!("{}>{} {:?}", l.port, l.endpoints[0].port, l.protocol);
        let names = Vec::from_iter(listeners.iter().map(show)).join(", ");
        (spec.port(), spec.is_reachable(), spec.has_name(), names)
    };
    let app = |ports: &[&str]| serde_json::json!({"name": "a", "image": "x", "ports": ports});
    let expected = |port, is_reachable, names: &str| (port, is_reachable, true, names.to_owned());
    assert_eq!(
        shown(app(&["1:5432", "2:9000"])),
        expected(5432, true, "5432>5432 Tcp, 9000>9000 Tcp")
    );
    assert_eq!(shown(app(&["53:53/udp"])), expected(80, false, "53>53 Udp"));
    assert_eq!(shown(app(&["53:53/udp", "53:53"])), expected(53, true, "53>53 Tcp, 53>53 Udp"));
    // The own port is that of the replica's revision, and requests stay requests.
    let mut web = app(&["8081:80", "9:9"]);
    web["access"] = serde_json::json!({});
    assert_eq!(shown(web), expected(80, true, "9>9 Tcp, 80>8080 Http"));
}

#[test]
fn url_of_the_rest_is_one_that_can_be_opened() {
    let shown = |host: &str, path: &str| {
        let ports = UrlPorts { http: 8080, https: Some(443) };
        url(&host.parse().unwrap(), &RoutePath::parse(path).unwrap(), ports, false)
    };
    assert_eq!(shown("a.test", "/x"), "http://a.test:8080/x");
    assert_eq!(shown("*.a.test", "/"), "http://*.a.test:8080");
    assert_eq!(shown("*", "/"), "http://localhost:8080");
}

#[test]
fn table_with_other_ports_is_another_one() {
    let own = table(&[("a.test", "/", "web")]);
    let port = HostPort {
        app: "web".parse().unwrap(),
        mapping: "8080:80".parse().unwrap(),
        address: Ipv4Addr::LOCALHOST,
    };
    let publishing = RouteTable { ports: vec![port], ..own.clone() };
    assert!(own.is_same_but_for_endpoints(&own, |_, _| true));
    assert!(!own.is_same_but_for_endpoints(&publishing, |_, _| true));
}
