//! What was last seen on each node, and what is known of nodes that are away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dubernetes_core::app::InstanceName;
use dubernetes_core::labels::{ADDRESS, APP, COMPONENT, INGRESS, PORTS, REVISION};
use dubernetes_core::runtime::{Container, ContainerId, RuntimeError};
use tokio::time::Instant;

use crate::placement::Candidate;

/// Label of a container that cannot move to another node.
pub(crate) const BOUND: &str = "dubernetes.bound";
/// How long an address is avoided with which Swarm has refused to start a container.
const REFUSED_FOR: Duration = Duration::from_secs(10 * 60);
/// How long a created container counts that no list has shown.
const CREATED_FOR: Duration = Duration::from_secs(60);

/// What a node said when it was asked for its containers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Its containers.
    Listed(Vec<Container>),
    /// Nothing, while Swarm does not call it down.
    Silent(RuntimeError),
    /// Swarm calls it down.
    Down,
}

/// The containers of one node.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) node: String,
    /// Requests arrive there.
    pub(crate) is_entry: bool,
    /// Its containers should move.
    pub(crate) is_drained: bool,
    pub(crate) answer: Answer,
}

/// What was seen, of all instances.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The last list of each node.
    lists: BTreeMap<(InstanceName, String), Vec<Container>>,
    /// Nodes that were given up, and have not answered since.
    down: BTreeSet<(InstanceName, String)>,
    places: BTreeMap<ContainerId, String>,
    /// Addresses of containers on nodes that are down.
    lost: BTreeMap<InstanceName, BTreeSet<IpAddr>>,
    leaving: BTreeMap<InstanceName, BTreeSet<ContainerId>>,
    refused: BTreeMap<IpAddr, Instant>,
    /// Containers that are being created or that no list has shown, by name.
    creating: BTreeMap<String, Creating>,
}

/// The app and the revision of a replica: those of one revision are spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfRevision {
    app: String,
    revision: Option<String>,
}

impl OfRevision {
    /// Reads the labels of a container; `None` if it is of no app.
    pub(crate) fn read(labels: &BTreeMap<String, String>) -> Option<Self> {
        let app = labels.get(APP)?.clone();
        Some(Self { app, revision: labels.get(REVISION).cloned() })
    }
}

#[derive(Debug)]
struct Creating {
    node: String,
    group: Option<OfRevision>,
    since: Instant,
    is_done: bool,
}

impl Memory {
    /// Joins what the nodes of the swarm said into one list. What was seen of others is forgotten.
    ///
    /// # Errors
    ///
    /// That of a node that says nothing and that was never seen.
    pub(crate) fn merge(
        &self,
        instance: &InstanceName,
        asked: Vec<Asked>,
    ) -> Result<Vec<Container>, RuntimeError> {
        let mut inner = self.lock();
        let mut former: BTreeMap<String, Vec<Container>> = BTreeMap::new();
        for ((of, node), list) in std::mem::take(&mut inner.lists) {
            match of == *instance {
                true => drop(former.insert(node, list)),
                false => drop(inner.lists.insert((of, node), list)),
            }
        }
        let (mut all, mut lost, mut leaving) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut failed = None;
        for Asked { node, is_entry, is_drained, answer } in asked {
            let is_silent = !matches!(answer, Answer::Listed(_));
            let last = former.remove(&node);
            let (list, is_lost) = match answer {
                Answer::Listed(list) => (Some(list), false),
                // It was given up, and has not answered since.
                Answer::Silent(_) if inner.down.contains(&(instance.clone(), node.clone())) => {
                    (last, true)
                }
                Answer::Silent(error) => {
                    failed = failed.or(last.is_none().then_some(error));
                    (last, false)
                }
                Answer::Down => (last, true),
            };
            let key = (instance.clone(), node.clone());
            let _ = if is_lost { inner.down.insert(key) } else { inner.down.remove(&key) };
            let Some(list) = list else { continue };
            for container in &list {
                let is_misplaced = !is_entry && serves_entry(container);
                let moves = is_misplaced || is_drained && !container.labels.contains_key(BOUND);
                // What served an entry that is away is replaced at once on the present one.
                if is_lost || is_misplaced && is_silent {
                    lost.extend(planned_address(container));
                } else {
                    leaving.extend(moves.then(|| container.id.clone()));
                    all.push(container.clone());
                }
            }
            inner.places.extend(list.iter().map(|found| (found.id.clone(), node.clone())));
            inner.lists.insert((instance.clone(), node), list);
        }
        inner.lost.insert(instance.clone(), lost);
        inner.leaving.insert(instance.clone(), leaving);
        inner.forget();
        all.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        failed.map_or(Ok(all), Err)
    }

    /// Returns the node of a container that was seen or created.
    pub(crate) fn place(&self, id: &ContainerId) -> Option<String> {
        self.lock().places.get(id).cloned()
    }

