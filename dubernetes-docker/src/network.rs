//! The instance's network: found by name and label, and made on a subnet that nobody has.
//!
//! Names of networks are not unique on every engine, so all calls go by id, and two that were
//! made at once are told apart by age.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bollard::models::Network as DockerNetwork;
use bollard::query_parameters::{ListNetworksOptions, ListNetworksOptionsBuilder};
use dubernetes_core::app::InstanceName;
use dubernetes_core::error::one_line;
use dubernetes_core::identity::network_name;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Network, RuntimeError};
use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

use crate::engine::{Engine, READ, WRITE};
use crate::error::{Failure, unreadable};
use crate::{from_docker, to_docker};

/// Where subnets are taken from: `10.201.0.0/16` to `10.216.0.0/16`. The engine's own defaults are
/// in 172.16.0.0/12 and 192.168.0.0/16, and home and office networks mostly in 10.0.0.0/16,
/// 10.1.0.0/16 and 192.168.0.0/16.
const FIRST: u32 = 0x0ac9_0000;
/// 16 times 64 subnets of 1,024 addresses: 944 replicas per instance, of the 1,023 ports at most
/// that a bridge has.
const COUNT: u32 = 16 * 64;
const PREFIX: u8 = 22;
const SIZE: u32 = 1024;
/// How many subnets are tried: an engine that refuses so many refuses for another reason.
const TRIES: usize = 64;

/// The instance's network, if it exists.
pub(crate) async fn find(
    engine: &Engine,
    instance: &InstanceName,
) -> Result<Option<Network>, RuntimeError> {
    let Some(id) = ids(engine, instance).await?.into_iter().next() else { return Ok(None) };
    let operation = format!("inspect network `{id}`");
    match engine.call(READ, &operation, engine.docker()?.inspect_network(&id, None)).await {
        Ok(answer) => {
            let labels = answer.labels.as_ref();
            let other = labels.and_then(|labels| labels.get(labels::STATE_DIR));
            if let (Some(other), Some(own)) = (other, engine.state_dir.get()) {
                check_state(instance, Path::new(other), own)?;
            }
            from_docker::network(answer).map(Some).map_err(|what| unreadable(&operation, what))
        }
        // Removed between the two calls.
        Err(failure) if failure.status() == Some(404) => Ok(None),
        Err(failure) => Err(failure.general()),
    }
}

