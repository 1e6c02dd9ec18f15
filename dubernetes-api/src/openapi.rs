//! The OpenAPI document: what it says beside the paths, which stand at the endpoints.

mod schemas;

pub(crate) use schemas::{
    AppSpec, Change, Event, EventKind, Forecast, Phase, PodState, RuntimeInfo, Why,
};

use std::sync::Arc;

use dubernetes_manifest::reference;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Dubernetes",
        description = "Keeps containers running as a specification says. \
            Every error is problem+json.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "apps", description = "What is wanted, and how it is"),
        (name = "pods", description = "The replicas"),
        (name = "events", description = "What happened"),
        (name = "system", description = "The orchestrator itself"),
    ),
)]
struct Base;

/// The document without any path.
pub(crate) fn base() -> OpenApi {
    Base::openapi()
}

/// The document as text. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Text(Arc<str>);

impl Text {
    pub(crate) fn new(document: &OpenApi) -> Self {
        // The document is made of this program's own types, which always serialize.
        let mut document = serde_json::to_value(document).unwrap_or_default();
        let mut app = reference::schema(reference::Form::Json);
        if let Some(schema) = app.as_object_mut() {
            // The dialect of OpenAPI 3.1 is this one by itself.
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
