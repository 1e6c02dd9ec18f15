//! What would happen if specifications were applied.

use dubernetes_core::app::{AppName, AppSpec};
use dubernetes_core::forecast::Forecast;
use dubernetes_core::store::Change;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi;

/// The text of [`AppPlan::downtime`] where there is none.
pub const NO_DOWNTIME: &str = "none";

/// The specifications that would be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// One or several, with different names.
    #[schema(value_type = Vec<openapi::AppSpec>)]
    pub apps: Vec<AppSpec>,
}

/// What would happen, app by app, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanReport {
    /// The apps.
    pub apps: Vec<AppPlan>,
}

/// What would happen to one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppPlan {
    /// Its name.
    #[schema(value_type = String)]
    pub app: AppName,
    /// What an apply would answer.
    #[schema(value_type = openapi::Change)]
    pub change: Change,
    /// Why an apply would refuse it, and only one with `retry` would do this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The fields that would change; empty for a new app.
    pub changes: Vec<FieldChange>,
    /// The revision that is wanted now; none if the app does not exist.
    pub revision_from: Option<u64>,
    /// The revision that would be wanted then.
    pub revision_to: u64,
    /// The steps.
    #[schema(value_type = openapi::Forecast)]
    pub forecast: Forecast,
    /// `none`, or when and why no replica is ready on the way.
    pub downtime: String,
    /// The memory that the largest number of live replicas may use, where it is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_memory: Option<String>,
}

/// A revision with just this content that has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// Its number.
    pub revision: u64,
    /// Why it failed.
    pub reason: String,
}

/// A field that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    /// The field: keys joined by dots, such as `resources.memory`.
    pub path: String,
    /// Its value now; none where it is not set.
    pub old: Option<String>,
    /// Its value then; none where it would not be set.
    pub new: Option<String>,
}
