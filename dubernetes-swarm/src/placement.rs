//! On which node a container goes. Pure.

use std::collections::BTreeSet;

use dubernetes_core::app::VolumeSource;
use dubernetes_core::runtime::ContainerRequest;

/// A node that the runtime is connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// The node of the orchestrator and of the ingress.
    pub(crate) is_entry: bool,
    /// It answers.
    pub(crate) is_known: bool,
    /// It answers, and Swarm gives it new work.
    pub(crate) is_open: bool,
    /// Those volumes of the request that it has.
    pub(crate) volumes: BTreeSet<String>,
    /// Containers of the same revision of the app. Those of others are about to go.
    pub(crate) of_revision: usize,
    /// All containers of the instance.
    pub(crate) containers: usize,
}

/// Why there is no node for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A node may be back soon.
    Now(String),
    /// The request has to change.
    Always(String),
}

/// Returns the named volumes of a request.
pub(crate) fn volumes(request: &ContainerRequest) -> BTreeSet<String> {
    let named = request.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Named(name) | VolumeSource::Shared(name) | VolumeSource::External(name) => {
            Some(name.clone())
        }
        VolumeSource::Bind(_) => None,
    });
    named.collect()
}

/// Returns why a container has to be on the entry node, if it has: its ports are those of that
/// machine, and the folders that it mounts were named there.
pub(crate) fn entry_pin(request: &ContainerRequest) -> Option<&'static str> {
    let is_bind = |source: &VolumeSource| matches!(source, VolumeSource::Bind(_));
    if !request.ports.is_empty() || request.more_addresses.is_some() {
        Some("publishes ports")
    } else if request.volumes.iter().any(|volume| is_bind(&volume.source)) {
        Some("mounts a folder")
    } else {
        None
    }
}

/// Returns whether a container cannot move to another node.
pub(crate) fn is_bound(request: &ContainerRequest) -> bool {
    entry_pin(request).is_some() || !volumes(request).is_empty()
}

/// Chooses the node for a request: the entry node if it has to be that, else the one that has its
/// volumes, else of those open to new work the one with the fewest replicas of the same revision,
/// and of these the one with the fewest containers. A volume that another node has, or may have,
/// is never created again, empty.
pub(crate) fn choose<'a>(
    request: &ContainerRequest,
    candidates: &'a [Candidate],
) -> Result<&'a Candidate, Refusal> {
    let held: BTreeSet<_> = candidates.iter().flat_map(|node| &node.volumes).cloned().collect();
    let with_some = candidates.iter().filter(|node| !node.volumes.is_empty());
    let with_some = with_some.map(|node| quote(&node.name)).collect::<Vec<_>>().join(", ");
    let missing: Vec<_> = volumes(request).difference(&held).map(|name| quote(name)).collect();
    let silent = candidates.iter().find(|node| !node.is_known);
    let pinned = match entry_pin(request) {
        None => None,
        Some(pin) => {
            let entry = candidates.iter().find(|node| node.is_entry && node.is_known);
            let entry =
                entry.ok_or_else(|| Refusal::Now("the entry node does not answer".into()))?;
            if entry.volumes != held {
                let entry = quote(&entry.name);
                let why = format!("it {pin} of node {entry}, and its volume is on {with_some}");
                return Err(Refusal::Always(why));
            }
            Some(entry)
        }
    };
    if let (Some(silent), false) = (silent, missing.is_empty()) {
        return Err(Refusal::Now(format!(
            "no node that answers has its volume {}, and node {}, which does not, may have it",
            missing.join(", "),
            quote(&silent.name)
        )));
    }
    if let Some(entry) = pinned {
        return Ok(entry);
    }
    let mut fitting = candidates.iter().filter(|node| node.volumes == held).peekable();
    if fitting.peek().is_none() {
        let why = format!("its volumes are on different nodes: {with_some}");
        return Err(Refusal::Always(why));
    }
    let least = |node: &&Candidate| (node.of_revision, node.containers, node.name.clone());
    fitting.filter(|node| node.is_open).min_by_key(least).ok_or_else(|| {
        Refusal::Now(match held.is_empty() {
            true => "no node is ready, active and connected".to_owned(),
            false => format!("its volume is on node {with_some}, which takes no containers now"),
        })
    })
}

fn quote(name: &str) -> String {
    format!("`{name}`")
}

#[cfg(test)]
mod tests {
    use dubernetes_core::app::Volume;
    use dubernetes_core::runtime::PublishedPort;

    use super::*;

