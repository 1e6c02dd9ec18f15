//! Where a container's processes listen: told by the kernel where this process may ask it, else
//! by the image.
//!
//! Only the engine knows a container's first process, and its number means something only on the
//! engine's own machine. So the process counts only if it has the container's address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bollard::models::ContainerInspectResponse;
use dubernetes_core::runtime::{ContainerId, OpenPorts, ProbeTarget};
use dubernetes_core::sockets;

use crate::engine::{Engine, READ};
use crate::to_docker::path_part;

/// The engine's own resolver listens here in every container, on a port of its choice.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// So many containers are remembered; then all are forgotten, and asked about anew.
const KEPT: usize = 1000;

/// What the engine has said of containers that refused a connection.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    seen: Mutex<BTreeMap<ContainerId, Seen>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// The number of the first process; 0 if it does not run.
    pid: i64,
    exposed: BTreeSet<u16>,
}

impl Ports {
    /// Where the processes of a container listen, as far as that can be seen.
    pub(crate) async fn find(&self, engine: &Engine, target: &ProbeTarget) -> OpenPorts {
        let known = self.lock().get(&target.id).cloned();
        if let Some(seen) = &known
            && let Some(open) = listening(seen.pid, target.address).await
        {
            return open;
        }
        let Some(seen) = inspect(engine, &target.id).await else { return OpenPorts::Unknown };
        let open = if known.as_ref() == Some(&seen) {
            None
        } else {
            listening(seen.pid, target.address).await
        };
        let exposed = seen.exposed.clone();
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(target.id.clone(), seen);
        open.unwrap_or(OpenPorts::Exposed(exposed))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Seen>> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn inspect(engine: &Engine, id: &ContainerId) -> Option<Seen> {
    let name = path_part(id).ok()?;
    let call = engine.docker().ok()?.inspect_container(name, None);
    let operation = format!("inspect container `{id}`");
    engine.call(READ, &operation, call).await.ok().map(seen)
}

fn seen(answer: ContainerInspectResponse) -> Seen {
    let exposed = answer.config.and_then(|config| config.exposed_ports).unwrap_or_default();
    let tcp = exposed.iter().filter_map(|port| port.as_str().strip_suffix("/tcp")?.parse().ok());
    Seen {
        pid: answer.state.and_then(|state| state.pid).unwrap_or_default(),
        exposed: tcp.collect(),
    }
}

/// Where the processes beside process `pid` listen; `None` if that cannot be read, or is another
/// container's.
async fn listening(pid: i64, address: Ipv4Addr) -> Option<OpenPorts> {
    if pid <= 0 {
        return None;
    }
    let read =
        async |name: &str| tokio::fs::read_to_string(format!("/proc/{pid}/net/{name}")).await;
    if !has_address(&read("fib_trie").await.ok()?, address) {
        return None;
    }
    let mut table = sockets::listeners(&read("tcp").await.ok()?);
    // A kernel without IPv6 has no such table.
    table.extend(sockets::listeners(&read("tcp6").await.unwrap_or_default()));
    table.retain(|listener| listener.address != RESOLVER);
    let (inside, open): (Vec<_>, Vec<_>) =
        table.into_iter().partition(|listener| listener.address.is_loopback());
    let ports = |listeners: Vec<sockets::Listener>| listeners.into_iter().map(|l| l.port).collect();
    Some(OpenPorts::Listening { open: ports(open), inside: ports(inside) })
}

/// Whether the kernel's table of routes says that the address is one of its own.
fn has_address(fib_trie: &str, address: Ipv4Addr) -> bool {
    let leaf = format!("|-- {address}");
    let lines: Vec<_> = fib_trie.lines().map(str::trim).collect();
    lines
        .windows(2)
        .any(|pair| matches!(pair, [line, next] if *line == leaf && next.ends_with("host LOCAL")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_only_where_it_is_its_own() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n     \
                     |-- 10.0.0.7\n        /32 link UNICAST\n";
        let has = |address: [u8; 4]| has_address(table, address.into());
        assert!(has([10, 0, 0, 5]));
        assert!(!has([10, 0, 0, 7]) && !has([10, 0, 0, 50]) && !has([0, 0, 0, 5]));
    }

    #[tokio::test]
    async fn this_process_has_its_own_listeners_and_no_foreign_address() {
        let here = i64::from(std::process::id());
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let Some(OpenPorts::Listening { open, inside }) =
            listening(here, Ipv4Addr::LOCALHOST).await
        else {
            panic!("it can be read")
        };
        assert!(inside.contains(&port) && !open.contains(&port));
        assert_eq!(listening(here, Ipv4Addr::new(192, 0, 2, 1)).await, None);
        assert_eq!(listening(0, Ipv4Addr::LOCALHOST).await, None);
    }
}
