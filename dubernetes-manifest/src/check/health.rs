//! `health`: one of three ways to ask, and how many answers count.

use super::super::fields::{Checker, Field, Fields};
use super::super::keys;
use super::super::node::{RawDiagnostic, Value};
use dubernetes_core::app::escape::quoted;
use dubernetes_core::app::rules;
use dubernetes_core::app::{Check, Duration, Health, UrlPath};

/// The ways to ask.
const WAYS: [&str; 3] = ["health.http", "health.tcp", "health.exec"];

pub(super) fn read<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Option<Health> {
    let field = checker.given(fields, "health")?;
    let level = checker.level(&field, &keys::HEALTH)?;
    let check = check(checker, &field, &level);
    // What the rest says is checked even if the way is wrong.
    let mut health = Health::new(check.clone().unwrap_or(Check::Tcp));
    if let Some(field) = checker.given(&level, "health.port") {
        health.port = port(checker, &field);
    }
    let mut span = |path: &str, value: &mut Duration| {
        if let Some(field) = checker.given(&level, path) {
            *value = checker.parsed(&field, Duration::parse).unwrap_or(*value);
        }
    };
    span("health.interval", &mut health.interval);
    // The default is not longer than the interval that somebody chose.
    health.timeout = health.timeout.min(health.interval);
    span("health.timeout", &mut health.timeout);
    span("health.start_period", &mut health.start_period);
    let mut count = |path: &str, value: &mut u16| {
        if let Some(field) = checker.given(&level, path)
            && let Some(digits) = checker.whole(&field)
        {
            match digits.parse().ok().filter(|n| (1..=Health::MAX_COUNT).contains(n)) {
                Some(number) => *value = number,
                None => out_of_range(checker, &field, digits),
            }
        }
    };
    count("health.success", &mut health.success);
    count("health.failures", &mut health.failures);
    count("health.replace_after", &mut health.replace_after);
    check?;
    let mut broken = Vec::new();
    rules::health(&health, &mut broken);
    checker.broken(broken);
    Some(health)
}

/// Which of the ways was written; exactly one has to be.
fn check<'n>(checker: &mut Checker<'n>, whole: &Field<'n>, level: &Fields<'n>) -> Option<Check> {
    let written: Vec<_> = WAYS.iter().filter_map(|way| checker.given(level, way)).collect();
    let way = match written.as_slice() {
        [one] => one,
        [] => {
            let message = "`health` has one of `http`, `tcp` and `exec`".to_owned();
            let hint = format!("for example `{}`", keys::example("health"));
            checker.fault(RawDiagnostic::new(whole.node.place, "health", message, hint));
            return None;
        }
        [first, second, ..] => {
            let message = format!("`{}` stands beside `{}`", second.path, first.path);
            let hint = "write one of `http`, `tcp` and `exec`";
            checker.fault(RawDiagnostic::new(
                second.node.place,
                second.path.clone(),
                message,
                hint,
            ));
            return None;
        }
    };
    match way.path.as_str() {
        "health.http" => checker.parsed(way, UrlPath::parse).map(Check::Http),
        "health.tcp" => tcp(checker, way),
        _ => {
            let items = checker.list(way);
            let words: Vec<String> =
                items.iter().filter_map(|item| checker.text(item).map(str::to_owned)).collect();
            (words.len() == items.len()).then_some(Check::Exec(words))
        }
    }
}

fn tcp<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<Check> {
    let is_true = match &field.node.value {
        Value::Bool(value) => *value,
        Value::Plain(text) => text == "true",
        Value::Text(_)
        | Value::Number(_)
        | Value::Null
        | Value::List(_)
        | Value::Map(_)
        | Value::Refused => false,
    };
    if is_true {
        return Some(Check::Tcp);
    }
    let message = format!("`health.tcp` is `true`, not {}", field.node.found());
    let hint = "write `tcp: true`, or delete `health` to get what is right for most";
    checker.fault(RawDiagnostic::new(field.node.place, "health.tcp", message, hint));
    None
}

fn port<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<u16> {
    let digits = checker.whole(field)?;
    let port = digits.parse().ok().filter(|port| *port > 0);
    if port.is_none() {
        let message = format!("`health.port` is a number from 1 to 65535, not {}", quoted(digits));
        let hint = format!("for example `{}`", keys::example("health.port"));
        checker.fault(RawDiagnostic::new(field.node.place, "health.port", message, hint));
    }
    port
}

fn out_of_range(checker: &mut Checker<'_>, field: &Field<'_>, digits: &str) {
    let message = rules::count_range(&field.path, &quoted(digits));
    let hint = format!("for example `{}`", keys::example(&field.path));
    checker.fault(RawDiagnostic::new(field.node.place, field.path.clone(), message, hint));
}
