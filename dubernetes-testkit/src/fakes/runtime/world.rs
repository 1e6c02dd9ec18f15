//! Processes of the fake engine: they start, exit, and are removed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;

use dubernetes_core::app::InstanceName;
use dubernetes_core::clock::Clock as _;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    ContainerId, ContainerState, Exit, PublishedPort, RuntimeError, RuntimeEvent,
};

use super::{FakeContainer, FakeRuntime, Operation, World};
use dubernetes_core::error::SharedError;

impl FakeRuntime {
    /// Starts a container's process, which exits by itself if its behaviour says so.
    pub(super) fn begin(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let now = self.clock.now();
        let exit = {
            let mut world = self.world();
            let clash = world.address_clash(id).or_else(|| world.port_clash(id));
            let endpoint = world.endpoint(id);
            let Some(container) = world.containers.get_mut(id) else {
                return Err(not_found(id));
            };
            if matches!(container.container.state, ContainerState::Running { .. }) {
                return Ok(());
            }
            if let Some(error) = clash.or_else(|| container.behaviour.start_error.clone()) {
                let state = ContainerState::StartFailed { error: error.clone(), code: 127 };
                container.container.state = state;
                let operation = format!("start {}", container.container.name);
                return Err(RuntimeError::Rejected { operation, message: error });
            }
            container.container.state = ContainerState::Running { started_at: now };
            container.container.endpoint = endpoint;
            container.behaviour.exit
        };
        self.emit(id, "start");
        if let Some((after, code)) = exit {
            self.end_later(id.clone(), now, after, code);
        }
        Ok(())
    }

    fn end_later(&self, id: ContainerId, started: Timestamp, after: Duration, code: i64) {
        let fake = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let same = fake.world().containers.get(&id).is_some_and(|c| {
                c.container.state == ContainerState::Running { started_at: started }
            });
            if same {
                fake.end(&id, code);
            }
        });
    }

    /// Ends a container's process.
    pub(super) fn end(&self, id: &ContainerId, code: i64) {
        let now = self.clock.now();
        if let Some(container) = self.world().containers.get_mut(id) {
            let started_at = match container.container.state {
                ContainerState::Running { started_at } => started_at,
                ContainerState::Paused => now,
                _ => return,
            };
            container.container.state = ContainerState::Exited(Exit {
                code,
                out_of_memory: false,
                started_at,
                finished_at: now,
            });
            container.container.endpoint = None;
        }
        self.emit(id, "die");
    }

    /// Removes a container.
    pub(super) fn delete(&self, id: &ContainerId) {
        self.emit(id, "destroy");
        let mut world = self.world();
        world.containers.remove(id);
        world.not_ready.remove(id);
        world.logs.remove(id);
    }

    /// Sends an event to all streams of the owner.
    pub(super) fn emit(&self, id: &ContainerId, action: &str) {
        let Some(container) = self.world().containers.get(id).cloned() else { return };
        let labels = container.container.labels;
        let owner = labels.get(labels::INSTANCE).and_then(|name| InstanceName::parse(name).ok());
        let event = RuntimeEvent { id: id.clone(), action: action.to_owned(), labels };
        if let Some(owner) = owner {
            // Without receivers the event is dropped.
            let _ = self.events.send(Some((owner, event)));
        }
    }

    /// Fails if the engine is unreachable, or by an injected fault; otherwise records a changing
    /// call in the journal.
    pub(super) async fn enter(
        &self,
        operation: Operation,
        object: Option<&str>,
    ) -> Result<(), RuntimeError> {
        if self.world().away {
            return Err(RuntimeError::Unreachable {
                endpoint: "fake".to_owned(),
                cause: SharedError::text("it is away"),
            });
        }
        if self.faults.apply(&operation).await {
            return Err(injected(operation));
        }
        if let Some(object) = object {
            self.world().journal.push(format!("{} {object}", operation.verb()));
        }
        Ok(())
    }

    /// Makes a changing call, as [`Self::enter`] allows it, and records it in the journal.
    pub(super) async fn change<R>(
        &self,
        operation: Operation,
        object: &str,
        effect: impl FnOnce() -> Result<R, RuntimeError>,
    ) -> Result<R, RuntimeError> {
        self.enter(operation, Some(object)).await?;
        self.effect(operation, object, effect).await
    }

    /// Makes a changing call that the journal does not show.
    pub(super) async fn change_unseen<R>(
        &self,
        operation: Operation,
        object: &str,
        effect: impl FnOnce() -> Result<R, RuntimeError>,
    ) -> Result<R, RuntimeError> {
        self.enter(operation, None).await?;
        self.effect(operation, object, effect).await
    }

    async fn effect<R>(
        &self,
        operation: Operation,
        object: &str,
        effect: impl FnOnce() -> Result<R, RuntimeError>,
    ) -> Result<R, RuntimeError> {
        let answer = self.faults.effect(&operation, object, effect).await;
        answer.unwrap_or_else(|| Err(injected(operation)))
    }
}

