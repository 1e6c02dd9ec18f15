//! Recorded decisions about an app.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::Json as JsonResponse;
use axum::extract::State;
use dubernetes_core::app::AppName;
use dubernetes_core::replay::{AppDecision, Journal};
use jiff::Timestamp;
use serde::Deserialize;

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::extract::{App, Params};
use crate::wire::{Decision, List, ProblemKind};

/// Default number of decisions in a response.
const DEFAULT_LIMIT: u32 = 20;
/// Maximum number of decisions in a response: each has a line for every replica.
const MAX_LIMIT: u32 = 100;

/// Selects decisions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DecisionQuery {
    /// Only decisions at or before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Maximum number of decisions, the last; 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// List the recorded decisions about an app, oldest first.
///
/// A decision that differs from the one before only in other apps is left out.
#[utoipa::path(get, path = path::APP_DECISIONS, operation_id = "list_decisions",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app"), DecisionQuery),
    responses(
        (status = 200, body = List<Decision>),
        (status = 404),
    )
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    App(name): App,
    Params(DecisionQuery { until, limit }): Params<DecisionQuery>,
) -> Result<JsonResponse<List<Decision>>, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let detail = format!("`limit` must be between 1 and {MAX_LIMIT}, not {limit}");
        return Err(ApiError::new(ProblemKind::InvalidQuery, detail));
    }
    let found = match &state.journal {
        Some(journal) => {
            let (journal, app) = (Arc::clone(journal), name.clone());
            let until = until.unwrap_or(Timestamp::MAX);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let read = move || last_decisions(&*journal, &app, until, limit);
            let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::from);
            read.flatten().map_err(|error| {
                let detail = format!("cannot read the journal of decisions: {error}");
                ApiError::new(ProblemKind::Internal, detail)
            })?
        }
        None => VecDeque::new(),
    };
    if found.is_empty() {
        // Those of a deleted app stay.
        state.store.get(&name).await?;
    }
    Ok(JsonResponse(List::new(found.into_iter().map(Decision::from).collect())))
}

/// Reads the last decisions about an app up to a time, each different from the one before.
fn last_decisions(
    journal: &dyn Journal,
    app: &AppName,
    until: Timestamp,
    limit: usize,
) -> io::Result<VecDeque<AppDecision>> {
    let mut found: VecDeque<AppDecision> = VecDeque::new();
    journal.read(&mut |decision| {
        if decision.at > until {
            return;
        }
        let Some(decision) = decision.about(app) else { return };
        if found.back().is_some_and(|last| last.is_repeated_by(&decision)) {
            return;
        }
        found.push_back(decision);
        if found.len() > limit {
            found.pop_front();
        }
    })?;
    Ok(found)
}
