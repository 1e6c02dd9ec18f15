//! `backup`: writes the state of an instance to a file, beside a running orchestrator or without.

use std::io;
use std::path::Path;

use crate::archive;
use crate::args::BackupArgs;
use crate::output;
use crate::report::{self, CliError, Result};
use crate::settings::Settings;
use crate::wiring::state_files;

pub(super) fn run(args: &BackupArgs, settings: &Settings) -> Result {
    settings.check_local("backup", "reads the state folder of this machine")?;
    state_files::check_state(settings)?;
    // The copy is as private there as the state itself.
    let folder = &settings.paths.state_dir;
    let copy = tempfile::Builder::new().prefix(".backup-").tempdir_in(folder);
    let copy = copy.map_err(CliError::cannot("write to", folder))?;
    let schema = state_files::copy_state(settings, copy.path())?;
    if args.file == Path::new("-") {
        archive::write(copy.path(), &settings.instance, schema, io::stdout().lock())?;
    } else {
        archive::write_file(&args.file, args.force, |file| {
            archive::write(copy.path(), &settings.instance, schema, file)
        })?;
        let shown = args.file.display();
        output::print(&format!("backup of instance {} written to `{shown}`\n", settings.instance))?;
    }
    report::note("the backup has the secrets, the keys of certificates, and what decrypts them");
    Ok(())
}
