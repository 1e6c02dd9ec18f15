//! What pages show, and what confirmed forms do.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "support/site.rs"]
mod site;

use std::time::Duration;

use axum::http::{StatusCode, header};
use dubernetes_core::plan::Phase;
use dubernetes_testkit::build::{app, worker};
use futures_util::StreamExt as _;
use site::Pages;

/// Text that would be a script, or would control a terminal, if it were not shown as text.
const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\u{1b}[2J\u{202e}\"'";

fn assert_harmless(page: &str) {
    assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'), "{page}");
    assert!(!page.contains("style=") && !page.contains("onclick="), "{page}");
}

/// Waits for an app whose replicas crash.
async fn until_failed(pages: &Pages, name: &str) {
    for _ in 0..600 {
        let phase = pages.client.get_app(name).await.unwrap().status.phase;
        if phase == Phase::Failed {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} did not fail");
}

#[tokio::test]
async fn overview_names_what_needs_attention_first_with_its_cause() {
    let pages = Pages::start().await;
    let empty = pages.page("/").await;
    assert!(empty.contains("No apps yet") && empty.contains("dubernetes apply app.yaml"));
    pages.ready(&app("web", "web:1", 2)).await;
    assert!(pages.page("/").await.contains("<h1>The app is ready</h1>"));
    pages.client.apply(&app("shop", "missing:1", 1), None).await.unwrap();
    pages.client.apply(&worker("jobs", "crash:1", 1), None).await.unwrap();
    until_failed(&pages, "jobs").await;
    let page = pages.page("/").await;
    let attention = page.find("Needs attention").unwrap();
    let table = page.find("All apps").unwrap();
    assert!(attention < table, "{page}");
    let cause = pages.client.get_app("jobs").await.unwrap().status.message;
    assert!(page[attention..table].contains(&cause), "{cause}: {page}");
    assert!(page.contains("<code>dubernetes get apps</code>"), "{page}");
    assert!(page.contains("web.local:8080"), "{page}");
}

#[tokio::test]
async fn app_page_shows_pods_revisions_and_the_explanation() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 2)).await;
    pages.ready(&app("web", "web:2", 2)).await;
    let page = pages.page("/apps/web").await;
    for text in [
        "web-3",
        "image web:2",
        "revision 2",
        "2 of 2 ready",
        "Roll back to 1…",
        "<dt>desired</dt>",
        "dubernetes why web",
        "dubernetes describe web",
        "http://web.local:8080",
        "data-live=\"/live?app=web\"",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let missing = pages.get("/apps/nothing").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.text.contains("nothing"), "{}", missing.text);
    for path in ["/apps/%3Cscript%3E", "/apps/..%2F..%2Fetc", "/nowhere"] {
        let answer = pages.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_harmless(&answer.text.replace("<script src", ""));
    }
}

#[tokio::test]
async fn hostile_texts_are_shown_as_text() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 1)).await;
    pages.print("web-1", HOSTILE);
    let event = dubernetes_core::event::NewEvent {
        time: jiff::Timestamp::now(),
        kind: dubernetes_core::event::EventKind::Warning,
        app: Some("web".parse().unwrap()),
        pod: None,
        revision: None,
        reason: dubernetes_core::event::EventReason::Refused,
        message: HOSTILE.to_owned(),
    };
    dubernetes_core::store::Store::append(&*pages.orchestrator.store, &[event]).await.unwrap();
    for path in ["/", "/events", "/apps/web", "/apps/web/logs"] {
        let page = pages.page(path).await;
        assert!(page.contains("&#60;script&#62;alert(1)"), "{path}: {page}");
        assert_harmless(&page);
    }
    let filtered = pages.page("/apps/web/logs?filter=%22%3E%3Cscript%3E&pod=web-1").await;
    assert_harmless(&filtered);
    assert!(filtered.contains("There are no such lines"), "{filtered}");
}

