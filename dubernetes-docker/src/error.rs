//! What a failed call means for the caller, told by the status code. Messages are never matched,
//! since engines word them differently; they are only passed on, on one line.

use bollard::errors::Error;
use dubernetes_core::error::{Cause, one_line};
use dubernetes_core::runtime::RuntimeError;

use crate::engine::Engine;

/// A call that failed, before it is known what its status code means for this operation.
#[derive(Debug)]
pub(crate) struct Failure {
    operation: String,
    endpoint: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Timeout,
    Client(Error),
}

impl Failure {
    pub(crate) fn new(engine: &Engine, operation: &str, error: Error) -> Self {
        Self {
            operation: operation.to_owned(),
            endpoint: engine.endpoint(),
            kind: Kind::Client(error),
        }
    }

    pub(crate) fn timeout(operation: &str) -> Self {
        Self { operation: operation.to_owned(), endpoint: String::new(), kind: Kind::Timeout }
    }

    /// The status code, if the engine answered with one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self.kind {
            Kind::Client(Error::DockerResponseServerError { status_code, .. }) => Some(status_code),
            Kind::Client(_) | Kind::Timeout => None,
        }
    }

    /// The engine's or the registry's own text, if it gave one.
    pub(crate) fn message(&self) -> Option<String> {
        match &self.kind {
            Kind::Client(Error::DockerResponseServerError { status_code, message }) => {
                let message = one_line(message);
                Some(if message.is_empty() { format!("status {status_code}") } else { message })
            }
            Kind::Client(Error::DockerStreamError { error }) => Some(one_line(error)),
            Kind::Client(_) | Kind::Timeout => None,
        }
    }

    /// The error where a missing object is `kind` `name`.
    pub(crate) fn of(self, kind: &'static str, name: &str) -> RuntimeError {
        if self.status() == Some(404) {
            return RuntimeError::NotFound { kind, name: name.to_owned() };
        }
        self.general()
    }

    /// The refusal of a request as it is, whatever the status.
    pub(crate) fn rejected(self) -> RuntimeError {
        match self.message() {
            Some(message) => RuntimeError::Rejected { operation: self.operation, message },
            None => self.general(),
        }
    }

    /// The error where no status code has a meaning of its own.
    pub(crate) fn general(self) -> RuntimeError {
        let message = self.message();
        let Self { operation, endpoint, kind } = self;
        match (kind, message) {
            (Kind::Timeout, _) | (Kind::Client(Error::RequestTimeoutError), _) => {
                RuntimeError::Timeout { operation }
            }
            // The client opens a connection per call; what fails there is that nobody answers, or
            // that the one who did went away before the answer.
            (
                Kind::Client(
                    error @ (Error::HyperLegacyError { .. } | Error::SocketNotFoundError(_)),
                ),
                _,
            ) => RuntimeError::Unreachable { endpoint, cause: Cause::new(error) },
            // 429 asks for patience, and passes by itself like what begins with a 5.
            (Kind::Client(Error::DockerResponseServerError { status_code, .. }), Some(message))
                if status_code < 500 && status_code != 429 =>
            {
                RuntimeError::Rejected { operation, message }
            }
            (Kind::Client(_), Some(message)) => {
                RuntimeError::Failed { operation, cause: Cause::text(message) }
            }
            (Kind::Client(error), None) => {
                RuntimeError::Failed { operation, cause: Cause::new(error) }
            }
        }
    }
}

/// Nobody answers where the engine should be.
pub(crate) fn unreachable(engine: &Engine, cause: Cause) -> RuntimeError {
    RuntimeError::Unreachable { endpoint: engine.endpoint(), cause }
}

/// An answer that cannot be read.
pub(crate) fn unreadable(operation: &str, what: impl Into<String>) -> RuntimeError {
    RuntimeError::Failed { operation: operation.to_owned(), cause: Cause::text(what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status_code: u16) -> Failure {
        let engine = Engine::new(Some("/engine.sock")).unwrap();
        let message = "no\nway".to_owned();
        Failure::new(&engine, "test", Error::DockerResponseServerError { status_code, message })
    }

    #[test]
    fn a_status_code_tells_what_the_caller_must_do() {
        let class = |status| match failure(status).of("container", "x") {
            RuntimeError::NotFound { .. } => "look again",
            RuntimeError::Rejected { .. } => "report",
            RuntimeError::Failed { .. } => "retry",
            other => panic!("{other:?}"),
        };
        assert_eq!([400, 403, 409].map(class), ["report"; 3]);
        assert_eq!([429, 500, 503].map(class), ["retry"; 3]);
        assert_eq!(class(404), "look again");
    }

    #[test]
    fn the_engines_text_is_kept_on_one_line() {
        let RuntimeError::Rejected { message, operation } = failure(500).rejected() else {
            panic!("a refusal is a rejection")
        };
        assert_eq!((message.as_str(), operation.as_str()), ("no way", "test"));
    }

    #[test]
    fn an_engine_that_takes_too_long_is_told_from_one_that_is_away() {
        let error = Failure::timeout("start").rejected();
        assert!(matches!(error, RuntimeError::Timeout { .. }), "{error:?}");
        let engine = Engine::new(Some("/engine.sock")).unwrap();
        let gone = Error::SocketNotFoundError("/engine.sock".into());
        assert!(Failure::new(&engine, "list", gone).general().is_unreachable());
    }
}
