//! Dry run: the effect of applying specs. Changes nothing.

mod changes;
pub(super) mod rollout;

use std::collections::BTreeSet;

use axum::Json as JsonResponse;
use axum::extract::State;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::{AppName, AppSpec, Generation, PodName, RevisionId};
use dubernetes_core::forecast::{Forecast, forecast};
use dubernetes_core::state::DesiredState;
use dubernetes_core::store::{
    Change, ExistingApp, PutApp, StoreDecision, StoreError, StoredState, decide_put,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::body::{Json, read_spec};
use crate::server::extract::{NoParams, Params};
use crate::wire::{AppPlan, FieldProblem, NO_DOWNTIME, PlanReport, PlanRequest, Refused};

/// Predict the effect of applying these specs, one after the other. Nothing is changed.
#[utoipa::path(post, path = path::PLAN, operation_id = "plan",
    tag = "apps", request_body = PlanRequest, responses(
    (status = 200, body = PlanReport),
    (status = 409, description = "Another app owns a route"),
    (status = 422),
))]
pub(super) async fn plan(
    State(state): State<ApiState>,
    _: Params<NoParams>,
    body: Json,
) -> Result<JsonResponse<PlanReport>, ApiError> {
    let mut specs = specs(&body)?;
    for (index, spec) in specs.iter().enumerate() {
        let problems = spec.forbidden(state.controller.permissions()).into_iter();
        let problems: Vec<_> = problems
            .map(|found| FieldProblem {
                hint: found.hint,
                ..list_problem(index, &found.path, found.message)
            })
            .collect();
        if !problems.is_empty() {
            return Err(ApiError::invalid(problems));
        }
    }
    let stored = state.store.list().await?;
    resolve_secrets(&state, &stored, &mut specs).await?;
    let mut desired = DesiredState::new(state.info.instance.clone(), stored);
    for spec in &specs {
        // An app that does not exist has no revisions.
        let kept = state.store.revisions(&spec.name).await.unwrap_or_default();
        desired.revisions.insert(spec.name.clone(), kept);
    }
    let snapshot = state.latest_snapshot().await;
    desired.default_tls.clone_from(&snapshot.desired.default_tls);
    let now = state.clock.now();
    // A forecast for many replicas takes a while, and must not block other requests.
    let report = tokio::task::spawn_blocking(move || report(&desired, &snapshot, specs, now));
    match report.await {
        Ok(report) => report.map(JsonResponse),
        Err(_) => Err(ApiError::stopping()),
    }
}

/// Collects every problem of every spec, each with its position in the list.
fn specs(body: &Json) -> Result<Vec<AppSpec>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request<'a> {
        #[serde(borrow)]
        apps: Vec<&'a RawValue>,
    }
    // Parse in two steps, so that each spec is checked as strictly as on its own.
    let Request { apps } = body.read_borrowed()?;
    let mut specs = Vec::new();
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (index, raw) in apps.into_iter().enumerate() {
        match read_spec(raw.get().as_bytes()) {
            Ok(spec) if names.insert(spec.name.clone()) => specs.push(spec),
            Ok(spec) => {
                let message = format!("app `{}` is defined twice", spec.name);
                let pointer = Some(format!("/apps/{index}/name"));
                problems.push(FieldProblem { pointer, ..list_problem(index, "name", message) });
            }
            Err(error) => problems.extend(error.into_problem().errors.into_iter().map(|problem| {
                let FieldProblem { path, pointer, message, hint, .. } = problem;
                let pointer = pointer.map(|within| format!("/apps/{index}{within}"));
                FieldProblem { pointer, hint, ..list_problem(index, &path, message) }
            })),
        }
    }
    if problems.is_empty() { Ok(specs) } else { Err(ApiError::invalid(problems)) }
}

