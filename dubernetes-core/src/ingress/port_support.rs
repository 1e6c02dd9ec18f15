//! Whether an ingress publishes ports of the host.

use serde::{Deserialize, Serialize};

use crate::app::AppSpec;

/// Whether an ingress publishes ports of the host. Where it cannot, the container of the app's only
/// replica does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortSupport {
    /// It publishes those of its table.
    #[default]
    Supported,
    /// It is not known: the ingress does not run.
    Unknown,
    /// It cannot.
    Missing {
        /// What it lacks, as a sentence fragment such as `the image of the ingress has no ...`.
        reason: String,
    },
}

impl PortSupport {
    /// Returns why the replica of an app publishes its ports itself, if it does.
    pub fn why_direct(&self, spec: &AppSpec) -> Option<&str> {
        match self {
            Self::Missing { reason } if !spec.ports.is_empty() => Some(reason),
            Self::Supported | Self::Unknown | Self::Missing { .. } => None,
        }
    }
}
