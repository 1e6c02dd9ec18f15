//! Two apps that claim the same host and path.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AppName, AppSpec, HostPattern, RoutePath};

/// Two apps that claim the same host and path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteConflict {
    /// The app that has the route.
    pub owner: AppName,
    /// The host.
    pub host: HostPattern,
    /// The path prefix.
    pub path: RoutePath,
}

impl fmt::Display for RouteConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, host, path } = self;
        match host {
            HostPattern::Any => write!(f, "what no host claims")?,
            HostPattern::Exact(_) | HostPattern::AnyLabel(_) => write!(f, "the host `{host}`")?,
        }
        if !path.is_root() {
            write!(f, " with the path `{path}`")?;
        }
        write!(f, " is taken by app `{owner}`")
    }
}

/// Returns the first route of `spec` that one of `others` has already. `spec` itself may be among
/// them.
pub fn route_conflict<'a>(
    spec: &AppSpec,
    others: impl IntoIterator<Item = &'a AppSpec>,
) -> Option<RouteConflict> {
    let places = spec.places();
    others.into_iter().filter(|other| other.name != spec.name).find_map(|other| {
        let theirs = other.places();
        let (host, path) = places.iter().find(|place| theirs.contains(place))?;
        Some(RouteConflict {
            owner: other.name.clone(),
            host: host.clone(),
            path: RoutePath::clone(path),
        })
    })
}
