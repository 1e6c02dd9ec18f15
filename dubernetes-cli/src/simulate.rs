//! Simulation: the real controller on an engine, a store and an ingress in memory, with a virtual
//! clock.

pub(crate) mod chart;
mod script;
mod timeline;
mod world;

use dubernetes_web::simulation::Simulation;

use crate::args::SimulateArgs;
use crate::report::{CliError, Result};
use crate::settings::Settings;
use script::Script;

/// Simulates the apps in the files, starting with an empty engine.
///
/// # Errors
///
/// A file cannot be read, or a step is invalid at its time.
pub(crate) async fn simulate(args: &SimulateArgs, settings: &Settings) -> Result<Simulation> {
    let script = Script::read(args)?;
    let instance = settings.instance.clone();
    // tokio can pause time only in a runtime with one thread, so the simulation gets its own.
    let simulated = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| CliError::with_source("cannot start the simulation", &error))?;
        runtime.block_on(world::run(script, instance))
    });
    simulated.await.map_err(|error| CliError::with_source("the simulation crashed", &error))?
}
