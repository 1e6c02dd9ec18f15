//! `dubernetes ui` in a real browser, on replicas that are processes. Without chromium and its
//! driver, one line says that nothing was tested.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dubernetes_testkit::gate::skip;
use dubernetes_tests::browser::{Browser, Driver, Look, axe};
use dubernetes_tests::checks::{SOON, ensure, eventually};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::process::Instance;

/// Folder of the pictures, beside those of other runs.
const PICTURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/web");
/// Folder of the pictures in the documentation, which `DUBERNETES_UPDATE_GOLDEN=1` rewrites.
const DOCUMENTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures");

/// Starts the page, and returns its link.
async fn start(instance: &Instance) -> (Child, String) {
    let mut command = instance.command(&["ui", "--no-browser"]);
    let mut ui = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(ui.stdout.take().unwrap()).lines();
    let link = lines.next_line().await.unwrap().unwrap();
    assert!(link.starts_with("http://dubernetes.localhost:"), "{link}");
    (ui, link)
}

/// Takes a picture, and checks the console and the rules of accessibility.
async fn inspect(browser: &Browser<'_>, look: Look, name: &str, axe: Option<&str>) {
    let path = Path::new(PICTURES).join(format!("{name}-{look:?}.png").to_lowercase());
    browser.screenshot(&path).await;
    let documented = Path::new(DOCUMENTED).join(path.file_name().unwrap());
    if documented.exists() && std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some() {
        fs::copy(&path, documented).unwrap();
    }
    assert_eq!(browser.console().await, [""; 0], "{name} {look:?}: console");
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_i64() <= Some(0), "{name} {look:?}: {wide} pixels too wide");
    if let Some(axe) = axe {
        assert_eq!(browser.violations(axe).await, [""; 0], "{name} {look:?}: accessibility");
    }
}

/// Inspects the loop of an app now, and a recorded decision.
async fn inspect_loop(browser: &Browser<'_>, look: Look, axe: Option<&str>) {
    browser.click("//a[.='The loop' and @class]").await;
    browser.until_text("How the last pass decided").await;
    inspect(browser, look, "loop", axe).await;
    browser.click("//section[@aria-labelledby='decisions']//a").await;
    browser.until_text("What the orchestrator knew and decided at").await;
    browser.until_text("dubernetes replay --at").await;
    inspect(browser, look, "decision", axe).await;
}

/// Loads the page of an app again until it has a chart of its requests.
async fn until_charted(browser: &Browser<'_>) {
    eventually("requests are charted", 3 * SOON, async || {
        browser.open(&browser.address().await).await;
        let text = browser.text().await;
        ensure(text.contains("a minute, by class of status"), text)
    })
    .await;
    browser.until_text("This runtime does not measure CPU and memory.").await;
    browser.until_text("2xx: now ").await;
}

/// Simulates the example with a killed pod.
async fn simulate(browser: &Browser<'_>) {
    browser.click("//nav//a[.='Simulate']").await;
    browser.enter("//input[@name='kill']", "web-2@30s").await;
    browser.click("//main//button[.='Simulate']").await;
    browser.until_text("fewest ready 2 of 3 once complete").await;
    browser.until_text("exit code 137 (SIGKILL)").await;
}

#[tokio::test]
async fn person_finds_out_why_an_app_is_down_and_scales_another() {
    let Some(driver) = Driver::start().await else {
        skip("the web page in a browser", "chromium and chromedriver are not installed");
        return;
    };
    fs::create_dir_all(PICTURES).unwrap();
    let axe = axe(&PathBuf::from(PICTURES)).await;
    if axe.is_none() {
        skip("accessibility of the web page", "axe-core cannot be downloaded");
    }
    let axe = axe.as_deref();
    let instance = Instance::new();
    let file = instance.write("");
    let _up = instance.start(&["up", "--runtime", "process", &file]);
    instance.until_three_answer("1").await;
    let broken = fs::read_to_string(&file).unwrap();
    let broken = broken.replace("name: whoami", "name: shop").replace("whoami.local", "shop.local");
    let broken = broken.replace("replicas: 3", "replicas: 1\nenv: { WHOAMI_EXIT: \"3\" }");
    let path = instance.path("shop.yaml");
    fs::write(&path, broken).unwrap();
    let _ = instance.run(&["apply", path.to_str().unwrap(), "--detach"]).await.assert_success();
    let _ = instance.run(&["wait", "shop", "--for", "phase=Failed"]).await.assert_success();

    for look in [Look::Light, Look::Dark, Look::Narrow] {
        let (_ui, link) = start(&instance).await;
        let browser = driver.open(look).await;
        browser.open(&link).await;
        browser.until_text("1 of 2 apps needs attention").await;
        assert!(!browser.address().await.contains("token"), "the link is not kept");
        inspect(&browser, look, "overview", axe).await;

        browser.click("//main//a[.='shop']").await;
        browser.until_text("exit code 3").await;
        browser.until_text("ending with code 3, as WHOAMI_EXIT says").await;
        inspect(&browser, look, "failed", axe).await;
        inspect_loop(&browser, look, axe).await;

        browser.click("//nav//a[.='Overview']").await;
        browser.click("//main//a[.='whoami']").await;
        browser.until_text("3 of 3 ready").await;
        until_charted(&browser).await;
        inspect(&browser, look, "app", axe).await;
        browser.click("//main//a[.='Logs']").await;
        browser.until_text("listening").await;
        inspect(&browser, look, "logs", axe).await;
        for (name, path) in [("routes", "/routes"), ("events", "/events")] {
            browser.click(&format!("//nav//a[@href='{path}']")).await;
            browser.until_text("whoami").await;
            inspect(&browser, look, name, axe).await;
        }
        simulate(&browser).await;
        inspect(&browser, look, "simulate", axe).await;
        browser.close().await;
    }

    let (_ui, link) = start(&instance).await;
    let browser = driver.open(Look::Light).await;
    browser.open(&link).await;
    browser.click("//main//a[.='whoami']").await;
    browser.enter("//input[@name='replicas']", "2").await;
    browser.click("//button[.='Scale…']").await;
    browser.until_text("Scale whoami to 2 replicas?").await;
    browser.until_text("fewest ready replicas: 2 of 2").await;
    inspect(&browser, Look::Light, "scale", axe).await;
    browser.click("//button[.='Scale whoami to 2 replicas']").await;
    // The page follows what happens without being loaded again.
    browser.until_text("2 of 2 ready").await;
    browser.until_text("from 3 to 2 replicas").await;
    let _ = instance.run(&["scale", "whoami", "3"]).await.assert_success();
    browser.until_text("3 of 3 ready").await;

    // The whole way with the keyboard: the first link of the page leads past the navigation.
    browser.open(&browser.address().await).await;
    browser.keys("\u{e004}").await;
    let first = browser.run("return document.activeElement.textContent").await;
    assert_eq!(first.as_str(), Some("Skip to content"));
    browser.close().await;
}
