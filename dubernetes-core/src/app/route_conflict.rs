//! Two apps that claim the same host and path, or the same port of the host.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AppName, AppSpec, HostPattern, PortMapping, RoutePath};

/// Two apps that claim the same host and path, or the same port of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteConflict {
    /// The app that has the place.
    pub owner: AppName,
    /// What both claim.
    pub place: Place,
}

/// What at most one app may claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A host and path of the ingress.
    Route {
        /// The host.
        host: HostPattern,
        /// The path prefix.
        path: RoutePath,
    },
    /// A port of the host.
    Port(PortMapping),
}

impl Place {
    /// Returns whether only one app can have both places.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Port(own), Self::Port(others)) => own.overlaps(others),
            (Self::Route { .. }, Self::Route { .. }) => self == other,
            (Self::Port(_), Self::Route { .. }) | (Self::Route { .. }, Self::Port(_)) => false,
        }
    }
}

impl fmt::Display for RouteConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Route { host: HostPattern::Any, .. } => f.write_str("what no host claims")?,
            Place::Route { host, .. } => write!(f, "the host `{host}`")?,
            Place::Port(mapping) => {
                let transport = mapping.transport.as_str().to_uppercase();
                write!(f, "{transport} port {} of this machine", mapping.host_port)?;
            }
        }
        if let Place::Route { path, .. } = &self.place
            && !path.is_root()
        {
            write!(f, " with the path `{path}`")?;
        }
        write!(f, " is taken by app `{}`", self.owner)
    }
}

/// Returns the first place of `spec` that one of `others` has already. `spec` itself may be among
/// them.
pub fn route_conflict<'a>(
    spec: &AppSpec,
    others: impl IntoIterator<Item = &'a AppSpec>,
) -> Option<RouteConflict> {
    let places = spec.places();
    others.into_iter().filter(|other| other.name != spec.name).find_map(|other| {
        let theirs = other.places();
        let is_taken = |place: &&Place| theirs.iter().any(|taken| taken.overlaps(place));
        let place = places.iter().find(is_taken)?.clone();
        Some(RouteConflict { owner: other.name.clone(), place })
    })
}
