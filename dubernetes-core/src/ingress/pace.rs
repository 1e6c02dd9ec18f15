//! How often a changed route table may be applied.

use std::time::Duration;

/// A rate limit for changed route tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Number of tables in quick succession after a quiet period; at least 1.
    pub burst: u32,
    /// Time between two tables under constant change. Zero: no limit.
    pub period: Duration,
}

impl Pace {
    /// No limit.
    pub const IMMEDIATE: Self = Self { burst: 1, period: Duration::ZERO };
}
