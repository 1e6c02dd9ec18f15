//! Errors of the client, by what the caller must do.

use dubernetes_core::error::{SharedError, one_line};
use thiserror::Error;

use crate::client::Endpoint;
use crate::wire::{Problem, ProblemKind};

/// Why a call of the client failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No orchestrator answers, or the connection ended before the response was complete.
    #[error("no orchestrator answers at {endpoint}")]
    Unreachable {
        /// Address of the orchestrator.
        endpoint: Endpoint,
        /// Reason.
        #[source]
        cause: SharedError,
    },
    /// The orchestrator answered with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The response does not follow this API, or the request cannot be sent.
    #[error("{message}")]
    Protocol {
        /// Sentence fragment on one line.
        message: String,
    },
}

impl ClientError {
    /// Returns the problem, if the orchestrator answered with one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Unreachable { .. } | Self::Protocol { .. } => None,
        }
    }

    /// Returns whether the orchestrator answered with a problem of this kind.
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.problem().is_some_and(|problem| problem.is(kind))
    }

    /// Returns whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.is(ProblemKind::NotFound)
    }

    /// Returns whether no orchestrator answers.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(super) fn protocol(message: impl AsRef<str>) -> Self {
        Self::Protocol { message: one_line(message.as_ref()) }
    }

    /// An orchestrator that is stopping counts as unreachable.
    pub(super) fn from_problem(endpoint: &Endpoint, problem: Problem) -> Self {
        if problem.is(ProblemKind::Stopping) {
            let cause = SharedError::text(problem.to_string());
            return Self::Unreachable { endpoint: endpoint.clone(), cause };
        }
        Self::Problem(Box::new(problem))
    }

    pub(super) fn unreachable(endpoint: &Endpoint, reason: &str) -> Self {
        Self::Unreachable { endpoint: endpoint.clone(), cause: SharedError::text(reason) }
    }
}
