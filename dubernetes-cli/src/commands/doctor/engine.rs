//! Checks of the engine, and of what only the engine knows: its clock and disk, the network, the
//! ingress image, and the container that publishes the port.

use std::path::PathBuf;
use std::time::Duration;

use dubernetes_core::error::chain;
use dubernetes_core::identity::ingress_name;
use dubernetes_core::runtime::{RuntimeError, RuntimeInfo};
use jiff::{SignedDuration, Timestamp};

use super::check::Check;
use super::port::{Listen, PortOwner};
use super::{paths, port, proxies};
use crate::args::{IngressArgs, IngressKind, RuntimeKind};
use crate::output::{self, span};
use crate::settings::Settings;
use crate::wiring;
use crate::wiring::diagnostics::{Engine, Image, ImageWarnings, Subnet, find_listener};

/// Largest clock skew on one machine. With more skew, ages are wrong.
const MAX_SKEW: Duration = Duration::from_secs(2);
/// Result of a check that needs the engine if the engine does not answer.
const NOT_CHECKED: &str = "not checked: the engine does not answer";

/// Runs all checks that need the engine.
pub(super) async fn run_checks(settings: &Settings, ingress: &IngressArgs) -> Vec<Check> {
    if ingress.runtime == RuntimeKind::Process {
        let message = format!("none: replicas are {}", wiring::PROCESSES);
        return vec![Check::ok("engine", message)];
    }
    let listens = port::listens(ingress);
    let engine = match Engine::new(ingress) {
        Ok(engine) => engine,
        Err(error) => {
            let check = Check::fail("engine", error.message(), "name it as `unix:///path`");
            return checks_without_engine(check, &listens);
        }
    };
    let version = engine.version().await;
    let engine_check = check_version(&version, &engine.endpoint());
    if version.is_err() {
        return checks_without_engine(engine_check, &listens);
    }
    let mut checks = vec![engine_check];
    let asked = Timestamp::now();
    match engine.host_info().await {
        Ok((data_root, time)) => {
            checks.push(check_clock(time, asked, Timestamp::now()));
            checks.push(check_engine_disk(data_root));
        }
        Err(error) => checks.push(Check::warn("clock", chain(&error), "run the command again")),
    }
    let subnet = engine.subnet(&settings.instance).await;
    let gateway = subnet.as_ref().ok().and_then(Subnet::gateway);
    checks.push(check_network(subnet));
    let image = engine.image(&ingress.ingress_image).await;
    let is_present = matches!(image, Ok(Image::Present { .. }));
    checks.push(check_image(ingress, image));
    let mut lacks = None;
    // What an image lacks that is to be pulled cannot be told.
    if is_present {
        let warnings = engine.image_warnings(&ingress.ingress_image).await;
        lacks = warnings.as_ref().ok().and_then(|warnings| warnings.proxies);
        checks.extend(check_metrics(ingress, warnings.as_ref().ok()));
        checks.push(check_names(ingress, warnings.map(|warnings| warnings.names)));
    }
    checks.extend(proxies::check_proxies(ingress, gateway, lacks));
    let own = ingress_name(&settings.instance);
    for listen in listens {
        let address = listen.address;
        let publisher = engine.publisher(address.ip(), address.port()).await.ok().flatten();
        let find_process = || find_listener(address.ip(), address.port());
        let owner = port::find_owner(address, publisher.as_deref(), &own, find_process);
        checks.push(port::check_owner(&listen, owner));
        checks.extend(port::check_exposure(&listen));
    }
    checks
}

/// Returns the checks if no engine answers.
fn checks_without_engine(engine: Check, listens: &[Listen]) -> Vec<Check> {
    let not_checked = |name| Check::warn(name, NOT_CHECKED, "fix the failed checks first");
    let port = |listen: &Listen| {
        let address = listen.address;
        let find_process = || find_listener(address.ip(), address.port());
        match port::find_owner(address, None, "", find_process) {
            // It may be our own ingress: only the engine knows.
            PortOwner::Other(_) => not_checked("port"),
            owner @ (PortOwner::Free | PortOwner::Ingress | PortOwner::NotLocal) => {
                port::check_owner(listen, owner)
            }
        }
    };
    let others = ["clock", "engine-disk", "network", "image"].map(not_checked);
    let ports = listens
        .iter()
        .flat_map(|listen| std::iter::once(port(listen)).chain(port::check_exposure(listen)));
    std::iter::once(engine).chain(others).chain(ports).collect()
}

fn check_version(version: &Result<RuntimeInfo, RuntimeError>, endpoint: &str) -> Check {
    const NAME: &str = "engine";
    match version {
        Ok(version) => Check::ok(NAME, format!("{} at {endpoint}", output::engine(version))),
        Err(error) => {
            let help = match error {
                RuntimeError::Rejected { .. } => {
                    "use Docker Engine 20.10 or later, or Podman 5 or later"
                }
                _ => {
                    "start it, give this user access to its socket, or name another one with \
                     DOCKER_HOST or DUBERNETES_ENGINE"
                }
            };
            Check::fail(NAME, chain(error), help)
        }
    }
}

