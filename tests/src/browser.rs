//! A real browser without a window, driven by WebDriver through `chromedriver`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::checks::{SOON, ensure, eventually};

/// Key of an element's id in answers, as the protocol defines it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The Python package with axe-core 4.12.1.
const AXE: &str = "axe-playwright-python==0.1.8";

/// `chromedriver`, which starts browsers. Dropping it ends it.
#[derive(Debug)]
pub struct Driver {
    url: String,
    http: reqwest::Client,
    _process: Child,
}

/// How a browser shows pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A wide window, light.
    Light,
    /// A wide window, dark.
    Dark,
    /// 360 pixels wide.
    Narrow,
}

/// A browser with one window.
#[derive(Debug)]
pub struct Browser<'a> {
    driver: &'a Driver,
    session: String,
}

impl Driver {
    /// Starts the driver, or returns `None` if browser or driver are not installed.
    ///
    /// # Panics
    ///
    /// If the driver does not start.
    pub async fn start() -> Option<Self> {
        let is_installed = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
        };
        if !is_installed("chromium") || !is_installed("chromedriver") {
            return None;
        }
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let started = "started successfully on port ";
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once(started) {
                let url = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
                // A driver whose output is full would stop.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Some(Self { url, http: reqwest::Client::new(), _process: process });
            }
        }
        panic!("chromedriver did not say on which port it listens");
    }

    /// Opens a browser.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn open(&self, look: Look) -> Browser<'_> {
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1200,1400",
        ];
        if look == Look::Dark {
            arguments.push("--blink-settings=preferredColorScheme=0");
        }
        let mut options = json!({ "args": arguments });
        if look == Look::Narrow {
            let metrics = json!({ "width": 360, "height": 800, "pixelRatio": 1 });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let answer = self.call("POST", "/session", body).await;
        let session = answer["sessionId"].as_str().unwrap().to_owned();
        Browser { driver: self, session }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        self.try_call(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn try_call(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.url);
        let request = match method {
            "POST" => self.http.post(url).json(&body),
            "DELETE" => self.http.delete(url),
            _ => self.http.get(url),
        };
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let is_good = answer.status().is_success();
        let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        if is_good { Ok(answer["value"].clone()) } else { Err(answer["value"].to_string()) }
    }
}

impl Browser<'_> {
    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        self.driver.call(method, &format!("/session/{}{path}", self.session), body).await
    }

    /// Opens a page, and returns once it is loaded.
    pub async fn open(&self, url: &str) {
        self.call("POST", "/url", json!({ "url": url })).await;
    }

    /// Returns the address of the page.
    pub async fn address(&self) -> String {
        self.call("GET", "/url", Value::Null).await.as_str().unwrap().to_owned()
    }

    /// Runs a script, and returns what it returns.
    pub async fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Runs a script, and returns what it gives to its last argument, a function.
    pub async fn run_async(&self, script: &str) -> Value {
        self.call("POST", "/execute/async", json!({ "script": script, "args": [] })).await
    }

    /// Returns the text of the page.
    pub async fn text(&self) -> String {
        let text = self.run("return document.body ? document.body.innerText : ''").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page has a text. It is not loaded again for that.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub async fn until_text(&self, text: &str) {
        eventually(&format!("the page has `{text}`"), 3 * SOON, async || {
            let found = self.text().await;
            ensure(found.contains(text), found)
        })
        .await;
    }

    /// Clicks on the first element that matches an XPath.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn click(&self, xpath: &str) {
        self.on_element(xpath, "click", json!({})).await;
    }

    /// Replaces the text of an input.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn enter(&self, xpath: &str, text: &str) {
        self.on_element(xpath, "clear", json!({})).await;
        self.on_element(xpath, "value", json!({ "text": text })).await;
    }

    /// Acts on an element. A live page may replace it in between, which is tried again.
    async fn on_element(&self, xpath: &str, action: &str, body: Value) {
        let find = json!({ "using": "xpath", "value": xpath });
        let session = format!("/session/{}", self.session);
        eventually(&format!("{action} {xpath}"), SOON, async || {
            let element = format!("{session}/element");
            let found = self.driver.try_call("POST", &element, find.clone()).await?;
            let id = found[ELEMENT].as_str().unwrap_or_default();
            let path = format!("{session}/element/{id}/{action}");
            self.driver.try_call("POST", &path, body.clone()).await
        })
        .await;
    }

    /// Sends keys to what has the focus, such as `\u{e004}` for Tab.
    pub async fn keys(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })))
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] });
        self.call("POST", "/actions", body).await;
    }

    /// Writes a picture of the whole page.
    pub async fn screenshot(&self, path: &Path) {
        let body = json!({
            "cmd": "Page.captureScreenshot",
            "params": { "format": "png", "captureBeyondViewport": true },
        });
        let picture = self.call("POST", "/goog/cdp/execute", body).await;
        let picture = picture["data"].as_str().unwrap();
        let picture = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
        std::fs::write(path, picture).unwrap();
    }

    /// Returns what the page has written to the console, such as what its policy has blocked.
    pub async fn console(&self) -> Vec<String> {
        let lines = self.call("POST", "/se/log", json!({ "type": "browser" })).await;
        let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        lines.as_array().into_iter().flatten().map(text).collect()
    }

    /// Returns the rules of accessibility that the page violates, each with its elements. `axe` is
    /// the text of axe-core.
    pub async fn violations(&self, axe: &str) -> Vec<String> {
        self.run(axe).await;
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then(found =>
                done(found.violations.map(each =>
                    each.id + ': ' + each.nodes.map(node => node.html).join(' '))));";
        let found = self.run_async(script).await;
        let text = |line: &Value| line.as_str().unwrap_or_default().to_owned();
        found.as_array().into_iter().flatten().map(text).collect()
    }

    /// Closes the browser.
    pub async fn close(self) {
        self.call("DELETE", "", Value::Null).await;
    }
}

/// Returns the text of axe-core, from a Python package that has it, or `None` if that cannot be
/// downloaded.
pub async fn axe(folder: &Path) -> Option<String> {
    let script = "import glob, sys, zipfile; wheel = zipfile.ZipFile(glob.glob('*.whl')[0]); \
        name = [name for name in wheel.namelist() if name.endswith('axe.min.js')][0]; \
        open('axe.min.js', 'wb').write(wheel.read(name))";
    let path: PathBuf = folder.join("axe.min.js");
    if !path.exists() {
        let package = ["-m", "pip", "download", "--quiet", "--no-deps", AXE];
        for arguments in [&package[..], &["-c", script]] {
            let mut command = Command::new("python3");
            command.args(arguments).current_dir(folder).stdin(Stdio::null());
            let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status().await.ok()?;
            if !done.success() {
                return None;
            }
        }
    }
    std::fs::read_to_string(path).ok()
}
