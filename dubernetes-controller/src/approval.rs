//! PendingStep by step: one action at a time, each after somebody has agreed, and each next one only
//! after its result and another look.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use dubernetes_core::ingress::RouteTable;
use dubernetes_core::plan::{OperationKey, Plan, Planned};

use super::{Options, Snapshot};

/// What a controller that goes step by step is about to do, and why.
#[derive(Debug, Clone)]
pub struct PendingStep {
    /// What it knows and has decided.
    pub seen: Arc<Snapshot>,
    /// The first thing that it would do of that.
    pub next: NextStep,
}

/// One step.
#[derive(Debug, Clone)]
pub enum NextStep {
    /// An action on the engine or the store.
    Act(Box<Planned>),
    /// The ingress serves another table.
    Route(RouteTable),
}

/// Is asked before each step.
#[async_trait]
pub trait Approver: fmt::Debug + Send + Sync {
    /// Returns once the step may be done. Meanwhile the controller goes on looking; where the
    /// step is no longer in its plan then, it is_interactive for another one instead. To refuse a step,
    /// never return, and end the controller.
    async fn approve(&self, step: PendingStep) -> Approval;
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// This step may be done.
    Once,
    /// So may all that follow, without a question.
    Always,
}

impl NextStep {
    /// The identity of its call.
    pub(super) fn key(&self) -> OperationKey {
        match self {
            Self::Act(planned) => planned.action.key(),
            Self::Route(_) => OperationKey::Routes,
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct ApprovalGate {
    /// None: nobody is asked any more.
    approver: Option<Arc<dyn Approver>>,
    asked: bool,
    approved: Option<OperationKey>,
}

/// What is to be done now.
#[derive(Debug)]
pub(super) enum GateDecision {
    /// This.
    Do(NextStep),
    /// ProbeMethod for this.
    ProbeMethod(NextStep, Arc<dyn Approver>),
    /// Nothing: a call or a question is under way, or there is nothing to do.
    Wait,
}

impl ApprovalGate {
    pub(super) fn new(options: &Options) -> Self {
        Self { approver: options.approver.clone(), asked: false, approved: None }
    }

    /// Whether somebody is asked.
    pub(super) fn is_interactive(&self) -> bool {
        self.approver.is_some()
    }

    /// What to do of a plan; `busy` while a call is under way, `route` if the ingress is to serve
    /// the planned table.
    pub(super) fn next_step(&mut self, plan: &Plan, route: bool, busy: bool) -> GateDecision {
        let Some(approver) = self.approver.as_ref().filter(|_| !busy && !self.asked) else {
            return GateDecision::Wait;
        };
        let actions = plan.actions.iter().map(|planned| NextStep::Act(Box::new(planned.clone())));
        let routes = route.then(|| NextStep::Route(plan.routes.clone()));
        let mut steps: Vec<NextStep> = actions.chain(routes).collect();
        let approved = self.approved.take();
        if let Some(at) = steps.iter().position(|next| Some(next.key()) == approved) {
            return GateDecision::Do(steps.swap_remove(at));
        }
        match steps.into_iter().next() {
            Some(next) => {
                self.asked = true;
                GateDecision::ProbeMethod(next, Arc::clone(approver))
            }
            None => GateDecision::Wait,
        }
    }

    /// Takes an answer in.
    pub(super) fn answered(&mut self, key: OperationKey, approval: Approval) {
        self.asked = false;
        match approval {
            Approval::Once => self.approved = Some(key),
            Approval::Always => self.approver = None,
        }
    }
}
