//! `restore`: puts what `backup` wrote into an empty state folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tar::Archive;

use crate::archive::Reader;
use crate::args::RestoreArgs;
use crate::output;
use crate::report::{self, CliError, Result};
use crate::settings::Settings;
use crate::wiring::state_files::{self, NewState};

pub(super) fn run(args: &RestoreArgs, settings: &Settings) -> Result {
    settings.check_local("restore", "fills the state folder of this machine")?;
    state_files::check_restorable(settings)?;
    let name = args.file.display().to_string();
    let from: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.file).map_err(CliError::cannot("read", &args.file))?)
    };
    let mut archive = Archive::new(from);
    let reader = Reader::new(&mut archive, &name)?;
    let instance = &reader.manifest.instance;
    if *instance != settings.instance {
        let wanted = &settings.instance;
        return Err(CliError::new(format!("`{name}` has instance `{instance}`, not `{wanted}`"))
            .help(format!("restore it with `--instance {instance}`")));
    }
    let state = NewState::lock(settings)?;
    let manifest = reader.unpack(state.part())?;
    state.install(settings)?;
    output::print(&format!(
        "instance {} of {} restored to `{}`\n",
        manifest.instance,
        manifest.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
        settings.paths.state_dir.display()
    ))?;
    report::help(
        "`dubernetes serve` takes over what still runs on this machine, and starts what is missing",
    );
    Ok(())
}
