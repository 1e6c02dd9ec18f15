//! What a stage returns: an action, or why it is not taken now.

use jiff::Timestamp;

use crate::app::{AppName, PodName};
use crate::ingress::{Endpoint, RouteTable};
use crate::plan::{Action, AppStatus, Block, Blocked, Plan, Planned, RoutePlan, Wait, Waiting};

use super::context::Context;
use super::routes;

/// One decision of a stage.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Act(Planned),
    Wait(Waiting),
    Block(Blocked),
}

impl Step {
    pub(super) fn wait<'a>(
        app: impl Into<Option<&'a AppName>>,
        pod: Option<PodName>,
        wait: Wait,
        until: Option<Timestamp>,
    ) -> Self {
        Self::Wait(Waiting { app: app.into().cloned(), pod, wait, until })
    }

    pub(super) fn block(app: Option<&AppName>, block: Block) -> Self {
        Self::Block(Blocked { app: app.cloned(), block })
    }

    pub(super) fn is_action(&self) -> bool {
        matches!(self, Self::Act(_))
    }

    /// Whether it creates a replica now.
    pub(super) fn is_create(&self) -> bool {
        matches!(self, Self::Act(Planned { action: Action::Create(_), .. }))
    }
}

/// The decisions of several stages, by kind, each in the order of the stages.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) actions: Vec<Planned>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) blocked: Vec<Blocked>,
}

impl Steps {
    /// Adds the decisions of a later stage.
    pub(super) fn and(mut self, later: impl IntoIterator<Item = Step>) -> Self {
        self.extend(later);
        self
    }
}

impl Extend<Step> for Steps {
    fn extend<I: IntoIterator<Item = Step>>(&mut self, steps: I) {
        for step in steps {
            match step {
                Step::Act(planned) => self.actions.push(planned),
                Step::Wait(waiting) => self.waiting.push(waiting),
                Step::Block(blocked) => self.blocked.push(blocked),
            }
        }
    }
}

impl FromIterator<Step> for Steps {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self::default().and(steps)
    }
}

/// The part of a plan that is about one app.
#[derive(Debug)]
pub(super) struct AppPlan {
    pub(super) name: AppName,
    pub(super) steps: Steps,
    pub(super) routes: RouteTable,
    /// Its ready replicas, also of an app without routes.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) status: AppStatus,
}

/// Joins the parts of all apps and the steps that belong to no app.
pub(super) fn join(
    context: &Context<'_>,
    apps: impl Iterator<Item = AppPlan>,
    rest: impl IntoIterator<Item = Vec<Step>>,
) -> Plan {
    let mut plan = Plan::default();
    let mut routes = Vec::new();
    let (mut endpoints, mut statuses) = (Vec::new(), Vec::new());
    for app in apps {
        endpoints.push((app.name.clone(), app.endpoints));
        plan.actions.extend(app.steps.actions);
        plan.waiting.extend(app.steps.waiting);
        plan.blocked.extend(app.steps.blocked);
        routes.push(app.routes);
        statuses.push((app.name, app.status));
    }
    let endpoints = endpoints.into_iter().collect();
    let rest: Steps = rest.into_iter().flatten().collect();
    plan.actions.extend(rest.actions);
    plan.waiting.extend(rest.waiting);
    plan.blocked.extend(rest.blocked);
    let mut table = routes::join(routes);
    let handed_over = table.routes.into_iter();
    let handed_over = handed_over.map(|route| routes::hand_over(context, route, &endpoints));
    table.routes = handed_over.collect();
    let statuses = statuses.into_iter().collect();
    Plan { routes: RoutePlan { table, ..RoutePlan::default() }, statuses, ..plan }
}
