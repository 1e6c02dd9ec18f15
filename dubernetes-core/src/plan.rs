//! The output of [`crate::reconcile()`]: what to do now, what to wait for, and why.

mod action;
mod block;
mod cause;
mod reason;
mod route_plan;
mod status;
mod wait;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Serialize;

use crate::app::{AppName, PodName, RevisionId};
use crate::call::OperationKey;

pub use action::{Action, OneOffPlan, PreDeployPlan, ReplicaPlan};
pub use block::Block;
pub use cause::Cause;
pub use reason::Reason;
pub use route_plan::{RoutePlan, RouteStep};
pub use status::{AppStatus, Phase, PodState, PodStatus};
pub use wait::Wait;
pub(crate) use wait::{Prediction, Remedy};

/// The result of one pass. Every action is safe now, in any order, and whichever of the others
/// fail or are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What to do.
    pub actions: Vec<Planned>,
    /// What is not done yet, and until when.
    pub waiting: Vec<Waiting>,
    /// What cannot be done until a person acts.
    pub blocked: Vec<Blocked>,
    /// The route table, and what to do about it.
    pub routes: RoutePlan,
    /// Addresses that have left the route table, and whose drain is checked now.
    pub drain_checks: Vec<SocketAddr>,
    /// When the next drain is checked.
    pub next_drain_check: Option<Timestamp>,
    /// The status of each app.
    pub statuses: BTreeMap<AppName, AppStatus>,
}

impl Plan {
    /// Returns when the next pass is due if nothing happens before: the earliest end of a wait.
    pub fn requeue_at(&self) -> Option<Timestamp> {
        let waits = self.waiting.iter().filter_map(|waiting| waiting.until);
        waits.chain(self.routes.step.until()).chain(self.next_drain_check).min()
    }

    /// Returns what is about an app, or about the instance itself.
    pub(crate) fn of_app(mut self, app: &AppName) -> Self {
        let is_own = |of: &Option<AppName>| of.as_ref().is_none_or(|of| of == app);
        self.actions.retain(|planned| is_own(&planned.app));
        self.waiting.retain(|waiting| is_own(&waiting.app));
        self.blocked.retain(|blocked| is_own(&blocked.app));
        let table = &mut self.routes.table;
        table.routes.retain(|route| route.app == *app);
        table.listeners.retain(|listener| listener.app == *app);
        table.ports.retain(|port| port.app == *app);
        table.tls.retain(|tls| tls.app == *app);
        self.statuses.retain(|name, _| name == app);
        self
    }
}

/// An action with its subject and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The app that it is for; `None` for the instance itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The pod that it is for, if it is for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodName>,
    /// The revision that it is for, if it is for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionId>,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

impl Planned {
    /// Plans an action for the instance itself.
    pub(crate) fn for_instance(action: Action, reason: Reason) -> Self {
        Self { app: None, pod: None, revision: None, action, reason }
    }

    /// Plans an action for an app.
    pub(crate) fn for_app(app: &AppName, action: Action, reason: Reason) -> Self {
        Self { app: Some(app.clone()), ..Self::for_instance(action, reason) }
    }

    /// Plans an action for a revision of an app.
    pub(crate) fn for_revision(
        app: &AppName,
        revision: RevisionId,
        action: Action,
        reason: Reason,
    ) -> Self {
        Self { revision: Some(revision), ..Self::for_app(app, action, reason) }
    }

    /// Plans an action for a pod, which runs a revision of an app.
    pub(crate) fn for_pod(
        app: &AppName,
        revision: RevisionId,
        pod: PodName,
        action: Action,
        reason: Reason,
    ) -> Self {
        Self { pod: Some(pod), ..Self::for_revision(app, revision, action, reason) }
    }

