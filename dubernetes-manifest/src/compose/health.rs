//! `healthcheck`.

use super::draft::Out;
use super::notes::At;
use super::service::Service;
use super::text;
use crate::node::{Entry, Node, Value};
use dubernetes_core::app::{Duration, Health};

/// Reads the check. Without a command it is that of the image, which is not used here.
pub(super) fn read(service: &mut Service<'_>, at: &At, node: &Node) {
    let Value::Map(options) = &node.value else {
        return service.not_taken(at, "a mapping was expected");
    };
    let find = |name: &str| options.iter().find(|option| option.key == name);
    let is_disabled = find("disable").is_some_and(|entry| entry.value.text() == Some("true"));
    let command = find("test").map(|test| read_test(&test.value));
    let command = match command {
        _ if is_disabled => return,
        Some(Test::None) => return,
        Some(Test::Command(command)) => command,
        Some(Test::Unknown) | None => {
            return service.note(
                at,
                "not taken: without `test` it is the check of the image, which is not used",
                "write `health: { exec: […] }`, or `http` or `tcp`, which need no tools",
            );
        }
    };
    let command = command.iter().map(|word| service.convert(at, word)).collect::<Vec<_>>();
    let mut health = vec![("exec".to_owned(), Out::texts(command))];
    read_times(service, at, options, &mut health);
    service.set("health", Out::Map(health), at);
}

enum Test {
    None,
    Command(Vec<String>),
    Unknown,
}

fn read_test(node: &Node) -> Test {
    let shell = |line: &str| Test::Command(["/bin/sh", "-c", line].map(str::to_owned).to_vec());
    let Value::List(items) = &node.value else {
        return match node.text() {
            Some("NONE") => Test::None,
            Some(line) => shell(line),
            None => Test::Unknown,
        };
    };
    let words: Vec<_> = items.iter().filter_map(Node::text).collect();
    match &words[..] {
        ["NONE"] => Test::None,
        ["CMD-SHELL", line] => shell(line),
        ["CMD", rest @ ..] if !rest.is_empty() => {
            Test::Command(rest.iter().map(|word| (*word).to_owned()).collect())
        }
        _ => Test::Unknown,
    }
}

fn read_times(
    service: &mut Service<'_>,
    at: &At,
    options: &[Entry],
    health: &mut Vec<(String, Out)>,
) {
    let mut interval = None;
    let mut timeout = None;
    for option in options {
        let at = at.below(option);
        let Some(value) = option.value.text() else { continue };
        match option.key.as_str() {
            "test" | "disable" => {}
            "interval" => interval = duration(service, &at, value),
            "timeout" => timeout = duration(service, &at, value),
            "start_period" => {
                if let Some(period) = duration(service, &at, value) {
                    health.push(("start_period".to_owned(), Out::Text(period.to_string())));
                }
            }
            "retries" => read_retries(service, &at, value, health),
            _ => service.note(
                &at,
                "not taken: a replica that is not ready is probed once a second",
                "`dubernetes explain health.interval`",
            ),
        }
    }
    let limit = interval.unwrap_or(Health::INTERVAL);
    if timeout.is_some_and(|timeout| timeout > limit) {
        service.say(at, &format!("`timeout` is {limit}: it is at most the interval"));
        timeout = Some(limit);
    }
    for (key, value) in [("interval", interval), ("timeout", timeout)] {
        health.extend(value.map(|value| (key.to_owned(), Out::Text(value.to_string()))));
    }
}

fn duration(service: &mut Service<'_>, at: &At, value: &str) -> Option<Duration> {
    let known = text::with_default(&service.convert(at, value));
    let duration = known.as_deref().map(Duration::parse);
    match duration {
        Some(Ok(duration)) => Some(duration),
        Some(Err(_)) | None => {
            service.note(
                at,
                &format!("not taken: `{value}` is no time from 1ms to 1h"),
                "`dubernetes explain health`",
            );
            None
        }
    }
}

/// An unhealthy replica is replaced here, in Compose it stays.
fn read_retries(service: &mut Service<'_>, at: &At, value: &str, health: &mut Vec<(String, Out)>) {
    let known = text::with_default(&service.convert(at, value));
    let Some(count) = known.and_then(|known| known.parse::<u64>().ok()).filter(|n| *n > 0) else {
        return service.not_taken(at, "a whole number above 0 was expected");
    };
    health.push(("failures".to_owned(), Out::Whole(count)));
    if count > u64::from(Health::REPLACE_AFTER) {
        health.push(("replace_after".to_owned(), Out::Whole(count)));
    }
}
