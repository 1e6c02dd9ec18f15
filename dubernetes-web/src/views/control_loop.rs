//! The control loop of one app: what is desired, what is observed, and what follows from both.

use askama::Template;
use dubernetes_api::text::{phase_tone, pod_tone};
use dubernetes_api::wire::{App, AppPlan, Decision, Pod, Route, Why};
use dubernetes_core::app::AppName;
use jiff::Timestamp;

use super::app::{WhyView, endpoints, why_view};
use super::decision::{DecisionRow, decision_rows, on_its_machine};
use super::{Frame, PlanView, State, quoted, text};

/// The page.
#[derive(Debug, Template)]
#[template(path = "loop.html")]
pub(crate) struct LoopPage {
    frame: Frame,
    name: String,
    names: Vec<String>,
    state: State,
    desired: Vec<(&'static str, String)>,
    observed: Vec<ObservedPod>,
    routes: Vec<(String, String)>,
    plan: PlanView,
    why: WhyView,
    decisions: Vec<DecisionRow>,
    /// Command that shows the decisions.
    replay: String,
}

/// What the page is about.
#[derive(Debug)]
pub(crate) struct LoopData {
    /// All apps.
    pub(crate) names: Vec<AppName>,
    pub(crate) app: App,
    pub(crate) pods: Vec<Pod>,
    pub(crate) routes: Vec<Route>,
    pub(crate) plan: AppPlan,
    pub(crate) why: Why,
    /// Recorded decisions, oldest first.
    pub(crate) decisions: Vec<Decision>,
}

#[derive(Debug)]
struct ObservedPod {
    name: String,
    state: State,
    text: String,
}

/// The page if there is no app.
#[derive(Debug, Template)]
#[template(path = "no_apps.html")]
pub(crate) struct NoAppsPage {
    frame: Frame,
}

/// Returns the page without an app.
pub(crate) fn no_apps_page(program: &str) -> NoAppsPage {
    NoAppsPage {
        frame: Frame {
            title: "The loop".to_owned(),
            section: "/loop",
            command: format!("{program} get apps"),
            live: "/live".to_owned(),
        },
    }
}

/// Returns the page of an app.
pub(crate) fn loop_page(program: &str, data: &LoopData, now: Timestamp) -> LoopPage {
    let LoopData { names, app, pods, routes, plan, why, decisions } = data;
    let name = app.name.to_string();
    let own = routes.iter().filter(|route| route.app == app.name);
    LoopPage {
        frame: Frame {
            title: format!("The loop: {name}"),
            section: "/loop",
            command: format!("{program} why {}", quoted(&name)),
            live: format!("/live?app={name}"),
        },
        names: names.iter().map(ToString::to_string).collect(),
        state: State::new(app.status.phase.as_str(), phase_tone(app.status.phase)),
        desired: desired(app),
        observed: pods.iter().map(observed).collect(),
        routes: own.map(|route| (route_text(route), endpoints(route))).collect(),
        plan: PlanView::new(plan, app.spec.replicas),
        why: why_view(why),
        decisions: decision_rows(decisions, None, now),
        replay: format!("{} replay --last {}", on_its_machine(program), decisions.len().max(1)),
        name,
    }
}

fn route_text(route: &Route) -> String {
    let path = if route.path.is_root() { "" } else { route.path.as_str() };
    format!("{}{}", route.host, text(path))
}

fn desired(app: &App) -> Vec<(&'static str, String)> {
    let spec = &app.spec;
    let mut facts = vec![
        ("replicas", spec.replicas.to_string()),
        ("revision", app.status.revision.to_string()),
        (spec.artifact.key(), text(spec.artifact.as_str())),
    ];
    let hosts: Vec<_> = spec.routes().iter().map(|(host, _)| host.to_string()).collect();
    if !hosts.is_empty() {
        facts.push(("hosts", hosts.join(", ")));
    }
    facts.push(("generation", app.generation.to_string()));
    facts
}

fn observed(pod: &Pod) -> ObservedPod {
    let ready = if pod.ready { "ready" } else { "not ready" };
    let restarts = match pod.restarts {
        0 => String::new(),
        1 => ", 1 restart".to_owned(),
        count => format!(", {count} restarts"),
    };
    ObservedPod {
        name: pod.name.to_string(),
        state: State::new(pod.state.as_str(), pod_tone(pod.state, pod.ready)),
        text: format!("{ready}, revision {}{restarts}", pod.revision),
    }
}
