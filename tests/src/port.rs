//! Ports of this machine for nginx, each for one test alone.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Below those that the kernel gives to clients (from 32768): a request that another test has under
/// way holds none of these.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port on which nobody listens, and that no other test takes as long as this lives.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// The UDP port of the same number is nobody's need, so it tells other tests that this one is
    /// taken; the kernel frees it also if the process is killed.
    _mark: UdpSocket,
}

impl Port {
    /// Takes one. Each process begins to look at another place.
    ///
    /// # Panics
    ///
    /// If none is free.
    pub fn take() -> Self {
        let begin = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
        let mut numbers = (begin..COUNT).chain(0..begin).map(|offset| FIRST + offset);
        numbers.find_map(Self::try_take).unwrap()
    }

    fn try_take(number: u16) -> Option<Self> {
        let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        // On all addresses: where anybody listens on any of them, this fails.
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).ok()?;
        Some(Self { number, _mark: mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_have_the_same_and_what_is_listened_on_is_left_out() {
        let one = Port::take();
        assert!((FIRST..FIRST + COUNT).contains(&one.number));
        assert!(Port::try_take(one.number).is_none(), "it is taken");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = listener.local_addr().unwrap().port();
        assert!(Port::try_take(number).is_none(), "somebody listens");
    }
}