fn check_clock(time: Option<Timestamp>, asked: Timestamp, answered: Timestamp) -> Check {
    const NAME: &str = "clock";
    let Some(time) = time else {
        return Check::warn(NAME, "the engine does not report its time", "compare it with `date`");
    };
    // The engine read its clock at some moment between the two.
    let ahead = time.duration_since(answered);
    let behind = asked.duration_since(time);
    let skew = ahead.max(behind).max(SignedDuration::ZERO).unsigned_abs();
    if skew <= MAX_SKEW {
        return Check::ok(NAME, "the clocks of the engine and of this machine agree");
    }
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    let message = format!("the engine's clock is {} {direction} this machine's", span(skew));
    Check::warn(NAME, message, "synchronise the clocks: ages and back-offs use both")
}

fn check_engine_disk(data_root: Option<PathBuf>) -> Check {
    const NAME: &str = "engine-disk";
    const HELP: &str = "inspect its disk with `docker system df`";
    match data_root {
        Some(root) if root.exists() => paths::check_disk(NAME, &root),
        Some(root) => {
            let message = format!("`{}` of the engine is not visible here", root.display());
            Check::warn(NAME, message, HELP)
        }
        None => Check::warn(NAME, "the engine does not report its data folder", HELP),
    }
}

fn check_network(subnet: Result<Subnet, RuntimeError>) -> Check {
    const NAME: &str = "network";
    match subnet {
        Ok(Subnet::Own(subnet)) => Check::ok(NAME, format!("this instance has {subnet}")),
        Ok(Subnet::Free(subnet)) => Check::ok(NAME, format!("{subnet} is free")),
        Ok(Subnet::AllTaken) => Check::fail(
            NAME,
            "networks of the engine use every subnet from 10.201.0.0/16 to 10.216.0.0/16",
            "remove unused networks; `docker network ls` lists them",
        ),
        Err(error) => Check::fail(NAME, chain(&error), "check the engine's log"),
    }
}

/// Checks that the ingress image has what names of apps and published ports need.
fn check_names(
    ingress: &IngressArgs,
    warning: Result<Option<&'static str>, RuntimeError>,
) -> Check {
    const NAME: &str = "names";
    const OTHER: &str = "use `nginx:stable-alpine`, or another one that has it, with \
                         DUBERNETES_INGRESS_IMAGE or `serve --ingress-image`";
    let name = &ingress.ingress_image;
    match warning {
        Ok(None) => {
            Check::ok(NAME, format!("`{name}` has what names of apps and published ports need"))
        }
        Ok(Some(warning)) => Check::warn(NAME, format!("`{name}` has {warning}"), OTHER),
        Err(error) => Check::warn(NAME, chain(&error), "run the command again"),
    }
}

/// Checks that the ingress image can count requests, if metrics are served.
fn check_metrics(ingress: &IngressArgs, warnings: Option<&ImageWarnings>) -> Option<Check> {
    const NAME: &str = "metrics";
    let address = ingress.metrics_listen?;
    if ingress.ingress() != IngressKind::Nginx {
        return None;
    }
    let name = &ingress.ingress_image;
    Some(match warnings?.requests {
        Some(lacks) => {
            let help = "use `nginx:stable-alpine`, or another one that has it, with \
                        DUBERNETES_INGRESS_IMAGE or `serve --ingress-image`";
            Check::warn(NAME, format!("`{name}` has {lacks}"), help)
        }
        None => Check::ok(NAME, format!("served at {address}, with requests that nginx counts")),
    })
}

fn check_image(ingress: &IngressArgs, found: Result<Image, RuntimeError>) -> Check {
    const NAME: &str = "image";
    const OTHER: &str = "name another one with DUBERNETES_INGRESS_IMAGE or `serve --ingress-image`";
    let name = &ingress.ingress_image;
    match found {
        Ok(Image::Present { version: Some(version), warning: None }) => {
            Check::ok(NAME, format!("`{name}` is nginx {version}"))
        }
        Ok(Image::Present { warning: Some(warning), .. }) => {
            Check::warn(NAME, format!("`{name}`: {warning}"), OTHER)
        }
        Ok(Image::Present { version: None, .. }) => {
            let message = format!("`{name}` does not report its nginx version");
            Check::warn(NAME, message, "it must be nginx 1.27.4 or later")
        }
        Ok(Image::Pullable) => {
            Check::ok(NAME, format!("`{name}` is not on the engine, but can be pulled"))
        }
        Ok(Image::Missing(why)) => {
            let message = format!("`{name}` is not on the engine and cannot be pulled: {why}");
            Check::fail(NAME, message, OTHER)
        }
        Err(error) => Check::fail(NAME, chain(&error), "check the engine's log"),
    }
}

#[cfg(test)]
#[path = "engine/tests.rs"]
mod tests;
