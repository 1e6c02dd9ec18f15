//! Recorded decisions: the whole input of [`crate::reconcile()`], and the text of its plan, so that
//! a decision can be replayed.

mod about;
mod input;

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{AppSpec, EnvValue};
use crate::identity::content_hash;
use crate::plan::Plan;
use crate::reconcile;
use crate::state::{DesiredState, ObservedState};
use crate::store::{Outcome, RevisionCause};

pub use about::AppDecision;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Its time.
    pub at: Timestamp,
    /// The desired state.
    pub desired: DesiredState,
    /// The observed state.
    pub observed: ObservedState,
    /// The plan as text.
    pub plan: String,
}

/// Records the decisions of a controller.
pub trait Recorder: fmt::Debug + Send + Sync {
    /// Records a decision. The controller calls it in its loop, so it must not block. A decision
    /// that cannot be recorded is lost, without further effect.
    ///
    /// Its environments are as users wrote them: see [`Decision::mask_environment`].
    fn record(&self, decision: &Decision);
}

/// Recorded decisions.
pub trait Journal: fmt::Debug + Send + Sync {
    /// Passes every recorded decision to `take`, oldest first. Returns the number of those that
    /// are unreadable. May block.
    ///
    /// # Errors
    ///
    /// If nothing can be read.
    fn read(&self, take: &mut dyn FnMut(Decision)) -> io::Result<usize>;
}

impl Decision {
    /// Makes the decision again.
    pub fn replay(&self) -> Plan {
        reconcile::reconcile(&self.desired, &self.observed, self.at)
    }

    /// Returns whether a later decision differs only in its time.
    pub fn is_repeated_by(&self, later: &Self) -> bool {
        self.plan == later.plan && self.observed == later.observed && self.desired == later.desired
    }

    /// Masks every value of an environment, which may be secret.
    ///
    /// A plan depends on no value, only on whether two specifications are equal. So `mask` has to
    /// return different texts for different values, and the hashes on the replicas are adapted.
    pub fn mask_environment(&mut self, mask: impl Fn(&str) -> String) {
        let apps = self.desired.apps.values_mut();
        let apps = apps.map(|stored| (&mut stored.spec, &mut stored.rollout));
        let revisions = self.desired.revisions.values_mut().flatten();
        let revisions = revisions.map(|kept| (&mut kept.spec, &mut kept.rollout));
        let mut hashes = BTreeMap::new();
        for (spec, rollout) in apps.chain(revisions) {
            let before = content_hash(spec, rollout.restart_nonce);
            spec.update(|spec| mask_spec(spec, &mask));
            // A log may hold any secret.
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
            // Only the hash of the content is ever written.
            EnvValue::From(_) => {}
        }
    }
}
