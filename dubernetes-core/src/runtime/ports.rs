//! Where a container's processes listen, for the one who asked at another port.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Where a container's processes listen, as far as that can be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenPorts {
    /// The kernel's own table was read.
    Listening {
        /// Ports that take connections from outside the container.
        open: BTreeSet<u16>,
        /// Ports that take them from inside it alone.
        inside: BTreeSet<u16>,
    },
    /// That could not be read; these are the ports that the image says it listens on.
    Exposed(BTreeSet<u16>),
    /// Neither is known.
    #[default]
    Unknown,
}

impl OpenPorts {
    /// What somebody should know who found nobody at `port`, as a sentence fragment.
    pub fn instead_of(&self, port: u16) -> String {
        let nobody = format!("nothing listens on port {port}");
        match self {
            Self::Listening { inside, .. } if inside.contains(&port) => format!(
                "the process listens on port {port} of 127.0.0.1 only, where nobody outside its \
                 container reaches it"
            ),
            Self::Listening { open, .. } if !open.is_empty() => {
                format!("{nobody}; the process listens on {}", list(open))
            }
            Self::Listening { inside, .. } if !inside.is_empty() => {
                format!("{nobody}; the process listens on {} of 127.0.0.1 only", list(inside))
            }
            Self::Listening { .. } => format!("{nobody}; the process listens on no port"),
            Self::Exposed(ports) if !ports.is_empty() => {
                format!("{nobody}; its image exposes {}", list(ports))
            }
            Self::Exposed(_) | Self::Unknown => nobody,
        }
    }
}

fn list(ports: &BTreeSet<u16>) -> String {
    let texts: Vec<_> = ports.iter().map(u16::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_nobody_is_told_where_somebody_is() {
        let ports = |ports: &[u16]| ports.iter().copied().collect::<BTreeSet<_>>();
        let seen = |open: &[u16], inside: &[u16]| OpenPorts::Listening {
            open: ports(open),
            inside: ports(inside),
        };
        for (open, text) in [
            (
                seen(&[80, 443], &[9000]),
                "nothing listens on port 81; the process listens on 80, 443",
            ),
            (
                seen(&[], &[9000]),
                "nothing listens on port 81; the process listens on 9000 of 127.0.0.1 only",
            ),
            (seen(&[], &[]), "nothing listens on port 81; the process listens on no port"),
            (OpenPorts::Exposed(ports(&[80])), "nothing listens on port 81; its image exposes 80"),
            (OpenPorts::Exposed(ports(&[])), "nothing listens on port 81"),
            (OpenPorts::Unknown, "nothing listens on port 81"),
        ] {
            assert_eq!(open.instead_of(81), text);
        }
        assert!(seen(&[80], &[81]).instead_of(81).contains("127.0.0.1 only"));
    }
}
