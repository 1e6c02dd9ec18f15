//! Dry run of an apply.

use dubernetes_core::app::{AppName, AppSpec, RevisionId};
use dubernetes_core::forecast::Forecast;
use dubernetes_core::store::Change;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi;

/// Value of [`AppPlan::downtime`] if there is no downtime.
pub const NO_DOWNTIME: &str = "none";

/// Specs to apply in a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// One or several specs with different names.
    #[schema(value_type = Vec<openapi::AppSpec>)]
    pub apps: Vec<AppSpec>,
}

/// Result of a dry run, one entry per app in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanReport {
    /// Predicted changes of the apps.
    pub apps: Vec<AppPlan>,
}

/// Predicted change of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppPlan {
    /// Name.
    #[schema(value_type = String)]
    pub app: AppName,
    /// What an apply would change.
    #[schema(value_type = openapi::Change)]
    pub change: Change,
    /// Why an apply would be refused; the rest of this plan is that of an apply with `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// Fields that would change; empty for a new app.
    pub changes: Vec<FieldChange>,
    /// Revision that is desired now; null if the app does not exist.
    #[schema(value_type = Option<u64>)]
    pub revision_from: Option<RevisionId>,
    /// Revision that would be desired.
    #[schema(value_type = u64)]
    pub revision_to: RevisionId,
    /// Predicted steps.
    #[schema(value_type = openapi::Forecast)]
    pub forecast: Forecast,
    /// `none`, or when and why no replica is ready.
    pub downtime: String,
    /// Memory limit of the highest number of live replicas together, if there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_memory: Option<String>,
}

/// A revision with the same spec that has already failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// Number.
    #[schema(value_type = u64)]
    pub revision: RevisionId,
    /// Reason of the failure.
    pub reason: String,
}

/// A field that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    /// Keys joined by dots, such as `resources.memory`.
    pub path: String,
    /// Present value; null if not set.
    pub old: Option<String>,
    /// New value; null if not set.
    pub new: Option<String>,
}