    fn node(name: &str, of_revision: usize, containers: usize) -> Candidate {
        let (name, is_entry) = (name.to_owned(), name == "m");
        let volumes = BTreeSet::new();
        let (is_known, is_open) = (true, true);
        Candidate { name, is_entry, is_known, is_open, volumes, of_revision, containers }
    }

    fn closed(node: Candidate) -> Candidate {
        Candidate { is_open: false, ..node }
    }

    fn silent(node: Candidate) -> Candidate {
        Candidate { is_known: false, ..closed(node) }
    }

    fn with_data(node: Candidate) -> Candidate {
        Candidate { volumes: BTreeSet::from(["data".to_owned()]), ..node }
    }

    fn request(volumes: &[&str]) -> ContainerRequest {
        let volumes = volumes.iter().map(|text| text.parse::<Volume>().unwrap()).collect();
        ContainerRequest { volumes, ..ContainerRequest::new("web-1", "web:1") }
    }

    #[track_caller]
    fn check(request: &ContainerRequest, nodes: &[Candidate], expected: &str) {
        let chosen = match choose(request, nodes) {
            Ok(node) => node.name.clone(),
            Err(Refusal::Now(why)) => format!("now: {why}"),
            Err(Refusal::Always(why)) => format!("always: {why}"),
        };
        assert_eq!(chosen, expected);
    }

    #[test]
    fn open_node_with_fewest_replicas_then_fewest_containers_is_chosen() {
        let any = request(&[]);
        check(&any, &[node("m", 1, 1), node("a", 0, 9), node("b", 0, 8)], "b");
        check(&any, &[node("m", 0, 1), node("a", 0, 1)], "a");
        check(&any, &[closed(node("a", 0, 0)), node("b", 5, 9)], "b");
        let none = "now: no node is ready, active and connected";
        check(&any, &[closed(node("a", 0, 0)), silent(node("b", 0, 0))], none);
    }

    #[test]
    fn volume_pins_to_the_node_that_has_it() {
        let data = request(&["data:/data"]);
        check(&data, &[node("a", 0, 0), with_data(node("b", 3, 9))], "b");
        check(
            &data,
            &[node("a", 0, 0), closed(with_data(node("b", 0, 0)))],
            "now: its volume is on node `b`, which takes no containers now",
        );
        check(
            &data,
            &[node("a", 0, 0), silent(node("b", 0, 0))],
            "now: no node that answers has its volume `data`, and node `b`, which does not, may \
             have it",
        );
        check(&data, &[node("a", 1, 1), node("b", 0, 0)], "b");
        check(&data, &[with_data(node("a", 1, 1)), silent(node("b", 0, 0))], "a");
    }

    #[test]
    fn volume_that_another_node_has_is_not_created_again() {
        let both = request(&["data:/data", "more:/more"]);
        let with = |names: &[&str], node: Candidate| {
            let volumes = names.iter().map(|name| (*name).to_owned()).collect();
            Candidate { volumes, ..node }
        };
        let (a, b) = (with(&["data"], node("a", 0, 0)), with(&["more"], node("b", 0, 0)));
        check(
            &both,
            &[a.clone(), b.clone()],
            "always: its volumes are on different nodes: `a`, `b`",
        );
        check(&both, &[a.clone(), b, with(&["data", "more"], node("c", 9, 9))], "c");
        check(&both, &[a.clone(), node("b", 0, 0)], "a");
        check(
            &both,
            &[a, silent(node("b", 0, 0))],
            "now: no node that answers has its volume `more`, and node `b`, which does not, may \
             have it",
        );
    }

    #[test]
    fn ports_and_folders_pin_to_the_entry_node() {
        let mut ports = request(&[]);
        ports.ports = vec![PublishedPort {
            host_ip: [127, 0, 0, 1].into(),
            host_port: 80,
            container_port: 80,
            transport: Default::default(),
        }];
        check(&ports, &[closed(node("m", 9, 9)), node("a", 0, 0)], "m");
        check(&ports, &[silent(node("m", 9, 9))], "now: the entry node does not answer");
        let folder = request(&["/srv:/srv", "data:/data"]);
        check(&folder, &[node("m", 0, 0), node("a", 0, 0)], "m");
        let why = "always: it mounts a folder of node `m`, and its volume is on `a`";
        check(&folder, &[node("m", 0, 0), with_data(node("a", 0, 0))], why);
        assert!(is_bound(&folder) && is_bound(&ports) && !is_bound(&request(&[])));
    }
}
