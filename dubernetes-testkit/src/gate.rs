//! Tests that need something of the machine: they run where it is there, and say so where it is not.

use std::error::Error;
use std::io::Write as _;

/// Goes on with `connected`, or writes one line to standard error and returns `None`, for the test
/// to pass without having run. The line goes past the test harness's capture, so it is always seen.
///
/// # Panics
///
/// If nothing answers and `DUBERNETES_REQUIRE_ENGINE=1` is set.
pub fn engine_or_skip<T, E: Error>(test: &str, connected: Result<T, E>) -> Option<T> {
    match connected {
        Ok(engine) => Some(engine),
        Err(error) => {
            let cause = dubernetes_core::error::chain(&error);
            let required = std::env::var("DUBERNETES_REQUIRE_ENGINE").is_ok_and(|v| v == "1");
            assert!(!required, "{test} needs a container engine: {cause}");
            let line = format!("skipped {test}: no container engine ({cause})\n");
            // A test that cannot say that it was skipped is still skipped.
            let _ = std::io::stderr().write_all(line.as_bytes());
            None
        }
    }
}
