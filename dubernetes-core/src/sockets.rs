//! The kernel's tables of sockets, `/proc/net/tcp` and `/proc/net/tcp6`, as values. Pure: it reads
//! a text, and no file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A socket that takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Its address; unspecified where it takes them on all of them.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The kernel's number of it.
    pub inode: u64,
}

/// The listening sockets of a table. Lines that cannot be read are left out.
pub fn listeners(table: &str) -> Vec<Listener> {
    table.lines().skip(1).filter_map(listener).collect()
}

/// A line: its number, the local and the remote address, the state, two pairs of queues and timers,
/// retransmits, user, time-out, inode.
fn listener(line: &str) -> Option<Listener> {
    /// The kernel's number for `LISTEN`.
    const LISTEN: &str = "0A";
    let fields: Vec<_> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    let (address, port) = (address_of(address)?, u16::from_str_radix(port, 16).ok()?);
    Some(Listener { address, port, inode: fields.get(9)?.parse().ok()? })
}

/// The kernel prints an address as numbers of 32 bits in the machine's own byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        let line = |address: &str, state: &str| {
            format!(
                "head\n   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 \
                 00000000     0        0 26503 1 00000000aa929d83 100 0 0 10 0\n"
            )
        };
        let v4 = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let mapped = format!("{}{}", v4([0, 0, 0xff, 0xff]), v4([127, 0, 0, 1]));
        for (address, expected) in [
            (v4([127, 0, 0, 11]), "127.0.0.11"),
            (v4([0; 4]), "0.0.0.0"),
            ("0".repeat(32), "::"),
            (format!("{:0>16}{mapped}", ""), "127.0.0.1"),
        ] {
            let found = listeners(&line(&format!("{address}:1F90"), "0A"));
            let expected =
                Listener { address: expected.parse().unwrap(), port: 8080, inode: 26503 };
            assert_eq!(found, [expected]);
            assert_eq!(listeners(&line(&format!("{address}:1F90"), "01")), []);
        }
        for text in ["", "head", "head\nnonsense", "head\n 0: 00:00 x 0A"] {
            assert_eq!(listeners(text), []);
        }
    }
}
