//! Check of a state in the swarm: whether it can be read, and which manager acts.

use dubernetes_core::error::chain;
use dubernetes_core::runtime::RuntimeError;

use super::check::Check;
use crate::args::IngressArgs;
use crate::settings::Settings;
use crate::wiring::diagnostics::{Engine, Holder};

/// Checks the state in the swarm.
pub(super) async fn run_check(settings: &Settings, ingress: &IngressArgs) -> Check {
    let found = match Engine::new(ingress) {
        Ok(engine) => engine.holder(&settings.instance).await,
        Err(error) => return Check::fail(NAME, error.message(), "name it as `unix:///path`"),
    };
    check_holder(found)
}

const NAME: &str = "state";
const PLACE: &str = "in configs of the swarm, on every manager";
const START: &str = "start `dubernetes serve` on the managers";

fn check_holder(found: Result<Holder, RuntimeError>) -> Check {
    match found {
        Ok(Holder::NoState) => Check::ok(NAME, "the swarm has no state of this instance yet"),
        Ok(Holder::Node { name, renews: true }) => {
            Check::ok(NAME, format!("{PLACE}; node `{name}` acts"))
        }
        Ok(Holder::Node { name, renews: false }) => {
            let message = format!("{PLACE}; node `{name}` acted last, and does not any more");
            let help = format!("{START}: one of them takes over after 15 s");
            Check::warn(NAME, message, help)
        }
        Ok(Holder::NoNode) => Check::warn(NAME, format!("{PLACE}; no manager acts"), START),
        Err(RuntimeError::Rejected { message, .. }) => {
            Check::fail(NAME, "the engine manages no swarm", message)
        }
        Err(error) => Check::fail(NAME, chain(&error), "inspect the swarm with `docker node ls`"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckResult;
    use super::*;

    #[track_caller]
    fn check(found: Result<Holder, RuntimeError>, result: CheckResult, part: &str) {
        let found = check_holder(found);
        assert!(found.result == result && found.message.contains(part), "{found:?}");
        assert_eq!(found.help.is_some(), result != CheckResult::Ok, "{found:?}");
    }

    #[test]
    fn manager_that_acts_is_named_and_a_missing_one_warns() {
        let node = |renews| Ok(Holder::Node { name: "m1".to_owned(), renews });
        check(node(true), CheckResult::Ok, "node `m1` acts");
        check(node(false), CheckResult::Warn, "acted last");
        check(Ok(Holder::NoNode), CheckResult::Warn, "no manager acts");
        check(Ok(Holder::NoState), CheckResult::Ok, "no state");
        let (operation, message) = ("keep the state".to_owned(), "its node is none".to_owned());
        let refused = RuntimeError::Rejected { operation, message };
        check(Err(refused), CheckResult::Fail, "manages no swarm");
    }
}
