//! Logs of the containers that crashed before the present ones.

use std::collections::BTreeSet;

use dubernetes_core::runtime::LogOptions;
use futures_util::StreamExt as _;

use super::Target;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::stream::Items;
use crate::wire::{LogItem, LogLine, ProblemKind};

/// Yields the last lines of all crashed containers, oldest first.
pub(super) fn lines(
    state: &ApiState,
    target: &Target,
    options: &LogOptions,
) -> Result<Items<LogItem>, ApiError> {
    if options.follow {
        let detail = "`previous` cannot be combined with `follow`";
        return Err(ApiError::new(ProblemKind::InvalidQuery, detail));
    }
    let snapshot = state.controller.snapshot();
    let pods: BTreeSet<_> = target.pods(&snapshot).map(|pod| &pod.name).collect();
    let mut lines = Vec::new();
    let mut known = false;
    for pod in pods {
        let Some(log) = state.controller.previous_logs(pod.as_str()) else { continue };
        known = true;
        let log = log.iter().filter(|line| options.since.is_none_or(|since| line.time >= since));
        let log: Vec<_> = log.map(|line| LogLine::new(pod.clone(), line.clone())).collect();
        let tail = options.tail.and_then(|tail| usize::try_from(tail).ok());
        let skipped = tail.map_or(0, |tail| log.len().saturating_sub(tail));
        lines.extend(log.into_iter().skip(skipped));
    }
    if !known {
        let whose = match target {
            Target::App(app) => format!("no pod of app `{app}`"),
            Target::Pod(pod) => format!("no container of pod `{pod}`"),
        };
        let detail = format!("{whose} has crashed since this orchestrator started");
        return Err(ApiError::new(ProblemKind::NotFound, detail));
    }
    lines.sort_by_key(|line| line.time);
    Ok(futures_util::stream::iter(lines).map(|line| Ok(LogItem::Line(line))).boxed())
}
