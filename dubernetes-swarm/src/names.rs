//! Names of apps in containers of other nodes than the entry node.
//!
//! The addresses of names are taken by the ingress's container alone, so only its own node finds
//! them on the network. Elsewhere a container gets a route to them, and the names in its hosts
//! file, by a short helper that shares its network: the engine of the node is all that this needs,
//! and the container runs no program for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dubernetes_core::app::{AppName, InstanceName};
use dubernetes_core::error::chain;
use dubernetes_core::identity::name_range;
use dubernetes_core::labels::{Component, INSTANCE};
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRuntime as _, ContainerState, Networks as _, RuntimeError,
};
use dubernetes_docker::DockerRuntime;
use futures_util::future::join_all;
use ipnet::Ipv4Net;

use crate::memory::planned_address;
use crate::runtime::{Member, SwarmRuntime};

/// The names that were last published, and to which containers.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: BTreeMap<InstanceName, BTreeMap<AppName, Ipv4Addr>>,
    /// The script that ran beside the present run of each container.
    done: BTreeMap<ContainerId, (ContainerState, String)>,
}

impl Published {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic cannot leave it half changed: each change is one call on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the script that makes names of apps known, and their addresses reachable.
fn script(subnet: Ipv4Net, ingress: IpAddr, names: &BTreeMap<AppName, Ipv4Addr>) -> Option<String> {
    let range = name_range(subnet)?;
    // The range is a quarter of a network of 1,024 addresses, so its first bytes tell it apart.
    let [a, b, c, _] = range.network().octets();
    let mut lines = String::new();
    for (name, address) in names {
        // Writing to a string cannot fail.
        let _ = write!(lines, "{address}\\t{name}\\n");
    }
    Some(format!(
        "ip route replace {range} via {ingress} && \
         text=$(grep -v '^{a}\\.{b}\\.{c}\\.' /etc/hosts) && \
         printf '%s\\n{lines}' \"$text\" > /etc/hosts"
    ))
}

impl SwarmRuntime {
    /// Publishes the names to a container that has just been started on another node.
    pub(crate) async fn publish_to(&self, engine: &DockerRuntime, id: &ContainerId) {
        // The engine of the entry does it itself.
        if engine.endpoint() == self.manager.endpoint() {
            return;
        }
        let published = async {
            let container = engine.inspect(id).await?;
            let instance = container.labels.get(INSTANCE);
            let Some(instance) = instance.and_then(|name| InstanceName::parse(name).ok()) else {
                return Ok(());
            };
            let names = self.published.lock().names.get(&instance).cloned();
            match names {
                Some(names) => self.publish(engine, &[container], &instance, &names).await,
                None => Ok(()),
            }
        };
        if let Err(error) = published.await {
            let error: RuntimeError = error;
            tracing::warn!(container = %id, error = chain(&error), "cannot publish names");
        }
    }

    /// Publishes the names to all running containers on other nodes, and to those here that may
    /// have been started while another node was the entry.
    pub(crate) async fn publish_to_others(
        &self,
        instance: &InstanceName,
        names: &BTreeMap<AppName, Ipv4Addr>,
    ) -> Result<(), RuntimeError> {
        self.published.lock().names.insert(instance.clone(), names.clone());
        let members = self.members().await?;
        let is_other = |member: &&Member| !member.is_entry || self.has_other_entries;
        let others = members.iter().filter(|member| member.node.is_ready).filter(is_other);
        let publish = async |Member { node, engine, .. }: &Member| {
            let seen = self.memory.seen(instance, &node.name);
            if let Err(error) = self.publish(engine, &seen, instance, names).await {
                // It is tried again with the next table.
                tracing::warn!(node = node.name, error = chain(&error), "cannot publish names");
            }
        };
        join_all(others.map(publish)).await;
        Ok(())
    }

    async fn publish(
        &self,
        engine: &DockerRuntime,
        containers: &[Container],
        instance: &InstanceName,
        names: &BTreeMap<AppName, Ipv4Addr>,
    ) -> Result<(), RuntimeError> {
        let (Some(ingress), Some(network)) =
            (self.ingress(instance).await?, self.manager.find(instance).await?)
        else {
            return Ok(());
        };
        let Some(address) = planned_address(&ingress) else { return Ok(()) };
        let Some(script) = script(network.subnet, address, names) else { return Ok(()) };
        let image = ingress.image_id;
        let places = self.memory.places();
        self.published.lock().done.retain(|id, _| places.contains_key(id));
        for container in containers {
            let is_running = matches!(container.state, ContainerState::Running { .. })
                && container.id != ingress.id;
            let done = (container.state.clone(), script.clone());
            if !is_running || self.published.lock().done.get(&container.id) == Some(&done) {
                continue;
            }
            self.bring_image(engine, &image.0).await?;
            match engine.run_beside(&container.id, &image, &script).await {
                Ok(()) => {
                    self.published.lock().done.insert(container.id.clone(), done);
                }
                Err(error) => {
                    let (id, error) = (&container.id, chain(&error));
                    tracing::warn!(container = %id, error, "cannot publish names");
                }
            }
        }
        Ok(())
    }

    /// Returns the container of the ingress, whose image has what a helper needs.
    async fn ingress(&self, instance: &InstanceName) -> Result<Option<Container>, RuntimeError> {
        let containers = self.manager.list(instance).await?;
        let is_ingress = |container: &Container| {
            matches!(Component::identify(container, instance), Ok(Component::Ingress))
        };
        Ok(containers.into_iter().find(is_ingress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_routes_to_the_ingress_and_replaces_names() {
        let names = BTreeMap::from([(AppName::parse("api").unwrap(), [10, 9, 2, 7].into())]);
        let script = script("10.9.0.0/22".parse().unwrap(), [10, 9, 0, 3].into(), &names).unwrap();
        assert_eq!(
            script,
            "ip route replace 10.9.2.0/24 via 10.9.0.3 && text=$(grep -v '^10\\.9\\.2\\.' \
             /etc/hosts) && printf '%s\\n10.9.2.7\\tapi\\n' \"$text\" > /etc/hosts"
        );
    }
}
