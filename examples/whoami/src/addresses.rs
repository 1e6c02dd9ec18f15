//! The name and the addresses of the machine, as the kernel shows them under `/proc`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host name; empty where it cannot be read.
pub(crate) fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    read.trim_end().to_owned()
}

/// Every address of every interface, IPv4 before IPv6, in order.
pub(crate) fn addresses() -> BTreeSet<IpAddr> {
    let v4 = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    local_v4(&v4).chain(local_v6(&v6)).collect()
}

/// The leaves of the routing trie that are marked `host LOCAL`: an address stands in the line
/// before its mark.
fn local_v4(fib_trie: &str) -> impl Iterator<Item = IpAddr> {
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

/// One line per address, of which the first word is the address in 32 hexadecimal digits.
fn local_v6(if_inet6: &str) -> impl Iterator<Item = IpAddr> {
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
    fn only_local_leaves_are_addresses_of_the_machine() {
        let found: Vec<_> = local_v4(FIB_TRIE).map(|a| a.to_string()).collect();
        assert_eq!(found, ["172.17.0.2", "127.0.0.1"]);
    }

    #[test]
    fn an_address_of_ipv6_is_read_from_its_digits() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let found: Vec<_> = local_v6(text).map(|a| a.to_string()).collect();
        assert_eq!(found, ["::1"]);
    }

    #[test]
    fn this_machine_has_a_name_and_the_loopback_address() {
        assert!(!host_name().is_empty());
        assert!(addresses().contains(&IpAddr::from([127, 0, 0, 1])), "{:?}", addresses());
    }
}
