//! The labels on our containers: the truth about what runs, and where restart state rides.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::app::{AppName, InstanceName};
use crate::runtime::ImageId;

/// Which instance owns the container. What lacks it, or has another's, is never touched.
pub const INSTANCE: &str = "dubernetes.instance";
/// On the instance's network: where the state of the orchestrator is that made it.
pub const STATE_DIR: &str = "dubernetes.state-dir";
/// What it is, if not a replica: `ingress`.
pub const COMPONENT: &str = "dubernetes.component";
/// The app whose replica it is.
pub const APP: &str = "dubernetes.app";
/// The revision that it runs.
pub const REVISION: &str = "dubernetes.revision";
/// Its ordinal, from 1.
pub const REPLICA: &str = "dubernetes.replica";
/// The hash of all that a revision is made of.
pub const SPEC: &str = "dubernetes.spec";
/// The id of the image that its revision runs.
pub const IMAGE: &str = "dubernetes.image";
/// Its address on the instance's network.
pub const ADDRESS: &str = "dubernetes.address";
/// The port on which it listens.
pub const PORT: &str = "dubernetes.port";
/// How often this replica was restarted.
pub const RESTARTS: &str = "dubernetes.restarts";
/// How many of those restarts came in a row, without 10 minutes of running between them.
pub const STREAK: &str = "dubernetes.streak";
/// How the container before it ended, if it is a restart.
pub const LAST_END: &str = "dubernetes.last-end";

/// The labels of a replica, typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaLabels {
    /// Whose replica it is.
    pub app: AppName,
    /// The revision that it runs.
    pub revision: u64,
    /// Its ordinal, from 1.
    pub ordinal: u32,
    /// The hash of all that its revision is made of.
    pub spec_hash: String,
    /// The image that it was made of, where that is known.
    pub image: Option<ImageId>,
    /// Its address on the instance's network.
    pub address: Ipv4Addr,
    /// The port on which it listens.
    pub port: u16,
    /// How often it was restarted.
    pub restarts: u32,
    /// How many restarts came in a row.
    pub consecutive_restarts: u32,
    /// How the container before it ended, as a sentence fragment, if it is a restart.
    pub last_end: Option<String>,
}

impl ReplicaLabels {
    /// As the engine keeps them, with the owner's.
    pub fn to_map(&self, instance: &InstanceName) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<_, _> = [
            (INSTANCE, instance.to_string()),
            (APP, self.app.to_string()),
            (REVISION, self.revision.to_string()),
            (REPLICA, self.ordinal.to_string()),
            (SPEC, self.spec_hash.clone()),
            (ADDRESS, self.address.to_string()),
            (PORT, self.port.to_string()),
            (RESTARTS, self.restarts.to_string()),
            (STREAK, self.consecutive_restarts.to_string()),
        ]
        .into_iter()
        .chain(self.image.as_ref().map(|image| (IMAGE, image.to_string())))
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        if let Some(last_end) = &self.last_end {
            labels.insert(LAST_END.to_owned(), last_end.clone());
        }
        labels
    }

    /// Reads them back.
    ///
    /// # Errors
    ///
    /// The first label that is missing or malformed, as a sentence fragment.
    pub fn from_map(labels: &BTreeMap<String, String>) -> Result<Self, String> {
        Ok(Self {
            app: read(labels, APP)?,
            revision: read(labels, REVISION)?,
            ordinal: read(labels, REPLICA)?,
            spec_hash: read(labels, SPEC)?,
            image: labels.get(IMAGE).cloned().map(ImageId),
            address: read(labels, ADDRESS)?,
            port: read(labels, PORT)?,
            restarts: read(labels, RESTARTS)?,
            consecutive_restarts: read(labels, STREAK)?,
            last_end: labels.get(LAST_END).cloned(),
        })
    }
}

/// The labels of a container that runs the command before a revision, typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreDeployLabels {
    /// Whose revision it is.
    pub app: AppName,
    /// The revision.
    pub revision: u64,
    /// How often the revision had got another chance by then.
    pub attempts: u32,
    /// Its address on the instance's network.
    pub address: Ipv4Addr,
}

/// What [`COMPONENT`] says of such a container.
const PRE_DEPLOY: &str = "pre-deploy";

impl PreDeployLabels {
    /// As the engine keeps them, with the owner's.
    pub fn to_map(&self, instance: &InstanceName) -> BTreeMap<String, String> {
        [
            (INSTANCE, instance.to_string()),
            (COMPONENT, PRE_DEPLOY.to_owned()),
            (APP, self.app.to_string()),
            (REVISION, self.revision.to_string()),
            (RESTARTS, self.attempts.to_string()),
            (ADDRESS, self.address.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Reads them back; `None` if they are those of something else.
    ///
    /// # Errors
    ///
    /// The first label that is missing or malformed, as a sentence fragment.
    pub fn from_map(labels: &BTreeMap<String, String>) -> Option<Result<Self, String>> {
        let own = labels.get(COMPONENT).is_some_and(|component| component == PRE_DEPLOY);
        own.then(|| {
            Ok(Self {
                app: read(labels, APP)?,
                revision: read(labels, REVISION)?,
                attempts: read(labels, RESTARTS)?,
                address: read(labels, ADDRESS)?,
            })
        })
    }
}

/// Whether the labels are those of an ingress container.
pub fn is_ingress(labels: &BTreeMap<String, String>) -> bool {
    labels.get(COMPONENT).is_some_and(|component| component == "ingress")
}

fn read<T: std::str::FromStr>(labels: &BTreeMap<String, String>, key: &str) -> Result<T, String> {
    let text = labels.get(key).ok_or_else(|| format!("the label `{key}` is missing"))?;
    text.parse().map_err(|_| format!("the label `{key}` is malformed: `{}`", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_round_trip() {
        let labels = ReplicaLabels {
            app: AppName::parse("web").unwrap(),
            revision: 3,
            ordinal: 2,
            spec_hash: "abc".into(),
            image: Some(ImageId("sha256:1".into())),
            address: Ipv4Addr::new(10, 1, 0, 9),
            port: 80,
            restarts: 7,
            consecutive_restarts: 4,
            last_end: Some("exit code 1 after 0.4s".into()),
        };
        let mut map = labels.to_map(&InstanceName::default());
        assert_eq!(ReplicaLabels::from_map(&map), Ok(labels));
        map.insert(REPLICA.into(), "x".into());
        assert!(ReplicaLabels::from_map(&map).is_err());
    }
}
