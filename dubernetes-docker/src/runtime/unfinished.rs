//! Containers that get files before their start.
//!
//! The engine makes a container and puts files into it by two calls, and this process may end
//! between them. So such a container is made under a name of its own, and gets its real one once it
//! is whole. Until then it is not listed; one that was left over is listed as one whose
//! start failed, so that it is replaced and removed.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, ContainerState, RuntimeError,
};

use super::{containers, lifecycle};
use crate::engine::Engine;
use crate::files;

/// Stands behind the name of a container that is not whole yet.
const UNFINISHED: &str = ".unfinished";

/// The names under which containers are being made by this process.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    names: Mutex<BTreeSet<String>>,
}

impl Unfinished {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A panic cannot leave the set half changed: each change is one call on it.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A container is being made as long as this lives, also if the call is cancelled.
struct Making<'a> {
    all: &'a Unfinished,
    name: String,
}

impl<'a> Making<'a> {
    fn begin(all: &'a Unfinished, name: &str) -> Self {
        all.lock().insert(name.to_owned());
        Self { all, name: name.to_owned() }
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.all.lock().remove(&self.name);
    }
}

/// Creates a container with its files, or none.
pub(super) async fn create(
    engine: &Engine,
    unfinished: &Unfinished,
    request: &ContainerRequest,
) -> Result<ContainerId, RuntimeError> {
    if request.files.is_empty() {
        return lifecycle::create(engine, request, &request.name).await;
    }
    let name = format!("{}{UNFINISHED}", request.name);
    let _making = Making::begin(unfinished, &name);
    let id = match lifecycle::create(engine, request, &name).await {
        Err(RuntimeError::NameTaken { .. }) => {
            remove_left_over(engine, request, &name).await?;
            lifecycle::create(engine, request, &name).await?
        }
        made => made?,
    };
    let finished = async {
        files::put_first(engine, &id, &request.files).await?;
        lifecycle::rename(engine, &id, &request.name).await
    };
    match finished.await {
        Ok(()) => Ok(id),
        Err(error) => {
            // If this fails as well, it is listed as left over.
            let _ = lifecycle::remove(engine, &id).await;
            Err(error)
        }
    }
}

/// Removes what an earlier process left under `name`, if it is the instance's.
async fn remove_left_over(
    engine: &Engine,
    request: &ContainerRequest,
    name: &str,
) -> Result<(), RuntimeError> {
    let holder = containers::inspect(engine, &ContainerId(name.to_owned())).await?;
    if holder.labels.get(labels::INSTANCE) != request.labels.get(labels::INSTANCE) {
        return Err(RuntimeError::NameTaken { name: name.to_owned() });
    }
    lifecycle::remove(engine, &holder.id).await
}

/// A container as the list shows it: none while it is being made, and one whose start failed if
/// nobody goes on with it.
pub(super) async fn seen(
    engine: &Engine,
    unfinished: &Unfinished,
    container: Container,
) -> Result<Option<Container>, RuntimeError> {
    if !container.name.ends_with(UNFINISHED) {
        return Ok(Some(container));
    }
    if unfinished.lock().contains(&container.name) {
        return Ok(None);
    }
    // It may have been finished since it was looked at. After this look it cannot be any more.
    match containers::inspect(engine, &container.id).await {
        Ok(again) if again.name.ends_with(UNFINISHED) => {
            let error = "it was left without its files".to_owned();
            Ok(Some(Container { state: ContainerState::StartFailed { error, code: 0 }, ..again }))
        }
        Ok(finished) => Ok(Some(finished)),
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
