//! Probes: when a replica is ready, and when it is replaced.

use dubernetes_core::app::{AppSpec, Check, Duration, Health};

use super::container::words;
use super::notes::Notes;
use super::object::Object;

/// Returns the probes of the container.
///
/// A replica that starts has the whole start period, and then as many failures as any other one:
/// that is the startup probe, which runs once a second. The liveness probe, which starts after it,
/// is `replace_after`, and the readiness probe `failures`.
pub(super) fn export(spec: &AppSpec, notes: &mut Notes) -> Object {
    let Some(health) = &spec.health else {
        return match spec.is_reachable() {
            true => Object::new().with("readinessProbe", port_probe(spec)),
            false => Object::new(),
        };
    };
    let period = whole_seconds("health.interval", health.interval, notes);
    let timeout = whole_seconds("health.timeout", health.timeout, notes);
    let check = check(spec, health);
    let probe = |period: u64, failures: u64| {
        check
            .clone()
            .with("periodSeconds", period)
            .with("timeoutSeconds", timeout)
            .with("failureThreshold", failures)
    };
    let start = ceil_seconds(health.start_period) + period * u64::from(health.replace_after);
    let success = (health.success != 1).then_some(health.success);
    Object::new()
        .with("startupProbe", probe(1, start))
        .with(
            "readinessProbe",
            probe(period, health.failures.into()).with_some("successThreshold", success),
        )
        .with("livenessProbe", probe(period, health.replace_after.into()))
}

/// Returns the probe of an app without `health`: it never replaces a replica.
fn port_probe(spec: &AppSpec) -> Object {
    Object::new()
        .with("tcpSocket", Object::new().with("port", spec.port()))
        .with("periodSeconds", ceil_seconds(Health::INTERVAL))
        .with("timeoutSeconds", ceil_seconds(Health::TIMEOUT))
        .with("failureThreshold", Health::FAILURES)
}

fn check(spec: &AppSpec, health: &Health) -> Object {
    let port = health.port.unwrap_or(spec.port());
    match &health.check {
        Check::Http(path) => {
            let host = health.host.as_ref().or(spec.first_host()).map(|host| host.as_str());
            let host = host.unwrap_or(spec.name.as_str());
            let header = Object::new().with("name", "Host").with("value", host);
            let get = Object::new()
                .with("path", path.as_str())
                .with("port", port)
                .with("httpHeaders", vec![header]);
            Object::new().with("httpGet", get)
        }
        Check::Tcp => Object::new().with("tcpSocket", Object::new().with("port", port)),
        Check::Exec(command) => {
            Object::new().with("exec", Object::new().with("command", words(command)))
        }
    }
}

/// Returns a span in whole seconds, at least one, with a note if that is another one.
pub(super) fn whole_seconds(path: &str, span: Duration, notes: &mut Notes) -> u64 {
    let seconds = ceil_seconds(span);
    if span.millis() != seconds * 1000 {
        notes.say(path, format!("{span} becomes {seconds}s: Kubernetes takes whole seconds"));
    }
    seconds
}

/// Returns a span in whole seconds, at least one.
pub(super) fn ceil_seconds(span: Duration) -> u64 {
    span.millis().div_ceil(1000).max(1)
}
