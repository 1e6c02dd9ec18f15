//! The instance's network: found by name and label, created on a free subnet.
//!
//! Network names are not unique on every engine. All calls therefore use ids, and of two networks
//! that were created at the same time the older is used.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard::models::Network as DockerNetwork;
use bollard::query_parameters::{ListNetworksOptions, ListNetworksOptionsBuilder};
use dubernetes_core::app::InstanceName;
use dubernetes_core::error::one_line;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Network, Owner, RuntimeError};
use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use crate::engine::{Engine, READ, WRITE};
use crate::error::{CallError, unreadable};
use crate::owners::check_labels;
use crate::{from_docker, to_docker};

/// First address of the pool of subnets, `10.201.0.0/16` to `10.216.0.0/16`. The engine's own
/// defaults are in 172.16.0.0/12 and 192.168.0.0/16, and home and office networks mostly in
/// 10.0.0.0/16, 10.1.0.0/16 and 192.168.0.0/16.
const FIRST: u32 = 0x0ac9_0000;
/// Number of subnets: 16 times 64 of 1,024 addresses each. One subnet holds 688 replicas, below the
/// limit of 1,023 ports per bridge, and 256 names.
const COUNT: u32 = 16 * 64;
const PREFIX: u8 = 22;
const SIZE: u32 = 1024;
/// Maximum number of subnets to try. An engine that refuses this many has another reason.
const MAX_TRIES: usize = 64;

/// How long a swarm may take to give a new network its subnet.
const ALLOCATION: Duration = Duration::from_secs(5);
const ALLOCATION_PAUSE: Duration = Duration::from_millis(100);

/// The call that finds networks, for errors.
const LIST: &str = "list networks";

/// Claims the instance for `owner`, see
/// [`ContainerRuntime::claim`](dubernetes_core::runtime::ContainerRuntime::claim).
pub(crate) async fn claim(
    engine: &Engine,
    instance: &InstanceName,
    owner: &Owner,
) -> Result<(), RuntimeError> {
    find_for_owner(engine, instance, Some(owner)).await?;
    engine.owners.claim(instance, owner)
}

/// Returns the instance's network, if it exists.
pub(crate) async fn find(
    engine: &Engine,
    instance: &InstanceName,
) -> Result<Option<Network>, RuntimeError> {
    let owner = engine.owners.find(instance);
    find_for_owner(engine, instance, owner.as_ref()).await
}

/// Returns the instance's network. Fails if the network belongs to a state other than `owner`.
async fn find_for_owner(
    engine: &Engine,
    instance: &InstanceName,
    owner: Option<&Owner>,
) -> Result<Option<Network>, RuntimeError> {
    let deadline = Instant::now() + ALLOCATION;
    let found = loop {
        let Some(found) = find_all(engine, instance).await?.into_iter().next() else {
            return Ok(None);
        };
        // A swarm gives a new network its subnet a moment later.
        let is_new = engine.has_overlay.load(Ordering::Relaxed)
            && from_docker::parse_network(found.clone()).is_err();
        if !is_new || Instant::now() >= deadline {
            break found;
        }
        sleep(ALLOCATION_PAUSE).await;
    };
    if let (Some(labels), Some(owner)) = (&found.labels, owner) {
        check_labels(instance, labels, owner)?;
    }
    let network = from_docker::parse_network(found);
    network.map(Some).map_err(|what| unreadable(LIST, what))
}

/// Ensures that the instance's network exists.
pub(crate) async fn ensure(
    engine: &Engine,
    instance: &InstanceName,
) -> Result<Network, RuntimeError> {
    if let Some(network) = find(engine, instance).await? {
        return Ok(network);
    }
    let _creation = engine.network_creation.lock().await;
    // The previous holder of the lock has probably created the network.
    if let Some(network) = find(engine, instance).await? {
        return Ok(network);
    }
    let operation = format!("create network `{}`", engine.network_name(instance));
    let created = tokio::time::timeout(WRITE, create(engine, instance, &operation)).await;
    let created = created.map_err(|_| CallError::timeout(&operation).into_runtime_error())??;
    let Some(network) = find(engine, instance).await? else {
        return Err(unreadable(&operation, "the network is missing right after its creation"));
    };
    if let Some(created) = created.filter(|created| *created != network.id) {
        // Another process has just created an older network. No container uses ours yet.
        remove_by_id(engine, &created).await?;
    }
    Ok(network)
}

