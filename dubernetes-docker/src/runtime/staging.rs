//! Creation of containers with files.
//!
//! The engine creates a container and copies files into it in two calls, and this process may end
//! between them. Such a container is therefore created under a temporary name and renamed once its
//! files are in place. It is not listed before that. A container that a dead process left behind is
//! listed as a failed start, so that the controller replaces and removes it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, ContainerState, RuntimeError,
};

use super::inspect::inspect;
use super::lifecycle;
use crate::engine::Engine;
use crate::files;

/// Suffix of the temporary name.
const STAGED: &str = ".unfinished";

/// Temporary names of the containers that this process is creating.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    names: Mutex<BTreeSet<String>>,
}

impl Staging {
    /// Returns true if this process is creating a container under this temporary name.
    pub(super) fn creates(&self, name: &str) -> bool {
        self.lock().contains(name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A panic cannot leave the set half changed: each change is one call on it.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a container as being created until dropped, also if the call is cancelled.
struct StagingGuard<'a> {
    staging: &'a Staging,
    name: String,
}

impl<'a> StagingGuard<'a> {
    fn new(staging: &'a Staging, name: &str) -> Self {
        staging.lock().insert(name.to_owned());
        Self { staging, name: name.to_owned() }
    }
}

impl Drop for StagingGuard<'_> {
    fn drop(&mut self) {
        self.staging.lock().remove(&self.name);
    }
}

/// Creates a container with its files. On an error there is no container.
pub(super) async fn create(
    engine: &Engine,
    staging: &Staging,
    request: &ContainerRequest,
) -> Result<ContainerId, RuntimeError> {
    if request.files.is_empty() {
        return lifecycle::create(engine, request, &request.name).await;
    }
    let name = format!("{}{STAGED}", request.name);
    let _guard = StagingGuard::new(staging, &name);
    let id = match lifecycle::create(engine, request, &name).await {
        Err(RuntimeError::NameTaken { .. }) => {
            remove_abandoned(engine, request, &name).await?;
            lifecycle::create(engine, request, &name).await?
        }
        created => created?,
    };
    let finished = async {
        files::put_initial_files(engine, &id, &request.files).await?;
        lifecycle::rename(engine, &id, &request.name).await
    };
    match finished.await {
        Ok(()) => Ok(id),
        Err(error) => {
            // If this fails too, the container is listed as a failed start.
            let _ = lifecycle::remove(engine, &id).await;
            Err(error)
        }
    }
}

/// Removes the container that a dead process left under `name`, if it belongs to the instance.
async fn remove_abandoned(
    engine: &Engine,
    request: &ContainerRequest,
    name: &str,
) -> Result<(), RuntimeError> {
    let abandoned = inspect(engine, &ContainerId(name.into())).await?;
    if abandoned.labels.get(labels::INSTANCE) != request.labels.get(labels::INSTANCE) {
        return Err(RuntimeError::NameTaken { name: name.to_owned() });
    }
    lifecycle::remove(engine, &abandoned.id).await
}

/// Returns the container as listed: `None` while this process is creating it, and a failed start
/// if a dead process left it without its files.
pub(super) async fn resolve_staged(
    engine: &Engine,
    staging: &Staging,
    container: Container,
) -> Result<Option<Container>, RuntimeError> {
    if !container.name.ends_with(STAGED) {
        return Ok(Some(container));
    }
    if staging.creates(&container.name) {
        return Ok(None);
    }
    // Its creation may have finished after the first inspection; a second one shows that.
    match inspect(engine, &container.id).await {
        Ok(again) => match again.name.strip_suffix(STAGED) {
            Some(name) => {
                // It is known under the name that it would have got.
                let name = name.to_owned();
                let error = "its files were not copied into it".to_owned();
                let state = ContainerState::StartFailed { error, code: 0 };
                Ok(Some(Container { name, state, ..again }))
            }
            None => Ok(Some(again)),
        },
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
