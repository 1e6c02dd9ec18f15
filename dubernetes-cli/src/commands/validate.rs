//! `validate`: checks files, without an orchestrator or an engine.

use crate::args::FileArgs;
use crate::output;
use crate::report::Result;
use crate::sources::read_apps;

pub(super) fn run(args: &FileArgs) -> Result {
    let apps = read_apps(args)?;
    let text: String = apps.iter().map(|app| format!("app/{} is valid\n", app.spec.name)).collect();
    output::print(&text)
}
