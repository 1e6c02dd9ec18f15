//! Containers of the ingress and of published ports on other hosts than requests arrive at now.

use dubernetes_core::error::chain;
use dubernetes_core::labels::Component;
use dubernetes_core::runtime::Container;

use crate::proxy::{Nginx, REPLACED_GRACE};

impl Nginx {
    /// Returns whether a container is on another host than requests arrive at now.
    pub(crate) fn is_leaving(&self, container: &Container) -> bool {
        self.runtime.nodes().is_some_and(|nodes| nodes.leaving().contains(&container.id))
    }

    /// Removes what is left on other hosts, beside the ingress that is used.
    pub(crate) async fn remove_strays(&self, all: &[Container], used: Option<&Container>) {
        let instance = &self.config.instance;
        for container in all.iter().filter(|container| self.is_leaving(container)) {
            let component = Component::identify(container, instance);
            let is_used = used.is_some_and(|used| used.id == container.id);
            if is_used || !matches!(component, Ok(Component::Ingress | Component::Ports(_))) {
                continue;
            }
            let removed = async {
                self.runtime.stop(&container.id, None, REPLACED_GRACE).await?;
                self.runtime.remove(&container.id).await
            };
            if let Err(error) = removed.await {
                // It is tried again with the next table, or after some seconds.
                tracing::debug!(container = %container.id, error = chain(&error), "not removed");
            }
        }
    }
}
