//! Names, addresses and hashes: derived, never drawn, so that two planners with the same input
//! pick the same ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

use crate::app::{AppName, AppSpec, InstanceName};

/// The pod's name: `APP-ORDINAL`.
pub fn pod_name(app: &AppName, ordinal: u32) -> String {
    let mut name = String::with_capacity(app.as_str().len() + 4);
    name.push_str(app.as_str());
    name.push('-');
    name.push_str(&ordinal.to_string());
    name
}

/// How the container of the command before a revision is shown: `APP-pre-deploy`.
pub fn pre_deploy_pod_name(app: &AppName) -> String {
    format!("{app}-pre-deploy")
}

/// The container's name: `dubernetes.INSTANCE.APP-ORDINAL.rREVISION`, and `.RESTARTS` behind it
/// after the first restart. Names of apps and instances have no dots, so it is unambiguous.
pub fn container_name(
    instance: &InstanceName,
    app: &AppName,
    ordinal: u32,
    revision: u64,
    restarts: u32,
) -> String {
    let base = format!("dubernetes.{instance}.{}.r{revision}", pod_name(app, ordinal));
    if restarts == 0 { base } else { format!("{base}.{restarts}") }
}

/// The name of the container that runs the command before a revision, with `.TRIES` behind it once
/// it got another chance.
pub fn pre_deploy_name(
    instance: &InstanceName,
    app: &AppName,
    revision: u64,
    attempts: u32,
) -> String {
    let base = format!("dubernetes.{instance}.{app}.pre-deploy.r{revision}");
    if attempts == 0 { base } else { format!("{base}.{attempts}") }
}

/// The ingress container's name.
pub fn ingress_name(instance: &InstanceName) -> String {
    format!("dubernetes.{instance}.ingress")
}

/// The network's name.
pub fn network_name(instance: &InstanceName) -> String {
    format!("dubernetes.{instance}")
}

/// The engine's name of a named volume.
pub fn volume_name(instance: &InstanceName, app: &AppName, volume: &str) -> String {
    format!("dubernetes.{instance}.{app}.{volume}")
}

/// The hash of all that a revision is made of: everything in the specification but `replicas`,
/// `access`, `rollout` and `stop.drain`, which change without replacing a replica.
pub fn spec_hash(spec: &AppSpec) -> String {
    let mut frozen = spec.clone();
    copy_mutable_fields(&mut frozen, &AppSpec::new(spec.name.clone(), spec.image.clone()));
    // A specification has no map with keys that are not text, so it always serializes.
    short_hash(&serde_json::to_string(&frozen).unwrap_or_default())
}

/// The hash of a revision: of its specification, and of the restart_nonce that tells it from one before a
/// restart; 0 for none.
pub fn content_hash(spec: &AppSpec, restart_nonce: u64) -> String {
    let hash = spec_hash(spec);
    if restart_nonce == 0 { hash } else { short_hash(&format!("{hash}:{restart_nonce}")) }
}

/// Sets what is no part of a revision to what it is in `other`.
pub(crate) fn copy_mutable_fields(spec: &mut AppSpec, other: &AppSpec) {
    spec.replicas = other.replicas;
    spec.access.clone_from(&other.access);
    spec.rollout.clone_from(&other.rollout);
    spec.stop.drain = other.stop.drain;
}

fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    format!("{first:016x}")
}

/// The addresses below this offset are not for replicas: the gateway, the ingress, and some to
/// spare.
const FIRST_REPLICA: u32 = 16;
/// So many addresses at the end are left for containers that others attach to the network.
const ENGINE_RESERVED: u32 = 64;

/// The address of the ingress container: the second of the subnet, after the gateway.
pub fn ingress_address(subnet: Ipv4Net) -> Ipv4Addr {
    offset(subnet, 2)
}

/// The part of the subnet from which the engine may give out addresses by itself: the last 64.
pub fn engine_range(subnet: Ipv4Net) -> Ipv4Net {
    let start = offset(subnet, size(subnet).saturating_sub(ENGINE_RESERVED));
    Ipv4Net::new(start, 26).unwrap_or(subnet)
}

/// How many addresses a subnet has for replicas.
pub fn capacity(subnet: Ipv4Net) -> u32 {
    size(subnet).saturating_sub(FIRST_REPLICA + ENGINE_RESERVED)
}

/// The first free address for a replica, looking from a place that its identity gives; `None`
/// if there is none.
pub fn pick_address(
    subnet: Ipv4Net,
    app: &AppName,
    ordinal: u32,
    taken: &BTreeSet<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let room = capacity(subnet);
    if room == 0 {
        return None;
    }
    let digest = Sha256::digest(pod_name(app, ordinal).as_bytes());
    let start = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % room;
    (0..room)
        .map(|step| offset(subnet, FIRST_REPLICA + (start + step) % room))
        .find(|address| !taken.contains(address))
}

/// The environment that every replica gets beside its own.
pub fn injected_env(app: &AppName, ordinal: u32, revision: u64) -> BTreeMap<String, String> {
    [
        ("DUBERNETES_APP", app.to_string()),
        ("DUBERNETES_REPLICA", pod_name(app, ordinal)),
        ("DUBERNETES_REVISION", revision.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn size(subnet: Ipv4Net) -> u32 {
    1_u32.checked_shl(32 - u32::from(subnet.prefix_len())).unwrap_or(u32::MAX)
}

fn offset(subnet: Ipv4Net, by: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).wrapping_add(by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::ImageRef;

    fn spec() -> AppSpec {
        AppSpec::new(AppName::parse("web").unwrap(), ImageRef::parse("web:1").unwrap())
    }

    #[test]
    fn scaling_keeps_the_hash_and_a_new_image_changes_it() {
        let (mut scaled, mut updated) = (spec(), spec());
        scaled.replicas = 7;
        updated.image = ImageRef::parse("web:2").unwrap();
        assert_eq!(spec_hash(&spec()), spec_hash(&scaled));
        assert_ne!(spec_hash(&spec()), spec_hash(&updated));
    }

    #[test]
    fn addresses_are_distinct_and_within_capacity() {
        let subnet: Ipv4Net = "10.89.0.0/22".parse().unwrap();
        let app = AppName::parse("web").unwrap();
        let mut taken = BTreeSet::new();
        while let Some(address) = pick_address(subnet, &app, 1, &taken) {
            assert!(subnet.contains(&address) && !engine_range(subnet).contains(&address));
            assert_ne!(address, ingress_address(subnet));
            assert!(taken.insert(address));
        }
        assert_eq!(taken.len(), usize::try_from(capacity(subnet)).unwrap());
    }
}
