//! Endpoints for the images of the engine: an image without a registry.

use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use dubernetes_core::error::SharedError;
use dubernetes_core::runtime::{Capability, RuntimeError, require};
use futures_util::{StreamExt as _, stream};

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::body::Archive;
use crate::server::extract::{NoParams, Params};
use crate::wire::{ImageLayers, List};

/// How long an upload may pause.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// List the images of the engine with their layers, which an archive need not have.
///
/// The list is empty if the engine needs every layer of an archive.
#[utoipa::path(get, path = path::IMAGES, operation_id = "list_images",
    tag = "images", responses((status = 200, body = List<ImageLayers>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<List<ImageLayers>>, ApiError> {
    let images = require(state.runtime.images(), Capability::Images)?;
    let found = images.layers().await?.into_iter();
    let items = found.map(|image| ImageLayers { id: image.id.0, layers: image.layers });
    Ok(JsonResponse(List::new(items.collect())))
}

/// Load the images of an archive, as `docker save` writes it. Layers that the engine has may be
/// missing in it.
#[utoipa::path(post, path = path::IMAGES, operation_id = "load_images",
    tag = "images",
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 204, description = "The images are on the engine"))
)]
pub(super) async fn load(
    State(state): State<ApiState>,
    _: Params<NoParams>,
    Archive(body): Archive,
) -> Result<StatusCode, ApiError> {
    let images = require(state.runtime.images(), Capability::Images)?;
    let failed = |cause| RuntimeError::Failed { operation: "receive an image".to_owned(), cause };
    let parts = stream::unfold(body.into_data_stream(), move |mut parts| async move {
        let part = match tokio::time::timeout(STALL_LIMIT, parts.next()).await {
            Ok(part) => part?.map_err(|error| failed(SharedError::new(error))),
            Err(_) => Err(failed(SharedError::text(format!("no data for {STALL_LIMIT:?}")))),
        };
        Some((part, parts))
    });
    images.load(parts.boxed()).await?;
    Ok(StatusCode::NO_CONTENT)
}
