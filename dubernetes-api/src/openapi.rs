//! The OpenAPI document, except for the paths, which are declared at the endpoints.

mod schemas;

pub(crate) use schemas::{
    AccessLogEntry, AppSpec, Change, Event, EventKind, Forecast, Phase, PodState, RuntimeInfo, Why,
};

use std::sync::Arc;

use dubernetes_manifest::reference;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use crate::wire::Problem;

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

/// Response of every failed request.
#[derive(utoipa::IntoResponses)]
#[response(
    status = "default",
    description = "Problem details",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "this type is read by the derive macro only")]
pub(crate) struct ProblemResponse(Problem);

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