/// Fills in the secrets, as an apply does.
async fn resolve_secrets(
    state: &ApiState,
    stored: &StoredState,
    specs: &mut [AppSpec],
) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    for (index, spec) in specs.iter_mut().enumerate() {
        if let Some(app) = stored.apps.get(&spec.name) {
            // Only hashes are sent: equal hashes mean equal contents.
            spec.fill_contents_from(&app.spec);
        }
        match state.store.resolve_secrets(spec.clone()).await {
            Ok(resolved) => *spec = resolved,
            Err(StoreError::Invalid { problems: found, .. }) => {
                problems.extend(found.problems.into_iter().map(|found| FieldProblem {
                    hint: found.hint,
                    ..list_problem(index, &found.path, found.message)
                }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(problems)) }
}

/// Creates a problem at a position in the list, without a line: it would count within one spec.
fn list_problem(index: usize, path: &str, message: String) -> FieldProblem {
    let dot = if path.is_empty() { "" } else { "." };
    FieldProblem::new(format!("apps.{index}{dot}{path}"), message)
}

fn report(
    before: &DesiredState,
    snapshot: &Snapshot,
    specs: Vec<AppSpec>,
    now: Timestamp,
) -> Result<PlanReport, ApiError> {
    let mut after = before.clone();
    let mut changes = Vec::new();
    for spec in specs {
        let name = spec.name.clone();
        let (decided, refused) = apply_in_memory(&mut after, snapshot, spec, now)?;
        changes.push((name, decided.put.change, refused));
    }
    let apps = changes.into_iter().filter_map(|(name, change, refused)| {
        app_plan(before, &after, snapshot, &name, change, refused, now)
    });
    Ok(PlanReport { apps: apps.collect() })
}

/// Predicts what happens to an app between two desired states; `None` if it is not in the second.
fn app_plan(
    before: &DesiredState,
    after: &DesiredState,
    snapshot: &Snapshot,
    name: &AppName,
    change: Change,
    refused: Option<Refused>,
    now: Timestamp,
) -> Option<AppPlan> {
    let forecast = forecast(after, &snapshot.observed, name, now);
    let old = before.apps.get(name);
    let new = after.apps.get(name)?;
    Some(AppPlan {
        app: name.clone(),
        change,
        refused,
        changes: old.map_or_else(Vec::new, |old| changes::field_changes(&old.spec, &new.spec)),
        revision_from: old.map(|old| old.revision),
        revision_to: new.revision,
        downtime: downtime_text(snapshot, name, &new.spec, &forecast),
        most_memory: new
            .spec
            .resources
            .memory
            .map(|limit| limit.saturating_mul(forecast.most_live).to_string()),
        forecast,
    })
}

/// Applies a spec in memory as the store would. A spec that has already failed is applied all the
/// same, and reported as refused.
fn apply_in_memory(
    desired: &mut DesiredState,
    snapshot: &Snapshot,
    spec: AppSpec,
    now: Timestamp,
) -> Result<(StoreDecision, Option<Refused>), ApiError> {
    if desired.teardown.is_some() {
        return Err(StoreError::TearingDown.into());
    }
    let name = spec.name.clone();
    let newest_seen = newest_revision_seen(snapshot, &name);
    let revisions = desired.revisions.get(&name).map_or(&[][..], Vec::as_slice);
    let before = match (desired.apps.get(&name), desired.tombstones.get(&name)) {
        (Some(app), _) => ExistingApp::Live { app, revisions },
        // Only the store knows the last numbers; observed revisions are a lower bound.
        (None, Some(_)) => {
            ExistingApp::Deleted { generation: Generation::NONE, revision: newest_seen, revisions }
        }
        (None, None) => ExistingApp::Absent,
    };
    let others = || desired.apps.values().map(|app| &*app.spec);
    let put = PutApp { newest_seen, ..PutApp::new(spec, now) };
    let (decided, refused) = match decide_put(before, others(), &put) {
        Err(StoreError::PreviouslyFailed { revision, reason, .. }) => {
            let decided = decide_put(before, others(), &PutApp { retry: true, ..put })?;
            (decided, Some(Refused { revision, reason }))
        }
        decided => (decided?, None),
    };
    if decided.put.change != Change::Unchanged {
        desired.tombstones.remove(&name);
        desired.apps.insert(name, decided.put.app.clone());
    }
    Ok((decided, refused))
}

/// Returns the newest observed revision of the app, as the handle does for a real apply.
fn newest_revision_seen(snapshot: &Snapshot, app: &AppName) -> RevisionId {
    let replicas = snapshot.observed.replicas.iter().filter(|r| r.labels.app == *app);
    replicas.map(|replica| replica.labels.revision).max().unwrap_or(RevisionId::NONE)
}

/// Returns `none`, or when and why no replica is ready.
fn downtime_text(
    snapshot: &Snapshot,
    app: &AppName,
    spec: &AppSpec,
    forecast: &Forecast,
) -> String {
    let ready = snapshot.plan.statuses.get(app).map_or(0, |status| status.ready);
    if ready == 0 || forecast.fewest_ready > 0 {
        return NO_DOWNTIME.to_owned();
    }
    if spec.replicas == 0 {
        return "the app is scaled to zero".to_owned();
    }
    if let Some(why) = snapshot.observed.port_support.why_direct(spec) {
        return format!("the replica publishes `ports` itself, so the old one stops first: {why}");
    }
    if spec.stops_first() {
        let reason = if spec.rollout.order.is_some() {
            "`rollout.order` is stop-first: the old replica stops first"
        } else {
            "a single replica writes to a volume: the old one stops first"
        };
        return reason.to_owned();
    }
    let gap = forecast.steps.iter().enumerate().find(|(_, step)| step.ready == 0);
    let cause = gap_cause(spec);
    match gap {
        Some((index, step)) => {
            let pod = step.pod.as_ref().map_or("the app", PodName::as_str);
            format!("{cause}: no replica is ready after step {}: {} {pod}", index + 1, step.action)
        }
        None => cause,
    }
}

/// Returns which setting lets a rollout leave no replica ready.
fn gap_cause(spec: &AppSpec) -> String {
    let replicas = u32::from(spec.replicas);
    let rollout = &spec.rollout;
    match rollout.max_surge {
        Some(surge) if surge.resolve_ceil(replicas) == 0 => {
            format!("`rollout.max_surge: {surge}` allows no new replica before an old one stops")
        }
        Some(_) | None if rollout.max_unavailable.resolve_floor(replicas) >= replicas => format!(
            "`rollout.max_unavailable: {}` allows all replicas to stop at once",
            rollout.max_unavailable
        ),
        Some(_) | None => "the rollout has no ready replica to keep".to_owned(),
    }
}
