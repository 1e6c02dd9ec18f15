//! Labels of containers: the identity of what runs, and the state of its restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::app::{AppName, InstanceName, OneOffId, PortMapping, RevisionId};
use crate::identity;
use crate::runtime::{Container, ImageId};

/// Instance that owns the container. Containers of other instances, or without this label, are
/// never touched.
pub const INSTANCE: &str = "dubernetes.instance";
/// Random id of the state that owns the instance. On networks only; earlier versions set none.
pub const STATE_ID: &str = "dubernetes.state-id";
/// State directory of the orchestrator that created the network. On networks only.
pub const STATE_DIR: &str = "dubernetes.state-dir";
/// Kind of a container that is not a replica: `ingress`, `ports`, `pre-deploy` or `run`.
pub const COMPONENT: &str = "dubernetes.component";
/// App of the replica.
pub const APP: &str = "dubernetes.app";
/// Revision that the replica runs.
pub const REVISION: &str = "dubernetes.revision";
/// Ordinal of the replica, from 1.
pub const REPLICA: &str = "dubernetes.replica";
/// Hash of the content of the revision.
pub const SPEC: &str = "dubernetes.spec";
/// Id of the image of the revision.
pub const IMAGE: &str = "dubernetes.image";
/// Planned address on the network of the instance. Not an identity: the endpoint is observed.
pub const ADDRESS: &str = "dubernetes.address";
/// Port on which the container listens: that of its request.
pub const PORT: &str = "dubernetes.port";
/// Ports of the host that the container of a replica publishes itself, separated by spaces.
pub const PUBLISHED: &str = "dubernetes.published";
/// Restarts of the replica.
pub const RESTARTS: &str = "dubernetes.restarts";
/// Restarts in a row, without 10 minutes of running in between.
pub const STREAK: &str = "dubernetes.streak";
/// Id of a one-off container.
pub const RUN: &str = "dubernetes.run";
/// How the previous container of a restarted replica ended.
pub const LAST_END: &str = "dubernetes.last-end";

/// The labels of a replica, typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaLabels {
    /// App of the replica.
    pub app: AppName,
    /// Revision that it runs.
    pub revision: RevisionId,
    /// Ordinal, from 1.
    pub ordinal: u32,
    /// Hash of the content of its revision.
    pub spec_hash: SmolStr,
    /// Image that it was created from, if that is known.
    pub image: Option<ImageId>,
    /// Planned address on the network of the instance, where the runtime has planned addresses.
    pub address: Option<IpAddr>,
    /// Port on which it listens.
    pub port: u16,
    /// Ports of the host that its container publishes itself: those that it was created with.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub published: BTreeSet<PortMapping>,
    /// Restarts so far.
    pub restarts: u32,
    /// Restarts in a row.
    pub consecutive_restarts: u32,
    /// How the previous container ended, as a sentence fragment, if it is a restart.
    pub last_end: Option<String>,
}

impl ReplicaLabels {
    /// Returns the labels as text, with that of the instance.
    pub fn to_map(&self, instance: &InstanceName) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<_, _> = [
            (INSTANCE, instance.to_string()),
            (APP, self.app.to_string()),
            (REVISION, self.revision.to_string()),
            (REPLICA, self.ordinal.to_string()),
            (SPEC, self.spec_hash.to_string()),
            (PORT, self.port.to_string()),
            (RESTARTS, self.restarts.to_string()),
            (STREAK, self.consecutive_restarts.to_string()),
        ]
        .into_iter()
        .chain(self.image.as_ref().map(|image| (IMAGE, image.to_string())))
        .chain(self.address.map(|address| (ADDRESS, address.to_string())))
        .chain((!self.published.is_empty()).then(|| (PUBLISHED, words(&self.published))))
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        if let Some(last_end) = &self.last_end {
            labels.insert(LAST_END.to_owned(), last_end.clone());
        }
        labels
    }

    /// Parses the labels of a replica.
    ///
    /// # Errors
    ///
    /// Names the first label that is missing or malformed, as a sentence fragment.
    pub fn from_map(labels: &BTreeMap<String, String>) -> Result<Self, String> {
        Ok(Self {
            app: read(labels, APP)?,
            revision: read(labels, REVISION)?,
            ordinal: read(labels, REPLICA)?,
            spec_hash: read(labels, SPEC)?,
            image: labels.get(IMAGE).cloned().map(ImageId),
            address: read_optional(labels, ADDRESS)?,
            port: read(labels, PORT)?,
            published: read_words(labels, PUBLISHED)?,
            restarts: read(labels, RESTARTS)?,
            consecutive_restarts: read(labels, STREAK)?,
            last_end: labels.get(LAST_END).cloned(),
        })
    }
}

