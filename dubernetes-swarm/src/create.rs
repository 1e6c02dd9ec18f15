//! Where a container is created, and how the image gets there.

use std::collections::BTreeSet;

use dubernetes_core::app::{Artifact, InstanceName, PullPolicy};
use dubernetes_core::error::{SharedError, chain};
use dubernetes_core::labels::INSTANCE;
use dubernetes_core::runtime::{
    ContainerId, ContainerRequest, ContainerRuntime as _, ImageId, Images, RuntimeError,
};
use dubernetes_docker::DockerRuntime;
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::memory::{OfRevision, Reserved};
use crate::placement::{self, Candidate, Refusal};
use crate::runtime::{Member, SILENCE, SwarmRuntime};

impl SwarmRuntime {
    /// Chooses the node for a request, and reserves the name.
    pub(crate) async fn choose(
        &self,
        request: &ContainerRequest,
    ) -> Result<(DockerRuntime, Reserved<'_>), RuntimeError> {
        let operation = || format!("create container `{}`", request.name);
        let members = self.members().await?;
        let id = ContainerId(request.name.as_str().into());
        let asked = members.iter().map(|member| candidate(member, request, &id));
        let mut candidates = Vec::new();
        for (candidate, has_name) in join_all(asked).await {
            if has_name {
                return Err(RuntimeError::NameTaken { name: request.name.clone() });
            }
            candidates.push(candidate);
        }
        let instance = request.labels.get(INSTANCE).and_then(|name| InstanceName::parse(name).ok());
        let group = OfRevision::read(&request.labels);
        let choose = |known: &[Candidate]| {
            placement::choose(request, known).map(|chosen| chosen.name.clone())
        };
        let name = &request.name;
        let reserved = self.memory.reserve(instance.as_ref(), group, name, &mut candidates, choose);
        let reserved = reserved.map_err(|refusal| match refusal {
            Refusal::Always(message) => RuntimeError::Rejected { operation: operation(), message },
            Refusal::Now(why) => {
                RuntimeError::Failed { operation: operation(), cause: SharedError::text(why) }
            }
        })?;
        let reserved = reserved.ok_or_else(|| RuntimeError::NameTaken { name: name.clone() })?;
        let member = members.into_iter().find(|member| member.node.name == reserved.node);
        let member = member
            .ok_or_else(|| RuntimeError::NotFound { kind: "node", name: reserved.node.clone() })?;
        Ok((member.engine, reserved))
    }

    /// Returns the id of an image that a node has.
    pub(crate) async fn find_image(
        &self,
        artifact: &Artifact,
    ) -> Result<Option<ImageId>, RuntimeError> {
        for engine in self.engines().await? {
            if let Ok(id) = engine.resolve(artifact, PullPolicy::Never).await {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Copies an image to a node that lacks it from one that has it. The copy goes on if the caller
    /// gives up.
    ///
    /// # Errors
    ///
    /// Those of a save and a load. An image that no node has is no error here: the engine says so.
    pub(crate) async fn bring_image(
        &self,
        to: &DockerRuntime,
        image: &str,
    ) -> Result<(), RuntimeError> {
        if to.has_image(image).await? {
            return Ok(());
        }
        let (this, to, image) = (self.clone(), to.clone(), image.to_owned());
        let copy = tokio::spawn(async move {
            let _copying = this.copying.lock().await;
            if to.has_image(&image).await? {
                return Ok(());
            }
            for from in this.engines().await? {
                if !matches!(from.has_image(&image).await, Ok(true)) {
                    continue;
                }
                tracing::info!(image, from = from.endpoint(), to = to.endpoint(), "copying image");
                let archive = from.save_image(&ImageId(image)).await?;
                return Images::load(&to, archive).await;
            }
            Ok(())
        });
        copy.await.unwrap_or_else(|panicked| {
            let operation = "copy an image".to_owned();
            Err(RuntimeError::Failed { operation, cause: SharedError::new(panicked) })
        })
    }

    /// Copies an image to all nodes that take containers, so that a replica of a lost node starts
    /// at once elsewhere.
    pub(crate) async fn spread_image(&self, image: &ImageId) -> Result<(), RuntimeError> {
        for member in self.members().await? {
            if !(member.node.is_ready && member.node.is_active) {
                continue;
            }
            // The create tries again, where it matters.
            if let Err(error) = self.bring_image(&member.engine, &image.0).await {
                let (node, error) = (&member.node.name, chain(&error));
                tracing::warn!(node, %image, error, "cannot copy an image");
            }
        }
        Ok(())
    }
}

/// Returns what counts for the choice of a node, and whether a container there has the name.
async fn candidate(
    member: &Member,
    request: &ContainerRequest,
    id: &ContainerId,
) -> (Candidate, bool) {
    let Member { node, engine, is_entry } = member;
    let mut candidate = Candidate {
        name: node.name.clone(),
        is_entry: *is_entry,
        is_known: false,
        is_open: false,
        volumes: BTreeSet::new(),
        of_revision: 0,
        containers: 0,
    };
    if node.is_down {
        return (candidate, false);
    }
    let asked = async {
        let has_name = match engine.inspect(id).await {
            Ok(_) => true,
            Err(RuntimeError::NotFound { .. }) => false,
            Err(error) => return Err(error),
        };
        let mut volumes = BTreeSet::new();
        for name in placement::volumes(request) {
            if engine.has_volume(&name).await? {
                volumes.insert(name);
            }
        }
        Ok((has_name, volumes))
    };
    let Ok(Ok((has_name, volumes))) = timeout(SILENCE, asked).await else {
        return (candidate, false);
    };
    candidate.is_known = true;
    candidate.is_open = node.is_ready && node.is_active;
    candidate.volumes = volumes;
    (candidate, has_name)
}
