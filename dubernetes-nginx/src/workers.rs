//! Whether a former generation's workers may still send requests to an address, and how many such
//! workers there may be.
//!
//! After a reload the older workers answer the requests that they have, and for the time of
//! `keepalive_min_timeout` one more on each kept connection. So an address is drained when that window
//! has passed since a table without it was acknowledged, nginx holds no connection to it, and no
//! older worker has a client whose request is yet to come: a connection that was opened and not
//! used so far, or a head that arrives slowly. `client_header_timeout` ends these.
//!
//! A websocket keeps its worker alive, too, and its request has long come: nobody waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use dubernetes_core::ingress::IngressError;
use dubernetes_core::runtime::{ExecResult, exec_to_end, exec_to_end_as};

use crate::config::{PRIVATE_PORT, WORKERS};
use crate::error::failed;
use crate::proxy::{HTTP_PORT, Nginx, Run};

/// `keepalive_min_timeout` is 1 s; the rest is for timers that fire late.
pub(crate) const WINDOW: Duration = Duration::from_millis(1500);
/// So many older workers may live on for connections that do not end. Each takes about 2.5 MiB.
pub(crate) const OLD_WORKERS: usize = 64;

/// Shows the processes that nginx's first one made, in the order of their making, and the kernel's table
/// of connections, as a container sees its own. Those that only wait for their number to be free
/// again (state 06) are left out where that is possible: on a busy machine they are most of it.
const LOOK: &str = "p=$(cat /etc/nginx/dubernetes/nginx.pid); cat /proc/$p/task/$p/children; \
                    grep -v ' 06 ' /proc/net/tcp || cat /proc/net/tcp";

/// What the kernel says about nginx in one moment.
#[derive(Debug)]
pub(crate) struct Look {
    /// The processes, in the order of their making.
    children: Vec<u32>,
    connections: Vec<Connection>,
    old: Sockets,
}

/// A connection that a request may be on.
#[derive(Debug, PartialEq, Eq)]
struct Connection {
    local_port: u16,
    remote: Ipv4Addr,
    inode: u64,
}

/// The sockets of each older worker.
type Sockets = BTreeMap<u32, BTreeSet<u64>>;

impl Nginx {
    /// Looks at nginx's processes and their connections.
    pub(crate) async fn look(&self, run: &Run) -> Result<Look, IngressError> {
        let result = whole(exec_to_end(&*self.runtime, &run.id, &["sh", "-c", LOOK]).await?)?;
        let text = String::from_utf8_lossy(&result.stdout);
        // A kernel may lack the list of processes; then no worker counts as an older one.
        let mut look = Look::read(&text).ok_or_else(|| {
            failed(format!("nginx's connections cannot be read, code {}", result.code))
        })?;
        if look.children.len() > WORKERS {
            look.old = self.sockets(run, &look.children).await?;
        }
        Ok(look)
    }

    /// Ends older workers where there are too many, those with the fewest connections first; their
    /// number.
    pub(crate) async fn end_excess(&self, run: &Run) -> Result<usize, IngressError> {
        let excess = self.look(run).await?.excess();
        if !excess.is_empty() {
            let pids: Vec<_> = excess.iter().map(u32::to_string).collect();
            let command = format!("kill -TERM {}", pids.join(" "));
            // One that has ended by itself meanwhile is as good.
            exec_to_end(&*self.runtime, &run.id, &["sh", "-c", &command]).await?;
        }
        Ok(excess.len())
    }

    /// The sockets of those processes that are older workers.
    async fn sockets(&self, run: &Run, children: &[u32]) -> Result<Sockets, IngressError> {
        let files = |pid: &u32| [format!("/proc/{pid}/status"), format!("/proc/{pid}/cmdline")];
        let mut command = vec!["cat".to_owned()];
        command.extend(children.iter().flat_map(files));
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        // Of a process that has ended, the command says so and reads on.
        let said = whole(exec_to_end(&*self.runtime, &run.id, &command).await?)?;
        let old = old_workers(&String::from_utf8_lossy(&said.stdout));
        let Some((_, user)) = old.first() else { return Ok(Sockets::new()) };
        // The kernel lets only a process's own user see these.
        let mut command = vec!["ls".to_owned(), "-l".to_owned(), "/proc/self/fd".to_owned()];
        command.extend(old.iter().map(|(pid, _)| format!("/proc/{pid}/fd")));
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let said = exec_to_end_as(&*self.runtime, &run.id, &command, Some(*user)).await?;
        let said = whole(said)?;
        Ok(sockets_by_process(&String::from_utf8_lossy(&said.stdout)))
    }
}

