//! Published ports: a port of the host that leads to a port of an app's replicas.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::escape::quote;
use super::text::{ParseError, text_traits, word_enum};

word_enum!(
    /// What a published port passes on.
    #[derive(Default, PartialOrd, Ord, Hash)]
    Transport of "ports" {
        /// TCP connections.
        #[default]
        Tcp = "tcp",
        /// UDP datagrams.
        Udp = "udp",
    }
);

/// A port of the host that leads to a port of an app's ready replicas, written as in Compose:
/// `5432:5432`, `127.0.0.1:5432:5432`, `[::1]:5432:5432` or `53:53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortMapping {
    /// The host's address. `None`: all IPv4 addresses.
    pub host_ip: Option<IpAddr>,
    /// The host's port, from 1.
    pub host_port: u16,
    /// The port of each replica, from 1.
    pub port: u16,
    /// What is passed on.
    pub transport: Transport,
}

impl PortMapping {
    /// Parses `[ADDRESS:]HOST_PORT:PORT[/tcp|/udp]`.
    ///
    /// # Errors
    ///
    /// Returns the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (ports, transport) = match text.split_once('/') {
            Some((ports, word)) => (ports, Transport::parse(word)?),
            None => (text, Transport::default()),
        };
        let (rest, port) = ports.rsplit_once(':').ok_or_else(|| no_host_port(ports))?;
        let (host_ip, host_port) = match rest.rsplit_once(':') {
            Some((address, host_port)) => (Some(parse_address(address)?), host_port),
            None => (None, rest),
        };
        Ok(Self { host_ip, host_port: parse_port(host_port)?, port: parse_port(port)?, transport })
    }

    /// Returns the host's address and port.
    pub fn host(&self) -> SocketAddr {
        SocketAddr::new(self.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), self.host_port)
    }

    /// Returns whether only one of the two can listen on the host.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (own, others) = (self.host().ip(), other.host().ip());
        let same_address = own == others || own.is_unspecified() || others.is_unspecified();
        (self.host_port, self.transport) == (other.host_port, other.transport) && same_address
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(_) => write!(f, "{}", self.host())?,
            None => write!(f, "{}", self.host_port)?,
        }
        write!(f, ":{}", self.port)?;
        match self.transport {
            Transport::Tcp => Ok(()),
            Transport::Udp => f.write_str("/udp"),
        }
    }
}

text_traits!(PortMapping);

fn no_host_port(port: &str) -> ParseError {
    match parse_port(port) {
        Ok(port) => format!("a published port names the host's port as well: `{port}:{port}`"),
        Err(error) => error.to_string(),
    }
    .into()
}

fn parse_address(text: &str) -> Result<IpAddr, ParseError> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match inner {
        Some(inner) => inner.parse().map(IpAddr::V6).ok(),
        None => text.parse().map(IpAddr::V4).ok(),
    };
    address.ok_or_else(|| {
        let text = quote(text);
        format!("{text} is no address of the host, such as `127.0.0.1` or `[::1]`").into()
    })
}

fn parse_port(text: &str) -> Result<u16, ParseError> {
    if text.contains('-') && text.chars().all(|c| c.is_ascii_digit() || c == '-') {
        return Err("a range of ports is not supported; list each port".into());
    }
    let port = text.parse().ok().filter(|port| *port > 0 && !text.starts_with('+'));
    port.ok_or_else(|| format!("a port is a number from 1 to 65535, not {}", quote(text)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PortMapping {
        PortMapping::parse(text).unwrap()
    }

    #[test]
    fn port_mapping_is_written_as_it_is_read() {
        for text in [
            "5432:5432",
            "127.0.0.1:5432:15432",
            "[::1]:53:53/udp",
            "53:5353/udp",
            "0.0.0.0:1:65535",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("80:8080/tcp").to_string(), "80:8080");
        let udp = parse("[::1]:53:5353/udp");
        assert_eq!((udp.host_port, udp.port, udp.transport), (53, 5353, Transport::Udp));
        assert_eq!(udp.host().to_string(), "[::1]:53");
    }

    #[test]
    fn bad_port_mapping_is_refused_with_the_rule() {
        for (text, rule) in [
            ("5432", "a published port names the host's port as well: `5432:5432`"),
            ("", "a port is a number from 1 to 65535, not ``"),
            ("0:80", "a port is a number from 1 to 65535, not `0`"),
            ("80:70000", "a port is a number from 1 to 65535, not `70000`"),
            ("+80:80", "a port is a number from 1 to 65535, not `+80`"),
            ("8000-8010:80", "a range of ports is not supported; list each port"),
            (
                "localhost:80:80",
                "`localhost` is no address of the host, such as `127.0.0.1` or `[::1]`",
            ),
            ("::1:80:80", "`::1` is no address of the host, such as `127.0.0.1` or `[::1]`"),
            ("80:80/sctp", "`ports` must be one of `tcp`, `udp`, not `sctp`"),
        ] {
            assert_eq!(PortMapping::parse(text).unwrap_err().to_string(), rule, "{text}");
        }
    }

    #[test]
    fn one_port_of_one_address_has_one_mapping() {
        let overlap = |a: &str, b: &str| parse(a).overlaps(&parse(b));
        assert!(overlap("80:1", "80:2"));
        assert!(overlap("80:1", "127.0.0.1:80:1"));
        assert!(overlap("[::]:80:1", "127.0.0.1:80:1"));
        assert!(!overlap("127.0.0.2:80:1", "127.0.0.1:80:1"));
        assert!(!overlap("80:1", "81:1"));
        assert!(!overlap("80:1", "80:1/udp"));
    }
}