#[tokio::test]
async fn change_is_carried_out_only_once_its_plan_is_confirmed() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 2)).await;
    let path = "/apps/web/scale";
    let page = pages.page(&format!("{path}?replicas=4")).await;
    for text in [
        "Scale web to 4 replicas?",
        "4 replicas wanted, 2 exist",
        "fewest ready replicas: 2 of 4",
        "dubernetes scale web 4",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert_eq!(pages.client.get_app("web").await.unwrap().spec.replicas, 2, "a preview only");
    let done = pages.confirm(path, &page).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(done.headers[header::LOCATION], "/apps/web");
    assert_eq!(pages.client.get_app("web").await.unwrap().spec.replicas, 4);

    // The app has another generation now, so the same form shows the plan again.
    let stale = pages.confirm(path, &page.replace("value=\"4\"", "value=\"9\"")).await;
    assert_eq!(stale.status, StatusCode::OK);
    assert!(stale.text.contains("nothing was done"), "{}", stale.text);
    assert_eq!(pages.client.get_app("web").await.unwrap().spec.replicas, 4);

    let same = pages.page(&format!("{path}?replicas=4")).await;
    assert!(same.contains("changes nothing") && !same.contains("class=\"primary\""), "{same}");
    for wrong in ["", "x", "-1", "70000", "%3Cb%3E"] {
        let answer = pages.get(&format!("{path}?replicas={wrong}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}: {}", answer.text);
    }
    let many = pages.get(&format!("{path}?replicas=300")).await;
    assert_eq!(many.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", many.text);
    assert!(many.text.contains("250"), "{}", many.text);
}

#[tokio::test]
async fn restart_and_rollback_show_their_plans() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 2)).await;
    let restart = pages.page("/apps/web/restart").await;
    assert!(restart.contains("revision 1 -&#62; 2"), "{restart}");
    assert!(restart.contains("web-3") && restart.contains("downtime: none"), "{restart}");
    assert_eq!(pages.client.get_app("web").await.unwrap().status.revision.0, 1);
    let done = pages.confirm("/apps/web/restart", &restart).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    pages.orchestrator.until_ready("web").await;
    pages.ready(&app("web", "web:2", 2)).await;

    let back = pages.page("/apps/web/rollback?to=1").await;
    assert!(back.contains("Roll web back to revision 1?"), "{back}");
    assert!(back.contains("image web:2 -&#62; web:1"), "{back}");
    let done = pages.confirm("/apps/web/rollback", &back).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let app = pages.client.get_app("web").await.unwrap();
    assert_eq!((app.spec.artifact.as_str(), app.status.revision.0), ("web:1", 4));
    let unknown = pages.get("/apps/web/rollback?to=99").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.text);
}

#[tokio::test]
async fn logs_are_filtered_and_coloured() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 2)).await;
    for pod in ["web-1", "web-2"] {
        pages.print(pod, &format!("\u{1b}[31mred\u{1b}[0m of {pod}"));
        pages.print(pod, "GET /healthz");
    }
    let all = pages.page("/apps/web/logs").await;
    assert_eq!(all.matches("GET /healthz").count(), 2, "{all}");
    assert!(all.contains("<span class=\"ansi-1\">red</span> of web-1"), "{all}");
    let one = pages.page("/apps/web/logs?pod=web-2&filter=RED+of").await;
    assert!(one.contains("of web-2") && !one.contains("of web-1"), "{one}");
    assert!(
        one.contains("dubernetes logs web-2 --tail 200 | grep -iF -- &#39;RED of&#39;"),
        "{one}"
    );
    assert!(pages.page("/apps/web/logs?live=off").await.contains("Follow"));
    let foreign = pages.get("/apps/web/logs?pod=shop-1").await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn loop_page_shows_what_is_desired_observed_and_planned() {
    let pages = Pages::start().await;
    assert!(pages.page("/loop").await.contains("There is no app yet"));
    pages.ready(&app("web", "web:1", 2)).await;
    let settled = pages.page("/loop").await;
    assert!(settled.contains("Nothing to do"), "{settled}");
    assert!(settled.contains("Recorded decisions"), "{settled}");
    pages.client.apply(&app("shop", "missing:1", 1), None).await.unwrap();
    let page = pages.page("/loop").await;
    assert!(page.contains("The loop: shop"), "what is not ready comes first: {page}");
    let other = pages.page("/loop?app=web").await;
    assert!(other.contains("web-1") && other.contains("dubernetes why web"), "{other}");
}

