//! Someone who sees only the pages finds out why an app is down, and what helps: the overview has
//! the cause, and the page of the app has the remedy, in each of these failures.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "support/site.rs"]
mod site;

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use dubernetes_core::app::{AppSpec, Check, Health, Memory, PreDeploy};
use dubernetes_testkit::build::{app, app_name, worker};
use dubernetes_testkit::{Behaviour, FOREVER, Fault, Operation, StoreOperation};
use site::Pages;

/// Time limit for the pages to show a failure.
const LIMIT: Duration = Duration::from_secs(20);

/// Waits until the overview has `cause` before its list of all apps, and the page of the app `web`
/// has `remedy`.
async fn assert_shown(pages: &Pages, cause: &str, remedy: &str) {
    let start = Instant::now();
    loop {
        let overview = pages.page("/").await;
        let first = overview.split("All apps").next().unwrap_or_default();
        let page = pages.page("/apps/web").await;
        if first.contains(cause) && page.contains(remedy) {
            return;
        }
        let shown = format!("{cause:?} in {first}\n\n{remedy:?} in {page}");
        assert!(start.elapsed() < LIMIT, "{shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn start(spec: &AppSpec) -> Pages {
    start_with(spec, Behaviour::default()).await
}

/// Applies the app; containers of its image `web:3` behave so.
async fn start_with(spec: &AppSpec, behaviour: Behaviour) -> Pages {
    let pages = Pages::start().await;
    pages.orchestrator.runtime.add_image("web:3", behaviour);
    pages.client.apply(spec, None).await.unwrap();
    pages
}

#[tokio::test]
async fn image_does_not_exist() {
    let pages = start(&app("web", "missing:1", 1)).await;
    assert_shown(&pages, "image `missing:1` not found", "build `missing:1` on this engine").await;
}

#[tokio::test]
async fn process_exits() {
    let pages = start(&worker("web", "crash:1", 1)).await;
    assert_shown(&pages, "exit code 1", "dubernetes logs web-1 --previous").await;
}

#[tokio::test]
async fn command_does_not_exist() {
    let start_error = Some("exec: `serve`: not found".to_owned());
    let behaviour = Behaviour { start_error, ..Behaviour::default() };
    let pages = start_with(&app("web", "web:3", 1), behaviour).await;
    assert_shown(&pages, "exec: `serve`: not found", "correct `command`").await;
}

#[tokio::test]
async fn memory_is_too_small() {
    let mut spec = app("web", "web:3", 1);
    spec.resources.memory = Some(Memory::parse("32Mi").unwrap());
    let behaviour = Behaviour::exits(Duration::from_millis(100), 137);
    let pages = start_with(&spec, behaviour).await;
    assert_shown(&pages, "exit code 137", "raise `resources.memory`").await;
}

#[tokio::test]
async fn nothing_listens_on_the_port() {
    let pages = start_with(&app("web", "web:3", 1), Behaviour::never_ready()).await;
    assert_shown(&pages, "nothing listens on port 80", "make it listen on port 80").await;
}

#[tokio::test]
async fn health_check_fails() {
    let health = Some(Health::new(Check::Http("/healthz".parse().unwrap())));
    let spec = AppSpec { health, ..app("web", "web:3", 1) };
    let pages = start_with(&spec, Behaviour::never_ready()).await;
    assert_shown(&pages, "nothing listens on port 80", "make it pass the `health` check").await;
}

#[tokio::test]
async fn update_fails() {
    let pages = Pages::start().await;
    pages.ready(&worker("web", "web:1", 2)).await;
    pages.client.apply(&worker("web", "crash:1", 2), None).await.unwrap();
    assert_shown(&pages, "exit code 1", "dubernetes logs").await;
}

#[tokio::test]
async fn pre_deploy_hook_fails() {
    let command = vec!["migrate".to_owned()];
    let hook = Some(PreDeploy { command, timeout: PreDeploy::TIMEOUT });
    let pages = Pages::start().await;
    let behaviour = Behaviour::exits(Duration::from_millis(100), 4);
    pages.orchestrator.runtime.set_command("migrate", behaviour);
    let spec = AppSpec { pre_deploy: hook, ..app("web", "web:1", 1) };
    pages.client.apply(&spec, None).await.unwrap();
    assert_shown(&pages, "exit code 4", "correct the file of `web`").await;
}

#[tokio::test]
async fn app_before_it_does_not_exist() {
    let spec = AppSpec { after: vec![app_name("db")], ..app("web", "web:1", 1) };
    let pages = start(&spec).await;
    assert_shown(&pages, "after db, which does not exist", "apply db too").await;
}

#[tokio::test]
async fn engine_is_away() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 1)).await;
    pages.orchestrator.runtime.set_away(true);
    assert_shown(&pages, "Engine", "start the engine").await;
}

#[tokio::test]
async fn engine_creates_no_container() {
    let pages = Pages::start().await;
    pages.orchestrator.runtime.faults().inject(Operation::Create, Fault::Error, FOREVER);
    pages.client.apply(&app("web", "web:1", 1), None).await.unwrap();
    assert_shown(&pages, "injected", "dubernetes events web").await;
}

#[tokio::test]
async fn port_of_the_ingress_is_taken() {
    let pages = Pages::start().await;
    pages.orchestrator.ingress.set_port_taken(true);
    pages.client.apply(&app("web", "web:1", 1), None).await.unwrap();
    assert_shown(&pages, "is taken", "free the port").await;
}

#[tokio::test]
async fn store_cannot_be_read() {
    let pages = Pages::start().await;
    pages.ready(&app("web", "web:1", 1)).await;
    pages.orchestrator.store.faults().inject(StoreOperation::List, Fault::Error, FOREVER);
    let answer = pages.get("/").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.text);
    for text in ["The orchestrator cannot answer", "the store failed", "dubernetes doctor"] {
        assert!(answer.text.contains(text), "{text}: {}", answer.text);
    }
}
