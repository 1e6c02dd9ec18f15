//! Who holds the lease of a state, for a process that only looks.

use std::time::Duration;

use dubernetes_core::app::InstanceName;
use dubernetes_core::runtime::RuntimeError;
use dubernetes_docker::{DockerRuntime, SwarmConfig};
use tokio::time::{Instant, sleep};

use super::candidate::{head_name, own_node};
use super::configs::Configs;
use super::head::{HOLDER, NODE};
use crate::lease::RENEW;

/// How long a renewal is waited for.
const LIMIT: Duration = RENEW.saturating_mul(2);
const POLL: Duration = Duration::from_millis(500);

/// The manager that acts for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The swarm has no state of the instance.
    NoState,
    /// The lease was given back.
    NoNode,
    /// This node has the lease.
    Node {
        /// Its name.
        name: String,
        /// Whether it renews the lease, as one that acts does.
        renews: bool,
    },
}

/// Finds who acts for an instance. Waits up to 6 s for a renewal of the lease.
///
/// # Errors
///
/// [`RuntimeError::Rejected`] if the engine manages no swarm; those of a read, also while the
/// managers have no leader.
pub async fn find_holder(
    manager: &DockerRuntime,
    instance: &InstanceName,
) -> Result<Holder, RuntimeError> {
    own_node(manager).await?;
    find(manager, instance).await
}

pub(super) async fn find(
    configs: &dyn Configs,
    instance: &InstanceName,
) -> Result<Holder, RuntimeError> {
    let name = head_name(instance);
    let start = Instant::now();
    let Some(first) = configs.find(&name).await? else { return Ok(Holder::NoState) };
    let mut last = first.clone();
    while !label(&last, HOLDER).is_empty() {
        let renews = last.version != first.version;
        if renews || start.elapsed() >= LIMIT {
            return Ok(Holder::Node { name: label(&last, NODE).to_owned(), renews });
        }
        sleep(POLL).await;
        let Some(found) = configs.find(&name).await? else { return Ok(Holder::NoState) };
        last = found;
    }
    Ok(Holder::NoNode)
}

fn label<'a>(head: &'a SwarmConfig, name: &str) -> &'a str {
    head.labels.get(name).map_or("", String::as_str)
}
