//! Plans one app, stage by stage.

use std::net::Ipv4Addr;

use crate::app::{AppName, OnFailure, Problem, RouteConflict};
use crate::ingress::RouteTable;
use crate::plan::{Block, Reason, Wait};
use crate::state::ObservedReplica;
use crate::store::{Outcome, StoredApp};

use super::addresses::AddressPool;
use super::classify::{Replicas, classify, keep_all};
use super::context::{Context, Observed};
use super::create::Template;
use super::limits::{Capacity, Limits};
use super::ports::Publisher;
use super::pre_deploy::Hook;
use super::rollout_status::RolloutStatus;
use super::step::{AppPlan, Step, Steps};
use super::{
    certificates, image, names, order, pre_deploy, restart, rollout_status, routes, scale_up,
    status, terminate,
};

/// One app: what is wanted of it, and what is observed.
pub(super) struct App<'a> {
    pub(super) stored: &'a StoredApp,
    pub(super) observed: &'a Observed<'a>,
    /// The address of its name, if it has one.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) limits: Limits,
    pub(super) publisher: Publisher<'a>,
    /// Why no replica may be created or replaced, if there is a reason.
    pub(super) hold: Option<Step>,
    /// What replicas of the wanted revision are created from.
    pub(super) template: Template<'a>,
    /// No replica is replaced by one of a newer revision.
    pub(super) paused: bool,
}

impl<'a> App<'a> {
    fn new(context: &'a Context<'a>, stored: &'a StoredApp) -> Self {
        let observed = context.observed_of(&stored.spec.name);
        let publisher = Publisher::new(context, stored);
        Self {
            stored,
            observed,
            address: context.names.get(&stored.spec.name).copied(),
            limits: Limits::new(&stored.spec, publisher),
            publisher,
            hold: publisher
                .hold(context, stored)
                .or_else(|| order::hold(context, stored, observed)),
            template: Template::wanted(stored, observed),
            paused: is_paused(stored),
        }
    }

    pub(super) fn name(&self) -> &'a AppName {
        &self.stored.spec.name
    }

    /// Returns the wait for another replica to be gone.
    pub(super) fn surge_limit(&self, capacity: Capacity) -> Wait {
        let why = self.publisher.why_direct().map(str::to_owned);
        Wait::SurgeLimit { limit: capacity.limit, why }
    }

    /// Whether the wanted revision is being rolled out.
    pub(super) fn is_progressing(&self) -> bool {
        self.stored.rollout.outcome == Outcome::Progressing
    }

    /// Whether a replica runs the specification of the wanted revision, whatever the number of
    /// its own.
    pub(super) fn has_wanted_spec(&self, replica: &ObservedReplica) -> bool {
        replica.labels.spec_hash == self.template.hash
    }

    /// Whether a replica runs the wanted revision, and publishes the ports that it should.
    pub(super) fn is_wanted(&self, replica: &ObservedReplica) -> bool {
        self.has_wanted_revision(replica) && self.publisher.has_ports(self.stored, replica)
    }

    /// Returns why an outdated replica is replaced.
    pub(super) fn replaced(&self, replica: &ObservedReplica) -> Reason {
        let why = self.publisher.why_direct().map(str::to_owned);
        if self.has_wanted_revision(replica) {
            return Reason::OtherPorts { why };
        }
        Reason::Replaced { by: self.stored.revision, stops_first: why }
    }

    /// Whether a replica runs the specification and the image of the wanted revision.
    fn has_wanted_revision(&self, replica: &ObservedReplica) -> bool {
        // A tag may have moved between two revisions of the same specification.
        let is_other_image = match (&replica.labels.image, &self.stored.image_id) {
            (Some(runs), Some(wanted)) => runs != wanted,
            (None, _) | (_, None) => false,
        };
        self.has_wanted_spec(replica) && !is_other_image
    }
}