/// Returns the first subnet for the instance that overlaps no network of the engine.
pub(crate) async fn find_free_subnet(
    engine: &Engine,
    instance: &InstanceName,
) -> Result<Option<Ipv4Net>, RuntimeError> {
    let taken = from_docker::parse_subnets(&list(engine, None).await?);
    Ok(candidate_subnets(instance, &taken).next())
}

/// Removes the instance's network, with any duplicates, and ends the claim on the instance.
pub(crate) async fn remove(engine: &Engine, instance: &InstanceName) -> Result<(), RuntimeError> {
    for id in find_all(engine, instance).await?.into_iter().filter_map(|network| network.id) {
        remove_by_id(engine, &id).await?;
    }
    engine.owners.release(instance);
    Ok(())
}

/// Returns the networks with the instance's name and label, oldest first. A list shows all that is
/// read of a network, so none is inspected.
async fn find_all(
    engine: &Engine,
    instance: &InstanceName,
) -> Result<Vec<DockerNetwork>, RuntimeError> {
    let name = engine.network_name(instance);
    let filters = to_docker::build_filters(instance, &[("name", &name)]);
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    Ok(filter_owned(list(engine, Some(options)).await?, &name, instance))
}

/// Filters again, since engines match parts of names, and some ignore filters.
fn filter_owned(
    mut listed: Vec<DockerNetwork>,
    name: &str,
    instance: &InstanceName,
) -> Vec<DockerNetwork> {
    let owner = instance.to_string();
    listed.retain(|network| {
        let labels = network.labels.as_ref();
        network.name.as_deref() == Some(name)
            && labels.and_then(|labels| labels.get(labels::INSTANCE)) == Some(&owner)
    });
    listed.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
    listed
}

async fn list(
    engine: &Engine,
    options: Option<ListNetworksOptions>,
) -> Result<Vec<DockerNetwork>, RuntimeError> {
    let docker = engine.docker()?;
    let listed = engine.read(LIST, || docker.list_networks(options.clone())).await;
    listed.map_err(CallError::into_runtime_error)
}

/// Tries one free subnet after the other, and returns the id of the created network; `None` if
/// another process has created it in the meantime.
async fn create(
    engine: &Engine,
    instance: &InstanceName,
    operation: &str,
) -> Result<Option<String>, RuntimeError> {
    let taken = from_docker::parse_subnets(&list(engine, None).await?);
    let owner = engine.owners.find(instance);
    let mut last = None;
    for subnet in candidate_subnets(instance, &taken).take(MAX_TRIES) {
        let mut body = to_docker::build_network(instance, subnet, owner.as_ref());
        if engine.has_overlay.load(Ordering::Relaxed) {
            body.name = engine.network_name(instance);
            body.driver = Some("overlay".to_owned());
            body.attachable = Some(true);
        }
        match engine.call(WRITE, operation, engine.docker()?.create_network(body)).await {
            Ok(answer) => return Ok(Some(answer.id)),
            // The name is in use: by a network of ours from a moment ago, or by a foreign one.
            Err(error) if error.status() == Some(409) => {
                let is_ours = !find_all(engine, instance).await?.is_empty();
                return if is_ours { Ok(None) } else { Err(error.into_rejected()) };
            }
            // The subnet is in use outside the engine, such as by a route of the host. The status
            // code differs between engines.
            Err(error) if error.status().is_some() => last = Some(error.into_rejected()),
            Err(error) => return Err(error.into_runtime_error()),
        }
    }
    Err(last.unwrap_or_else(|| RuntimeError::Rejected {
        operation: operation.to_owned(),
        message: "every subnet from 10.201.0.0/16 to 10.216.0.0/16 is taken".to_owned(),
    }))
}

