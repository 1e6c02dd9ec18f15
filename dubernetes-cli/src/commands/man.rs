//! `man`: manual pages from the definitions of the command line.

use std::fs;

use clap_mangen::Man;

use crate::args::{Cli, ManArgs};
use crate::output;
use crate::report::{CliError, Result};

pub(super) fn run(args: &ManArgs, program: &'static str) -> Result {
    let command = Cli::named(program).disable_help_subcommand(true);
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return output::print_raw(&page);
    };
    let what = format!("cannot write the manual to `{}`", folder.display());
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| CliError::with_io_source(&what, &error))
}
