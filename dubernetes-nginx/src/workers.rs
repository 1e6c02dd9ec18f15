//! Decides when an endpoint is drained, and bounds the number of draining workers.
//!
//! After a reload, an old worker answers the requests that it has, and for the time of
//! `keepalive_min_timeout` one more request on each kept connection. An endpoint is drained when
//! all of these hold:
//!
//! - That time has passed since a table without the endpoint was acknowledged.
//! - nginx has no connection to the endpoint.
//! - No old worker has a client whose request has not arrived yet: a connection that was opened
//!   and not used, or a request head that arrives slowly. `client_header_timeout` ends these.
//!
//! A websocket also keeps its worker alive, but its request arrived long ago, so it does not
//! delay draining.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dubernetes_core::ingress::{Drained, IngressError};
use dubernetes_core::runtime::{ExecResult, Process};
use dubernetes_core::sockets::{Connection, connections, listeners};

use crate::config::{PRIVATE_PORT, WORKERS};
use crate::error::{LOST_OUTPUT, failure};
use crate::proxy::{HTTP_PORT, HTTPS_PORT, Nginx, NginxConfig, RunningNginx};

/// Allowance for timers that fire late.
const LATE: Duration = Duration::from_millis(500);
/// Maximum number of old workers that are kept for open connections. Each uses about 2.5 MiB.
pub(crate) const MAX_OLD_WORKERS: usize = 64;

/// Returns the time during which an old worker may accept one more request on a kept connection.
pub(crate) fn drain_window(config: &NginxConfig) -> Duration {
    Duration::from(config.keepalive_window) + LATE
}

/// Prints the children of nginx's master process, oldest first, and the container's table of TCP
/// sockets. Sockets in TIME-WAIT (state 06) are left out if `grep` is available: on a busy machine
/// they are most of the table.
const SNAPSHOT_CMD: &str = "\
    p=$(cat /etc/nginx/dubernetes/nginx.pid); cat /proc/$p/task/$p/children; \
    grep -v ' 06 ' /proc/net/tcp || cat /proc/net/tcp";

/// The processes and connections of nginx at one moment.
#[derive(Debug, Default)]
pub(crate) struct WorkerSnapshot {
    /// Process ids of the workers, oldest first.
    children: Vec<u32>,
    /// Address of nginx towards replicas. On the addresses of names it has clients alone.
    address: Option<IpAddr>,
    connections: Vec<Connection>,
    /// Inodes of the sockets that accept clients.
    listening: BTreeSet<u64>,
    old_workers: SocketsByPid,
    /// Old workers that a signal has stopped.
    stopped: BTreeSet<u32>,
}

/// The inodes of the sockets of each process.
type SocketsByPid = BTreeMap<u32, BTreeSet<u64>>;

/// An old worker, as its `status` shows it.
#[derive(Debug, PartialEq, Eq)]
struct OldWorker {
    pid: u32,
    user: u32,
    is_stopped: bool,
}

impl Nginx {
    /// Takes a snapshot of nginx's processes and their connections.
    pub(crate) async fn snapshot(
        &self,
        nginx: &RunningNginx,
    ) -> Result<WorkerSnapshot, IngressError> {
        // The engine's own list needs no tool of the image. The workers of the newest generation
        // hold no connection to an address that is not in its table.
        let processes = self.runtime.processes(&nginx.id).await;
        if processes.is_ok_and(|processes| has_no_old_worker(&processes)) {
            return Ok(WorkerSnapshot::default());
        }
        let result = self.run_command(&nginx.id, &["sh", "-c", SNAPSHOT_CMD], None).await?;
        let result = require_complete(result)?;
        let text = String::from_utf8_lossy(&result.stdout);
        // A kernel may lack the list of children; then no worker counts as old.
        let mut snapshot = WorkerSnapshot::parse(&text).ok_or_else(|| {
            failure(format!("nginx's connections cannot be read: exit code {}", result.code))
        })?;
        snapshot.address = Some(nginx.address);
        if !snapshot.old_children().is_empty() {
            let workers = self.old_workers(nginx, snapshot.old_children()).await?;
            snapshot.old_workers = self.sockets_of(nginx, &workers).await?;
            let stopped = workers.iter().filter(|worker| worker.is_stopped);
            snapshot.stopped = stopped.map(|worker| worker.pid).collect();
        }
        Ok(snapshot)
    }