/// The labels of the container of a pre-deploy hook, typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreDeployLabels {
    /// App of the revision.
    pub app: AppName,
    /// The revision.
    pub revision: RevisionId,
    /// Attempts of the revision before this one.
    pub attempts: u32,
    /// Planned address on the network of the instance, where the runtime has planned addresses.
    pub address: Option<IpAddr>,
}

/// Value of [`COMPONENT`] on the container of a pre-deploy hook.
const PRE_DEPLOY: &str = "pre-deploy";

impl PreDeployLabels {
    /// Returns the labels as text, with that of the instance.
    pub fn to_map(&self, instance: &InstanceName) -> BTreeMap<String, String> {
        [
            (INSTANCE, instance.to_string()),
            (COMPONENT, PRE_DEPLOY.to_owned()),
            (APP, self.app.to_string()),
            (REVISION, self.revision.to_string()),
            (RESTARTS, self.attempts.to_string()),
        ]
        .into_iter()
        .chain(self.address.map(|address| (ADDRESS, address.to_string())))
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Parses the labels of a pre-deploy hook; `None` if they are those of something else.
    ///
    /// # Errors
    ///
    /// Names the first label that is missing or malformed, as a sentence fragment.
    pub fn from_map(labels: &BTreeMap<String, String>) -> Option<Result<Self, String>> {
        let own = labels.get(COMPONENT).is_some_and(|component| component == PRE_DEPLOY);
        own.then(|| {
            Ok(Self {
                app: read(labels, APP)?,
                revision: read(labels, REVISION)?,
                attempts: read(labels, RESTARTS)?,
                address: read_optional(labels, ADDRESS)?,
            })
        })
    }
}

/// The labels of a one-off container, typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneOffLabels {
    /// The app whose image and environment it has.
    pub app: AppName,
    /// The revision of these.
    pub revision: RevisionId,
    /// Its id.
    pub id: OneOffId,
    /// Planned address on the network of the instance, where the runtime has planned addresses.
    pub address: Option<IpAddr>,
}

/// Value of [`COMPONENT`] on a one-off container.
const ONE_OFF: &str = "run";

impl OneOffLabels {
    /// Returns the labels as text, with that of the instance.
    pub fn to_map(&self, instance: &InstanceName) -> BTreeMap<String, String> {
        [
            (INSTANCE, instance.to_string()),
            (COMPONENT, ONE_OFF.to_owned()),
            (APP, self.app.to_string()),
            (REVISION, self.revision.to_string()),
            (RUN, self.id.to_string()),
        ]
        .into_iter()
        .chain(self.address.map(|address| (ADDRESS, address.to_string())))
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Parses the labels of a one-off container; `None` if they are those of something else.
    ///
    /// # Errors
    ///
    /// Names the first label that is missing or malformed, as a sentence fragment.
    pub fn from_map(labels: &BTreeMap<String, String>) -> Option<Result<Self, String>> {
        let own = labels.get(COMPONENT).is_some_and(|component| component == ONE_OFF);
        own.then(|| {
            Ok(Self {
                app: read(labels, APP)?,
                revision: read(labels, REVISION)?,
                id: read(labels, RUN)?,
                address: read_optional(labels, ADDRESS)?,
            })
        })
    }
}

/// Value of [`COMPONENT`] on an ingress container.
pub const INGRESS: &str = "ingress";

/// Value of [`COMPONENT`] on a container that publishes the ports of an app.
pub const PORTS: &str = "ports";

/// What a container of an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// The ingress.
    Ingress,
    /// The part of the ingress that publishes the ports of an app.
    Ports(AppName),
    /// A replica.
    Replica(ReplicaLabels),
    /// The container of a pre-deploy hook.
    PreDeploy(PreDeployLabels),
    /// A one-off container.
    OneOff(OneOffLabels),
}

