//! Images as archives.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use dubernetes_core::app::{Artifact, ImageRef, PullPolicy};
use dubernetes_core::error::SharedError;
use dubernetes_core::runtime::{Capability, Images, RuntimeError, require};

use super::harness::{ContractHarness, is_not_found, must, must_fail};

fn images<'a>(harness: &ContractHarness<'a>) -> &'a dyn Images {
    must("get the part for images", require(harness.runtime.images(), Capability::Images))
}

fn reference(artifact: &Artifact) -> &ImageRef {
    must("name an image", require(artifact.image(), Capability::ContainerImages))
}

pub(super) async fn saved_image_can_be_loaded(harness: &ContractHarness<'_>) {
    let images = images(harness);
    let artifact = &harness.facts.image;
    let before = must("find an image", harness.runtime.resolve(artifact, PullPolicy::Never).await);
    let archive = must("save an image", images.save(reference(artifact)).await);
    must("load a saved image", images.load(archive).await);
    let after = must("find an image", harness.runtime.resolve(artifact, PullPolicy::Never).await);
    assert_eq!(before, after, "a loaded image is the one that was saved");
    let layers = must("list the layers of images", images.layers().await);
    let found = layers.iter().find(|found| found.id == after);
    let is_listed = found.is_some_and(|found| !found.layers.is_empty());
    assert!(layers.is_empty() || is_listed, "an image is listed with its layers; seen: {layers:?}");
    let missing = images.save(reference(&harness.facts.missing_image)).await.map(drop);
    must_fail("saving a missing image is `not found`", missing, is_not_found);
}

pub(super) async fn broken_archive_is_an_error(harness: &ContractHarness<'_>) {
    let noise = stream::iter([Ok(Bytes::from_static(&[7; 2048]))]).boxed();
    let loaded = images(harness).load(noise).await;
    let is_rejected = |error: &RuntimeError| matches!(error, RuntimeError::Rejected { .. });
    must_fail("a malformed archive is `rejected`", loaded, is_rejected);
    let cause = SharedError::text("the sender went away");
    let broken = RuntimeError::Failed { operation: "receive an image".to_owned(), cause };
    let broken = stream::iter([Ok(Bytes::from_static(&[0; 512])), Err(broken)]).boxed();
    let loaded = images(harness).load(broken).await;
    must_fail("an archive that breaks off is an error", loaded, |_| true);
}
