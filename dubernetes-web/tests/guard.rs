//! What a request must satisfy before a page is shown or anything is changed.

#[path = "support/site.rs"]
mod site;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use dubernetes_testkit::build::app;
use site::{AUTHORITY, Pages};

#[tokio::test]
async fn link_logs_in_once() {
    let pages = Pages::start().await;
    assert!(!pages.guard.link().contains("token"), "it is used up");
    let again = pages.get("/login?token=0123").await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert!(again.headers.get(header::SET_COOKIE).is_none());
    assert!(again.text.contains("It works once"), "{}", again.text);

    let other = dubernetes_web::Guard::new(1, false).unwrap();
    let link = other.link();
    assert!(link.starts_with("http://dubernetes.localhost:1/login?token="), "{link}");
    assert_eq!(link, other.link(), "it is not used up by showing it");
    assert_ne!(link, dubernetes_web::Guard::new(1, false).unwrap().link());
}

#[tokio::test]
async fn cookie_is_for_this_host_and_not_for_scripts() {
    let pages = Pages::start().await;
    let fresh = dubernetes_web::Guard::new(site::PORT, false).unwrap();
    let link = fresh.link();
    let site = dubernetes_web::Site {
        client: pages.client.clone(),
        guard: fresh.into(),
        program: "dubernetes".to_owned(),
        executable: std::path::Path::new("dubernetes").into(),
    };
    let request = Request::get(link.split_once("4321").unwrap().1)
        .header(header::HOST, AUTHORITY)
        .body(Body::empty())
        .unwrap();
    let response = tower::ServiceExt::oneshot(dubernetes_web::router(site), request).await.unwrap();
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    let (pair, rest) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with("dubernetes-ui-4321="), "{cookie}");
    assert_eq!(rest, "Path=/; HttpOnly; SameSite=Strict", "host-only: it names no domain");
    assert_eq!(response.headers()[header::LOCATION], "/");
}

#[tokio::test]
async fn every_answer_has_the_headers() {
    let pages = Pages::start().await;
    for path in ["/", "/assets/style.css", "/assets/none", "/nothing", "/login?token=x", "/login"] {
        let answer = pages.get(path).await;
        let text = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        let policy = text("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{path}: {policy}");
        }
        assert_eq!(text("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(text("referrer-policy"), "same-origin", "{path}");
        assert_eq!(text("cache-control"), "no-store", "{path}");
        assert!(answer.headers.get("access-control-allow-origin").is_none(), "{path}");
    }
}

#[tokio::test]
async fn other_hosts_are_refused() {
    let pages = Pages::start().await;
    for host in [
        "127.0.0.1:4321",
        "localhost:4321",
        "dubernetes.localhost",
        "dubernetes.localhost:80",
        "evil.test:4321",
        "dubernetes.localhost:4321.evil.test",
    ] {
        let mut request = pages.request("GET", "/").body(Body::empty()).unwrap();
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
        assert_eq!(pages.send(request).await.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    let mut without = pages.request("GET", "/").body(Body::empty()).unwrap();
    without.headers_mut().remove(header::HOST);
    assert_eq!(pages.send(without).await.status, StatusCode::MISDIRECTED_REQUEST);
    let absolute = pages.request("GET", "http://evil.test:4321/").body(Body::empty()).unwrap();
    assert_eq!(pages.send(absolute).await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn nothing_is_shown_without_the_cookie() {
    let pages = Pages::start().await;
    let own = pages.request("GET", "/").body(()).unwrap();
    let own = own.headers()[header::COOKIE].to_str().unwrap().to_owned();
    let (name, value) = own.split_once('=').unwrap();
    for cookie in [
        String::new(),
        format!("{name}="),
        format!("{name}={value}x"),
        format!("other={value}"),
        format!("{name}={}", &value[1..]),
    ] {
        for path in ["/", "/apps/web", "/live", "/apps/web/logs"] {
            let mut request = pages.request("GET", path).body(Body::empty()).unwrap();
            request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
            let answer = pages.send(request).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} with `{cookie}`");
            assert!(answer.text.contains("Open the link"), "{}", answer.text);
        }
    }
    let mut several = pages.request("GET", "/").body(Body::empty()).unwrap();
    several.headers_mut().insert(header::COOKIE, format!("a=b; {own}; c=d").parse().unwrap());
    assert_eq!(pages.send(several).await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_of_other_sites_are_refused() {
    let pages = Pages::start().await;
    let own = format!("http://{AUTHORITY}");
    let forbidden = StatusCode::FORBIDDEN;
    // The form is empty, so what passes is a form without a token.
    for (method, fetch_site, mode, origin, status) in [
        ("GET", "cross-site", "no-cors", "", Some(forbidden)),
        ("GET", "same-site", "cors", "http://dubernetes.localhost:1", Some(forbidden)),
        ("GET", "cross-site", "navigate", "", None),
        ("GET", "same-origin", "cors", "", None),
        ("GET", "", "", "http://evil.test", Some(forbidden)),
        ("GET", "", "", "", None),
        ("POST", "cross-site", "navigate", "http://evil.test", Some(forbidden)),
        ("POST", "same-site", "navigate", "http://dubernetes.localhost:1", Some(forbidden)),
        ("POST", "none", "navigate", "", Some(forbidden)),
        ("POST", "same-origin", "navigate", "http://evil.test", Some(forbidden)),
        ("POST", "same-origin", "navigate", "null", Some(forbidden)),
        ("POST", "", "", "", Some(forbidden)),
        ("POST", "", "", "null", Some(forbidden)),
        ("POST", "", "", "http://dubernetes.localhost:1", Some(forbidden)),
        ("POST", "", "", &own, None),
        ("POST", "same-origin", "navigate", &own, None),
    ] {
        let mut request = pages.request(method, "/routes").body(Body::empty()).unwrap();
        for (name, value) in
            [("sec-fetch-site", fetch_site), ("sec-fetch-mode", mode), ("origin", origin)]
        {
            request.headers_mut().remove(name);
            if !value.is_empty() {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        // No page at this path takes a POST.
        let passed = if method == "GET" { StatusCode::OK } else { StatusCode::METHOD_NOT_ALLOWED };
        let found = pages.send(request).await.status;
        let expected = status.unwrap_or(passed);
        assert_eq!(found, expected, "{method} {fetch_site} {mode} {origin}");
    }
}

#[tokio::test]
async fn change_needs_the_token_of_its_form() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 2)).await;
    for form in ["replicas=5&generation=1", "replicas=5&generation=1&token=0000"] {
        let answer = pages.post("/apps/web/scale", form).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.text.contains("Nothing was changed"), "{}", answer.text);
    }
    assert_eq!(pages.client.get_app("web").await.unwrap().spec.replicas, 2);
    let long = format!("token={}", "x".repeat(5000));
    let long = pages.post("/apps/web/restart", &long).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn read_only_pages_change_nothing_and_have_no_form_for_it() {
    let pages = Pages::start_with(true).await;
    pages.ready(&app("web", "web:1", 2)).await;
    let page = pages.page("/apps/web").await;
    assert!(!page.contains("Scale…") && !page.contains("Restart…"), "{page}");
    for path in ["/apps/web/scale?replicas=3", "/apps/web/restart", "/apps/web/rollback"] {
        assert_eq!(pages.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        let posted = pages.post(path, "replicas=3&generation=1").await;
        assert_eq!(posted.status, StatusCode::FORBIDDEN, "{path}");
        assert!(posted.text.contains("--read-only"), "{}", posted.text);
    }
}
