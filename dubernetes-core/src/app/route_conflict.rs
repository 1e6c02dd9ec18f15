//! Two apps that claim the same host and path.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AppName, AppSpec, HostName, RoutePath};

/// Two apps that claim the same host and path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteConflict {
    /// The app that has the route.
    pub owner: AppName,
    /// The host.
    pub host: HostName,
    /// The path prefix.
    pub path: RoutePath,
}

impl fmt::Display for RouteConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, host, path } = self;
        if path.is_root() {
            write!(f, "the host `{host}` is taken by app `{owner}`")
        } else {
            write!(f, "the host `{host}` with the path `{path}` is taken by app `{owner}`")
        }
    }
}

/// Returns the first route of `spec` that one of `others` has already. `spec` itself may be among
/// them.
pub fn route_conflict<'a>(
    spec: &AppSpec,
    others: impl IntoIterator<Item = &'a AppSpec>,
) -> Option<RouteConflict> {
    let access = spec.access.as_ref()?;
    others.into_iter().filter(|other| other.name != spec.name).find_map(|other| {
        let theirs = other.access.as_ref()?;
        let host = access.hosts.iter().find(|host| theirs.hosts.contains(host))?;
        (theirs.path == access.path).then(|| RouteConflict {
            owner: other.name.clone(),
            host: host.clone(),
            path: access.path.clone(),
        })
    })
}
