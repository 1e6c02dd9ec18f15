//! Images as archives: what `docker save` writes and `docker load` reads.

use std::time::Duration;

use bollard::models::SystemInfo;
use bollard::query_parameters::{ImportImageOptions, ListImagesOptions};
use bytes::Bytes;
use dubernetes_core::app::ImageRef;
use dubernetes_core::runtime::{ImageId, ImageLayers, RuntimeError, RuntimeStream};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::engine::{Engine, READ};
use crate::error::CallError;
use crate::image;

/// Images that are inspected at a time.
const MAX_IN_FLIGHT: usize = 8;

/// How long the engine may be silent during a load: it reports nothing while it unpacks a layer.
const SILENCE_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Returns the layers of every image.
pub(crate) async fn layers(engine: &Engine) -> Result<Vec<ImageLayers>, RuntimeError> {
    let docker = engine.docker()?;
    let info = engine.read("describe itself", || docker.info()).await;
    if needs_all_layers(&info.map_err(CallError::into_runtime_error)?) {
        return Ok(Vec::new());
    }
    let list = || docker.list_images(None::<ListImagesOptions>);
    let images = engine.read("list images", list).await.map_err(CallError::into_runtime_error)?;
    let found = stream::iter(images).map(|image| layers_of(engine, image.id));
    let found = found.buffered(MAX_IN_FLIGHT).try_collect::<Vec<_>>().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns whether the engine keeps images in containerd, which refuses an archive without all
/// layers.
fn needs_all_layers(info: &SystemInfo) -> bool {
    let mut status = info.driver_status.iter().flatten().flatten();
    status.any(|text| text.starts_with("io.containerd.snapshotter"))
}

/// Returns the layers of an image, or `None` if it was removed meanwhile.
async fn layers_of(engine: &Engine, id: String) -> Result<Option<ImageLayers>, RuntimeError> {
    let operation = format!("inspect image `{id}`");
    match engine.call(READ, &operation, engine.docker()?.inspect_image(&id)).await {
        Ok(found) => {
            let layers = found.root_fs.and_then(|root| root.layers).unwrap_or_default();
            Ok(Some(ImageLayers { id: ImageId(id), layers }))
        }
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error.into_runtime_error()),
    }
}

/// Streams an archive of an image.
pub(crate) async fn save(
    engine: &Engine,
    image: &ImageRef,
) -> Result<RuntimeStream<Bytes>, RuntimeError> {
    save_by_name(engine, image.with_default_tag()).await
}

/// Streams an archive of an image, given by its name or its id.
pub(crate) async fn save_by_name(
    engine: &Engine,
    name: String,
) -> Result<RuntimeStream<Bytes>, RuntimeError> {
    if image::find(engine, &name).await?.is_none() {
        return Err(RuntimeError::NotFound { kind: "image", name });
    }
    let operation = format!("save image `{name}`");
    let endpoint = engine.endpoint();
    let parts = engine.docker()?.export_image(&name).map_err(move |error| {
        CallError::new(endpoint.clone(), &operation, error).into_runtime_error()
    });
    Ok(parts.boxed())
}

/// Loads the images of an archive.
pub(crate) async fn load(
    engine: &Engine,
    archive: RuntimeStream<Bytes>,
) -> Result<(), RuntimeError> {
    let operation = "load an image";
    let options = ImportImageOptions { quiet: true, ..ImportImageOptions::default() };
    let mut messages = engine.docker()?.import_image_stream(options, archive, None).boxed();
    loop {
        match tokio::time::timeout(SILENCE_LIMIT, messages.next()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => {
                return Err(engine.call_error(operation, error).into_rejected());
            }
            Ok(None) => return Ok(()),
            Err(_) => return Err(CallError::timeout(operation).into_runtime_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_of_containerd_needs_all_layers() {
        let info = |words: &[&str]| SystemInfo {
            driver_status: Some(vec![words.iter().map(|word| (*word).to_owned()).collect()]),
            ..SystemInfo::default()
        };
        assert!(needs_all_layers(&info(&["driver-type", "io.containerd.snapshotter.v1"])));
        assert!(!needs_all_layers(&info(&["Backing Filesystem", "extfs"])));
        assert!(!needs_all_layers(&SystemInfo::default()));
    }
}
