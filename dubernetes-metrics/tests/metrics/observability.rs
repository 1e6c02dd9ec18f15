//! The alert rules and the dashboard in `examples/observability`: they use what is exported, and a
//! real Prometheus takes them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_api::server::{ExportedMetrics, MetricsSource, serve_metrics};
use dubernetes_core::app::{IssuedTls, Tls};
use dubernetes_metrics::{Exporter, Format};
use dubernetes_testkit::TokioClock;
use dubernetes_testkit::build::app;
use regex::Regex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::measured::Measured;
use crate::prometheus::{Prometheus, is_installed_or_skip, promtool};

const ALERTS: &str = include_str!("../../../examples/observability/alerts.yml");
const CONFIG: &str = include_str!("../../../examples/observability/prometheus.yml");
const DASHBOARD: &str = include_str!("../../../examples/observability/dashboard.json");
const SCRIPTED: &str = include_str!("../../../examples/observability/alerts-test.yml");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observability")
}

/// Returns all queries of the dashboard.
fn dashboard_queries() -> Vec<String> {
    fn collect(value: &Value, queries: &mut Vec<String>) {
        match value {
            Value::Object(entries) => entries.iter().for_each(|(key, value)| match value {
                Value::String(text) if key == "expr" => queries.push(text.clone()),
                other => collect(other, queries),
            }),
            Value::Array(items) => items.iter().for_each(|item| collect(item, queries)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut queries = Vec::new();
    collect(&serde_json::from_str(DASHBOARD).unwrap(), &mut queries);
    queries
}

#[tokio::test(start_paused = true)]
async fn rules_and_dashboard_use_exported_names_and_labels() {
    let measured = Measured::start();
    let mut spec = app("web", "web:1", 1);
    spec.access[0].tls = Some(Tls::Issued(IssuedTls::Internal));
    measured.orchestrator.apply(&spec).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    measured.orchestrator.ingress.request("web.local", "/");
    let exported = measured.export().await;
    let names = exported.names();
    let metric = Regex::new(r"(dubernetes_\w+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"(\w+)\s*(?:=~|!~|!=|=)").unwrap();
    // Prometheus adds these itself, and `le` is that of buckets.
    let added = ["instance", "job", "le"].map(str::to_owned);
    let mut used = BTreeSet::new();
    for text in [ALERTS, SCRIPTED, &dashboard_queries().join("\n")] {
        for found in metric.captures_iter(text) {
            let name = &found[1];
            assert!(names.contains(name), "{name} is not exported");
            used.insert(name.to_owned());
            let known = exported.labels(name);
            let selectors = found.get(2).map_or("", |labels| labels.as_str());
            for selector in label.captures_iter(selectors) {
                let selector = selector[1].to_owned();
                let is_known = known.contains(&selector) || added.contains(&selector);
                assert!(is_known, "{name} has no label {selector}, but {known:?}");
            }
        }
    }
    assert!(used.len() > 15, "the test sees what is used: {used:?}");
}

#[test]
fn every_alert_is_scripted_and_promtool_accepts_all() {
    let alert = Regex::new(r"- alert: (\w+)").unwrap();
    for found in alert.captures_iter(ALERTS) {
        let times = SCRIPTED.matches(&format!("alertname: {}", &found[1])).count();
        assert!(times >= 2, "{} has a series that fires it, and one that does not", &found[1]);
    }
    if !is_installed_or_skip("every_alert_is_scripted_and_promtool_accepts_all") {
        return;
    }
    promtool(&folder(), &["check", "config", "prometheus.yml"]);
    promtool(&folder(), &["check", "rules", "--lint-fatal", "alerts.yml"]);
    let tested = promtool(&folder(), &["test", "rules", "alerts-test.yml"]);
    assert!(tested.contains("SUCCESS"), "{tested}");
    // Queries of the dashboard as rules, with values for its variables.
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (at, query) in dashboard_queries().iter().enumerate() {
        let query = query.replace("$__rate_interval", "1m").replace('\'', "''");
        rules.push_str(&format!("      - record: panel:{at}\n        expr: '{query}'\n"));
    }
    let dashboard = tempfile::tempdir().unwrap();
    std::fs::write(dashboard.path().join("rules.yml"), rules).unwrap();
    promtool(dashboard.path(), &["check", "rules", "--lint-fatal", "rules.yml"]);
}

#[derive(Debug)]
struct Source(Arc<Exporter>);

#[async_trait]
impl MetricsSource for Source {
    async fn export(&self, accept: Option<&str>) -> ExportedMetrics {
        let format = Format::accepted(accept);
        ExportedMetrics { content_type: format.content_type(), text: self.0.export(format).await }
    }
}

#[tokio::test]
async fn prometheus_scrapes_and_alerts_when_the_engine_goes_away() {
    if !is_installed_or_skip("prometheus_scrapes_and_alerts_when_the_engine_goes_away") {
        return;
    }
    let measured = Measured::start_at(TokioClock::starting_at(jiff::Timestamp::now()));
    measured.orchestrator.deploy_web("web:1", 2).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let source = Arc::new(Source(Arc::clone(&measured.exporter)));
    let server = tokio::spawn(serve_metrics(listener, source, stop.clone()));

    let config = CONFIG.replace("127.0.0.1:9464", &target).replace("15s", "200ms");
    let waits = Regex::new("for: [0-9]+[mh]").unwrap();
    let alerts = waits.replace_all(ALERTS, "for: 0s");
    let prometheus = Prometheus::start(&[("prometheus.yml", &config), ("alerts.yml", &alerts)]);
    let query = "/api/v1/query?query=dubernetes_app_replicas_ready";
    let scraped = prometheus
        .until("a scrape", query, |answer| answer["data"]["result"][0]["value"][1] == "2");
    assert_eq!(scraped.await["data"]["result"][0]["metric"]["app"], "web");
    prometheus.until_alert("DubernetesEngineUnreachable", false).await;

    measured.orchestrator.runtime.set_away(true);
    let alert = prometheus.until_alert("DubernetesEngineUnreachable", true).await;
    assert_eq!(alert["labels"]["severity"], "critical");
    measured.orchestrator.runtime.set_away(false);
    prometheus.until_alert("DubernetesEngineUnreachable", false).await;

    // The end of the orchestrator ends its metrics, though Prometheus keeps its connection.
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap();
    prometheus.until_alert("DubernetesDown", true).await;
}
