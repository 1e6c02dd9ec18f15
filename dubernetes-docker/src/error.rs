//! Classification of failed calls by status code.
//!
//! Messages are passed on as one line and never matched, since engines word them differently.

use std::error::Error as _;
use std::io::{self, ErrorKind};

use bollard::errors::Error;
use dubernetes_core::error::{SharedError, one_line};
use dubernetes_core::runtime::RuntimeError;

/// A failed call, before its status code is interpreted for the operation.
#[derive(Debug)]
pub(crate) struct CallError {
    operation: String,
    kind: CallErrorKind,
}

#[derive(Debug)]
enum CallErrorKind {
    /// No response within the deadline.
    Timeout,
    /// The connection was not opened, or closed before the response.
    Unreachable(RuntimeError),
    /// An error response.
    Status { code: u16, message: String },
    /// An error in the stream of a successful response.
    Stream { message: String },
    /// A response that the client cannot parse.
    Unreadable(SharedError),
    /// Anything else.
    Other(SharedError),
}

impl CallError {
    pub(crate) fn new(endpoint: String, operation: &str, error: Error) -> Self {
        let kind = match error {
            Error::RequestTimeoutError => CallErrorKind::Timeout,
            // The client opens a connection for each call.
            Error::HyperLegacyError { .. } | Error::SocketNotFoundError(_) => {
                CallErrorKind::Unreachable(unreachable(endpoint, &error))
            }
            Error::DockerResponseServerError { status_code: code, message } => {
                let message = one_line(&message);
                let message = if message.is_empty() { format!("status {code}") } else { message };
                CallErrorKind::Status { code, message }
            }
            Error::DockerStreamError { error } => {
                CallErrorKind::Stream { message: one_line(&error) }
            }
            Error::JsonDataError { .. } => CallErrorKind::Unreadable(SharedError::new(error)),
            other => CallErrorKind::Other(SharedError::new(other)),
        };
        Self { operation: operation.to_owned(), kind }
    }

    pub(crate) fn timeout(operation: &str) -> Self {
        Self { operation: operation.to_owned(), kind: CallErrorKind::Timeout }
    }

    /// Returns the status code of an error response.
    pub(crate) fn status(&self) -> Option<u16> {
        if let CallErrorKind::Status { code, .. } = self.kind { Some(code) } else { None }
    }

    /// Returns how often a read is sent in all if it fails so.
    ///
    /// Podman lists a container as `stopped`, a state of its own, from the end of its process until
    /// it has cleaned up after it: 50 ms on an idle machine. The client cannot read that.
    pub(crate) fn read_attempts(&self) -> u32 {
        match self.kind {
            CallErrorKind::Status { code, .. } if code >= 500 => 3,
            CallErrorKind::Unreadable(_) => 20,
            CallErrorKind::Timeout
            | CallErrorKind::Unreachable(_)
            | CallErrorKind::Status { .. }
            | CallErrorKind::Stream { .. }
            | CallErrorKind::Other(_) => 1,
        }
    }

    /// Makes an error response one of a conflict.
    pub(crate) fn into_conflict(self) -> Self {
        let kind = match self.kind {
            CallErrorKind::Status { message, .. } => CallErrorKind::Status { code: 409, message },
            other => other,
        };
        Self { kind, ..self }
    }

    /// Returns the text of the engine or of the registry, if there is one.
    pub(crate) fn message(&self) -> Option<&str> {
        match &self.kind {
            CallErrorKind::Status { message, .. } | CallErrorKind::Stream { message } => {
                Some(message)
            }
            CallErrorKind::Timeout
            | CallErrorKind::Unreachable(_)
            | CallErrorKind::Unreadable(_)
            | CallErrorKind::Other(_) => None,
        }
    }

    /// Converts the error of an operation on the object `kind` `name`: 404 means it is missing.
    pub(crate) fn into_not_found(self, kind: &'static str, name: &str) -> RuntimeError {
        if self.status() == Some(404) {
            return RuntimeError::NotFound { kind, name: name.to_owned() };
        }
        self.into_runtime_error()
    }

    /// Converts the error of an operation that needs the container `name` to run: 404 means it is
    /// missing, 409 that it is not running.
    pub(crate) fn into_not_running(self, name: &str) -> RuntimeError {
        match self.kind {
            CallErrorKind::Status { code: 409, message } => {
                RuntimeError::NotRunning { operation: self.operation, message }
            }
            CallErrorKind::Timeout
            | CallErrorKind::Unreachable(_)
            | CallErrorKind::Status { .. }
            | CallErrorKind::Stream { .. }
            | CallErrorKind::Unreadable(_)
            | CallErrorKind::Other(_) => self.into_not_found("container", name),
        }
    }