/// Refuses an instance that was made from another state, unless that is gone: moved here, or lost.
fn check_state(instance: &InstanceName, made_from: &Path, own: &Path) -> Result<(), RuntimeError> {
    let is_gone = || {
        let looked = std::fs::symlink_metadata(made_from);
        looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    if made_from == own || is_gone() {
        return Ok(());
    }
    let folder = one_line(&made_from.display().to_string());
    Err(RuntimeError::OwnedByOtherState { instance: instance.clone(), folder })
}

/// Makes sure that the instance's network exists.
pub(crate) async fn ensure(
    engine: &Engine,
    instance: &InstanceName,
) -> Result<Network, RuntimeError> {
    if let Some(network) = find(engine, instance).await? {
        return Ok(network);
    }
    let _alone = engine.making_network.lock().await;
    // Whoever held the lock before has made it, most probably.
    if let Some(network) = find(engine, instance).await? {
        return Ok(network);
    }
    let operation = format!("create network `{}`", network_name(instance));
    let made = tokio::time::timeout(WRITE, create(engine, instance, &operation)).await;
    let made = made.map_err(|_| Failure::timeout(&operation).general())??;
    let Some(network) = find(engine, instance).await? else {
        return Err(unreadable(&operation, "it was gone right after its creation"));
    };
    if let Some(made) = made.filter(|made| *made != network.id) {
        // Somebody else made an older one at the same time. Ours has nobody on it yet.
        remove_one(engine, &made).await?;
    }
    Ok(network)
}

/// The first subnet that no network of the engine overlaps, for a network of the instance.
pub(crate) async fn free(
    engine: &Engine,
    instance: &InstanceName,
) -> Result<Option<Ipv4Net>, RuntimeError> {
    let taken = from_docker::subnets(&list(engine, None).await?);
    Ok(candidates(instance, &taken).next())
}

/// Removes the instance's network, and its doubles if there are any.
pub(crate) async fn remove(engine: &Engine, instance: &InstanceName) -> Result<(), RuntimeError> {
    for id in ids(engine, instance).await? {
        remove_one(engine, &id).await?;
    }
    Ok(())
}

/// The ids of the networks with our name and our label, the oldest first.
async fn ids(engine: &Engine, instance: &InstanceName) -> Result<Vec<String>, RuntimeError> {
    let name = network_name(instance);
    let filters = to_docker::filters(instance, &[("name", &name)]);
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let listed = list(engine, Some(options)).await?;
    Ok(ours(listed, instance))
}

/// The engine's own filters match parts of names, and some engines know fewer of them.
fn ours(listed: Vec<DockerNetwork>, instance: &InstanceName) -> Vec<String> {
    let name = network_name(instance);
    let owner = instance.to_string();
    let mut found: Vec<(String, String)> = listed
        .into_iter()
        .filter(|network| network.name.as_deref() == Some(name.as_str()))
        .filter(|network| {
            let labels = network.labels.as_ref();
            labels.and_then(|labels| labels.get(labels::INSTANCE)) == Some(&owner)
        })
        .filter_map(|network| Some((network.created.unwrap_or_default(), network.id?)))
        .collect();
    found.sort();
    found.into_iter().map(|(_, id)| id).collect()
}

async fn list(
    engine: &Engine,
    options: Option<ListNetworksOptions>,
) -> Result<Vec<DockerNetwork>, RuntimeError> {
    let call = engine.docker()?.list_networks(options);
    engine.call(READ, "list networks", call).await.map_err(Failure::general)
}

/// Tries one subnet after the other, and returns the id of what it made; none if another has made
/// the network meanwhile.
async fn create(
    engine: &Engine,
    instance: &InstanceName,
    operation: &str,
) -> Result<Option<String>, RuntimeError> {
    let taken = from_docker::subnets(&list(engine, None).await?);
    let mut last = None;
    for subnet in candidates(instance, &taken).take(TRIES) {
        let state = engine.state_dir.get().map(PathBuf::as_path);
        let call = engine.docker()?.create_network(to_docker::network(instance, subnet, state));
        match engine.call(WRITE, operation, call).await {
            Ok(answer) => return Ok(Some(answer.id)),
            // The name is taken: by us a moment ago, or by somebody else for good.
            Err(failure) if failure.status() == Some(409) => {
                let found = !ids(engine, instance).await?.is_empty();
                return if found { Ok(None) } else { Err(failure.rejected()) };
            }
            // Something that is no network of the engine has these addresses: a route of the
            // host, for instance. Engines have several codes for it.
            Err(failure) if failure.status().is_some() => last = Some(failure.rejected()),
            Err(failure) => return Err(failure.general()),
        }
    }
    Err(last.unwrap_or_else(|| RuntimeError::Rejected {
        operation: operation.to_owned(),
        message: "every subnet from 10.201.0.0/16 to 10.216.0.0/16 is taken".to_owned(),
    }))
}

async fn remove_one(engine: &Engine, id: &str) -> Result<(), RuntimeError> {
    let operation = format!("remove network `{id}`");
    let call = engine.docker()?.remove_network(id);
    match engine.call(WRITE, &operation, call).await {
        Err(failure) if failure.status() != Some(404) => Err(failure.general()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The free subnets, from a place that the instance's name gives: so that the same instance gets
/// the same one again, and two instances mostly need no second try.
fn candidates(instance: &InstanceName, taken: &[Ipv4Net]) -> impl Iterator<Item = Ipv4Net> {
    let digest = Sha256::digest(instance.to_string().as_bytes());
    let start = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % COUNT;
    (0..COUNT)
        .filter_map(move |step| {
            let address = FIRST + (start + step) % COUNT * SIZE;
            Ipv4Net::new(address.into(), PREFIX).ok()
        })
        .filter(|subnet| !taken.iter().any(|other| overlap(*subnet, *other)))
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
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
    fn all_candidates_are_distinct_and_in_range() {
        let all: std::collections::BTreeSet<Ipv4Net> =
            candidates(&instance("default"), &[]).collect();
        assert_eq!(all.len(), 1024);
        assert_eq!(all.first().unwrap().to_string(), "10.201.0.0/22");
        assert_eq!(all.last().unwrap().to_string(), "10.216.252.0/22");
    }

    #[test]
    fn what_overlaps_is_skipped_whether_larger_or_smaller() {
        let first = candidates(&instance("default"), &[]).next().unwrap();
        for taken in [format!("{}/28", first.broadcast()), format!("{}/12", first.network())] {
            let taken = taken.parse::<Ipv4Net>().unwrap().trunc();
            let next = candidates(&instance("default"), &[taken]).next();
            assert!(next.is_none_or(|next| next != first), "{taken} overlaps {first}");
        }
    }

    #[test]
    fn an_instance_looks_from_the_same_place_each_time() {
        let first = |name| candidates(&instance(name), &[]).next();
        assert_eq!(first("default"), first("default"));
        assert_ne!(first("default"), first("other"));
    }

    #[test]
    fn an_instance_of_another_state_is_refused_while_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::create_dir(&one).unwrap();
        let check = |made_from, own| check_state(&instance("lab"), made_from, own);
        assert!(check(&one, &one).is_ok() && check(&two, &two).is_ok());
        let refused = check(&one, &two).unwrap_err().to_string();
        assert!(refused.contains("`lab`") && refused.contains("/one`"), "{refused}");
        std::fs::rename(&one, &two).unwrap();
        assert!(check(&one, &two).is_ok(), "it was moved");
    }

    #[test]
    fn of_two_the_older_is_ours_and_of_strangers_none() {
        let network = |id: &str, name: &str, created: &str, owner: &str| {
            json!({"Id": id, "Name": name, "Created": created,
                   "Labels": {"dubernetes.instance": owner}})
        };
        let listed = json!([
            network("younger", "dubernetes.i", "2026-01-02T00:00:00Z", "i"),
            network("older", "dubernetes.i", "2026-01-01T00:00:00Z", "i"),
            network("stranger", "dubernetes.i", "2020-01-01T00:00:00Z", "j"),
            network("longer", "dubernetes.i2", "2020-01-01T00:00:00Z", "i"),
            {"Id": "unlabelled", "Name": "dubernetes.i"},
        ]);
        let listed = serde_json::from_value(listed).unwrap();
        assert_eq!(ours(listed, &instance("i")), ["older", "younger"]);
    }
}
