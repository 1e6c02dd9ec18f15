//! Confirmation of what cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::report::{CliError, FAILED, Result, USAGE};

/// Asks whether to continue, and fails unless the answer is yes. `outcome` says what a refusal
/// means, such as `nothing was removed`, and `help` how to do without a terminal.
pub(crate) async fn confirm(outcome: &str, help: &str) -> Result {
    if !io::stdin().is_terminal() {
        let what = format!("{outcome}: confirmation needs a terminal");
        return Err(CliError::with_exit(USAGE, what).help(help));
    }
    let _ = write!(anstream::stderr(), "Continue? [y/N] ");
    // A read from a terminal blocks, and an interrupt must still be noticed.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer =
        answer.await.map_err(|error| CliError::with_source("cannot read the answer", &error))??;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::with_exit(FAILED, outcome)),
    }
}