    /// Converts the error of an operation where every error response is a rejection.
    pub(crate) fn into_rejected(self) -> RuntimeError {
        match self.kind {
            CallErrorKind::Status { message, .. } | CallErrorKind::Stream { message } => {
                RuntimeError::Rejected { operation: self.operation, message }
            }
            CallErrorKind::Timeout
            | CallErrorKind::Unreachable(_)
            | CallErrorKind::Unreadable(_)
            | CallErrorKind::Other(_) => self.into_runtime_error(),
        }
    }

    /// Converts the error of an operation where no status code has a meaning of its own.
    pub(crate) fn into_runtime_error(self) -> RuntimeError {
        let operation = self.operation;
        match self.kind {
            CallErrorKind::Timeout => RuntimeError::Timeout { operation },
            CallErrorKind::Unreachable(error) => error,
            // 429 is as transient as the 5xx codes.
            CallErrorKind::Status { code, message } if code < 500 && code != 429 => {
                RuntimeError::Rejected { operation, message }
            }
            CallErrorKind::Status { message, .. } | CallErrorKind::Stream { message } => {
                RuntimeError::Failed { operation, cause: SharedError::text(message) }
            }
            CallErrorKind::Unreadable(cause) | CallErrorKind::Other(cause) => {
                RuntimeError::Failed { operation, cause }
            }
        }
    }
}

/// Returns the error for an engine that does not answer.
pub(crate) fn unreachable(endpoint: String, error: &Error) -> RuntimeError {
    RuntimeError::Unreachable {
        endpoint,
        cause: SharedError::text(describe_connection_error(error)),
    }
}

/// Returns the error for a response that cannot be parsed.
pub(crate) fn unreadable(operation: &str, what: impl Into<String>) -> RuntimeError {
    RuntimeError::Failed { operation: operation.to_owned(), cause: SharedError::text(what) }
}

/// Describes why there was no connection or no response, without the names of client libraries.
fn describe_connection_error(error: &Error) -> String {
    if let Error::SocketNotFoundError(_) = error {
        return "the socket does not exist".to_owned();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return describe_io_error(error);
        }
        text = cause.to_string();
        source = cause.source();
    }
    one_line(&text)
}

fn describe_io_error(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::NotFound => "the socket does not exist".to_owned(),
        ErrorKind::PermissionDenied => {
            "permission denied; run as a user who may use the socket".to_owned()
        }
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            "connection closed before the response".to_owned()
        }
        _ => one_line(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use dubernetes_core::call::FailureKind;

    use super::*;

    fn call_error(error: Error) -> CallError {
        CallError::new("unix:///engine.sock".into(), "test", error)
    }

    fn status_error(status_code: u16) -> CallError {
        let message = "no\nway".to_owned();
        call_error(Error::DockerResponseServerError { status_code, message })
    }

    #[test]
    fn status_code_decides_the_class_of_the_error() {
        let class = |status| match status_error(status).into_not_found("container", "x") {
            RuntimeError::NotFound { .. } => "list again",
            RuntimeError::Rejected { .. } => "report",
            RuntimeError::Failed { .. } => "retry",
            other => panic!("{other:?}"),
        };
        assert_eq!([400, 403, 409].map(class), ["report"; 3]);
        assert_eq!([429, 500, 503].map(class), ["retry"; 3]);
        assert_eq!(class(404), "list again");
    }

    #[test]
    fn conflict_of_a_call_to_a_running_container_is_transient() {
        for (status, kind) in [(409, FailureKind::Transient), (400, FailureKind::Permanent)] {
            let error = status_error(status).into_not_running("x");
            assert_eq!(error.failure_kind(), kind, "{error:?}");
        }
        let missing = status_error(404).into_not_running("x");
        assert!(matches!(missing, RuntimeError::NotFound { .. }), "{missing:?}");
    }

    #[test]
    fn engine_message_is_kept_on_one_line() {
        let RuntimeError::Rejected { message, operation } = status_error(500).into_rejected()
        else {
            panic!("expected a rejection")
        };
        assert_eq!((message.as_str(), operation.as_str()), ("no way", "test"));
    }

    #[test]
    fn timeout_and_unreachable_are_distinct() {
        let error = CallError::timeout("start").into_rejected();
        assert!(matches!(error, RuntimeError::Timeout { .. }), "{error:?}");
        let gone = call_error(Error::SocketNotFoundError("/engine.sock".into()));
        assert!(gone.into_runtime_error().is_unreachable());
    }
}
