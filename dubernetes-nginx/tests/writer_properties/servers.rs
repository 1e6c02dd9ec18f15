//! What servers begin with: names, and the directives of the access log and of counts.

use std::collections::BTreeMap;

use dubernetes_core::app::{AppName, HostPattern};
use dubernetes_core::ingress::Route;

use super::{Directive, line};

/// Returns the name of a server.
pub(crate) fn expected_name(host: &HostPattern) -> Option<Directive> {
    match host {
        HostPattern::Exact(name) => Some(line(&["server_name", name.as_str()])),
        HostPattern::AnyLabel(parent) => {
            let parent = parent.as_str().replace('.', "\\.");
            Some(line(&["server_name", &format!("~^[^.]+\\.{parent}$")]))
        }
        HostPattern::Any => None,
    }
}

/// Returns the access log and the counts of a server, whose requests are all for one app, or for
/// several.
pub(crate) fn of_server(app: Option<&AppName>) -> Vec<Directive> {
    let words = "access_log /dev/shm/dubernetes-access.log dubernetes buffer=32k flush=1s";
    let log = line(&words.split(' ').collect::<Vec<_>>());
    let counts = line(&["access_log", "/dev/null", "dubernetes_none", "if=$dubernetes_counted"]);
    [log, counts].into_iter().chain(app.map(of_app)).collect()
}

/// Returns the inside of a location, with what says for which app its requests are.
pub(crate) fn of_location(
    only: Option<&AppName>,
    route: &Route,
    inside: Vec<Directive>,
) -> Vec<Directive> {
    let own = only.is_none().then(|| of_app(&route.app));
    own.into_iter().chain(inside).collect()
}

/// Returns the app of all routes, if it is one.
pub(crate) fn only_app<'a>(routes: &BTreeMap<String, &'a Route>) -> Option<&'a AppName> {
    let app = &routes.values().next().unwrap().app;
    routes.values().all(|route| route.app == *app).then_some(app)
}

fn of_app(app: &AppName) -> Directive {
    line(&["set", "$dubernetes_app", app.as_str()])
}
