//! Decisions that are kept, so that they can be made again: the whole input of
//! [`crate::reconcile()`], and the text of the plan that came of it.

mod text;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{AppSpec, EnvValue};
use crate::identity::content_hash;
use crate::plan::Plan;
use crate::reconcile;
use crate::state::{DesiredState, ObservedState};
use crate::store::{Outcome, RevisionCause};

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When it was made.
    pub at: Timestamp,
    /// What was desired.
    pub desired: DesiredState,
    /// What was observed.
    pub observed: ObservedState,
    /// The plan as text.
    pub plan: String,
}

/// Takes the decisions of a controller, wherever it keeps them.
pub trait Recorder: fmt::Debug + Send + Sync {
    /// Keeps a decision. It is called in the controller's loop, so it must not wait; a decision
    /// that cannot be kept is lost and nothing else.
    ///
    /// The environment in it is as users wrote it: see [`Decision::mask_environment`].
    fn record(&self, decision: &Decision);
}

impl Decision {
    /// Makes it once more.
    pub fn again(&self) -> Plan {
        reconcile::reconcile(&self.desired, &self.observed, self.at)
    }

    /// Whether it is the same but for its time.
    pub fn is_repeated_by(&self, later: &Self) -> bool {
        self.plan == later.plan && self.observed == later.observed && self.desired == later.desired
    }

    /// Replaces every value of an environment, for they may be secret. No decision depends on a
    /// value, but on whether two specifications are the same, so the hashes on the replicas follow;
    /// `mask` gives different texts for different values.
    pub fn mask_environment(&mut self, mask: impl Fn(&str) -> String) {
        let apps = self.desired.apps.values_mut();
        let apps = apps.map(|stored| (&mut stored.spec, &mut stored.rollout));
        let revisions = self.desired.revisions.values_mut().flatten();
        let revisions = revisions.map(|kept| (&mut kept.spec, &mut kept.rollout));
        let mut hashes = BTreeMap::new();
        for (spec, rollout) in apps.chain(revisions) {
            let before = content_hash(spec, rollout.restart_nonce);
            mask_spec(spec, &mask);
            // What a command has printed may be anything.
            rollout.pre_deploy_log.clear();
            if let Outcome::Failed(failure) = &mut rollout.outcome {
                failure.log.clear();
            }
            if let RevisionCause::RollBack { failure, .. } = &mut rollout.cause {
                failure.log.clear();
            }
            hashes.insert(before, content_hash(spec, rollout.restart_nonce));
        }
        for replica in &mut self.observed.replicas {
            if let Some(masked) = hashes.get(&replica.labels.spec_hash) {
                replica.labels.spec_hash.clone_from(masked);
            }
        }
    }
}

fn mask_spec(spec: &mut AppSpec, mask: impl Fn(&str) -> String) {
    for value in spec.env.values_mut() {
        match value {
            EnvValue::Text(text) => *text = mask(text),
            // Of a file's content only a hash is ever written.
            EnvValue::File(_) => {}
        }
    }
}
