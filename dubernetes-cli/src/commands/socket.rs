//! `socket`: prints the socket of the running orchestrator, for `--host ssh://…`.

use crate::output;
use crate::report::{CliError, Result, UNREACHABLE};
use crate::settings::Settings;
use crate::target::find_running;

pub(super) async fn run(settings: &Settings) -> Result {
    match find_running(settings).await? {
        Some(client) => output::print(&format!("{}\n", client.endpoint())),
        None => Err(CliError::with_exit(UNREACHABLE, "no orchestrator is running")
            .help("start it with `dubernetes serve`")),
    }
}
