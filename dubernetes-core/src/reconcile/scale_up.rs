//! How replicas come: restarts in slot, and new ones, as far as the max_live lets them.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::app::AppSpec;
use crate::plan::{
    Action, Block, Blocked, OperationKey, Plan, Planned, Reason, ReplicaPlan, Wait, Waiting,
};
use crate::runtime::{ContainerState, ImageId};
use crate::state::{FailureKind, ObservedReplica};
use crate::store::StoredApp;

use super::classify::Classified;
use super::context::{Context, is_live, is_paused};
use super::create::{self, Identity};
use super::limits::Limits;
use super::{backoff, restart};

/// At most so many new replicas of one app in one pass: the rest follows in the next.
const CREATES_A_PASS: u32 = 16;

/// Which replica is to be created.
#[derive(Debug, Clone, Copy)]
struct Slot<'a> {
    /// The revision that it is labelled with.
    revision: u64,
    /// Whether its content is that of the wanted revision, whatever its number.
    is_wanted: bool,
    ordinal: u32,
    restarts: u32,
    consecutive_restarts: u32,
    /// The replica that failed there.
    after: Option<&'a ObservedReplica>,
}

/// What one app may still add in this pass.
pub(super) struct ScaleUp<'a> {
    stored: &'a StoredApp,
    /// The hash of the wanted revision.
    hash: &'a str,
    limits: Limits,
    /// So many more containers may become live.
    live_budget: u32,
    /// So many replicas of the wanted revision exist, failed ones and those under way included; of
    /// any revision while the rollout is held.
    existing: u32,
    classified: &'a Classified<'a>,
    /// The older revision whose replicas a held rollout keeps at their number.
    paused_at: Option<u64>,
    /// So many occupied_slots are taken: replicas that stay, that still run, and that are under way.
    occupied_slots: u32,
    /// Ordinal and revision of the creates that are under way.
    creating: Vec<(u32, u64)>,
    /// Those of them that no replica which stays has.
    new: Vec<(u32, u64)>,
    is_rollout: bool,
}

impl<'a> ScaleUp<'a> {
    pub(super) fn new(
        context: &Context<'_>,
        stored: &'a StoredApp,
        limits: Limits,
        classified: &'a Classified<'a>,
    ) -> Self {
        let name = &stored.spec.name;
        let creating = context.creating(name).to_vec();
        let slot = |r: &ObservedReplica| (r.labels.ordinal, r.labels.revision);
        let stays = |p: &(u32, u64)| classified.stay().any(|r| slot(r) == *p);
        let new: Vec<_> = creating.iter().copied().filter(|p| !stays(p)).collect();
        let held = is_paused(stored);
        let stays_on = |r: &&&ObservedReplica| held && !context.observed.evicted.contains(&r.id);
        let kept: Vec<_> = classified.outdated.iter().filter(stays_on).collect();
        let known = |r: &&&ObservedReplica| context.revision(name, r.labels.revision).is_some();
        let paused_at = kept.iter().copied().filter(known).map(|r| r.labels.revision).max();
        let counts = |revision: u64| held || revision == stored.revision;
        let new_current = new.iter().filter(|(_, revision)| counts(*revision)).count();
        let live = classified.all().filter(|r| is_live(r)).count() + creating.len();
        let leaving = classified.terminating.iter().filter(|(r, _)| is_live(r)).count();
        Self {
            stored,
            hash: &classified.hash,
            limits,
            live_budget: limits.max_live.saturating_sub(count(live)),
            existing: count(classified.updated.len() + kept.len() + new_current),
            classified,
            paused_at,
            occupied_slots: count(classified.stay().count() + new.len() + leaving),
            creating,
            new,
            is_rollout: !held && !classified.outdated.is_empty()
                || classified
                    .terminating
                    .iter()
                    .any(|(_, why)| matches!(why, Reason::Replaced { .. })),
        }
    }

    /// A revision's image is resolved before anything else is done for it: nothing old is given
    /// up for a revision whose image may not be had.
    pub(super) fn resolve_image(&self, context: &Context<'_>, plan: &mut Plan) {
        if self.stored.image_id.is_none() && self.limits.desired > 0 && self.paused_at.is_none() {
            self.ensure_image(context, Reason::ImageUnresolved, plan);
        }
    }

