//! Whether an orchestrator runs, and which.

use dubernetes_api::wire::{EngineState, Status};

use super::check::Check;
use crate::commands::VERSION;
use crate::report::{CliError, Result};
use crate::settings::Settings;
use crate::target::running;

const NAME: &str = "orchestrator";

/// Looks for one, and asks it how it is.
pub(super) async fn run_checks(settings: &Settings) -> (Vec<Check>, Option<Status>) {
    let found = ask(settings).await;
    let check = check_status(&found);
    (vec![check], found.ok().flatten())
}

async fn ask(settings: &Settings) -> Result<Option<Status>> {
    match running(settings).await? {
        Some(client) => Ok(Some(client.status().await?)),
        None => Ok(None),
    }
}

fn check_status(found: &Result<Option<Status>, CliError>) -> Check {
    let status = match found {
        Ok(Some(status)) => status,
        Ok(None) => {
            let message = "none is running, so nothing replaces a replica that dies";
            return Check::warn(NAME, message, "start one with `dubernetes serve`");
        }
        Err(failure) => {
            let help = failure.first_help().unwrap_or("look at the log of `dubernetes serve`");
            return Check::fail(NAME, failure.message(), help);
        }
    };
    let who = &status.orchestrator;
    let message = format!("process {}, version {}", who.pid, who.version);
    if status.engine.state == EngineState::Away {
        let reason = status.engine.reason.as_deref().unwrap_or("no reason is known");
        let message = format!("{message}; its engine does not answer: {reason}");
        return Check::fail(NAME, message, "start that engine, or name another one to `serve`");
    }
    if who.version == VERSION {
        Check::ok(NAME, message)
    } else {
        let message = format!("{message}, and this program is version {VERSION}");
        Check::warn(NAME, message, "end it and start it anew; pods and ingress go on meanwhile")
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckResult;
    use super::*;

    #[test]
    fn one_that_does_not_answer_is_a_failure_and_none_is_a_warning() {
        let check = check_status(&Err(CliError::new("it is silent").help("wake it")));
        assert_eq!(check, Check::fail(NAME, "it is silent", "wake it"));
        assert_eq!(check_status(&Ok(None)).result, CheckResult::Warn);
    }
}
