//! Why a call of the client failed: nobody answered, somebody said no, or the answer is unusable.

use dubernetes_core::error::{Cause, one_line};
use thiserror::Error;

use crate::client::Endpoint;
use crate::wire::{Problem, ProblemKind};

/// Why a call of the client failed, by what the caller must do.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No orchestrator answers, or it went away before it had answered in full.
    #[error("no orchestrator answers at {endpoint}")]
    Unreachable {
        /// Where it was looked for.
        endpoint: Endpoint,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The orchestrator answered with an error.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// What answered does not speak this API, or the request cannot be made.
    #[error("{message}")]
    Protocol {
        /// What is wrong, as a sentence fragment on one line.
        message: String,
    },
}

impl ClientError {
    /// The orchestrator's answer, if it gave one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Unreachable { .. } | Self::Protocol { .. } => None,
        }
    }

    /// Whether the orchestrator answered with a problem of this kind.
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.problem().is_some_and(|problem| problem.is(kind))
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.is(ProblemKind::NotFound)
    }

    /// Whether nobody answers.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(super) fn protocol(message: impl AsRef<str>) -> Self {
        Self::Protocol { message: one_line(message.as_ref()) }
    }

    /// An orchestrator that is about to end is as good as none.
    pub(super) fn from_problem(endpoint: &Endpoint, problem: Problem) -> Self {
        if problem.is(ProblemKind::Stopping) {
            let cause = Cause::text(problem.to_string());
            return Self::Unreachable { endpoint: endpoint.clone(), cause };
        }
        Self::Problem(Box::new(problem))
    }

    pub(super) fn gone(endpoint: &Endpoint, reason: &str) -> Self {
        Self::Unreachable { endpoint: endpoint.clone(), cause: Cause::text(reason) }
    }
}