    /// The next container of a replica that failed, once its back-off is over.
    pub(super) fn restart(
        &mut self,
        context: &mut Context<'_>,
        failed: &ObservedReplica,
        plan: &mut Plan,
    ) {
        let labels = &failed.labels;
        let is_wanted = labels.spec_hash == self.hash;
        let since = if is_wanted { self.stored.rollout_started_at } else { Timestamp::MIN };
        let Some(next) = restart::next(failed, since, context.now) else { return };
        let pod = failed.pod();
        let wait =
            |wait, until| Waiting { app: labels.app.clone(), pod: Some(pod.clone()), wait, until };
        if self.creating.contains(&(labels.ordinal, labels.revision)) {
            plan.waiting.push(wait(Wait::InProgress, None));
        } else if next.due > context.now {
            let cause = restart::cause(context, failed, self.memory_limit().as_deref());
            let back_off = Wait::BackOff { cause, restarts: labels.restarts };
            plan.waiting.push(wait(back_off, Some(next.due)));
        } else if self.live_budget == 0 {
            plan.waiting.push(wait(Wait::SurgeLimit { limit: self.limits.max_live }, None));
        } else {
            let reason = why_restarted(context, failed, next.restarts);
            let slot = Slot {
                revision: labels.revision,
                is_wanted,
                ordinal: labels.ordinal,
                restarts: next.restarts,
                consecutive_restarts: next.consecutive_restarts,
                after: Some(failed),
            };
            self.create(context, slot, reason, plan);
        }
    }

    /// New replicas up to the wanted number.
    pub(super) fn add_missing(&mut self, context: &mut Context<'_>, plan: &mut Plan) {
        self.wait_for_creates(plan);
        let missing = self.limits.desired.saturating_sub(self.existing);
        // Until it is deployable there is nothing to create: `resolve_image` and the command
        // before it see to that.
        if missing == 0 || (self.paused_at.is_none() && !self.stored.is_deployable()) {
            return;
        }
        let free = self.limits.max_live.saturating_sub(self.occupied_slots);
        let allowed = missing.min(free).min(self.live_budget).min(CREATES_A_PASS);
        if allowed == 0 {
            plan.waiting.push(Waiting {
                app: self.stored.spec.name.clone(),
                pod: None,
                wait: Wait::SurgeLimit { limit: self.limits.max_live },
                until: None,
            });
        }
        let (desired, existing) = (self.limits.desired, self.existing);
        let revision = self.paused_at.unwrap_or(self.stored.revision);
        let is_wanted = self.paused_at.is_none();
        let mut ordinals = self.ordinals();
        for _ in 0..allowed {
            let Some(ordinal) = (1..).find(|n| !ordinals.contains(n)) else { return };
            ordinals.insert(ordinal);
            let reason = if self.is_rollout {
                Reason::NewRevision { revision, existing, desired }
            } else {
                Reason::BelowReplicas { desired, existing }
            };
            let (restarts, consecutive_restarts, after) = (0, 0, None);
            let slot = Slot { revision, is_wanted, ordinal, restarts, consecutive_restarts, after };
            if !self.create(context, slot, reason, plan) {
                return;
            }
        }
    }

    /// Those that are in use by any container.
    fn ordinals(&self) -> BTreeSet<u32> {
        let seen = self.classified.all().map(|r| r.labels.ordinal);
        seen.chain(self.creating.iter().map(|(ordinal, _)| *ordinal)).collect()
    }

    /// Says of each new replica that is under way that it is waited for.
    fn wait_for_creates(&self, plan: &mut Plan) {
        for (ordinal, _) in &self.new {
            let app = self.stored.spec.name.clone();
            let pod = Some(crate::identity::pod_name(&app, *ordinal));
            plan.waiting.push(Waiting { app, pod, wait: Wait::InProgress, until: None });
        }
    }

