//! The OpenAPI document, except for the paths, which are declared at the endpoints.

mod schemas;

pub(crate) use schemas::{
    AccessLogEntry, AppSpec, Change, Event, EventKind, Forecast, Phase, PodState, RuntimeInfo, Why,
};

use std::sync::Arc;

use dubernetes_manifest::reference;
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use crate::wire::{PROBLEM_JSON, Problem};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Dubernetes",
        description = "A declarative container orchestrator for one machine. \
            Every error is problem+json.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem)),
    tags(
        (name = "apps", description = "Specs and status of apps"),
        (name = "secrets", description = "Values that apps use by name, and that no answer shows"),
        (name = "pods", description = "Replicas of apps"),
        (name = "images", description = "Images that came without a registry"),
        (name = "events", description = "Recorded events"),
        (name = "system", description = "The orchestrator itself"),
    ),
)]
struct Base;

/// Returns the document without paths.
pub(crate) fn base() -> OpenApi {
    Base::openapi()
}

/// The document as text. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct DocumentText(Arc<str>);

impl DocumentText {
    pub(crate) fn new(document: &OpenApi) -> Self {
        // The document consists of this program's own types, which always serialize.
        let mut document = serde_json::to_value(document).unwrap_or_default();
        for path in entries(document.get_mut("paths")) {
            for operation in entries(Some(path)) {
                describe_errors(operation);
            }
        }
        let mut app = reference::schema(reference::Form::Json);
        if let Some(schema) = app.as_object_mut() {
            // OpenAPI 3.1 uses this dialect by default.
            schema.remove("$schema");
        }
        if let Some(described) = document.pointer_mut("/components/schemas/AppSpec") {
            *described = app;
        }
        Self(format!("{document:#}").into())
    }

    pub(crate) fn into_string(self) -> String {
        self.0.as_ref().to_owned()
    }
}

fn entries(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
}

/// Adds what every error has: the body, and that any request may fail.
fn describe_errors(operation: &mut Value) {
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    let content = json!({ PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } });
    responses.insert("default".to_owned(), json!({ "description": "Problem details" }));
    for (status, response) in responses {
        if !status.starts_with(['1', '2']) {
            response["content"] = content.clone();
        }
    }
}
