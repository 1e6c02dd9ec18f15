//! Answers of apps that the proxy cannot pass on.

use std::net::SocketAddr;

use jiff::Timestamp;

/// The recent answers of one endpoint that the proxy could not pass on, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerProblem {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// What is wrong with its answers, as a sentence fragment.
    pub what: String,
    /// What a person can do.
    pub remedy: String,
    /// Number of such answers.
    pub count: u32,
    /// The time of the first one that is remembered.
    pub first: Timestamp,
    /// The time of the last one.
    pub last: Timestamp,
}