async fn remove_by_id(engine: &Engine, id: &str) -> Result<(), RuntimeError> {
    let operation = format!("remove network `{id}`");
    let call = engine.docker()?.remove_network(id);
    match engine.call(WRITE, &operation, call).await {
        Err(error) if error.status() != Some(404) => match list_users(engine, id).await {
            users if users.is_empty() && is_counted_in_use(&error) => {
                Err(RuntimeError::Rejected { operation, message: MISCOUNTED.to_owned() })
            }
            users if users.is_empty() => Err(error.into_runtime_error()),
            users => Err(RuntimeError::Rejected {
                operation,
                message: format!("it is in use by {}", users.join(", ")),
            }),
        },
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What an engine older than 25 may do to a network whose container was removed while it started
/// (moby issue 42119).
const MISCOUNTED: &str = "the engine counts an endpoint that it does not list; restart the engine, \
     and try again";

fn is_counted_in_use(error: &CallError) -> bool {
    let is_refused = |message: &str| message.contains("has active endpoints");
    error.status() == Some(403) && error.message().is_some_and(is_refused)
}

/// Returns the names of the containers on a network, for the error about its removal.
async fn list_users(engine: &Engine, id: &str) -> Vec<String> {
    let Ok(docker) = engine.docker() else { return Vec::new() };
    let operation = format!("inspect network `{id}`");
    // Without the names, the engine's own error has to do.
    let answer = engine.call(READ, &operation, docker.inspect_network(id, None)).await;
    let containers = answer.ok().and_then(|network| network.containers).unwrap_or_default();
    let mut names: Vec<String> = containers
        .into_iter()
        .map(|(id, container)| format!("container `{}`", one_line(&container.name.unwrap_or(id))))
        .collect();
    names.sort();
    names
}

/// Returns the free subnets, from an offset that depends on the instance's name. The same instance
/// gets the same subnet again, and two instances rarely need a second try.
fn candidate_subnets(instance: &InstanceName, taken: &[Ipv4Net]) -> impl Iterator<Item = Ipv4Net> {
    let digest = Sha256::digest(instance.to_string().as_bytes());
    let start = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % COUNT;
    (0..COUNT)
        .filter_map(move |step| {
            let address = FIRST + (start + step) % COUNT * SIZE;
            Ipv4Net::new(address.into(), PREFIX).ok()
        })
        .filter(|subnet| !taken.iter().any(|other| overlaps(*subnet, *other)))
}

fn overlaps(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instance(name: &str) -> InstanceName {
        InstanceName::parse(name).unwrap()
    }

    #[test]
    fn candidate_subnets_are_distinct_and_in_range() {
        let all: std::collections::BTreeSet<Ipv4Net> =
            candidate_subnets(&instance("default"), &[]).collect();
        assert_eq!(all.len(), 1024);
        assert_eq!(all.first().unwrap().to_string(), "10.201.0.0/22");
        assert_eq!(all.last().unwrap().to_string(), "10.216.252.0/22");
    }

    #[test]
    fn overlapping_subnets_are_skipped() {
        let first = candidate_subnets(&instance("default"), &[]).next().unwrap();
        for taken in [format!("{}/28", first.broadcast()), format!("{}/12", first.network())] {
            let taken = taken.parse::<Ipv4Net>().unwrap().trunc();
            let next = candidate_subnets(&instance("default"), &[taken]).next();
            assert!(next.is_none_or(|next| next != first), "{taken} overlaps {first}");
        }
    }

    #[test]
    fn subnet_order_is_stable_per_instance() {
        let first = |name| candidate_subnets(&instance(name), &[]).next();
        assert_eq!(first("default"), first("default"));
        assert_ne!(first("default"), first("other"));
    }

    #[test]
    fn owned_networks_are_sorted_by_age_and_foreign_ones_left_out() {
        let network = |id: &str, name: &str, created: &str, owner: &str| {
            json!({"Id": id, "Name": name, "Created": created,
                   "Labels": {"dubernetes.instance": owner}})
        };
        let listed = json!([
            network("younger", "dubernetes.i", "2026-01-02T00:00:00Z", "i"),
            network("older", "dubernetes.i", "2026-01-01T00:00:00Z", "i"),
            network("foreign", "dubernetes.i", "2020-01-01T00:00:00Z", "j"),
            network("longer", "dubernetes.i2", "2020-01-01T00:00:00Z", "i"),
            {"Id": "unlabelled", "Name": "dubernetes.i"},
        ]);
        let listed = serde_json::from_value(listed).unwrap();
        let owned = filter_owned(listed, "dubernetes.i", &instance("i"));
        let ids: Vec<_> = owned.iter().filter_map(|network| network.id.as_deref()).collect();
        assert_eq!(ids, ["older", "younger"]);
    }
}
