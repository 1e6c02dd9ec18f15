//! Parser for the kernel's socket tables, `/proc/net/tcp` and `/proc/net/tcp6`.
//!
//! Pure: the functions take a table's text and open no file. Lines that cannot be parsed are
//! skipped, so a table that was read in part still gives what it contains.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listening TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// The local address; unspecified if the socket listens on all addresses.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// The socket's inode.
    pub inode: u64,
}

/// A TCP connection on which data may still arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The local end.
    pub local: SocketAddr,
    /// The remote end.
    pub remote: SocketAddr,
    /// The socket's inode.
    pub inode: u64,
}

/// Returns the listening sockets of a table.
pub fn listeners(table: &str) -> Vec<Listener> {
    let listening = rows(table).filter(|row| row.state == "0A");
    listening
        .map(|row| Listener { address: row.local.ip(), port: row.local.port(), inode: row.inode })
        .collect()
}

/// Returns the connections of a table that this end has not closed: established, being
/// established, or closed by the remote end only.
pub fn connections(table: &str) -> Vec<Connection> {
    let open = rows(table).filter(|row| matches!(row.state, "01" | "02" | "03" | "08"));
    open.map(|row| Connection { local: row.local, remote: row.remote, inode: row.inode }).collect()
}

/// One line of a table.
struct Row<'a> {
    local: SocketAddr,
    remote: SocketAddr,
    /// The kernel's number of the TCP state, two hexadecimal digits.
    state: &'a str,
    inode: u64,
}

fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    table.lines().skip(1).filter_map(parse_row)
}

/// Parses a line: slot, local address, remote address, state, queues, timer, retransmits, user,
/// timeout, inode, and fields that are not used.
fn parse_row(line: &str) -> Option<Row<'_>> {
    let mut fields = line.split_whitespace().skip(1);
    Some(Row {
        local: parse_address(fields.next()?)?,
        remote: parse_address(fields.next()?)?,
        state: fields.next()?,
        inode: fields.nth(5)?.parse().ok()?,
    })
}

fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    Some(SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?))
}

/// Parses an IP address, which the kernel prints as 32-bit words in the machine's byte order.
fn parse_ip(text: &str) -> Option<IpAddr> {
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

    fn table(local: &str, remote: &str, state: &str) -> String {
        format!(
            "head\n   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0 \
             0 26503 1 00000000aa929d83 100 0 0 10 0\n"
        )
    }

    fn hex(octets: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(octets))
    }

    #[test]
    fn listeners_returns_listening_sockets_only() {
        let mapped = format!("{}{}", hex([0, 0, 0xff, 0xff]), hex([127, 0, 0, 1]));
        for (address, expected) in [
            (hex([127, 0, 0, 11]), "127.0.0.11"),
            (hex([0; 4]), "0.0.0.0"),
            ("0".repeat(32), "::"),
            (format!("{:0>16}{mapped}", ""), "127.0.0.1"),
        ] {
            let local = format!("{address}:1F90");
            let remote = format!("{}:0000", "0".repeat(address.len()));
            let expected =
                Listener { address: expected.parse().unwrap(), port: 8080, inode: 26503 };
            assert_eq!(listeners(&table(&local, &remote, "0A")), [expected]);
            assert_eq!(listeners(&table(&local, &remote, "01")), []);
        }
    }

    #[test]
    fn connections_returns_sockets_that_this_end_keeps_open() {
        let local = format!("{}:C350", hex([10, 89, 0, 2]));
        let remote = format!("{}:0050", hex([10, 89, 0, 5]));
        let expected = Connection {
            local: "10.89.0.2:50000".parse().unwrap(),
            remote: "10.89.0.5:80".parse().unwrap(),
            inode: 26503,
        };
        for state in ["01", "02", "03", "08"] {
            assert_eq!(connections(&table(&local, &remote, state)), [expected], "{state}");
        }
        for state in ["04", "05", "06", "07", "09", "0A", "0B"] {
            assert_eq!(connections(&table(&local, &remote, state)), [], "{state}");
        }
    }

    #[test]
    fn malformed_lines_are_skipped() {
        for text in ["", "head", "head\nnonsense", "head\n 0: 00:00 x 0A"] {
            assert_eq!(listeners(text), []);
            assert_eq!(connections(text), []);
        }
    }
}