#[tokio::test]
async fn recorded_decision_is_shown_as_it_was() {
    let pages = Pages::start().await;
    let mut web = app("web", "web:1", 2);
    web.env.insert("TOKEN".parse().unwrap(), "hunter2".into());
    pages.ready(&web).await;
    pages.ready(&app("shop", "web:1", 1)).await;
    let now = pages.page("/loop?app=web").await;
    assert!(now.contains("dubernetes replay --last"), "{now}");
    let create = now.find("create web-1, create web-2").unwrap();
    let start = now[..create].rfind("/loop?app=web&amp;at=").unwrap();
    let path = now[start..].split('"').next().unwrap().replace("&amp;", "&");
    let page = pages.page(&path).await;
    let at = path.split_once("at=").unwrap().1;
    for text in [
        "app web rev=1 gen=1 image=web:1 replicas=2 host=web.local",
        "<td class=\"word\">create<td class=\"name\">web-1<td>2 replicas wanted, 0 exist",
        &format!("dubernetes replay --at {at}"),
        "<span aria-current=\"true\">",
        "ingress ",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("hunter2") && !page.contains("shop-1"), "{page}");
    for wrong in ["2026-01-01T00:00:00Z", "x", "%3Cscript%3E"] {
        let answer = pages.get(&format!("/loop?app=web&at={wrong}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{wrong}: {}", answer.text);
    }
    // What an engine says is shown as text.
    let sent = "<script>alert(1)</script>\u{1b}[2J";
    pages.orchestrator.ingress.set_failing(Some(sent));
    pages.client.scale("web", 3).await.unwrap();
    let mut hostile = String::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let list = pages.page("/loop?app=web").await;
        let newest = list.split("&amp;at=").nth(1).unwrap().split('"').next().unwrap();
        hostile = pages.page(&format!("/loop?app=web&at={newest}")).await;
        if hostile.contains("&#60;script&#62;alert(1)") {
            break;
        }
    }
    assert!(hostile.contains("&#60;script&#62;alert(1)"), "{hostile}");
    assert_harmless(&hostile);
}

#[tokio::test]
async fn app_page_says_why_there_is_no_chart() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 2)).await;
    let page = pages.page("/apps/web").await;
    for text in [
        "The last hour",
        "are not measured yet",
        "No requests are counted yet",
        "dubernetes top pods web",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[tokio::test]
async fn live_stream_says_when_something_has_changed() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 1)).await;
    let mut stream = pages.stream("/live?app=web").await;
    let mut next = async || {
        let part = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
        String::from_utf8(part.unwrap().unwrap().unwrap().to_vec()).unwrap()
    };
    assert!(next().await.contains("event: change"), "what exists is reported at once");
    pages.client.scale("web", 2).await.unwrap();
    assert!(next().await.contains("event: change"));
    pages.stop.cancel();
    while !next().await.contains("event: away") {}
}

#[tokio::test]
async fn page_without_orchestrator_says_so_and_waits_for_it() {
    let pages = Pages::start().await;
    pages.stop.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = pages.get("/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("dubernetes serve"), "{}", answer.text);
    assert!(answer.text.contains("data-live"), "it replaces itself: {}", answer.text);
}

#[tokio::test]
async fn simulation_shows_what_the_program_prints() {
    // It changes nothing, so it works on read-only pages.
    let pages = Pages::start_with(true).await;
    let page = pages.page("/simulate").await;
    assert!(page.contains("name: web") && page.contains("dubernetes simulate app.yaml"), "{page}");
    let sent = "file=name%3A+shop&kill=web-1%403s+web-2%404s&for=2m";
    let answer = pages.post("/simulate", &format!("{}&{sent}", site::fields(&page))).await;
    let text = answer.text;
    for expected in [
        "fewest ready 1 of 2 once complete; downtime 0.5 s; restarts 1",
        "<polyline points=\"0.0,60.0",
        "&#62; kill",
        "&#60;i&#62;x&#60;/i&#62;",
        "--kill web-1@3s --kill web-2@4s --for 2m",
        "nothing is left to do",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let program = pages.folder.path().join("dubernetes");
    let read = |end: &str| std::fs::read_to_string(program.with_extension(end)).unwrap();
    assert_eq!(read("file"), "name: shop");
    let args = "simulate\n--output=json\n--kill=web-1@3s\n--kill=web-2@4s\n--for=2m\n-\n";
    assert_eq!(read("args"), args);

    let bad = format!("{}&file=&kill=bad", site::fields(&page));
    let text = pages.post("/simulate", &bad).await.text;
    assert!(text.contains("error: &#60;b&#62;no&#60;/b&#62;"), "{text}");
    let without_token = pages.post("/simulate", sent).await;
    assert_eq!(without_token.status, StatusCode::FORBIDDEN);
}
