//! The engine, and all that only it can say: its clock and disk, the network, nginx's image, and
//! who publishes the port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dubernetes_core::error::chain;
use dubernetes_core::identity::ingress_name;
use dubernetes_core::runtime::{EngineVersion, RuntimeError};
use jiff::{SignedDuration, Timestamp};

use super::check::Check;
use super::port::PortOwner;
use super::{paths, port};
use crate::args::IngressArgs;
use crate::commands::status;
use crate::output::span;
use crate::settings::Settings;
use crate::wiring::diagnostics::{Engine, Image, Subnet, port_holder};

/// Clocks of one machine do not differ by more; with more, ages are wrong.
const SKEW: Duration = Duration::from_secs(2);
/// What a check says that needs an engine, if none answers.
const NOT_CHECKED: &str = "not checked: the engine does not answer";

/// Asks the engine.
pub(super) async fn run_checks(settings: &Settings, ingress: &IngressArgs) -> Vec<Check> {
    let place = SocketAddr::new(ingress.http_bind, ingress.http_port);
    let reach = port::check_exposure(ingress.http_bind);
    let engine = match Engine::new(ingress) {
        Ok(engine) => engine,
        Err(failure) => {
            let check = Check::fail("engine", failure.message(), "name it as `unix:///path`");
            return without(check, place, reach);
        }
    };
    let version = engine.version().await;
    let check = version_check(&version, &engine.place());
    if version.is_err() {
        return without(check, place, reach);
    }
    let own = ingress_name(&settings.instance);
    let publisher = engine.publisher(place.ip(), place.port()).await;
    let seen = publisher.as_ref().ok().and_then(Option::as_deref);
    let holder = || port_holder(place.ip(), place.port());
    let asked = Timestamp::now();
    let machine = engine.machine().await;
    let (asked, answered) = (asked, Timestamp::now());
    let mut checks = vec![check];
    match machine {
        Ok((root, time)) => {
            checks.push(clock(time, asked, answered));
            checks.push(engine_disk(root));
        }
        Err(error) => checks.push(Check::warn("clock", chain(&error), "ask it again")),
    }
    checks.push(network(engine.subnet(&settings.instance).await));
    checks.push(image(ingress, engine.image(&ingress.ingress_image).await));
    checks.push(port::check_owner(place, port::find_owner(place, seen, &own, holder)));
    checks.push(reach);
    checks
}

/// The checks where no engine answers.
fn without(engine: Check, place: SocketAddr, reach: Check) -> Vec<Check> {
    let holder = || port_holder(place.ip(), place.port());
    let later = |name| Check::warn(name, NOT_CHECKED, "first mend what fails");
    let port = match port::find_owner(place, None, "", holder) {
        // It may be our own proxy: only the engine can say.
        PortOwner::Other(_) => later("port"),
        port => port::check_owner(place, port),
    };
    let others = ["clock", "engine-disk", "network", "image"].map(later);
    std::iter::once(engine).chain(others).chain([port, reach]).collect()
}

fn version_check(version: &Result<EngineVersion, RuntimeError>, place: &str) -> Check {
    const NAME: &str = "engine";
    match version {
        Ok(version) => Check::ok(NAME, format!("{} at {place}", status::engine(version))),
        Err(error) => {
            let help = match error {
                RuntimeError::Rejected { .. } => "use Docker Engine 20.10 or later",
                RuntimeError::Unreachable { .. }
                | RuntimeError::Timeout { .. }
                | RuntimeError::NotFound { .. }
                | RuntimeError::NameTaken { .. }
                | RuntimeError::OwnedByOtherState { .. }
                | RuntimeError::NotConnected { .. }
                | RuntimeError::Image { .. }
                | RuntimeError::Failed { .. } => {
                    "start it, give this user the right to use its socket, or name another one \
                     with DOCKER_HOST or DUBERNETES_ENGINE"
                }
            };
            Check::fail(NAME, chain(error), help)
        }
    }
}

fn clock(time: Option<Timestamp>, asked: Timestamp, answered: Timestamp) -> Check {
    const NAME: &str = "clock";
    let Some(time) = time else {
        return Check::warn(NAME, "the engine does not say what time it is", "compare `date`");
    };
    // It was read at some moment between the two.
    let (ahead, behind) = (time.duration_since(answered), asked.duration_since(time));
    let skew = ahead.max(behind).max(SignedDuration::ZERO).unsigned_abs();
    let shown = span(skew);
    if skew <= SKEW {
        return Check::ok(NAME, "the engine's clock and this machine's agree");
    }
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    let message = format!("the engine's clock is {shown} {direction} this machine's");
    Check::warn(NAME, message, "synchronise the clocks: ages and pauses are counted with both")
}

fn engine_disk(root: Option<PathBuf>) -> Check {
    const NAME: &str = "engine-disk";
    match root {
        Some(root) if root.exists() => paths::disk(NAME, &root),
        Some(root) => {
            let message = format!("`{}` of the engine cannot be seen from here", root.display());
            Check::warn(NAME, message, "look at its disk with `docker system df`")
        }
        None => Check::warn(
            NAME,
            "the engine does not say where it keeps its data",
            "look at its disk with `docker system df`",
        ),
    }
}

fn network(subnet: Result<Subnet, RuntimeError>) -> Check {
    const NAME: &str = "network";
    match subnet {
        Ok(Subnet::Own(subnet)) => Check::ok(NAME, format!("this instance has {subnet}")),
        Ok(Subnet::Free(subnet)) => Check::ok(NAME, format!("{subnet} is free")),
        Ok(Subnet::AllTaken) => Check::fail(
            NAME,
            "networks of the engine take every subnet from 10.201.0.0/16 to 10.216.0.0/16",
            "remove those that nobody needs; `docker network ls` lists them",
        ),
        Err(error) => Check::fail(NAME, chain(&error), "look at the engine's log"),
    }
}

fn image(ingress: &IngressArgs, found: Result<Image, RuntimeError>) -> Check {
    const NAME: &str = "image";
    const OTHER: &str = "name another one with DUBERNETES_INGRESS_IMAGE or `serve --ingress-image`";
    let name = &ingress.ingress_image;
    match found {
        Ok(Image::Here { version: Some(version), warning: None }) => {
            Check::ok(NAME, format!("`{name}` is nginx {version}"))
        }
        Ok(Image::Here { warning: Some(warning), .. }) => {
            Check::warn(NAME, format!("`{name}`: {warning}"), OTHER)
        }
        Ok(Image::Here { version: None, .. }) => {
            let message = format!("`{name}` does not say which nginx is in it");
            Check::warn(NAME, message, "it must be nginx 1.27.4 or later")
        }
        Ok(Image::Pullable) => {
            Check::ok(NAME, format!("`{name}` is not on the engine, and can be pulled"))
        }
        Ok(Image::Missing(why)) => {
            let message = format!("`{name}` is not on the engine and cannot be pulled: {why}");
            Check::fail(NAME, message, OTHER)
        }
        Err(error) => Check::fail(NAME, chain(&error), "look at the engine's log"),
    }
}

#[cfg(test)]
#[path = "engine/tests.rs"]
mod tests;