impl Look {
    /// Whether a request to `address` is under way, or can still come by an older worker.
    pub(crate) fn may_reach(&self, address: Ipv4Addr) -> bool {
        self.connections.iter().any(|connection| connection.remote == address)
            || self.old.values().any(|inodes| self.awaits_a_request(inodes))
    }

    /// Reads the children's numbers and the table of connections that follows them.
    fn read(text: &str) -> Option<Self> {
        let children = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let (_, table) = text.split_once("local_address")?;
        let connections = table.lines().skip(1).filter_map(Connection::read).collect();
        Some(Self { children, connections, old: Sockets::new() })
    }

    /// Whether a worker with these sockets has more clients than requests under way.
    fn awaits_a_request(&self, inodes: &BTreeSet<u64>) -> bool {
        let own = || self.connections.iter().filter(|c| inodes.contains(&c.inode));
        let clients = own().filter(|c| c.local_port == HTTP_PORT).count();
        let requests = own().filter(|c| ![HTTP_PORT, PRIVATE_PORT].contains(&c.local_port)).count();
        clients > requests
    }

    /// The older workers that are too many.
    fn excess(&self) -> Vec<u32> {
        let age = |pid: &u32| self.children.iter().position(|child| child == pid);
        let use_of = |(pid, inodes): (&u32, &BTreeSet<u64>)| (inodes.len(), age(pid), *pid);
        let mut by_use: Vec<_> = self.old.iter().map(use_of).collect();
        by_use.sort_unstable();
        by_use.truncate(self.old.len().saturating_sub(OLD_WORKERS));
        by_use.into_iter().map(|(_, _, pid)| pid).collect()
    }
}

impl Connection {
    /// Reads a line of the kernel's table; `None` if no request can be on it.
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let inode = fields.nth(5)?.parse().ok()?;
        let (_, port) = local.split_once(':')?;
        let local_port = u16::from_str_radix(port, 16).ok()?;
        let (remote, _) = remote.split_once(':')?;
        // The kernel prints the address as a number of the machine's own byte order.
        let remote = Ipv4Addr::from(u32::from_str_radix(remote, 16).ok()?.to_ne_bytes());
        is_in_use(state).then_some(Self { local_port, remote, inode })
    }
}

/// What was cut shows too little: the connection that matters may be in the rest.
fn whole(result: ExecResult) -> Result<ExecResult, IngressError> {
    if result.cut {
        return Err(failed("nginx has more connections than can be looked at"));
    }
    Ok(result)
}

/// Established, being established, or closed by the other end alone. In the other states nginx
/// itself has closed: it is done with the request.
fn is_in_use(state: &str) -> bool {
    matches!(state, "01" | "02" | "03" | "08")
}

/// The processes that are older workers, and their users, from `status` and `cmdline` of each.
fn old_workers(text: &str) -> Vec<(u32, u32)> {
    let worker = |part: &str| {
        let value = |key: &str| {
            let line = part.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let is_old = part.contains("worker process is shutting down");
        is_old.then(|| Some((value("Pid:")?, value("Uid:")?))).flatten()
    };
    text.split("Name:\t").filter_map(worker).collect()
}

/// Reads a long list of several folders of open files.
fn sockets_by_process(text: &str) -> Sockets {
    let mut sockets = Sockets::new();
    let mut of = None;
    for line in text.lines() {
        if let Some(folder) = line.strip_prefix("/proc/") {
            of = folder.strip_suffix("/fd:").and_then(|pid| pid.parse::<u32>().ok());
            sockets.extend(of.map(|pid| (pid, BTreeSet::new())));
        } else if let Some((_, rest)) = line.split_once("-> socket:[")
            && let Some(inodes) = of.and_then(|pid| sockets.get_mut(&pid))
        {
            inodes.extend(rest.strip_suffix(']').and_then(|inode| inode.parse::<u64>().ok()));
        }
    }
    sockets
}

#[cfg(test)]
mod tests;
