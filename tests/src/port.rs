//! Host ports for nginx, each reserved for one test.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// First port of the range. The range lies below the kernel's ephemeral ports (from 32768), so no
/// outgoing connection of another test occupies one of its ports.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A free port, reserved until drop.
#[derive(Debug)]
pub struct Port {
    /// Port number.
    pub number: u16,
    /// Bound UDP port of the same number. It marks the TCP port as taken for other tests, is
    /// otherwise unused, and is released by the kernel even if the process is killed.
    _mark: UdpSocket,
}

impl Port {
    /// Reserves a port. Each process starts its search at a different number.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub fn take() -> Self {
        let begin = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
        let mut numbers = (begin..COUNT).chain(0..begin).map(|offset| FIRST + offset);
        numbers.find_map(Self::try_take).unwrap()
    }

    fn try_take(number: u16) -> Option<Self> {
        let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        // A wildcard bind fails if any address of the machine already listens on the port.
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).ok()?;
        Some(Self { number, _mark: mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_and_listening_ports_are_skipped() {
        let one = Port::take();
        assert!((FIRST..FIRST + COUNT).contains(&one.number));
        assert!(Port::try_take(one.number).is_none(), "reserved by another `Port`");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = listener.local_addr().unwrap().port();
        assert!(Port::try_take(number).is_none(), "in use by a listener");
    }
}