/// Whether the rollout of an app is paused: by its user, or because it failed with
/// `on_failure: pause`. A failed revision without an earlier one to go back to is still tried.
pub(super) fn is_paused(stored: &StoredApp) -> bool {
    let pauses = stored.spec.rollout.on_failure == OnFailure::Pause;
    stored.paused || (pauses && stored.rollout.outcome.failure().is_some())
}

/// Plans one app: its steps, its routes and its status.
pub(super) fn plan(
    context: &Context<'_>,
    stored: &StoredApp,
    conflict: Option<&RouteConflict>,
    addresses: &mut AddressPool<'_>,
) -> AppPlan {
    let app = App::new(context, stored);
    let block = newer_than_store(&app).or_else(|| unsupported(context, &app));
    let (replicas, steps, rollout) = match block {
        Some(block) => {
            let steps = Steps::default().and([block]);
            (keep_all(context, &app), steps, RolloutStatus::default())
        }
        None => {
            let replicas = classify(context, &app);
            let (steps, rollout) = plan_replicas(context, &app, &replicas, addresses);
            (replicas, steps, rollout)
        }
    };
    let is_recorded = rollout.is_recorded;
    let endpoints = routes::endpoints(&replicas);
    let (routes, conflict) = routes::plan(context, &app, &endpoints, conflict);
    let (tls, certificates) = certificates::plan(context, &app);
    let routes = RouteTable { tls, ..routes };
    let steps =
        steps.and(rollout.steps).and(conflict).and(names::missing(context, &app)).and(certificates);
    let status = status::evaluate(context, &app, &replicas, &steps, &routes, is_recorded);
    AppPlan { name: app.name().clone(), steps, routes, endpoints, status }
}

/// Plans what the replicas of an app need now, and evaluates its rollout.
fn plan_replicas(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    addresses: &mut AddressPool<'_>,
) -> (Steps, RolloutStatus) {
    let capacity = Capacity::new(app, replicas);
    let hook = Hook::new(context, app);
    let steps = Steps::default()
        .and(terminate::plan(context, replicas))
        .and(terminate::clear_evictions(context, app))
        .and(image::plan(context, app, replicas, capacity))
        .and(restart::plan(context, app, replicas, capacity, addresses))
        .and(restart::settle(context, app, replicas));
    let steps = match &app.hold {
        Some(hold) => {
            // The ingress that has to answer needs the network.
            let asks = app.publisher == Publisher::Unknown;
            let obstacle = asks.then(|| addresses.network().err()).flatten();
            let network = obstacle.map(|obstacle| obstacle.step(context, app.name()));
            steps.and(network).and([hold.clone()])
        }
        None => steps
            .and(scale_up::plan(context, app, replicas, capacity, addresses))
            .and(pre_deploy::plan(context, app, &hook, addresses)),
    };
    let rollout = rollout_status::evaluate(context, app, replicas, &hook, &steps);
    (steps, rollout)
}

/// Blocks an app whose specification the runtime cannot run as a whole.
fn unsupported(context: &Context<'_>, app: &App<'_>) -> Option<Step> {
    let missing = app.stored.spec.check_for(&context.observed.lacks).err()?;
    let text = |problem: Problem| format!("`{}` {}", problem.path, problem.message);
    let problems = missing.problems.into_iter().map(text).collect();
    Some(Step::block(Some(app.name()), Block::Unsupported { problems }))
}

/// Blocks an app of which a newer revision than the stored one runs, with other content: the store
/// is an old copy, and changes nothing by itself.
fn newer_than_store(app: &App<'_>) -> Option<Step> {
    let stored = app.stored.revision;
    let newer = app
        .observed
        .replicas
        .iter()
        .map(|replica| &replica.labels)
        .filter(|labels| labels.revision > stored && labels.spec_hash != app.template.hash);
    let running = newer.map(|labels| labels.revision).max()?;
    Some(Step::block(Some(app.name()), Block::NewerThanStore { stored, running }))
}
