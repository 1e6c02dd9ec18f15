//! Host name and addresses of the machine, read from `/proc`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the host name, or an empty text if it cannot be read.
pub(crate) fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    read.trim_end().to_owned()
}

/// Returns the addresses of all interfaces, IPv4 before IPv6, in order.
pub(crate) fn addresses() -> BTreeSet<IpAddr> {
    let v4 = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    parse_v4(&v4).chain(parse_v6(&v6)).collect()
}

/// Parses the leaves of the routing trie marked `host LOCAL`. The address is in the line before the
/// mark.
fn parse_v4(fib_trie: &str) -> impl Iterator<Item = IpAddr> {
    let mut leaf = None;
    fib_trie.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
            None
        } else if line.starts_with("/32 host LOCAL") {
            leaf.take().map(IpAddr::V4)
        } else {
            None
        }
    })
}

/// Parses one address per line, with 32 hexadecimal digits in the first column.
fn parse_v6(if_inet6: &str) -> impl Iterator<Item = IpAddr> {
    if_inet6.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 172.17.0.0/16 2 0 2
        |-- 172.17.0.0
           /16 link UNICAST
        |-- 172.17.0.2
           /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
Local:
  +-- 127.0.0.0/8 2 0 2
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
";

    #[test]
    fn only_local_leaves_are_addresses() {
        let found: Vec<_> = parse_v4(FIB_TRIE).map(|a| a.to_string()).collect();
        assert_eq!(found, ["172.17.0.2", "127.0.0.1"]);
    }

    #[test]
    fn ipv6_address_is_parsed() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let found: Vec<_> = parse_v6(text).map(|a| a.to_string()).collect();
        assert_eq!(found, ["::1"]);
    }

    #[test]
    fn machine_has_name_and_loopback_address() {
        assert!(!host_name().is_empty());
        assert!(addresses().contains(&IpAddr::from([127, 0, 0, 1])), "{:?}", addresses());
    }
}
