//! What is exported of an orchestrator on fakes and virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "metrics/exposition.rs"]
mod exposition;
#[path = "metrics/measured.rs"]
mod measured;
#[path = "metrics/observability.rs"]
mod observability;
#[path = "metrics/prometheus.rs"]
mod prometheus;

use std::time::Duration;

use dubernetes_core::app::{AppSpec, Duration as Span, IssuedTls, Tls};
use dubernetes_metrics::Format;
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::{app, app_name};
use measured::Measured;

const MINUTE: Duration = Duration::from_secs(60);

/// The families, with their kinds. A name that is here stays: rules and dashboards use it.
const FAMILIES: &str = "\
dubernetes_app_phase gauge
dubernetes_app_replicas_desired gauge
dubernetes_app_replicas_ready gauge
dubernetes_app_replicas_updated gauge
dubernetes_app_revision gauge
dubernetes_apps gauge
dubernetes_blocked gauge
dubernetes_build info
dubernetes_call_duration_seconds histogram
dubernetes_calls_failing gauge
dubernetes_calls_in_flight gauge
dubernetes_certificate_expiry_timestamp_seconds gauge
dubernetes_engine_up gauge
dubernetes_ingress_applies counter
dubernetes_ingress_request_duration_seconds histogram
dubernetes_ingress_request_metrics_available gauge
dubernetes_ingress_requests counter
dubernetes_ingress_up gauge
dubernetes_last_pass_timestamp_seconds gauge
dubernetes_pass_duration_seconds histogram
dubernetes_probes counter
dubernetes_restarts counter
dubernetes_rollouts counter
dubernetes_store_up gauge
";

#[tokio::test(start_paused = true)]
async fn families_are_there_from_the_start_with_help_and_unit() {
    let measured = Measured::start();
    let text = measured.text().await;
    let families = measured.export().await.families;
    let listed = families.iter().map(|(name, kind)| format!("{name} {kind}\n"));
    assert_eq!(listed.collect::<String>(), FAMILIES);
    for name in families.keys() {
        let help = text.lines().find_map(|l| l.strip_prefix(&format!("# HELP {name} "))).unwrap();
        assert!(help.ends_with('.'), "{name}: {help}");
        let unit = text.contains(&format!("# UNIT {name} seconds\n"));
        assert_eq!(unit, name.ends_with("_seconds"), "{name}");
    }
    assert!(text.contains("dubernetes_build_info{version=\"1.2.3\"} 1\n"), "{text}");
    assert!(text.contains("dubernetes_engine_up 0\n"), "nothing is known yet: {text}");
}

#[tokio::test(start_paused = true)]
async fn state_of_apps_is_exported() {
    let measured = Measured::start();
    measured.orchestrator.deploy_web("web:1", 3).await;
    tokio::time::sleep(MINUTE).await;
    let seen = measured.export().await;
    for (series, value) in [
        ("dubernetes_apps{phase=\"Ready\"}", 1.0),
        ("dubernetes_apps{phase=\"Failed\"}", 0.0),
        ("dubernetes_app_phase{app=\"web\",phase=\"Ready\"}", 1.0),
        ("dubernetes_app_replicas_desired{app=\"web\"}", 3.0),
        ("dubernetes_app_replicas_ready{app=\"web\"}", 3.0),
        ("dubernetes_app_replicas_updated{app=\"web\"}", 3.0),
        ("dubernetes_app_revision{app=\"web\"}", 1.0),
        ("dubernetes_restarts_total{app=\"web\"}", 0.0),
        ("dubernetes_rollouts_total{app=\"web\",outcome=\"complete\"}", 1.0),
        ("dubernetes_rollouts_total{app=\"web\",outcome=\"failed\"}", 0.0),
        ("dubernetes_probes_total{app=\"web\",outcome=\"not_sent\"}", 0.0),
        ("dubernetes_ingress_applies_total{outcome=\"failed\"}", 0.0),
        ("dubernetes_engine_up", 1.0),
        ("dubernetes_store_up", 1.0),
        ("dubernetes_ingress_up", 1.0),
    ] {
        assert_eq!(seen.value(series), value, "{series}");
    }
    for series in [
        "dubernetes_probes_total{app=\"web\",outcome=\"success\"}",
        "dubernetes_ingress_applies_total{outcome=\"changed\"}",
        "dubernetes_pass_duration_seconds_count",
    ] {
        assert!(seen.value(series) > 0.0, "{series}");
    }
    let created = "dubernetes_call_duration_seconds_count{adapter=\"engine\",call=\"create a \
                   container\",outcome=\"success\"}";
    assert_eq!(seen.value(created), 3.0);
}