impl World {
    /// Returns where a container is reached once it runs.
    fn endpoint(&self, id: &ContainerId) -> Option<SocketAddr> {
        let request = &self.containers.get(id)?.request;
        if let Some(at) = &request.network {
            // An engine chooses an address at the end of the network.
            let own = at.address.unwrap_or(Ipv4Addr::new(10, 9, 3, 200).into());
            return Some(SocketAddr::new(own, request.port));
        }
        let used = |port: &u16| {
            let mut endpoints = self.containers.values().filter_map(|c| c.container.endpoint);
            endpoints.any(|endpoint| endpoint.port() == *port)
        };
        let free = (20_001..u16::MAX).find(|port| !used(port))?;
        Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free))
    }

    /// Returns whether the container at an endpoint accepts connections; `None` if no running
    /// container has its address. A planned address has other ports as well.
    pub(super) fn accepts(&self, endpoint: SocketAddr, now: Timestamp) -> Option<bool> {
        self.containers.values().find_map(|c| {
            let ContainerState::Running { started_at } = c.container.state else { return None };
            let ready = c.behaviour.ready_after.and_then(|d| started_at.saturating_add(d).ok());
            let refuses = self.not_ready.contains(&c.container.id);
            let own = c.container.endpoint?;
            let is_own =
                own == endpoint || c.request.network.is_some() && own.ip() == endpoint.ip();
            is_own.then(|| !refuses && ready.is_some_and(|at| at <= now))
        })
    }

    /// Returns an error message if another running container has the address.
    fn address_clash(&self, id: &ContainerId) -> Option<String> {
        let own = self.containers.get(id)?;
        let clash = self.containers.values().any(|other| {
            other.container.id != *id
                && own.request.network.is_some()
                && other.request.network == own.request.network
                && matches!(other.container.state, ContainerState::Running { .. })
        });
        clash.then(|| "Address already in use".to_owned())
    }

    /// Returns an error message if another running container has a port of the host.
    fn port_clash(&self, id: &ContainerId) -> Option<String> {
        let own = self.containers.get(id)?;
        let is_running = |other: &&FakeContainer| {
            matches!(other.container.state, ContainerState::Running { .. })
        };
        let others = self.containers.values().filter(is_running);
        let mut taken =
            others.filter(|other| other.container.id != *id).flat_map(|c| &c.request.ports);
        let clash =
            taken.find(|taken| own.request.ports.iter().any(|port| overlap(port, taken)))?;
        Some(format!("port {} is already allocated", clash.host_port))
    }
}

fn overlap(a: &PublishedPort, b: &PublishedPort) -> bool {
    let any = a.host_ip.is_unspecified() || b.host_ip.is_unspecified();
    (a.host_port, a.transport) == (b.host_port, b.transport) && (any || a.host_ip == b.host_ip)
}

fn injected(operation: Operation) -> RuntimeError {
    RuntimeError::Failed {
        operation: operation.verb().to_owned(),
        cause: SharedError::text("injected fault"),
    }
}

pub(super) fn not_found(id: &ContainerId) -> RuntimeError {
    RuntimeError::NotFound { kind: "container", name: id.to_string() }
}
