//! Skips tests whose requirements the machine does not meet, and says so.

use std::error::Error;
use std::io::Write as _;

/// Returns the connected engine, or `None` for a test to return early. A skipped test writes one
/// line to standard error, past the capture of the test harness.
///
/// # Panics
///
/// If no engine answers and `DUBERNETES_REQUIRE_ENGINE=1` is set.
pub fn engine_or_skip<T, E: Error>(test: &str, connected: Result<T, E>) -> Option<T> {
    match connected {
        Ok(engine) => Some(engine),
        Err(error) => {
            let cause = dubernetes_core::error::chain(&error);
            let required = std::env::var("DUBERNETES_REQUIRE_ENGINE").is_ok_and(|v| v == "1");
            assert!(!required, "{test} needs a container engine: {cause}");
            skip(test, &format!("no container engine ({cause})"));
            None
        }
    }
}

/// Says that a test, or a part of it, is skipped: one line to standard error, past the capture of
/// the test harness.
pub fn skip(test: &str, reason: &str) {
    let line = format!("skipped {test}: {reason}\n");
    // A line that cannot be written changes no result.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
