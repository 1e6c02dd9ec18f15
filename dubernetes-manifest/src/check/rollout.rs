//! Reading of `rollout` and `pre_deploy`.

use crate::fields::{Checker, Field, Fields};
use dubernetes_core::app::rules;
use dubernetes_core::app::{CountOrPercent, Duration, OnFailure, Order, PreDeploy, Rollout};

pub(super) fn read_rollout<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Rollout {
    let default = Rollout::default();
    let field = checker.optional(fields, "rollout");
    let Some(fields) = field.and_then(|field| checker.object(&field)) else { return default };
    let max_surge = checker.optional(&fields, "max_surge");
    let max_surge = max_surge.and_then(|field| read_count_or_percent(checker, &field));
    let max_terminating = checker.optional(&fields, "max_terminating");
    let max_terminating = max_terminating.and_then(|field| read_count_or_percent(checker, &field));
    let max_unavailable = checker.optional(&fields, "max_unavailable");
    let max_unavailable = max_unavailable.and_then(|field| read_count_or_percent(checker, &field));
    let min_ready = checker.parse_optional(&fields, "min_ready", Duration::parse);
    let progress_deadline = checker.parse_optional(&fields, "progress_deadline", Duration::parse);
    let order = checker.parse_optional(&fields, "order", Order::parse);
    let on_failure = checker.parse_optional(&fields, "on_failure", OnFailure::parse);
    let range = 1..=Rollout::MAX_HISTORY;
    let history = checker.optional_number(&fields, "history", range, rules::history_out_of_range);
    let rollout = Rollout {
        max_surge,
        max_terminating,
        max_unavailable: max_unavailable.unwrap_or(default.max_unavailable),
        min_ready: min_ready.unwrap_or(default.min_ready),
        progress_deadline: progress_deadline.unwrap_or(default.progress_deadline),
        order,
        on_failure: on_failure.unwrap_or(default.on_failure),
        history: history.unwrap_or(default.history),
    };
    checker.report_violations(rules::check_rollout(&rollout));
    rollout
}

pub(super) fn read_pre_deploy<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
) -> Option<PreDeploy> {
    let field = checker.optional(fields, "pre_deploy")?;
    let fields = checker.object(&field)?;
    let command = checker.required(&fields, "command");
    let timeout = checker.parse_optional(&fields, "timeout", Duration::parse);
    let command = checker.texts(&command?)?;
    let pre_deploy = PreDeploy { command, timeout: timeout.unwrap_or(PreDeploy::TIMEOUT) };
    checker.report_violations(rules::check_pre_deploy(&pre_deploy));
    Some(pre_deploy)
}

/// Reads a percentage as text, and a count like any other number.
fn read_count_or_percent<'n>(
    checker: &mut Checker<'n>,
    field: &Field<'n>,
) -> Option<CountOrPercent> {
    let is_percent = field.node.text().is_some_and(|text| text.ends_with('%'));
    if !is_percent
        && !field.node.is_collection()
        && let Ok(count) = CountOrPercent::parse(checker.digits(field)?)
    {
        return Some(count);
    }
    checker.parse(field, CountOrPercent::parse)
}