    /// Plans one create, or what it needs first. Returns whether another one may be tried.
    fn create(
        &mut self,
        context: &mut Context<'_>,
        slot: Slot<'_>,
        reason: Reason,
        plan: &mut Plan,
    ) -> bool {
        let name = &self.stored.spec.name;
        let Slot { revision, is_wanted, ordinal, restarts, consecutive_restarts, after } = slot;
        // Without an image there is nothing to create: `resolve_image` sees to it.
        let Some((spec, image, hash)) = self.content(context, slot) else { return false };
        if is_wanted && image_is_gone(context, name) {
            self.ensure_image(context, Reason::ImageGone, plan);
            return false;
        }
        let Some(network) = context.observed.network.as_ref() else {
            ensure_network(context, name, plan);
            return false;
        };
        let Some(address) = context.pick_address(name, ordinal) else {
            let capacity = crate::identity::capacity(network.subnet);
            let block = Block::NoAddress { capacity };
            plan.blocked.push(Blocked { app: Some(name.clone()), pod: None, block });
            return false;
        };
        let last_end =
            after.map(|failed| restart::last_end(context, failed, self.memory_limit().as_deref()));
        let last_end = last_end.as_deref();
        let spec_hash = hash;
        let who = Identity {
            ordinal,
            revision,
            restarts,
            consecutive_restarts,
            address,
            spec_hash,
            last_end,
        };
        let instance = &context.desired.instance;
        let replica = create::replica(instance, &network.id, spec, image, who);
        self.push_create(context, replica, reason, plan);
        true
    }

    fn push_create(
        &mut self,
        context: &Context<'_>,
        replica: ReplicaPlan,
        reason: Reason,
        plan: &mut Plan,
    ) {
        let app = Some(self.stored.spec.name.clone());
        let pod = replica.pod.clone();
        let is_new = replica.labels.restarts == 0;
        let planned = Planned { app, action: Action::Create(Box::new(replica)), reason };
        let before = plan.actions.len();
        backoff::plan_or_wait(context, &self.stored.spec.name, Some(&pod), planned, plan);
        if plan.actions.len() > before {
            self.live_budget = self.live_budget.saturating_sub(1);
            // A restart keeps the slot that its replica has.
            self.occupied_slots += u32::from(is_new);
        }
    }

    /// What a revision runs, once its image is resolved; the wanted one, or one that is kept.
    fn content<'b>(
        &self,
        context: &Context<'b>,
        slot: Slot<'_>,
    ) -> Option<(&'b AppSpec, &'b ImageId, String)>
    where
        'a: 'b,
    {
        if slot.is_wanted {
            let image = self.stored.image_id.as_ref()?;
            return Some((&self.stored.spec, image, self.hash.to_owned()));
        }
        let kept = context.revision(&self.stored.spec.name, slot.revision)?;
        Some((&kept.spec, kept.image_id.as_ref()?, kept.content_hash()))
    }

    fn ensure_image(&self, context: &Context<'_>, reason: Reason, plan: &mut Plan) {
        let spec = &self.stored.spec;
        let action = Action::EnsureImage {
            app: spec.name.clone(),
            revision: self.stored.revision,
            image: spec.image.clone(),
            policy: spec.pull,
        };
        if plan.actions.iter().any(|planned| planned.action == action) {
            return;
        }
        let planned = Planned { app: Some(spec.name.clone()), action, reason };
        backoff::plan_or_wait(context, &spec.name, None, planned, plan);
    }

    fn memory_limit(&self) -> Option<String> {
        self.stored.spec.resources.memory.map(|limit| limit.to_string())
    }
}

/// The instance's network is made for the first app that needs it.
pub(super) fn ensure_network(
    context: &mut Context<'_>,
    name: &crate::app::AppName,
    plan: &mut Plan,
) {
    let blocked_until = backoff::blocked_until(context, &OperationKey::Network).is_some();
    if !blocked_until && std::mem::replace(&mut context.network_planned, true) {
        let wait = Wait::InProgress;
        plan.waiting.push(Waiting { app: name.clone(), pod: None, wait, until: None });
        return;
    }
    let planned = Planned { app: None, action: Action::EnsureNetwork, reason: Reason::NoNetwork };
    backoff::plan_or_wait(context, name, None, planned, plan);
}

fn image_is_gone(context: &Context<'_>, name: &crate::app::AppName) -> bool {
    context.failures_of(name).iter().any(|(key, failure)| {
        failure.kind == FailureKind::ImageGone && matches!(key, OperationKey::Create { .. })
    })
}

fn why_restarted(context: &Context<'_>, failed: &ObservedReplica, restart: u32) -> Reason {
    let stop_reasons = context.observed.stop_reasons.get(&failed.id);
    match &failed.state {
        ContainerState::StartFailed { error, .. } => {
            Reason::StartFailed { error: error.clone(), restart }
        }
        ContainerState::Exited { code, out_of_memory, .. } => match stop_reasons {
            Some(why) if !out_of_memory => Reason::Stopped { why: why.clone(), restart },
            _ => Reason::Exited { code: *code, out_of_memory: *out_of_memory, restart },
        },
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => Reason::Superseded,
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
