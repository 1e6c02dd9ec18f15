//! What a runtime over several engines needs of each: the nodes of the swarm, and what an engine
//! has.

use std::sync::Arc;

use bollard::models::{
    ContainerCreateBody, HostConfig, Node, NodeSpecAvailabilityEnum as Availability, NodeState,
};
use bollard::query_parameters::{
    EventsOptionsBuilder, ListNodesOptions, RemoveContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use dubernetes_core::error::SharedError;
use dubernetes_core::runtime::{ContainerId, ImageId, RuntimeError, RuntimeStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use crate::engine::{READ, WRITE};
use crate::error::CallError;
use crate::runtime::DockerRuntime;
use crate::to_docker::path_segment;
use crate::{archive, image};

/// A node of a swarm, as its managers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwarmNode {
    /// Its id in the swarm.
    pub id: String,
    /// Its host name.
    pub name: String,
    /// Whether the managers hear from it.
    pub is_ready: bool,
    /// Whether the managers have given it up.
    pub is_down: bool,
    /// Whether it may get new containers: it is neither paused nor drained.
    pub is_active: bool,
    /// Whether an administrator wants its containers elsewhere.
    pub is_drained: bool,
    /// Its address.
    pub address: String,
}

impl DockerRuntime {
    /// Returns the id of the engine's own node, or `None` if it manages no swarm.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn managing_node(&self) -> Result<Option<String>, RuntimeError> {
        let docker = self.engine.docker()?;
        let info = self.engine.read("describe its swarm", || docker.info()).await;
        let swarm = info.map_err(CallError::into_runtime_error)?.swarm.unwrap_or_default();
        let manages = swarm.control_available == Some(true);
        Ok(swarm.node_id.filter(|id| manages && !id.is_empty()))
    }

    /// Lists the nodes of the swarm that the engine manages, by name.
    ///
    /// # Errors
    ///
    /// Those of a read; [`RuntimeError::Failed`] also while the managers have no leader.
    pub async fn swarm_nodes(&self) -> Result<Vec<SwarmNode>, RuntimeError> {
        let docker = self.engine.docker()?;
        let list = || docker.list_nodes(None::<ListNodesOptions>);
        let listed = self.engine.read("list nodes", list).await;
        let listed = listed.map_err(CallError::into_runtime_error)?;
        let mut nodes: Vec<_> = listed.into_iter().filter_map(parse_node).collect();
        nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(nodes)
    }

    /// Streams the times at which a node of the swarm changes.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Unreachable`]; as an item if the engine goes away.
    pub fn node_changes(&self) -> Result<RuntimeStream<Timestamp>, RuntimeError> {
        let filters = [("type".to_owned(), vec!["node".to_owned()])];
        let options = EventsOptionsBuilder::default().filters(&filters.into()).build();
        let engine = Arc::clone(&self.engine);
        let events = self.engine.docker()?.events(Some(options)).map(move |event| match event {
            Ok(_) => Ok(Timestamp::now()),
            Err(error) => Err(engine.call_error("stream nodes", error).into_runtime_error()),
        });
        Ok(events.boxed())
    }

    /// Returns whether the engine has an image.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn has_image(&self, image: &str) -> Result<bool, RuntimeError> {
        Ok(image::find(&self.engine, image).await?.is_some())
    }

    /// Streams an archive of an image.
    ///
    /// # Errors
    ///
    /// Those of [`Images::save`](dubernetes_core::runtime::Images::save).
    pub async fn save_image(&self, image: &ImageId) -> Result<RuntimeStream<Bytes>, RuntimeError> {
        archive::save_by_name(&self.engine, image.0.clone()).await
    }

    /// Returns whether the engine has a volume.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn has_volume(&self, name: &str) -> Result<bool, RuntimeError> {
        let operation = format!("inspect volume `{name}`");
        let call = self.engine.docker()?.inspect_volume(name);
        match self.engine.call(READ, &operation, call).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error.into_runtime_error()),
        }
    }

    /// Returns the id of the first process of a running container, as the engine's host sees it.
    ///
    /// # Errors
    ///
    /// Those of a read; [`RuntimeError::NotRunning`].
    pub async fn first_process(&self, id: &ContainerId) -> Result<u32, RuntimeError> {
        let name = path_segment(id)?;
        let operation = format!("find the process of container `{id}`");
        let call = self.engine.docker()?.inspect_container(name, None);
        let answer = self.engine.call(READ, &operation, call).await;
        let answer = answer.map_err(|error| error.into_not_found("container", name))?;
        let pid = answer.state.and_then(|state| state.pid).unwrap_or_default();
        u32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or_else(|| RuntimeError::NotRunning {
            operation,
            message: "it does not run".to_owned(),
        })
    }

    /// Runs a script in a new container of `image` that shares the network of the container `id`
    /// and its hosts file, with the right to change both, and removes it.
    ///
    /// # Errors
    ///
    /// Those of a create and a start; [`RuntimeError::Failed`] if the script fails.
    pub async fn run_beside(
        &self,
        id: &ContainerId,
        image: &ImageId,
        script: &str,
    ) -> Result<(), RuntimeError> {
        let operation = format!("run a script beside container `{id}`");
        let docker = self.engine.docker()?;
        let body = ContainerCreateBody {
            image: Some(image.0.clone()),
            entrypoint: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            cmd: Some(Vec::new()),
            user: Some("0".to_owned()),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{}", path_segment(id)?)),
                cap_add: Some(vec!["NET_ADMIN".to_owned()]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let call = docker.create_container(None, body);
        let created = self.engine.call(WRITE, &operation, call).await;
        let helper = created.map_err(CallError::into_runtime_error)?.id;
        let ran = async {
            docker.start_container(&helper, None).await?;
            let options = WaitContainerOptionsBuilder::default().build();
            docker.wait_container(&helper, Some(options)).try_collect::<Vec<_>>().await
        };
        let ran = self.engine.call(WRITE, &operation, ran).await;
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        // One that is left does nothing any more.
        let removed = docker.remove_container(&helper, Some(options));
        let _ = self.engine.call(WRITE, &operation, removed).await;
        let codes = ran.map_err(CallError::into_runtime_error)?;
        match codes.iter().map(|code| code.status_code).find(|code| *code != 0) {
            None => Ok(()),
            Some(code) => Err(RuntimeError::Failed {
                operation,
                cause: SharedError::text(format!("exit code {code}")),
            }),
        }
    }
}

/// Converts a node; `None` if it has no name yet.
fn parse_node(node: Node) -> Option<SwarmNode> {
    let status = node.status.unwrap_or_default();
    let availability = node.spec.and_then(|spec| spec.availability);
    Some(SwarmNode {
        id: node.id?,
        name: node.description?.hostname.filter(|name| !name.is_empty())?,
        is_ready: status.state == Some(NodeState::READY),
        is_down: status.state == Some(NodeState::DOWN),
        is_active: availability == Some(Availability::ACTIVE),
        is_drained: availability == Some(Availability::DRAIN),
        address: status.addr.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn node_is_parsed_with_state_and_availability() {
        let parse = |state: &str, availability: &str| {
            let node = json!({
                "ID": "a1", "Description": {"Hostname": "w1"},
                "Status": {"State": state, "Addr": "10.0.0.7"},
                "Spec": {"Role": "worker", "Availability": availability},
            });
            let node = parse_node(serde_json::from_value(node).unwrap()).unwrap();
            assert_eq!((node.name.as_str(), node.address.as_str()), ("w1", "10.0.0.7"));
            (node.is_ready, node.is_down, node.is_active, node.is_drained)
        };
        assert_eq!(parse("ready", "active"), (true, false, true, false));
        assert_eq!(parse("down", "pause"), (false, true, false, false));
        assert_eq!(parse("unknown", "drain"), (false, false, false, true));
        assert_eq!(parse_node(Node::default()), None);
    }
}
