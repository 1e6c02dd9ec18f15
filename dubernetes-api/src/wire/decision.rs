//! Recorded decisions.

use dubernetes_core::replay::AppDecision;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A recorded decision of the orchestrator about one app, as `replay` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// Its time.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The desired state, one object a line.
    pub desired: Vec<String>,
    /// The observed state, one object a line.
    pub observed: Vec<String>,
    /// The plan: an action, an object and a reason a line. Empty: there was nothing to do.
    pub plan: Vec<String>,
    /// Whether this version decides the same. Otherwise `plan` is that of all apps, as recorded.
    pub reproduced: bool,
}

impl From<AppDecision> for Decision {
    fn from(decision: AppDecision) -> Self {
        let AppDecision { at, desired, observed, plan, is_reproduced, .. } = decision;
        Self { at, desired, observed, plan, reproduced: is_reproduced }
    }
}
