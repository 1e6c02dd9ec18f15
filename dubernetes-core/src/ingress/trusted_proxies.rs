//! Which proxies in front of an ingress are believed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::app::ParseError;
use crate::app::escape::quote;
use crate::app::text::text_traits;

/// The word for programs of this machine.
const HOST_GATEWAY: &str = "host-gateway";

/// The proxies in front of an ingress that are believed about client, scheme, host and port.
/// Default: none.
///
/// ```
/// # use dubernetes_core::ingress::TrustedProxies;
/// let proxies = TrustedProxies::parse("host-gateway, 192.0.2.7, 2001:db8::/32")?;
/// let networks = proxies.networks([10, 201, 0, 1].into());
/// assert_eq!(networks[0].to_string(), "192.0.2.7/32");
/// assert_eq!(networks[1].to_string(), "2001:db8::/32");
/// assert_eq!(networks[2].to_string(), "10.201.0.1/32");
/// # Ok::<_, dubernetes_core::app::ParseError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustedProxies {
    /// Sorted, without duplicates.
    networks: Vec<IpNet>,
    /// Also the gateway of the ingress's network: the address with which requests arrive that a
    /// program of this machine sends to its loopback address.
    host_gateway: bool,
}

impl TrustedProxies {
    /// Parses `none`, or addresses, networks and the word `host-gateway`, joined by commas.
    ///
    /// # Errors
    ///
    /// Names the first word that is none of these, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut proxies = Self::default();
        if text.trim() == "none" {
            return Ok(proxies);
        }
        for word in text.split(',').map(str::trim) {
            match word {
                HOST_GATEWAY => proxies.host_gateway = true,
                network => proxies.networks.push(parse_network(network)?),
            }
        }
        proxies.networks.sort_unstable();
        proxies.networks.dedup();
        Ok(proxies)
    }

    /// Returns whether no proxy is believed.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.host_gateway
    }

    /// Returns the networks, each once, where `gateway` is that of the ingress's network.
    pub fn networks(&self, gateway: Ipv4Addr) -> Vec<IpNet> {
        let gateway = self.host_gateway.then(|| IpNet::from(IpAddr::from(gateway)));
        let known = |network: &IpNet| self.networks.contains(network);
        let gateway = gateway.filter(|gateway| !known(gateway));
        self.networks.iter().copied().chain(gateway).collect()
    }

    /// Returns whether requests of this machine's programs are believed by the word for them.
    pub fn includes_host_gateway(&self) -> bool {
        self.host_gateway
    }

    /// Returns the first network that has every address of its family.
    pub fn everyone(&self) -> Option<IpNet> {
        self.networks.iter().copied().find(|network| network.prefix_len() == 0)
    }
}

text_traits!(TrustedProxies);

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let word = self.host_gateway.then(|| HOST_GATEWAY.to_owned());
        let networks = self.networks.iter().map(|network| {
            let is_address = network.prefix_len() == network.max_prefix_len();
            if is_address { network.addr().to_string() } else { network.to_string() }
        });
        f.write_str(&Vec::from_iter(word.into_iter().chain(networks)).join(","))
    }
}

fn parse_network(word: &str) -> Result<IpNet, ParseError> {
    let bare = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(word);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = word.parse().map_err(|_| {
        format!(
            "{} is no address or network: use for example `192.0.2.7`, `10.0.0.0/8`, \
             `2001:db8::/32`, or `{HOST_GATEWAY}` for programs of this machine",
            quote(word)
        )
    })?;
    if network.trunc() != network {
        return Err(ParseError::new(format!(
            "`{network}` is an address within a network: use `{}` for the network, or `{}` for \
             the address",
            network.trunc(),
            network.addr()
        )));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_addresses_and_networks_is_shown_as_read() {
        for (text, shown) in [
            ("none", "none"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7, 192.0.2.7/32", "192.0.2.7"),
            ("2001:db8::/32,[::1],10.0.0.0/8", "10.0.0.0/8,::1,2001:db8::/32"),
            ("127.0.0.1,host-gateway", "host-gateway,127.0.0.1"),
            ("0.0.0.0/0,::/0", "0.0.0.0/0,::/0"),
        ] {
            let parsed = TrustedProxies::parse(text).unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(TrustedProxies::parse(shown).unwrap(), parsed);
            assert_eq!(parsed.is_empty(), text == "none");
            assert_eq!(parsed.everyone().is_some(), text.contains("/0,"));
        }
    }

    #[test]
    fn gateway_is_that_of_the_network_and_listed_once() {
        let networks = |text: &str| {
            let parsed = TrustedProxies::parse(text).unwrap();
            let all = parsed.networks([10, 201, 0, 1].into());
            Vec::from_iter(all.iter().map(IpNet::to_string)).join(" ")
        };
        assert_eq!(networks("none"), "");
        assert_eq!(networks("host-gateway"), "10.201.0.1/32");
        assert_eq!(networks("10.201.0.1,host-gateway"), "10.201.0.1/32");
        assert_eq!(networks("10.201.0.0/16,host-gateway"), "10.201.0.0/16 10.201.0.1/32");
    }

    #[test]
    fn other_texts_are_refused_with_a_way_out() {
        for (text, part) in [
            ("", "`` is no address or network"),
            ("10.0.0.0/8,", "`` is no address or network"),
            ("none,10.0.0.0/8", "`none` is no address or network"),
            ("example.org", "use for example `192.0.2.7`"),
            ("10.0.0.0/33", "`10.0.0.0/33` is no address"),
            ("10.0.0.0/255.0.0.0", "is no address"),
            ("10.1.2.3/8", "use `10.0.0.0/8` for the network, or `10.1.2.3` for the address"),
            ("2001:db8::1/32", "use `2001:db8::/32` for the network"),
            ("192.0.2.7:80", "is no address"),
            ("10.0.0.0/8;evil", "is no address"),
        ] {
            let error = TrustedProxies::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
