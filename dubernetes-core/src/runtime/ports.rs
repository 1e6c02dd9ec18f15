//! The ports on which a container's processes listen, to explain a refused connection.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The ports on which a container's processes listen, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenPorts {
    /// Read from the kernel's socket table.
    Listening {
        /// Ports reachable from outside the container.
        open: BTreeSet<u16>,
        /// Ports reachable only from inside, on 127.0.0.1.
        inside: BTreeSet<u16>,
    },
    /// The table could not be read; these are the ports that the image exposes.
    Exposed(BTreeSet<u16>),
    /// Nothing is known.
    #[default]
    Unknown,
}

impl OpenPorts {
    /// Explains a refused connection to `port`, as a sentence fragment.
    pub fn explain_refused(&self, port: u16) -> String {
        let nothing = format!("nothing listens on port {port}");
        match self {
            Self::Listening { inside, .. } if inside.contains(&port) => format!(
                "the process listens on port {port} of 127.0.0.1 only, which is not reachable from \
                 outside its container"
            ),
            Self::Listening { open, .. } if open.contains(&port) => {
                format!("the connection was refused; the process listens on port {port} now")
            }
            Self::Listening { open, .. } if !open.is_empty() => {
                format!("{nothing}; the process listens on {}", list(open))
            }
            Self::Listening { inside, .. } if !inside.is_empty() => {
                format!("{nothing}; the process listens on {} of 127.0.0.1 only", list(inside))
            }
            Self::Listening { .. } => format!("{nothing}; the process listens on no port"),
            Self::Exposed(ports) if !ports.is_empty() => {
                format!("{nothing}; its image exposes {}", list(ports))
            }
            Self::Exposed(_) | Self::Unknown => nothing,
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
    fn refused_connection_names_open_ports() {
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
            assert_eq!(open.explain_refused(81), text);
        }
        assert_eq!(
            seen(&[80, 81], &[]).explain_refused(81),
            "the connection was refused; the process listens on port 81 now"
        );
        assert!(seen(&[80], &[81]).explain_refused(81).contains("127.0.0.1 only"));
    }
}