    /// Terminates the old workers above [`MAX_OLD_WORKERS`], those with the fewest connections
    /// first. Returns how many are left, and how many were terminated.
    pub(crate) async fn terminate_excess(
        &self,
        nginx: &RunningNginx,
    ) -> Result<(usize, usize), IngressError> {
        let snapshot = self.snapshot(nginx).await?;
        let excess = snapshot.excess();
        if !excess.is_empty() {
            let pids: Vec<_> = excess.iter().map(u32::to_string).collect();
            let command = format!("kill -TERM {}", pids.join(" "));
            // A worker may have exited in the meantime, so the exit code does not matter.
            self.run_command(&nginx.id, &["sh", "-c", &command], None).await?;
        }
        Ok((snapshot.old_workers.len() - excess.len(), excess.len()))
    }

    /// Returns those of the processes `old` that have not exited.
    async fn old_workers(
        &self,
        nginx: &RunningNginx,
        old: &[u32],
    ) -> Result<Vec<OldWorker>, IngressError> {
        let mut command = vec!["cat".to_owned()];
        command.extend(old.iter().map(|pid| format!("/proc/{pid}/status")));
        // `cat` skips a process that has exited, and reads the others.
        let result = require_complete(self.run_command(&nginx.id, &command, None).await?)?;
        let workers = parse_old_workers(&String::from_utf8_lossy(&result.stdout));
        require_all(result.code, workers.len(), old.len())?;
        Ok(workers)
    }

    /// Returns the sockets of old workers.
    async fn sockets_of(
        &self,
        nginx: &RunningNginx,
        workers: &[OldWorker],
    ) -> Result<SocketsByPid, IngressError> {
        let Some(OldWorker { user, .. }) = workers.first() else { return Ok(SocketsByPid::new()) };
        // The kernel shows a process's open files only to the process's own user.
        let mut command = vec!["ls".to_owned(), "-l".to_owned(), "/proc/self/fd".to_owned()];
        command.extend(workers.iter().map(|worker| format!("/proc/{}/fd", worker.pid)));
        let result = self.run_command(&nginx.id, &command, Some(*user)).await?;
        let result = require_complete(result)?;
        let sockets = parse_sockets_by_pid(&String::from_utf8_lossy(&result.stdout));
        require_all(result.code, sockets.len(), workers.len())?;
        Ok(sockets)
    }
}

/// Fails if a command that has read everything shows less: output that an engine has lost must not
/// count as workers that have exited.
fn require_all(code: i64, found: usize, expected: usize) -> Result<(), IngressError> {
    if code == 0 && found < expected { Err(failure(LOST_OUTPUT)) } else { Ok(()) }
}

impl WorkerSnapshot {
    /// Returns whether a request to `endpoint` is in flight, or can still arrive through an old
    /// worker.
    pub(crate) fn drained(&self, endpoint: SocketAddr) -> Drained {
        // A replica may have several ports, and no other has its address.
        let leads_to_replica = |connection: &Connection| {
            connection.remote.ip() == endpoint.ip() && self.is_request(connection.local)
        };
        // A worker that is stopped has not closed what it listens on, and it may hold everything
        // else, so it is named first.
        let holds = self.old_workers.iter().find_map(|(pid, inodes)| self.held_by(*pid, inodes));
        let is_connected =
            || self.connections.iter().any(|c| c.remote == endpoint || leads_to_replica(c));
        match holds {
            Some(held_by) => Drained::No { held_by: Some(held_by) },
            None if is_connected() => Drained::IN_PROGRESS,
            None => Drained::Yes,
        }
    }

    /// Returns why an old worker with these sockets may still pass a request to any address.
    fn held_by(&self, pid: u32, inodes: &BTreeSet<u64>) -> Option<String> {
        let listens = !inodes.is_disjoint(&self.listening);
        if !listens && !self.awaits_request(inodes) {
            return None;
        }
        Some(if self.stopped.contains(&pid) {
            format!("nginx worker {pid} has not ended: it is stopped (`kill -STOP`)")
        } else if listens {
            format!("nginx worker {pid} has not ended: it still takes requests")
        } else {
            format!("nginx worker {pid} has a connection whose request has not arrived")
        })
    }

