//! Finds the process that listens on the port that the ingress needs.
//!
//! Reads `/proc` of this host, so it finds only what this user may see. The result is a hint for
//! a message, and nothing is decided by it.

use std::fs;
use std::net::IpAddr;

use dubernetes_core::error::one_line;
use dubernetes_core::sockets::{Listener, listeners};

/// Maximum number of processes that are inspected.
const MAX_PROCESSES: usize = 10_000;

/// Returns the process that listens on a port, such as "`python3` (process 12)", or `None` if
/// none is visible.
pub fn find(bind: IpAddr, port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    let all = tables.iter().flat_map(|table| listeners(table));
    let inodes: Vec<_> = all.filter(|l| conflicts(l, bind, port)).map(|l| l.inode).collect();
    if inodes.is_empty() {
        return None;
    }
    let sockets: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.take(MAX_PROCESSES).find(|pid| has_any_open(*pid, &sockets)).map(describe)
}

/// Returns true if a listener prevents another one at `bind`.
fn conflicts(listener: &Listener, bind: IpAddr, port: u16) -> bool {
    let overlaps =
        bind == listener.address || bind.is_unspecified() || listener.address.is_unspecified();
    listener.port == port && overlaps
}

fn has_any_open(pid: u32, sockets: &[String]) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let links = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| Some(link.to_str()?.to_owned())).any(|link| sockets.contains(&link))
}

fn describe(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    match published_container(&String::from_utf8_lossy(&command_line)) {
        Some(address) => format!("a container at {address}, which publishes it (process {pid})"),
        None => format!("`{}` (process {pid})", one_line(&name)),
    }
}

/// Returns the address of the container that an engine's proxy process serves.
fn published_container(command_line: &str) -> Option<String> {
    let words: Vec<_> = command_line.split('\0').collect();
    words.first()?.ends_with("docker-proxy").then_some(())?;
    let flag = words.iter().position(|word| *word == "-container-ip")?;
    Some(one_line(words.get(flag + 1)?))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn find_returns_listening_process_until_it_stops() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = format!("(process {})", std::process::id());
        for bind in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let owner = find(bind.into(), port).unwrap();
            assert!(owner.ends_with(&here), "{owner}");
        }
        drop(listener);
        assert_eq!(find(Ipv4Addr::LOCALHOST.into(), port), None);
    }

    #[test]
    fn docker_proxy_is_shown_as_its_container() {
        let command_line = |program: &str| {
            [program, "-host-port", "8080", "-container-ip", "10.1.2.3", ""].join("\0")
        };
        let address = published_container(&command_line("/usr/sbin/docker-proxy"));
        assert_eq!(address.as_deref(), Some("10.1.2.3"));
        assert_eq!(published_container(&command_line("python3")), None);
        assert_eq!(published_container(""), None);
    }
}
