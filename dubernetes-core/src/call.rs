//! Calls to the engine, the store and the ingress: their identity, and what is remembered of them
//! between passes.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{AppName, HostName, OneOffId, RevisionId};
use crate::runtime::ContainerId;

/// Identity of a call. At most one call of a key is in flight, and a failure of it delays the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OperationKey {
    /// Creation of the instance's network.
    Network,
    /// Resolution of the image of a revision.
    Image {
        /// The app.
        app: AppName,
        /// The revision.
        revision: RevisionId,
    },
    /// Creation of a replica.
    Create {
        /// The app.
        app: AppName,
        /// Ordinal of the replica.
        ordinal: u32,
        /// The revision.
        revision: RevisionId,
    },
    /// Creation of the container of a pre-deploy hook.
    CreatePreDeploy {
        /// The app.
        app: AppName,
        /// The revision.
        revision: RevisionId,
    },
    /// Creation of a one-off container.
    CreateOneOff {
        /// The app.
        app: AppName,
        /// Its id.
        id: OneOffId,
    },
    /// Start, stop or removal of a container.
    Container(ContainerId),
    /// Removal of the tombstone of a deleted app.
    PurgeTombstone(AppName),
    /// Record of the result of a rollout.
    RecordRollout {
        /// The app.
        app: AppName,
        /// The revision.
        revision: RevisionId,
    },
    /// Removal of the request to replace a replica.
    ClearEviction {
        /// The app.
        app: AppName,
        /// The container that was to be replaced.
        id: ContainerId,
    },
    /// A step of a teardown that is about the instance itself. There is one at a time.
    Teardown,
    /// Issue, or removal, of the certificate of a host.
    Certificate(HostName),
    /// Application of the route table.
    Routes,
    /// Check whether an endpoint is drained.
    DrainCheck(SocketAddr),
}

impl OperationKey {
    /// Returns the app whose state the call changes, if the key names it. A one-off container is
    /// no part of that state.
    pub fn app(&self) -> Option<&AppName> {
        match self {
            Self::Image { app, .. }
            | Self::Create { app, .. }
            | Self::CreatePreDeploy { app, .. }
            | Self::PurgeTombstone(app)
            | Self::RecordRollout { app, .. }
            | Self::ClearEviction { app, .. } => Some(app),
            Self::Network
            | Self::CreateOneOff { .. }
            | Self::Container(_)
            | Self::Teardown
            | Self::Certificate(_)
            | Self::Routes
            | Self::DrainCheck(_) => None,
        }
    }

    /// Returns the container that the call starts, stops or removes.
    pub fn container(&self) -> Option<&ContainerId> {
        if let Self::Container(id) = self { Some(id) } else { None }
    }
}

/// A call in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Planned address of the container that the call creates.
    pub address: Option<IpAddr>,
    /// Restarts of the replica that the call creates.
    #[serde(default)]
    pub restarts: u32,
}

/// A call that failed, and has not succeeded since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFailure {
    /// Failures in a row.
    pub count: u32,
    /// Time of the last failure.
    pub at: Timestamp,
    /// The error with its causes, on one line.
    pub message: String,
    /// What has to happen before the call can succeed.
    pub kind: FailureKind,
}

/// What has to happen before a failed call can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Nothing: the failure may go away by itself.
    Transient,
    /// A person has to act.
    Permanent,
    /// The image that the revision was resolved to has to come back: the engine lost it.
    ImageGone,
    /// A person has to act: neither the engine nor the registry has the image.
    ImageMissing,
    /// A person has to act: the registry denies access to the image.
    ImageDenied,
    /// A person has to act: another process listens on the port of the ingress.
    PortTaken,
}

/// Serializes a map as a list of pairs: the keys of JSON objects are text.
pub(crate) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::OperationKey;

    pub(crate) fn serialize<V: Serialize, S: Serializer>(
        map: &BTreeMap<OperationKey, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<OperationKey, V>, D::Error> {
        Ok(Vec::<(OperationKey, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