impl Component {
    /// Identifies a container that has the label of `instance`. Each list has to be read with this
    /// rule, and a container that it refuses is left alone.
    ///
    /// Labels alone prove nothing: they travel with an image that was committed from a container.
    /// The name is derived from the labels and unique on the engine, so a copy has another one.
    ///
    /// # Errors
    ///
    /// Why the container is not one of the instance, as a sentence fragment.
    pub fn identify(container: &Container, instance: &InstanceName) -> Result<Self, String> {
        let labels = &container.labels;
        let (component, name) = if labels.get(COMPONENT).is_some_and(|value| value == INGRESS) {
            (Self::Ingress, identity::ingress_name(instance))
        } else if labels.get(COMPONENT).is_some_and(|value| value == PORTS) {
            let app = read(labels, APP)?;
            let name = identity::ports_name(instance, &app);
            (Self::Ports(app), name)
        } else if let Some(labels) = PreDeployLabels::from_map(labels) {
            let labels = labels?;
            let PreDeployLabels { app, revision, attempts, .. } = &labels;
            let name = identity::pre_deploy_name(instance, app, *revision, *attempts);
            (Self::PreDeploy(labels), name)
        } else if let Some(labels) = OneOffLabels::from_map(labels) {
            let labels = labels?;
            let name = identity::one_off_name(instance, &labels.app, &labels.id);
            (Self::OneOff(labels), name)
        } else {
            let labels = ReplicaLabels::from_map(labels)?;
            let ReplicaLabels { app, revision, ordinal, restarts, .. } = &labels;
            let name = identity::container_name(instance, app, *ordinal, *revision, *restarts);
            (Self::Replica(labels), name)
        };
        if container.name != name {
            let found = container.name.escape_debug();
            return Err(format!("its name is `{found}`, and by its labels it would be `{name}`"));
        }
        Ok(component)
    }
}

fn read<T: std::str::FromStr>(labels: &BTreeMap<String, String>, key: &str) -> Result<T, String> {
    let text = labels.get(key).ok_or_else(|| format!("the label `{key}` is missing"))?;
    text.parse().map_err(|_| format!("the label `{key}` is malformed: `{}`", text.escape_debug()))
}

fn read_optional<T: std::str::FromStr>(
    labels: &BTreeMap<String, String>,
    key: &str,
) -> Result<Option<T>, String> {
    labels.contains_key(key).then(|| read(labels, key)).transpose()
}

/// Returns the values separated by spaces.
fn words<T: ToString>(values: &BTreeSet<T>) -> String {
    Vec::from_iter(values.iter().map(T::to_string)).join(" ")
}

fn read_words<T: std::str::FromStr + Ord>(
    labels: &BTreeMap<String, String>,
    key: &str,
) -> Result<BTreeSet<T>, String> {
    let text = labels.get(key).map_or("", String::as_str);
    let malformed = || format!("the label `{key}` is malformed: `{}`", text.escape_debug());
    text.split_whitespace().map(|word| word.parse().map_err(|_| malformed())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_round_trip() {
        let labels = ReplicaLabels {
            app: AppName::parse("web").unwrap(),
            revision: RevisionId(3),
            ordinal: 2,
            spec_hash: "abc".into(),
            image: Some(ImageId("sha256:1".into())),
            address: Some("10.1.0.9".parse().unwrap()),
            port: 80,
            published: ["53:53/udp", "127.0.0.1:80:80"].map(|p| p.parse().unwrap()).into(),
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
