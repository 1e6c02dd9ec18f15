//! Who has the port that the ingress needs: a look at this machine's own processes, as far as
//! this user may see them.

use std::fs;
use std::net::IpAddr;

use dubernetes_core::error::one_line;
use dubernetes_core::sockets::{Listener, listeners};

/// At most so many processes are looked at: it is a hint, and no audit.
const PROCESSES: usize = 10_000;

/// The process that listens on a port, such as "`python3` (process 12)"; `None` if none is seen.
pub fn of(bind: IpAddr, port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    let all = tables.iter().flat_map(|table| listeners(table));
    let inodes: Vec<_> = all.filter(|l| clashes(l, bind, port)).map(|l| l.inode).collect();
    if inodes.is_empty() {
        return None;
    }
    let sockets: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.take(PROCESSES).find(|pid| holds(*pid, &sockets)).map(describe)
}

/// Whether a listener is in the way of one at `bind`.
fn clashes(listener: &Listener, bind: IpAddr, port: u16) -> bool {
    let overlaps =
        bind == listener.address || bind.is_unspecified() || listener.address.is_unspecified();
    listener.port == port && overlaps
}

fn holds(pid: u32, sockets: &[String]) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let links = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| Some(link.to_str()?.to_owned())).any(|link| sockets.contains(&link))
}

fn describe(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let published = published(&String::from_utf8_lossy(&words));
    match published {
        Some(address) => format!("a container at {address}, which publishes it (process {pid})"),
        None => format!("`{}` (process {pid})", one_line(&name)),
    }
}

/// The address of the container for which an engine's proxy of that command line works.
fn published(words: &str) -> Option<String> {
    let words: Vec<_> = words.split('\0').collect();
    words.first()?.ends_with("docker-proxy").then_some(())?;
    let at = words.iter().position(|word| *word == "-container-ip")?;
    Some(one_line(words.get(at + 1)?))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn who_listens_is_found_and_who_does_not_is_not() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = format!("(process {})", std::process::id());
        for bind in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let holder = of(bind.into(), port).unwrap();
            assert!(holder.ends_with(&here), "{holder}");
        }
        drop(listener);
        assert_eq!(of(Ipv4Addr::LOCALHOST.into(), port), None);
    }

    #[test]
    fn the_engines_proxy_stands_for_its_container() {
        let line = |program: &str| {
            [program, "-host-port", "8080", "-container-ip", "10.1.2.3", ""].join("\0")
        };
        assert_eq!(published(&line("/usr/sbin/docker-proxy")).as_deref(), Some("10.1.2.3"));
        assert_eq!(published(&line("python3")), None);
        assert_eq!(published(""), None);
    }
}
