//! Reading of `health`: one of three probes, and its thresholds.

use crate::fields::{Checker, Field, Fields};
use crate::suggest::example_hint;
use dubernetes_core::app::rules;
use dubernetes_core::app::{Check, Duration, Health, HostName, UrlPath};

const PROBES: [&str; 3] = ["http", "tcp", "exec"];

pub(super) fn read_health<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Option<Health> {
    let field = checker.optional(fields, "health")?;
    let fields = checker.object(&field)?;
    let check = read_check(checker, &field, &fields);
    // The thresholds are checked even if the probe is invalid.
    let mut health = Health::new(check.clone().unwrap_or(Check::Tcp));
    health.port = super::read_port(checker, &fields, "health.port");
    health.host = checker.parse_optional(&fields, "host", HostName::parse);
    let mut read_span = |name: &str, value: &mut Duration| {
        *value = checker.parse_optional(&fields, name, Duration::parse).unwrap_or(*value);
    };
    read_span("interval", &mut health.interval);
    // The default must not exceed the interval of the file.
    health.timeout = health.timeout.min(health.interval);
    read_span("timeout", &mut health.timeout);
    read_span("start_period", &mut health.start_period);
    let mut read_count = |name: &str, value: &mut u16| {
        let out_of_range =
            |found: &str| rules::count_out_of_range(&format!("health.{name}"), found);
        let range = 1..=Health::MAX_COUNT;
        *value = checker.optional_number(&fields, name, range, out_of_range).unwrap_or(*value);
    };
    read_count("success", &mut health.success);
    read_count("failures", &mut health.failures);
    read_count("replace_after", &mut health.replace_after);
    check?;
    checker.report_violations(rules::check_health(&health));
    Some(health)
}

/// Reads the probe. Exactly one must exist.
fn read_check<'n>(
    checker: &mut Checker<'n>,
    health: &Field<'n>,
    fields: &Fields<'n>,
) -> Option<Check> {
    let probes = PROBES.map(|name| checker.optional(fields, name));
    let mut existing = probes.iter().flatten();
    match (existing.next(), existing.next()) {
        (Some(_), None) => {}
        (None, _) => {
            let message = "`health` must have one of `http`, `tcp` and `exec`";
            checker.report_value(health, message, example_hint("health"));
            return None;
        }
        (Some(first), Some(second)) => {
            let message = format!("`{}` cannot be combined with `{}`", second.path, first.path);
            checker.report_value(second, message, "write one of `http`, `tcp` and `exec`");
            return None;
        }
    }
    let [http, tcp, exec] = probes;
    if let Some(http) = http {
        return checker.parse(&http, UrlPath::parse).map(Check::Http);
    }
    if let Some(tcp) = tcp {
        return read_tcp(checker, &tcp);
    }
    checker.texts(&exec?).map(Check::Exec)
}

fn read_tcp<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<Check> {
    if field.node.flag() == Some(true) {
        return Some(Check::Tcp);
    }
    let message = format!("`health.tcp` must be `true`, not {}", field.node.describe());
    let hint = "write `tcp: true`, or delete `health` to use the default check";
    checker.report_value(field, message, hint);
    None
}
