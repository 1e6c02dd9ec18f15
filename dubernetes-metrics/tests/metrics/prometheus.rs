//! Debian's Prometheus: its checks, and a running one.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dubernetes_testkit::gate::skip;
use serde_json::Value;
use tempfile::TempDir;

/// Maximum time until something shows, for busy machines.
const LIMIT: Duration = Duration::from_secs(60);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(100);

/// Whether Prometheus is installed; else says that a test is skipped.
pub(crate) fn is_installed_or_skip(test: &str) -> bool {
    let answers = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let is_installed = ["promtool", "prometheus"].into_iter().all(answers);
    if !is_installed {
        skip(test, "no `promtool` and `prometheus`; Debian's package `prometheus` has them");
    }
    is_installed
}

/// Runs `promtool` in a folder, and returns what it prints.
pub(crate) fn promtool(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("promtool").args(words).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "promtool {words:?}: {text}");
    text
}

/// A running Prometheus, ended when dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    url: String,
    child: Child,
    folder: TempDir,
}

impl Prometheus {
    /// Starts a Prometheus with these files, of which `prometheus.yml` is its configuration.
    pub(crate) fn start(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { url: format!("http://{address}"), child, folder }
    }

    /// Waits until the answer of the API at `path` is as wanted, and returns it.
    pub(crate) async fn until(
        &self,
        what: &str,
        path: &str,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = tokio::time::Instant::now();
        loop {
            let answer = reqwest::get(format!("{}{path}", self.url)).await;
            let answer = match answer {
                Ok(answer) => answer.json().await.unwrap_or_default(),
                Err(_) => Value::Null,
            };
            if is_wanted(&answer) {
                return answer;
            }
            if start.elapsed() > LIMIT {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("not within {LIMIT:?}: {what}\n{answer:#}\n{}", log.unwrap_or_default());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until an alert fires, or does not.
    pub(crate) async fn until_alert(&self, name: &str, fires: bool) -> Value {
        let what = format!("{name} fires: {fires}");
        let answer = self.until(&what, "/api/v1/alerts", |answer| {
            let alerts = answer["data"]["alerts"].as_array();
            alerts.is_some_and(|alerts| alerts.iter().any(|alert| is_firing(alert, name)) == fires)
        });
        let answer = answer.await;
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        alerts.iter().find(|alert| is_firing(alert, name)).cloned().unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_firing(alert: &Value, name: &str) -> bool {
    alert["labels"]["alertname"] == name && alert["state"] == "firing"
}
