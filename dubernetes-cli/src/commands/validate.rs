//! `validate`: checks files, without an orchestrator or an engine.

use crate::args::ValidateArgs;
use crate::output;
use crate::report::Result;
use crate::sources::read_apps;

pub(super) fn run(args: &ValidateArgs) -> Result {
    let apps = read_apps(&args.files.paths())?;
    let text: String = apps.iter().map(|app| format!("app/{} is valid\n", app.spec.name)).collect();
    output::print(&text)
}
