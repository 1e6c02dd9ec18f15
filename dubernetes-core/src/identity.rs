//! Names, addresses and hashes. All are derived from the input and none is random, so that two
//! planners with the same input choose the same ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};
use smol_str::{SmolStr, format_smolstr};

use crate::app::{AppName, AppSpec, HashedSpec, InstanceName, OneOffId, PodName, RevisionId};

/// Returns the name of the container of a replica: `dubernetes.INSTANCE.APP-ORDINAL.rREVISION`,
/// followed by `.RESTARTS` after the first restart. Names of apps and instances have no dots, so it
/// is unambiguous.
pub fn container_name(
    instance: &InstanceName,
    app: &AppName,
    ordinal: u32,
    revision: RevisionId,
    restarts: u32,
) -> String {
    let base = format!("dubernetes.{instance}.{}.r{revision}", PodName::replica(app, ordinal));
    if restarts == 0 { base } else { format!("{base}.{restarts}") }
}

/// Returns the name of the container of a pre-deploy hook, followed by `.ATTEMPTS` after the first
/// attempt.
pub fn pre_deploy_name(
    instance: &InstanceName,
    app: &AppName,
    revision: RevisionId,
    attempts: u32,
) -> String {
    let base = format!("dubernetes.{instance}.{app}.pre-deploy.r{revision}");
    if attempts == 0 { base } else { format!("{base}.{attempts}") }
}

/// Returns the name of a one-off container.
pub fn one_off_name(instance: &InstanceName, app: &AppName, id: &OneOffId) -> String {
    format!("dubernetes.{instance}.{app}.run-{id}")
}

/// Returns the name of the ingress container.
pub fn ingress_name(instance: &InstanceName) -> String {
    format!("dubernetes.{instance}.ingress")
}

/// Returns the name of the container that publishes the ports of an app.
pub fn ports_name(instance: &InstanceName, app: &AppName) -> String {
    format!("dubernetes.{instance}.{app}.ports")
}

/// Returns the name of the network.
pub fn network_name(instance: &InstanceName) -> String {
    format!("dubernetes.{instance}")
}

/// Returns the name of the network where it spans the nodes of a swarm: Swarm takes no dots.
pub fn overlay_name(instance: &InstanceName) -> String {
    format!("dubernetes-{instance}")
}

/// Returns the engine's name of a named volume.
pub fn volume_name(instance: &InstanceName, app: &AppName, volume: &str) -> String {
    format!("dubernetes.{instance}.{app}.{volume}")
}

/// Returns the engine's name of a named volume that apps share. No app has a name with `_`.
pub fn shared_volume_name(instance: &InstanceName, volume: &str) -> String {
    format!("dubernetes.{instance}._shared.{volume}")
}

/// Hashes everything that makes a revision: the specification without `replicas`, `access`,
/// `ports`, `rollout`, `after` and `stop.drain`, which change without replacing a replica.
pub fn spec_hash(spec: &AppSpec) -> SmolStr {
    let mut frozen = spec.clone();
    copy_mutable_fields(
        &mut frozen,
        &AppSpec::of_artifact(spec.name.clone(), spec.artifact.clone()),
    );
    // The usual port gives an app without `access` a name, and changes nothing in its containers.
    frozen.port = frozen.port.filter(|port| *port != AppSpec::USUAL_PORT);
    // All keys of the maps in a specification are text, so it always serializes.
    short_hash(&serde_json::to_string(&frozen).unwrap_or_default())
}

/// Hashes a revision: its specification, and the nonce that distinguishes it from the revision
/// before a restart; 0 for none.
pub fn content_hash(spec: &HashedSpec, restart_nonce: u64) -> SmolStr {
    let hash = spec.hash();
    if restart_nonce == 0 { hash.clone() } else { short_hash(&format!("{hash}:{restart_nonce}")) }
}

/// Copies the fields that do not make a revision from `other`.
pub(crate) fn copy_mutable_fields(spec: &mut AppSpec, other: &AppSpec) {
    spec.replicas = other.replicas;
    spec.access.clone_from(&other.access);
    spec.ports.clone_from(&other.ports);
    spec.rollout.clone_from(&other.rollout);
    spec.after.clone_from(&other.after);
    spec.stop.drain = other.stop.drain;
}

fn short_hash(text: &str) -> SmolStr {
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    format_smolstr!("{first:016x}")
}

/// Offset of the first address for replicas, after the gateway, the ingress and a reserve.
const FIRST_REPLICA: u32 = 16;
/// Addresses at the end of the subnet that are left for containers attached by others.
const ENGINE_RESERVED: u32 = 64;

/// Returns the usual address of the ingress container: the second of the subnet, after the gateway.
pub fn ingress_address(subnet: Ipv4Net) -> Ipv4Addr {
    offset(subnet, 2)
}

/// Returns the addresses that the ingress container may have. It gets the first one, unless that is
/// held for the container of a host that was lost.
pub fn ingress_addresses(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    (2..FIRST_REPLICA).map(move |by| offset(subnet, by))
}

/// Returns the part of the subnet from which the engine may choose addresses: the last 64.
pub fn engine_range(subnet: Ipv4Net) -> Ipv4Net {
    let start = offset(subnet, size(subnet).saturating_sub(ENGINE_RESERVED));
    Ipv4Net::new(start, 26).unwrap_or(subnet)
}

/// Smallest subnet in which names have addresses: a smaller one is needed for replicas.
const SMALLEST_WITH_NAMES: u32 = 256;

/// Returns the part of the subnet that has the addresses of names: the third quarter.
pub fn name_range(subnet: Ipv4Net) -> Option<Ipv4Net> {
    if size(subnet) < SMALLEST_WITH_NAMES {
        return None;
    }
    Ipv4Net::new(offset(subnet, size(subnet) / 2), subnet.prefix_len() + 2).ok()
}

