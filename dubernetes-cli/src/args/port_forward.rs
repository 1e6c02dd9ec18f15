//! Arguments of `port-forward`.

use std::net::{IpAddr, Ipv4Addr};

use clap::{Args, ValueEnum};

use super::resource::ObjectName;

/// Arguments of `port-forward`.
#[derive(Debug, Args)]
pub(crate) struct PortForwardArgs {
    /// Pod, or app (one of its ready pods).
    #[arg(value_name = "NAME", value_parser = ObjectName::parse)]
    pub(crate) name: ObjectName,
    /// `LOCAL:REMOTE`; `PORT` for the same port on both sides; `:REMOTE` for a free local port.
    #[arg(value_name = "PORTS", required = true, value_parser = PortPair::parse)]
    pub(crate) ports: Vec<PortPair>,
    /// Local address to listen on; any address other than loopback is open to everyone who can
    /// reach it.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) address: IpAddr,
    /// Output format of the forwarded addresses.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: LineFormat,
}

/// Output format of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineFormat {
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

/// A local port and the port of a pod that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortPair {
    /// Local port; 0 for a free one.
    pub(crate) local: u16,
    /// Port of the pod.
    pub(crate) remote: u16,
}

impl PortPair {
    fn parse(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().ok().filter(|port: &u16| *port > 0);
        let pair = match text.split_once(':') {
            None => port(text).map(|port| Self { local: port, remote: port }),
            Some(("", remote)) => port(remote).map(|remote| Self { local: 0, remote }),
            Some((local, remote)) => {
                port(local).zip(port(remote)).map(|(local, remote)| Self { local, remote })
            }
        };
        pair.ok_or_else(|| {
            "expected ports from 1 to 65535, such as `8080:80`, `80` or `:80`".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_parsed_like_in_kubectl() {
        for (text, pair) in [
            ("8080:80", Some((8080, 80))),
            ("80", Some((80, 80))),
            (":80", Some((0, 80))),
            ("0:80", None),
            ("80:", None),
            ("80:0", None),
            ("70000", None),
            ("a:80", None),
            ("1:2:3", None),
            ("", None),
        ] {
            let parsed = PortPair::parse(text).ok();
            assert_eq!(parsed.map(|pair| (pair.local, pair.remote)), pair, "{text}");
        }
    }
}