#[tokio::test(start_paused = true)]
async fn exits_and_failed_probes_are_counted() {
    let measured = Measured::start();
    measured.orchestrator.deploy_web("web:1", 2).await;
    measured.orchestrator.runtime.kill("dubernetes.default.web-2.r1", 137);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(measured.export().await.value("dubernetes_restarts_total{app=\"web\"}"), 1.0);
    let failed = "dubernetes_probes_total{app=\"web\",outcome=\"failure\"}";
    let before = measured.export().await.value(failed);
    measured.orchestrator.runtime.set_ready("dubernetes.default.web-1.r1", false);
    tokio::time::sleep(MINUTE).await;
    let seen = measured.export().await;
    assert!(seen.value(failed) > before, "{seen:#?}");
    assert_eq!(seen.value("dubernetes_app_replicas_ready{app=\"web\"}"), 1.0);
    assert_eq!(seen.value("dubernetes_app_phase{app=\"web\",phase=\"Degraded\"}"), 1.0);
    assert_eq!(seen.value("dubernetes_restarts_total{app=\"web\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn failed_rollout_counts_as_rolled_back() {
    let measured = Measured::start();
    measured.orchestrator.deploy_web("web:1", 2).await;
    tokio::time::sleep(2 * MINUTE).await;
    measured.orchestrator.runtime.add_image("bad:1", Behaviour::exits(MINUTE / 120, 9));
    let mut bad = app("web", "bad:1", 2);
    bad.rollout.progress_deadline = Span::from_secs(20);
    measured.orchestrator.apply(&bad).await.unwrap();
    tokio::time::sleep(2 * MINUTE).await;
    let seen = measured.export().await;
    let rollouts = |outcome: &str| {
        let series = format!("dubernetes_rollouts_total{{app=\"web\",outcome=\"{outcome}\"}}");
        seen.value(&series)
    };
    assert_eq!(["complete", "failed", "rolled_back"].map(rollouts), [2.0, 0.0, 1.0]);
    assert_eq!(seen.value("dubernetes_app_revision{app=\"web\"}"), 3.0);
}

#[tokio::test(start_paused = true)]
async fn engine_that_is_away_is_down_and_its_calls_fail() {
    let measured = Measured::start();
    measured.orchestrator.deploy_web("web:1", 1).await;
    measured.orchestrator.runtime.set_away(true);
    tokio::time::sleep(MINUTE).await;
    let seen = measured.export().await;
    assert_eq!(seen.value("dubernetes_engine_up"), 0.0);
    let failed = "dubernetes_call_duration_seconds_count{adapter=\"engine\",call=\"read its \
                  version\",outcome=\"error\"}";
    assert!(seen.value(failed) > 0.0, "{seen:#?}");
    measured.orchestrator.runtime.set_away(false);
    measured.orchestrator.until_ready("web").await;
    assert_eq!(measured.export().await.value("dubernetes_engine_up"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn expiry_of_certificates_is_exported_by_host() {
    let measured = Measured::start();
    let mut spec = app("web", "web:1", 1);
    spec.access[0].tls = Some(Tls::Issued(IssuedTls::Internal));
    measured.orchestrator.apply(&spec).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    let expiry = measured.orchestrator.handle.certificates()[0].info.as_ref().unwrap().not_after;
    let seen = measured.export().await;
    let series = "dubernetes_certificate_expiry_timestamp_seconds{host=\"web.local\"}";
    #[expect(clippy::as_conversions, reason = "seconds of this century are exact")]
    let expected = expiry.as_second() as f64;
    assert_eq!(seen.value(series), expected);
}

#[tokio::test(start_paused = true)]
async fn requests_are_exported_by_app_and_class() {
    let measured = Measured::start();
    measured.orchestrator.deploy_web("web:1", 1).await;
    for _ in 0..3 {
        measured.orchestrator.ingress.request("web.local", "/");
    }
    let seen = measured.export().await;
    for (series, value) in [
        ("dubernetes_ingress_request_metrics_available", 1.0),
        ("dubernetes_ingress_requests_total{app=\"web\",code=\"2xx\"}", 3.0),
        ("dubernetes_ingress_requests_total{app=\"web\",code=\"5xx\"}", 0.0),
        ("dubernetes_ingress_request_duration_seconds_count{app=\"web\"}", 3.0),
        ("dubernetes_ingress_request_duration_seconds_bucket{le=\"+Inf\",app=\"web\"}", 3.0),
    ] {
        assert_eq!(seen.value(series), value, "{series}");
    }
}

#[tokio::test(start_paused = true)]
async fn series_of_deleted_app_end() {
    let measured = Measured::start();
    measured.orchestrator.deploy_web("web:1", 1).await;
    measured.orchestrator.runtime.kill("dubernetes.default.web-1.r1", 1);
    tokio::time::sleep(MINUTE).await;
    assert!(measured.text().await.contains("app=\"web\""));
    measured.orchestrator.handle.delete(&app_name("web")).await.unwrap();
    tokio::time::sleep(5 * MINUTE).await;
    let text = measured.text().await;
    assert!(!text.contains("app=\"web\""), "{text}");
    // One that is created again starts from 0.
    measured.orchestrator.deploy_web("web:1", 1).await;
    assert_eq!(measured.export().await.value("dubernetes_restarts_total{app=\"web\"}"), 0.0);
}

/// Applies apps of two replicas, and returns the number of exported series and lines.
async fn size_with(apps: u16) -> usize {
    let measured = Measured::start();
    for at in 0..apps {
        let spec = AppSpec { replicas: 2, ..app(&format!("app{at}"), "web:1", 2) };
        measured.orchestrator.apply(&spec).await.unwrap();
    }
    let is_ready = |seen: &dubernetes_controller::Snapshot| {
        let statuses = seen.plan.statuses.values();
        statuses.filter(|status| status.ready == 2).count() == usize::from(apps)
    };
    measured.orchestrator.until("all apps are ready", 60 * MINUTE, is_ready).await;
    // After a request, an app has all series that it can have.
    for at in 0..apps {
        measured.orchestrator.ingress.request(&format!("app{at}.local"), "/");
    }
    let began = std::time::Instant::now();
    let text = measured.text().await;
    let took = began.elapsed();
    let size = text.len();
    assert!(!text.contains("app0-1"), "no series is about a replica");
    assert!(took < Duration::from_secs(1), "an export of {size} bytes takes {took:?}");
    measured.export().await.series.len()
}

#[tokio::test(start_paused = true)]
async fn number_of_series_grows_with_apps_alone() {
    let (few, many) = (size_with(10).await, size_with(200).await);
    // Phase, 3 numbers of replicas, revision, restarts, 3 outcomes of rollouts and 3 of probes; 5
    // classes of requests, and their durations in 12 buckets with sum and count.
    assert_eq!(many - few, 190 * (12 + 5 + 14), "{few} and {many}");
    assert!(few < 310 + 350, "{few} series with 10 apps");
}

#[tokio::test(start_paused = true)]
async fn older_clients_get_the_older_format() {
    let measured = Measured::start();
    measured.orchestrator.deploy_web("web:1", 1).await;
    let text = measured.exporter.export(Format::PrometheusText).await;
    assert!(text.contains("# TYPE dubernetes_restarts_total counter\n"), "{text}");
    assert!(!text.contains("# EOF"), "{text}");
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1,*/*;q=0.1";
    for (accept, format) in [
        (None, Format::OpenMetrics),
        (Some("*/*"), Format::OpenMetrics),
        (Some(prometheus), Format::OpenMetrics),
        (Some("text/plain;version=0.0.4"), Format::PrometheusText),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept:?}");
    }
}