    /// Returns what the action is done to: a pod, an image, an app, or a part of the instance.
    pub fn object(&self) -> String {
        if let Some(host) = self.action.certificate_host() {
            return host.to_string();
        }
        match (&self.pod, self.action.artifact(), &self.app) {
            (Some(pod), _, _) => pod.to_string(),
            (None, Some(artifact), _) => artifact.to_string(),
            (None, None, Some(app)) => app.to_string(),
            (None, None, None) => self.action.instance_part(),
        }
    }
}

/// Something that is not done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The app; `None` for the instance itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The pod, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodName>,
    /// What for.
    pub wait: Wait,
    /// When it ends at the latest, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Waiting {
    /// Returns what is waited for, after the name of the pod if it is about one.
    pub fn text(&self) -> String {
        match &self.pod {
            Some(pod) => format!("{pod}: {}", self.wait),
            None => self.wait.to_string(),
        }
    }

    /// Returns the pod, or the app if it is about no pod, or a part of the instance.
    pub fn object(&self) -> String {
        match (&self.pod, &self.app, self.wait.call().and_then(OperationKey::container)) {
            (Some(pod), _, _) => pod.to_string(),
            (None, Some(app), _) => app.to_string(),
            (None, None, Some(id)) => format!("{id:.12}"),
            (None, None, None) => "instance".to_owned(),
        }
    }
}

/// Something that cannot be done until a person acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// The app; `None` for the instance itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// Why.
    pub block: Block,
}

/// A rule of the planner, as `why` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) text: &'static str,
    /// More about it; may be empty.
    pub(crate) detail: &'static str,
}

impl Rule {
    pub(crate) const FAILED: Self = Self::new(
        "a failed revision replaces nothing",
        "`rollout.on_failure` decides what follows",
    );
    pub(crate) const PAUSED: Self =
        Self::new("a paused rollout replaces nothing", "until it is resumed");
    pub(crate) const RESTART: Self =
        Self::new("restart back-off", "at once, then 1s doubling up to 5m");

    pub(crate) const fn new(text: &'static str, detail: &'static str) -> Self {
        Self { text, detail }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for planned in &self.actions {
            writeln!(f, "{planned}")?;
        }
        for waiting in &self.waiting {
            writeln!(f, "{waiting}")?;
        }
        for blocked in &self.blocked {
            writeln!(f, "{blocked}")?;
        }
        for route in &self.routes.table.routes {
            let path = if route.path.is_root() { "" } else { route.path.as_str() };
            let pods: Vec<_> = route.endpoints.iter().map(|e| e.pod.as_str()).collect();
            let pods = if pods.is_empty() { "503".to_owned() } else { pods.join(" ") };
            writeln!(f, "{:<8} {}{path} {pods}", "route", route.host)?;
        }
        // The name of an app with routes leads to the same replicas.
        let table = &self.routes.table;
        let is_routed = |app: &AppName| table.routes.iter().any(|route| route.app == *app);
        for listener in table.listeners.iter().filter(|listener| !is_routed(&listener.app)) {
            let pods: Vec<_> = listener.endpoints.iter().map(|e| e.pod.as_str()).collect();
            let pods = if pods.is_empty() { "refused".to_owned() } else { pods.join(" ") };
            writeln!(f, "{:<8} {}:{} {pods}", "name", listener.app, listener.port)?;
        }
        for crate::ingress::HostPort { app, mapping, .. } in &table.ports {
            writeln!(f, "{:<8} {} to {app}", "publish", mapping)?;
        }
        for tls in &table.tls {
            let certificate = match &tls.certificate {
                Some(pair) => format!("with certificate {}", pair.hash()),
                None => "without a certificate: 503".to_owned(),
            };
            writeln!(f, "{:<8} {} {certificate}", "https", tls.host)?;
        }
        Ok(())
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<12} {}", self.action.verb(), self.object(), self.reason)
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<12} {}", "wait", self.object(), self.wait)
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.app.as_ref().map_or("instance", |app| app.as_str());
        write!(f, "{:<8} {object:<12} {}", "blocked", self.block)
    }
}
