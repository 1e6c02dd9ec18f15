//! `rollout` and `pre_deploy`.

use super::super::fields::{Checker, Field, Fields};
use super::super::keys;
use super::super::node::Value;
use dubernetes_core::app::escape::quoted;
use dubernetes_core::app::rules;
use dubernetes_core::app::{CountOrPercent, Duration, OnFailure, Order, PreDeploy, Rollout};

pub(super) fn read<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Rollout {
    let mut rollout = Rollout::default();
    let Some(field) = checker.given(fields, "rollout") else { return rollout };
    let Some(level) = checker.level(&field, &keys::ROLLOUT) else { return rollout };
    if let Some(field) = checker.given(&level, "rollout.max_surge") {
        rollout.max_surge = share(checker, &field);
    }
    if let Some(field) = checker.given(&level, "rollout.max_unavailable") {
        rollout.max_unavailable = share(checker, &field).unwrap_or_default();
    }
    if let Some(field) = checker.given(&level, "rollout.min_ready") {
        let read = checker.parsed(&field, Duration::parse);
        rollout.min_ready = read.unwrap_or(rollout.min_ready);
    }
    if let Some(field) = checker.given(&level, "rollout.progress_deadline") {
        let read = checker.parsed(&field, Duration::parse);
        rollout.progress_deadline = read.unwrap_or(rollout.progress_deadline);
    }
    if let Some(field) = checker.given(&level, "rollout.order") {
        rollout.order = checker.parsed(&field, parse_order);
    }
    if let Some(field) = checker.given(&level, "rollout.on_failure") {
        rollout.on_failure = checker.parsed(&field, parse_on_failure).unwrap_or_default();
    }
    if let Some(field) = checker.given(&level, "rollout.history")
        && let Some(digits) = checker.whole(&field)
    {
        match digits.parse().ok().filter(|n| (1..=Rollout::MAX_HISTORY).contains(n)) {
            Some(history) => rollout.history = history,
            None => checker.broken(vec![rules::history_range(&quoted(digits))]),
        }
    }
    let mut broken = Vec::new();
    rules::rollout(&rollout, &mut broken);
    checker.broken(broken);
    rollout
}

pub(super) fn pre_deploy<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Option<PreDeploy> {
    let field = checker.given(fields, "pre_deploy")?;
    let level = checker.level(&field, &keys::PRE_DEPLOY)?;
    let command = checker.required(&level, "pre_deploy.command");
    let mut read = PreDeploy { command: Vec::new(), timeout: PreDeploy::TIMEOUT };
    if let Some(field) = checker.given(&level, "pre_deploy.timeout") {
        read.timeout = checker.parsed(&field, Duration::parse).unwrap_or(read.timeout);
    }
    let command = command?;
    let items = checker.list(&command);
    if !matches!(command.node.value, Value::List(_)) {
        return None;
    }
    let words = items.iter().filter_map(|item| checker.text(item).map(str::to_owned));
    read.command = words.collect();
    if read.command.len() < items.len() {
        return None;
    }
    let mut broken = Vec::new();
    rules::pre_deploy(&read, &mut broken);
    checker.broken(broken);
    Some(read)
}

/// A percentage is text; a number is written like every other one.
fn share<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<CountOrPercent> {
    let nested = matches!(field.node.value, Value::List(_) | Value::Map(_));
    if !nested && field.node.text().is_none_or(|text| !text.ends_with('%')) {
        let share = CountOrPercent::parse(checker.whole(field)?);
        if share.is_ok() {
            return share.ok();
        }
    }
    checker.parsed(field, CountOrPercent::parse)
}

fn parse_order(text: &str) -> Result<Order, String> {
    Order::ALL.into_iter().find(|order| order.as_str() == text).ok_or_else(|| {
        let names = Order::ALL.map(|order| format!("`{}`", order.as_str()));
        format!("`rollout.order` is one of {}, not {}", names.join(", "), quoted(text))
    })
}

fn parse_on_failure(text: &str) -> Result<OnFailure, String> {
    OnFailure::ALL.into_iter().find(|choice| choice.as_str() == text).ok_or_else(|| {
        let names = OnFailure::ALL.map(|choice| format!("`{}`", choice.as_str()));
        format!("`rollout.on_failure` is one of {}, not {}", names.join(", "), quoted(text))
    })
}
