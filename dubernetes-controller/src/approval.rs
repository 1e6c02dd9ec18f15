//! Step-by-step mode: one action at a time, each after an approval, and the next one only after
//! its result and another observation.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::call::OperationKey;
use dubernetes_core::ingress::RouteTable;
use dubernetes_core::plan::{Plan, Planned, RouteStep};

use crate::snapshot::Snapshot;

/// A step that waits for an approval.
#[derive(Debug, Clone)]
pub struct PendingStep {
    /// The pass that planned the step.
    pub seen: Arc<Snapshot>,
    /// The first step of its plan.
    pub next: NextStep,
}

/// One step.
#[derive(Debug, Clone)]
pub enum NextStep {
    /// An action on the engine or the store.
    Act(Box<Planned>),
    /// Another route table for the ingress.
    Route(RouteTable),
}

/// Approves steps.
#[async_trait]
pub trait Approver: fmt::Debug + Send + Sync {
    /// Returns once the step is approved. Meanwhile the controller goes on observing; if the step
    /// is no longer in its plan by then, it asks for another step instead. There is no rejection:
    /// cancel the controller instead.
    async fn approve(&self, step: PendingStep) -> Approval;
}

/// An approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// Approves this step.
    Once,
    /// Approves this step and all that follow.
    Always,
}

impl NextStep {
    /// Returns the key of the step's operation.
    pub(super) fn key(&self) -> OperationKey {
        match self {
            Self::Act(planned) => planned.action.key(),
            Self::Route(_) => OperationKey::Routes,
        }
    }
}

/// Lets one approved step through at a time.
#[derive(Debug)]
pub(super) struct ApprovalGate {
    /// `None`: every step is approved.
    approver: Option<Arc<dyn Approver>>,
    /// Whether an approval is pending.
    is_pending: bool,
    approved: Option<OperationKey>,
}

/// What the gate decides about a plan.
#[derive(Debug)]
pub(super) enum GateDecision {
    /// Carry out this step.
    Do(NextStep),
    /// Ask for an approval of this step.
    Ask(NextStep, Arc<dyn Approver>),
    /// Wait: a call or an approval is pending, or there is no step.
    Wait,
}

impl ApprovalGate {
    pub(super) fn new(approver: Option<Arc<dyn Approver>>) -> Self {
        Self { approver, is_pending: false, approved: None }
    }

    /// Returns whether steps need an approval.
    pub(super) fn is_interactive(&self) -> bool {
        self.approver.is_some()
    }

    /// Decides about the steps of a plan. `is_busy` says whether a call is in flight.
    pub(super) fn decide(&mut self, plan: &Plan, is_busy: bool) -> GateDecision {
        let Some(approver) = self.approver.as_ref().filter(|_| !is_busy && !self.is_pending) else {
            return GateDecision::Wait;
        };
        let actions = plan.actions.iter().map(|planned| NextStep::Act(Box::new(planned.clone())));
        let routes = (plan.routes.step == RouteStep::Apply)
            .then(|| NextStep::Route(plan.routes.table.clone()));
        let mut steps: Vec<NextStep> = actions.chain(routes).collect();
        let approved = self.approved.take();
        if let Some(at) = steps.iter().position(|next| Some(next.key()) == approved) {
            return GateDecision::Do(steps.swap_remove(at));
        }
        match steps.into_iter().next() {
            Some(next) => {
                self.is_pending = true;
                GateDecision::Ask(next, Arc::clone(approver))
            }
            None => GateDecision::Wait,
        }
    }

    /// Records an approval.
    pub(super) fn on_approval(&mut self, key: OperationKey, approval: Approval) {
        self.is_pending = false;
        match approval {
            Approval::Once => self.approved = Some(key),
            Approval::Always => self.approver = None,
        }
    }
}
