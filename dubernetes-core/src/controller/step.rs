//! Step by step: one action at a time, each after somebody has agreed, and each next one only
//! after its result and another look.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::ingress::RouteTable;
use crate::plan::{CallKey, Plan, Planned};

use super::{Options, Snapshot};

/// What a controller that goes step by step is about to do, and why.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it knows and has decided.
    pub seen: Arc<Snapshot>,
    /// The first thing that it would do of that.
    pub next: Next,
}

/// One step.
#[derive(Debug, Clone)]
pub enum Next {
    /// An action on the engine or the store.
    Act(Box<Planned>),
    /// The ingress serves another table.
    Route(RouteTable),
}

/// Is asked before each step.
#[async_trait]
pub trait Approve: fmt::Debug + Send + Sync {
    /// Returns once the step may be done. Meanwhile the controller goes on looking; where the
    /// step is no longer in its plan then, it asks for another one instead. To refuse a step,
    /// never return, and end the controller.
    async fn approve(&self, step: Step) -> Approval;
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// This step may be done.
    Once,
    /// So may all that follow, without a question.
    Always,
}

impl Next {
    /// The identity of its call.
    pub(super) fn key(&self) -> CallKey {
        match self {
            Self::Act(planned) => planned.action.key(),
            Self::Route(_) => CallKey::Routes,
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Steps {
    /// None: nobody is asked any more.
    approve: Option<Arc<dyn Approve>>,
    asked: bool,
    approved: Option<CallKey>,
}

/// What is to be done now.
#[derive(Debug)]
pub(super) enum Turn {
    /// This.
    Do(Next),
    /// Ask for this.
    Ask(Next, Arc<dyn Approve>),
    /// Nothing: a call or a question is under way, or there is nothing to do.
    Wait,
}

impl Steps {
    pub(super) fn new(options: &Options) -> Self {
        Self { approve: options.approve.clone(), asked: false, approved: None }
    }

    /// Whether somebody is asked.
    pub(super) fn asks(&self) -> bool {
        self.approve.is_some()
    }

    /// What to do of a plan; `busy` while a call is under way, `route` if the ingress is to serve
    /// the planned table.
    pub(super) fn turn(&mut self, plan: &Plan, route: bool, busy: bool) -> Turn {
        let Some(approve) = self.approve.as_ref().filter(|_| !busy && !self.asked) else {
            return Turn::Wait;
        };
        let actions = plan.actions.iter().map(|planned| Next::Act(Box::new(planned.clone())));
        let routes = route.then(|| Next::Route(plan.routes.clone()));
        let mut steps: Vec<Next> = actions.chain(routes).collect();
        let approved = self.approved.take();
        if let Some(at) = steps.iter().position(|next| Some(next.key()) == approved) {
            return Turn::Do(steps.swap_remove(at));
        }
        match steps.into_iter().next() {
            Some(next) => {
                self.asked = true;
                Turn::Ask(next, Arc::clone(approve))
            }
            None => Turn::Wait,
        }
    }

    /// Takes an answer in.
    pub(super) fn answered(&mut self, key: CallKey, approval: Approval) {
        self.asked = false;
        match approval {
            Approval::Once => self.approved = Some(key),
            Approval::Always => self.approve = None,
        }
    }
}