/// Returns the number of addresses for names in a subnet, if it has room for any.
pub(crate) fn name_capacity(subnet: Ipv4Net) -> Option<u32> {
    name_range(subnet).map(size)
}

/// Returns the number of addresses for replicas in a subnet.
pub fn capacity(subnet: Ipv4Net) -> u32 {
    let names = name_range(subnet).map_or(0, size);
    size(subnet).saturating_sub(FIRST_REPLICA + ENGINE_RESERVED + names)
}

/// Returns the first free address for a replica, beginning at an offset derived from its identity;
/// `None` if there is none.
pub fn pick_address(
    subnet: Ipv4Net,
    app: &AppName,
    ordinal: u32,
    taken: &BTreeSet<IpAddr>,
) -> Option<IpAddr> {
    let names = name_range(subnet).map_or(0, size);
    let before_names = (size(subnet) / 2).saturating_sub(FIRST_REPLICA);
    probe(PodName::replica(app, ordinal).as_str(), capacity(subnet))
        .map(|at| if at < before_names { at } else { at + names })
        .map(|at| offset(subnet, FIRST_REPLICA + at).into())
        .find(|address| !taken.contains(address))
}

/// Returns the first free address for the name of an app, beginning at an offset derived from the
/// name; `None` if there is none.
pub fn pick_name_address(
    subnet: Ipv4Net,
    app: &AppName,
    taken: &BTreeSet<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let names = name_range(subnet)?;
    let mut all = probe(app.as_str(), size(names)).map(|at| offset(names, at));
    all.find(|address| !taken.contains(address))
}

/// Returns all numbers below `room`, beginning at one derived from `text`.
fn probe(text: &str, room: u32) -> impl Iterator<Item = u32> {
    let digest = Sha256::digest(text.as_bytes());
    let start = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    (0..room).map(move |step| (start % room + step) % room)
}

/// Returns the variables that every replica gets beside those of its specification.
pub fn injected_env(
    app: &AppName,
    pod: &PodName,
    revision: RevisionId,
) -> BTreeMap<String, String> {
    [
        ("DUBERNETES_APP", app.to_string()),
        ("DUBERNETES_REPLICA", pod.to_string()),
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
    use crate::app::{Check, Health, ImageRef};

    fn spec() -> AppSpec {
        AppSpec::new(AppName::parse("web").unwrap(), ImageRef::parse("web:1").unwrap())
    }

    #[test]
    fn scaling_keeps_the_hash_and_a_new_image_changes_it() {
        let (mut scaled, mut updated) = (spec(), spec());
        scaled.replicas = 7;
        updated.artifact = ImageRef::parse("web:2").unwrap().into();
        assert_eq!(spec_hash(&spec()), spec_hash(&scaled));
        assert_ne!(spec_hash(&spec()), spec_hash(&updated));
    }

    /// Otherwise an upgrade of Dubernetes would replace every replica.
    #[test]
    fn hash_of_a_specification_stays_over_versions() {
        assert_eq!(spec_hash(&spec()), "97a4b997e9995cdd");
        let mut spec = spec();
        spec.options.init = false;
        assert_ne!(spec_hash(&spec), "97a4b997e9995cdd");
        spec.options.init = true;
        spec.health = Some(Health::new(Check::Tcp));
        spec.volumes = vec!["data:/data:ro".parse().unwrap(), "/srv/a:/a".parse().unwrap()];
        let json = r#"{"name":"web","image":"web:1","replicas":1,"volumes":["data:/data:ro","/srv/a:/a"],"health":{"tcp":true}}"#;
        assert_eq!(serde_json::to_string(&spec).unwrap(), json);
    }

    #[test]
    fn shared_volume_has_a_name_that_no_app_has() {
        let instance = InstanceName::default();
        let own = volume_name(&instance, &AppName::parse("shared").unwrap(), "a");
        assert_ne!(own, shared_volume_name(&instance, "a"));
        assert_eq!(shared_volume_name(&instance, "a"), "dubernetes.default._shared.a");
    }

    #[test]
    fn addresses_are_distinct_and_within_capacity() {
        let subnet: Ipv4Net = "10.89.0.0/22".parse().unwrap();
        let app = AppName::parse("web").unwrap();
        let mut taken = BTreeSet::new();
        while let Some(address) = pick_address(subnet, &app, 1, &taken) {
            let IpAddr::V4(found) = address else { panic!("{address} is not of the subnet") };
            assert!(subnet.contains(&found) && !engine_range(subnet).contains(&found));
            assert!(!name_range(subnet).unwrap().contains(&found));
            assert_ne!(found, ingress_address(subnet));
            assert!(taken.insert(address));
        }
        assert_eq!(taken.len(), usize::try_from(capacity(subnet)).unwrap());
    }

    #[test]
    fn names_have_distinct_addresses_of_their_range() {
        let subnet: Ipv4Net = "10.89.0.0/22".parse().unwrap();
        let app = AppName::parse("web").unwrap();
        let mut taken = BTreeSet::new();
        while let Some(address) = pick_name_address(subnet, &app, &taken) {
            assert!(name_range(subnet).unwrap().contains(&address));
            assert!(taken.insert(address));
        }
        assert_eq!(name_range(subnet).unwrap().to_string(), "10.89.2.0/24");
        assert_eq!(taken.len(), 256);
        assert_eq!(name_range("10.89.0.0/25".parse().unwrap()), None);
    }

    #[test]
    fn usual_port_makes_no_revision() {
        let mut explicit = spec();
        explicit.port = Some(80);
        assert_eq!(spec_hash(&spec()), spec_hash(&explicit));
    }
}
