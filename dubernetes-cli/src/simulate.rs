//! The controller on an engine, a store and an ingress in memory, and on a clock that does not
//! wait: what it does here it does in earnest, for it is the same code.

pub(crate) mod chart;
mod script;
mod timeline;
mod world;

pub(crate) use timeline::{Entry, Timeline};

use crate::args::SimulateArgs;
use crate::report::{CliError, Result};
use crate::settings::Settings;
use script::Script;

/// What becomes of the files' apps, from an empty engine on.
///
/// # Errors
///
/// A file that cannot be read, or a step that makes no sense when its time has come.
pub(crate) async fn simulate(args: &SimulateArgs, settings: &Settings) -> Result<Timeline> {
    let script = Script::read(args)?;
    let instance = settings.instance.clone();
    // Time can be virtual only in a runtime with one thread, so it gets one of its own.
    let simulated = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| CliError::with_source("the simulation cannot start", &error))?;
        runtime.block_on(world::run(script, instance))
    });
    simulated.await.map_err(|error| CliError::with_source("the simulation crashed", &error))?
}
