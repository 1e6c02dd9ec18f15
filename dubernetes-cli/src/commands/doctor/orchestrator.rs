//! Check of the running orchestrator.

use dubernetes_api::wire::{EngineState, Status};

use super::check::Check;
use crate::report::{CliError, Result};
use crate::settings::Settings;
use crate::target::find_running;
use crate::version::VERSION;

const NAME: &str = "orchestrator";

/// Checks the running orchestrator. Returns its status, if one is running.
pub(super) async fn run_check(settings: &Settings) -> (Check, Option<Status>) {
    let status = fetch_status(settings).await;
    (check_status(&status), status.ok().flatten())
}

async fn fetch_status(settings: &Settings) -> Result<Option<Status>> {
    match find_running(settings).await? {
        Some(client) => Ok(Some(client.status().await?)),
        None => Ok(None),
    }
}

fn check_status(found: &Result<Option<Status>, CliError>) -> Check {
    let status = match found {
        Ok(Some(status)) => status,
        Ok(None) => {
            let message = "not running, so nothing replaces a replica that dies";
            return Check::warn(NAME, message, "start it with `dubernetes serve`");
        }
        Err(error) if error.stands_by() => {
            return Check::ok(NAME, format!("running; {}", error.message()));
        }
        Err(error) => {
            let help = error.first_help().unwrap_or("check the log of `dubernetes serve`");
            return Check::fail(NAME, error.message(), help);
        }
    };
    let info = &status.orchestrator;
    let message = format!("running, process {}, version {}", info.pid, info.version);
    if status.engine.state == EngineState::Away {
        let reason = status.engine.reason.as_deref().unwrap_or("unknown reason");
        let message = format!("{message}; its engine does not answer: {reason}");
        return Check::fail(NAME, message, "start the engine, or run `serve` with another one");
    }
    if info.version == VERSION {
        Check::ok(NAME, message)
    } else {
        let message = format!("{message}, but this program is version {VERSION}");
        Check::warn(NAME, message, "restart it; pods and ingress keep running meanwhile")
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckResult;
    use super::*;

    #[test]
    fn unreachable_orchestrator_fails_and_missing_one_warns() {
        let check = check_status(&Err(CliError::new("timed out").help("restart it")));
        assert_eq!(check, Check::fail(NAME, "timed out", "restart it"));
        assert_eq!(check_status(&Ok(None)).result, CheckResult::Warn);
    }
}
