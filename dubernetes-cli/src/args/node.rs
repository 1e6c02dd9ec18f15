//! How nodes of a swarm are named on the command line.

use crate::host::Host;

/// A node of a swarm, and where its engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeAddress {
    /// Its name.
    pub(crate) name: String,
    /// A socket of this machine, or another machine.
    pub(crate) host: Host,
}

impl NodeAddress {
    /// Parses `NAME=unix:///PATH` or `NAME=ssh://[USER@]MACHINE`.
    ///
    /// # Errors
    ///
    /// Says what was expected.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected a name and a place, such as `worker-1=ssh://root@10.0.0.7` or \
             `worker-1=unix:///run/worker-1.sock`"
                .to_owned()
        };
        let (name, host) = text.split_once('=').ok_or_else(expected)?;
        match Host::parse(host) {
            Ok(host @ (Host::Unix(_) | Host::Ssh(_))) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), host })
            }
            Ok(_) | Err(_) => Err(expected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_a_name_and_a_place() {
        let node = NodeAddress::parse("w1=unix:///run/w1.sock").unwrap();
        assert_eq!((node.name.as_str(), node.host), ("w1", Host::Unix("/run/w1.sock".into())));
        assert!(NodeAddress::parse("w1=ssh://root@10.0.0.7:2222/run/docker.sock").is_ok());
        for text in ["", "w1", "=unix:///a", "w1=/run/w1.sock", "w1=http://box:2375"] {
            assert!(NodeAddress::parse(text).is_err(), "{text}");
        }
    }
}
