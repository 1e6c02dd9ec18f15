//! Ports on which a container's processes listen: read from the kernel if possible, else from the
//! image.
//!
//! Only the engine knows the process id of a container's first process, and the id is valid only on
//! the engine's own host. A process counts therefore only if it has the container's address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bollard::models::ContainerInspectResponse;
use dubernetes_core::runtime::{ContainerId, OpenPorts};
use procfs_core::net::{TcpNetEntries, TcpState};
use procfs_core::{ExplicitSystemInfo, FromBufReadSI as _};

use crate::engine::{Engine, READ};
use crate::to_docker::path_segment;

/// Address of the engine's own resolver in every container, on a port of its choice.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Maximum number of cached containers. A full cache is cleared.
const CAPACITY: usize = 1000;

/// Inspections of containers that refused a connection.
#[derive(Debug, Default)]
pub(crate) struct PortCache {
    containers: Mutex<BTreeMap<ContainerId, CachedPorts>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CachedPorts {
    /// Process id of the first process; 0 if the container is not running.
    pid: i64,
    exposed: BTreeSet<u16>,
}

impl PortCache {
    /// Returns the ports on which the processes of the container with this address listen.
    pub(crate) async fn find(
        &self,
        engine: &Engine,
        id: &ContainerId,
        address: IpAddr,
    ) -> OpenPorts {
        let cached = self.lock().get(id).cloned();
        if let Some(cached) = &cached
            && let Some(open) = read_listening(cached.pid, address).await
        {
            return open;
        }
        let Some(inspected) = inspect(engine, id).await else { return OpenPorts::Unknown };
        let open = if cached.as_ref() == Some(&inspected) {
            None
        } else {
            read_listening(inspected.pid, address).await
        };
        let exposed = inspected.exposed.clone();
        let mut containers = self.lock();
        if containers.len() >= CAPACITY {
            containers.clear();
        }
        containers.insert(id.clone(), inspected);
        open.unwrap_or(OpenPorts::Exposed(exposed))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, CachedPorts>> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn inspect(engine: &Engine, id: &ContainerId) -> Option<CachedPorts> {
    let name = path_segment(id).ok()?;
    let call = engine.docker().ok()?.inspect_container(name, None);
    let operation = format!("inspect container `{id}`");
    engine.call(READ, &operation, call).await.ok().map(parse_ports)
}

fn parse_ports(answer: ContainerInspectResponse) -> CachedPorts {
    let exposed = answer.config.and_then(|config| config.exposed_ports).unwrap_or_default();
    let tcp = exposed.iter().filter_map(|port| port.as_str().strip_suffix("/tcp")?.parse().ok());
    CachedPorts {
        pid: answer.state.and_then(|state| state.pid).unwrap_or_default(),
        exposed: tcp.collect(),
    }
}

/// Returns the ports that are open in the network namespace of process `pid`; `None` if they
/// cannot be read, or if the namespace does not have the address.
async fn read_listening(pid: i64, address: IpAddr) -> Option<OpenPorts> {
    if pid <= 0 {
        return None;
    }
    let read =
        async |name: &str| tokio::fs::read_to_string(format!("/proc/{pid}/net/{name}")).await;
    if !has_local_address(&read("fib_trie").await.ok()?, address) {
        return None;
    }
    let mut sockets = parse_listening(&read("tcp").await.ok()?)?;
    // A kernel without IPv6 has no such table.
    sockets.extend(parse_listening(&read("tcp6").await.unwrap_or_default())?);
    let mut open = BTreeSet::new();
    let mut inside = BTreeSet::new();
    for socket in sockets {
        let ip = socket.ip().to_canonical();
        if ip != RESOLVER {
            let ports = if ip.is_loopback() { &mut inside } else { &mut open };
            ports.insert(socket.port());
        }
    }
    Some(OpenPorts::Listening { open, inside })
}

/// Parses `/proc/net/tcp` or `/proc/net/tcp6`, and returns the listening sockets.
fn parse_listening(table: &str) -> Option<Vec<SocketAddr>> {
    // Of these values the table needs the byte order alone.
    let system = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 100,
        page_size: 4096,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let TcpNetEntries(entries) = TcpNetEntries::from_buf_read(table.as_bytes(), &system).ok()?;
    let listening = entries.into_iter().filter(|entry| entry.state == TcpState::Listen);
    Some(listening.map(|entry| entry.local_address).collect())
}

/// Returns whether the kernel's routing table (`/proc/net/fib_trie`, IPv4 only) has the address as
/// a local one.
fn has_local_address(fib_trie: &str, address: IpAddr) -> bool {
    let leaf = format!("|-- {address}");
    let lines: Vec<_> = fib_trie.lines().map(str::trim).collect();
    lines
        .windows(2)
        .any(|pair| matches!(pair, [line, next] if *line == leaf && next.ends_with("host LOCAL")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn only_local_addresses_match() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n     \
                     |-- 10.0.0.7\n        /32 link UNICAST\n";
        let has = |address: [u8; 4]| has_local_address(table, address.into());
        assert!(has([10, 0, 0, 5]));
        assert!(!has([10, 0, 0, 7]) && !has([10, 0, 0, 50]) && !has([0, 0, 0, 5]));
    }

    #[tokio::test]
    async fn own_listeners_are_found_and_foreign_addresses_are_not() {
        let own = i64::from(std::process::id());
        let listener = std::net::TcpListener::bind((LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let Some(OpenPorts::Listening { open, inside }) = read_listening(own, LOCALHOST).await
        else {
            panic!("the tables of this process are readable")
        };
        assert!(inside.contains(&port) && !open.contains(&port));
        assert_eq!(read_listening(own, [192, 0, 2, 1].into()).await, None);
        assert_eq!(read_listening(0, LOCALHOST).await, None);
    }

    #[test]
    fn connections_and_malformed_tables_have_no_listeners() {
        let line = |state: &str| {
            format!(
                "head\n   0: 0000000000000000FFFF00000100007F:1F90 {:032}:0000 {state} \
                 00000000:00000000 00:00000000 00000000     0        0 26503 1 0 100 0 0 10 0\n",
                0
            )
        };
        let listening = parse_listening(&line("0A")).unwrap();
        let ports: Vec<_> = listening.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [8080]);
        if cfg!(target_endian = "little") {
            assert_eq!(listening[0].ip().to_canonical(), LOCALHOST);
        }
        assert_eq!(parse_listening(&line("01")), Some(Vec::new()));
        assert_eq!(parse_listening(""), Some(Vec::new()));
        assert_eq!(parse_listening("head\n 0: 00:00 x 0A"), None);
    }
}