    /// Returns the workers that are not of the newest generation, whatever they call themselves: a
    /// worker that is stopped does not know that it is old.
    fn old_children(&self) -> &[u32] {
        &self.children[..self.children.len().saturating_sub(WORKERS)]
    }

    /// Parses the process ids of the children, and the table of connections that follows.
    fn parse(text: &str) -> Option<Self> {
        let (_, table) = text.split_once("local_address")?;
        Some(Self {
            address: None,
            children: text.split_whitespace().map_while(|word| word.parse().ok()).collect(),
            connections: connections(table),
            listening: listeners(table).into_iter().map(|listener| listener.inode).collect(),
            old_workers: SocketsByPid::new(),
            stopped: BTreeSet::new(),
        })
    }

    /// Returns true if a worker with these sockets has more clients than requests in flight.
    fn awaits_request(&self, inodes: &BTreeSet<u64>) -> bool {
        let own = || self.connections.iter().filter(|c| inodes.contains(&c.inode));
        let clients = own().filter(|connection| self.is_client(connection.local)).count();
        let requests = own().filter(|connection| self.is_request(connection.local)).count();
        clients > requests
    }

    /// Returns true if a connection with this local end is one of a client.
    fn is_client(&self, local: SocketAddr) -> bool {
        let is_of_name = self.address.is_some_and(|address| local.ip() != address);
        is_of_name || [HTTP_PORT, HTTPS_PORT].contains(&local.port())
    }

    /// Returns true if a connection with this local end leads to a replica.
    fn is_request(&self, local: SocketAddr) -> bool {
        !self.is_client(local) && local.port() != PRIVATE_PORT
    }

    /// Returns the old workers above the limit: those with the fewest connections, and of these
    /// the oldest.
    fn excess(&self) -> Vec<u32> {
        let age = |pid: &u32| self.children.iter().position(|child| child == pid);
        let rank = |(pid, inodes): (&u32, &BTreeSet<u64>)| (inodes.len(), age(pid), *pid);
        let mut ranked: Vec<_> = self.old_workers.iter().map(rank).collect();
        ranked.sort_unstable();
        ranked.truncate(self.old_workers.len().saturating_sub(MAX_OLD_WORKERS));
        ranked.into_iter().map(|(_, _, pid)| pid).collect()
    }
}

/// Returns true if the master process has the workers of one generation alone.
fn has_no_old_worker(processes: &[Process]) -> bool {
    let master = processes.iter().find(|process| process.command.starts_with("nginx: master"));
    master.is_some_and(|master| {
        processes.iter().filter(|process| process.parent == master.pid).count() <= WORKERS
    })
}

/// Refuses truncated output, in which the connection that matters may be missing, and that of a
/// tool which the image lacks.
fn require_complete(result: ExecResult) -> Result<ExecResult, IngressError> {
    if result.truncated {
        return Err(failure("nginx has too many connections to list"));
    }
    if matches!(result.code, 126 | 127) {
        return Err(failure("the image of the ingress has no tools to look at its old workers"));
    }
    Ok(result)
}

/// Parses the concatenated `status` of processes.
fn parse_old_workers(text: &str) -> Vec<OldWorker> {
    let worker = |part: &str| {
        let value = |key: &str| {
            let line = part.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()
        };
        Some(OldWorker {
            pid: value("Pid:")?.parse().ok()?,
            user: value("Uid:")?.parse().ok()?,
            is_stopped: matches!(value("State:"), Some("T" | "t")),
        })
    };
    text.split("Name:\t").filter_map(worker).collect()
}

/// Parses `ls -l` of several `/proc/PID/fd` directories.
fn parse_sockets_by_pid(text: &str) -> SocketsByPid {
    let mut sockets = SocketsByPid::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(directory) = line.strip_prefix("/proc/") {
            current = directory.strip_suffix("/fd:").and_then(|pid| pid.parse::<u32>().ok());
            sockets.extend(current.map(|pid| (pid, BTreeSet::new())));
        } else if let Some((_, rest)) = line.split_once("-> socket:[")
            && let Some(inodes) = current.and_then(|pid| sockets.get_mut(&pid))
        {
            inodes.extend(rest.strip_suffix(']').and_then(|inode| inode.parse::<u64>().ok()));
        }
    }
    sockets
}

#[cfg(test)]
mod tests;