    /// Returns the nodes of all containers that were seen or created.
    pub(crate) fn places(&self) -> BTreeMap<ContainerId, String> {
        self.lock().places.clone()
    }

    /// Returns the containers that should move to another node.
    pub(crate) fn leaving(&self) -> BTreeSet<ContainerId> {
        self.lock().leaving.values().flatten().cloned().collect()
    }

    /// Returns addresses that no new container can get.
    pub(crate) fn held(&self, instance: &InstanceName) -> BTreeSet<IpAddr> {
        let inner = self.lock();
        let lost = inner.lost.get(instance).into_iter().flatten().copied();
        lost.chain(inner.refused.keys().copied()).collect()
    }

    /// Remembers that Swarm refused an address.
    pub(crate) fn refuse(&self, address: IpAddr) {
        self.lock().refused.insert(address, Instant::now());
    }

    /// Returns what was last seen on a node.
    pub(crate) fn seen(&self, instance: &InstanceName, node: &str) -> Vec<Container> {
        self.lock().lists.get(&(instance.clone(), node.to_owned())).cloned().unwrap_or_default()
    }

    /// Counts what is on each node or will be, lets `choose` choose the node for a new container,
    /// and reserves its name. `None` if another call is creating one of that name. Calls choose one
    /// after the other, so that each counts the choices of those before.
    pub(crate) fn reserve<E>(
        &self,
        instance: Option<&InstanceName>,
        group: Option<OfRevision>,
        name: &str,
        nodes: &mut [Candidate],
        choose: impl FnOnce(&[Candidate]) -> Result<String, E>,
    ) -> Result<Option<Reserved<'_>>, E> {
        let mut inner = self.lock();
        if inner.creating.get(name).is_some_and(|creating| !creating.is_done) {
            return Ok(None);
        }
        for node in &mut *nodes {
            let counts = inner.count(instance, &node.name, group.as_ref());
            (node.of_revision, node.containers) = counts;
        }
        let node = choose(nodes)?;
        let since = Instant::now();
        let creating = Creating { node: node.clone(), group, since, is_done: false };
        inner.creating.insert(name.to_owned(), creating);
        Ok(Some(Reserved { memory: self, name: name.to_owned(), node }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic cannot leave it half changed: what is missing is seen again by the next list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns how many containers of a revision, and of the instance, are on a node or will be.
    fn count(
        &self,
        instance: Option<&InstanceName>,
        node: &str,
        group: Option<&OfRevision>,
    ) -> (usize, usize) {
        let seen = instance.and_then(|of| self.lists.get(&(of.clone(), node.to_owned())));
        let seen = seen.into_iter().flatten().map(|found| OfRevision::read(&found.labels));
        let new = self.creating.values().filter(|new| new.node == node);
        let all: Vec<_> = seen.chain(new.map(|new| new.group.clone())).collect();
        let same = all.iter().filter(|of| group.is_some() && of.as_ref() == group);
        (same.count(), all.len())
    }

    /// Drops what a list has shown, and what is too old.
    fn forget(&mut self) {
        let listed: BTreeSet<_> = self.lists.values().flatten().map(|found| &found.name).collect();
        self.creating.retain(|name, creating| {
            !creating.is_done || !listed.contains(name) && creating.since.elapsed() < CREATED_FOR
        });
        self.refused.retain(|_, since| since.elapsed() < REFUSED_FOR);
        if self.places.len() > 2 * listed.len() + 1000 {
            let ids: BTreeSet<_> = self.lists.values().flatten().map(|found| &found.id).collect();
            self.places.retain(|id, _| ids.contains(id));
        }
    }
}

/// A name that is reserved until dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    memory: &'a Memory,
    name: String,
    /// The node that was chosen.
    pub(crate) node: String,
}

impl Reserved<'_> {
    /// Ends the reservation: the container exists.
    pub(crate) fn created(self, id: &ContainerId) {
        let mut inner = self.memory.lock();
        if let Some(creating) = inner.creating.get_mut(&self.name) {
            creating.is_done = true;
            inner.places.insert(id.clone(), self.node.clone());
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut inner = self.memory.lock();
        if inner.creating.get(&self.name).is_some_and(|creating| !creating.is_done) {
            inner.creating.remove(&self.name);
        }
    }
}

/// Returns whether a container belongs where requests arrive.
fn serves_entry(container: &Container) -> bool {
    let component = container.labels.get(COMPONENT).map(String::as_str);
    matches!(component, Some(INGRESS | PORTS))
}

/// Returns the address that a container was created with.
pub(crate) fn planned_address(container: &Container) -> Option<IpAddr> {
    container.labels.get(ADDRESS)?.parse().ok()
}

#[cfg(test)]
mod tests;
