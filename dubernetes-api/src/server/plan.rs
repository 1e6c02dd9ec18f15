//! What would happen if specifications were applied. Nothing is changed.

mod changes;

use std::collections::BTreeSet;

use axum::Json as Answer;
use axum::extract::State;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::{AppName, AppSpec};
use dubernetes_core::forecast::{Forecast, forecast};
use dubernetes_core::state::DesiredState;
use dubernetes_core::store::{Change, Existing, PutApp, PutDecision, StoreError, decide_put};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::apps::newest_seen;
use crate::server::body::{Json, read_spec};
use crate::server::extract::{NoParams, Params};
use crate::wire::{AppPlan, FieldProblem, NO_DOWNTIME, PlanReport, PlanRequest, Problem, Refused};

/// What would happen if these specifications were applied, one after the other. Nothing is
/// changed.
#[utoipa::path(post, path = path::PLAN, tag = "apps", request_body = PlanRequest, responses(
    (status = 200, body = PlanReport),
    (status = 409, body = Problem, content_type = "application/problem+json",
        description = "A route is taken"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn plan(
    State(state): State<ApiState>,
    _: Params<NoParams>,
    body: Json,
) -> Result<Answer<PlanReport>, ApiError> {
    let specs = specs(&body)?;
    let stored = state.store.list().await?;
    let mut desired = DesiredState::new(state.about.instance.clone(), stored);
    for spec in &specs {
        // An app that does not exist has none.
        let kept = state.store.revisions(&spec.name).await.unwrap_or_default();
        desired.revisions.insert(spec.name.clone(), kept);
    }
    let snapshot = state.looked().await;
    let now = state.clock.now();
    // Running ahead over many replicas takes a while, and other requests must not wait for it.
    let report = tokio::task::spawn_blocking(move || report(&desired, &snapshot, specs, now));
    match report.await {
        Ok(report) => report.map(Answer),
        Err(_) => Err(ApiError::stopping()),
    }
}

/// Every problem of every specification, each with its place in the list.
fn specs(body: &Json) -> Result<Vec<AppSpec>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request<'a> {
        #[serde(borrow)]
        apps: Vec<&'a RawValue>,
    }
    // Read in two steps, so that each specification is checked as strictly as alone.
    let Request { apps } = body.read_borrowed()?;
    let (mut specs, mut problems, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (index, raw) in apps.into_iter().enumerate() {
        match read_spec(raw.get().as_bytes()) {
            Ok(spec) if names.insert(spec.name.clone()) => specs.push(spec),
            Ok(spec) => {
                let message = format!("app `{}` stands here twice", spec.name);
                let pointer = Some(format!("/apps/{index}/name"));
                problems.push(FieldProblem { pointer, message, ..at(index, "name") });
            }
            Err(error) => problems.extend(error.into_problem().errors.into_iter().map(|problem| {
                let FieldProblem { path, pointer, message, hint, .. } = problem;
                let pointer = pointer.map(|within| format!("/apps/{index}{within}"));
                FieldProblem { pointer, message, hint, ..at(index, &path) }
            })),
        }
    }
    if problems.is_empty() { Ok(specs) } else { Err(ApiError::invalid(problems)) }
}

/// A problem at a place in the list; the line within one specification would mislead.
fn at(index: usize, path: &str) -> FieldProblem {
    let dot = if path.is_empty() { "" } else { "." };
    let path = format!("apps.{index}{dot}{path}");
    FieldProblem {
        path,
        pointer: None,
        line: None,
        column: None,
        message: String::new(),
        hint: None,
    }
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
        let (decided, refused) = apply(&mut after, snapshot, spec, now)?;
        changes.push((name, decided.put.change, refused));
    }
    let apps = changes.into_iter().filter_map(|(name, change, refused)| {
        let forecast = forecast(&after, &snapshot.observed, &name, now);
        let (old, new) = (before.apps.get(&name), after.apps.get(&name)?);
        Some(AppPlan {
            change,
            refused,
            changes: old.map_or_else(Vec::new, |old| changes::of(&old.spec, &new.spec)),
            revision_from: old.map(|old| old.revision),
            revision_to: new.revision,
            downtime: downtime(snapshot, &name, &new.spec, &forecast),
            most_memory: new
                .spec
                .resources
                .memory
                .map(|limit| limit.saturating_mul(forecast.most_live).to_string()),
            forecast,
            app: name,
        })
    });
    Ok(PlanReport { apps: apps.collect() })
}

/// Does in memory what the store would do; what it would refuse, since it has failed before, is done
/// all the same, and said.
fn apply(
    desired: &mut DesiredState,
    snapshot: &Snapshot,
    mut spec: AppSpec,
    now: Timestamp,
) -> Result<(PutDecision, Option<Refused>), ApiError> {
    let name = spec.name.clone();
    if let Some(app) = desired.apps.get(&name) {
        // Only hashes are sent: equal ones are equal contents.
        spec.fill_contents_from(&app.spec);
    }
    let newest_seen = newest_seen(snapshot, &name);
    let revisions = desired.revisions.get(&name).map_or(&[][..], Vec::as_slice);
    let before = match (desired.apps.get(&name), desired.tombstones.get(&name)) {
        (Some(app), _) => Existing::Live { app, revisions },
        // The store alone knows the last numbers; what runs is a lower bound for them.
        (None, Some(_)) => Existing::Deleted { generation: 0, revision: newest_seen, revisions },
        (None, None) => Existing::Absent,
    };
    let others = || desired.apps.values().map(|app| &app.spec);
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

/// `none`, or why requests find no replica on the way.
fn downtime(snapshot: &Snapshot, app: &AppName, spec: &AppSpec, forecast: &Forecast) -> String {
    let ready = snapshot.plan.statuses.get(app).map_or(0, |status| status.ready);
    if ready == 0 || forecast.fewest_ready > 0 {
        return NO_DOWNTIME.to_owned();
    }
    if spec.replicas == 0 {
        return "no replica is wanted any more".to_owned();
    }
    if spec.stops_first() {
        return match spec.rollout.order {
            Some(_) => "`rollout.order` is stop-first: the old replica stops first",
            None => "one replica writes to a volume: it stops first",
        }
        .to_owned();
    }
    let gap = forecast.steps.iter().enumerate().find(|(_, step)| step.ready == 0);
    match gap {
        Some((index, step)) => {
            let pod = step.pod.as_deref().unwrap_or("the app");
            let number = index + 1;
            format!(
                "no replica is ready after step {number}: {} {pod}, {}",
                step.action, step.reason
            )
        }
        None => "no replica is ready on the way".to_owned(),
    }
}
