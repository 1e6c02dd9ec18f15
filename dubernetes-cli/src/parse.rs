//! From the words of the command line to typed arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, FromArgMatches as _};

use crate::args::{Cli, suggestions};
use crate::report::Result;
use crate::settings::User;
use crate::settings_file::SettingsFile;

/// Parses `words`, with defaults from the settings file that they or the environment name.
pub(crate) fn parse(
    program: &'static str,
    words: impl IntoIterator<Item = OsString>,
) -> Result<(Cli, SettingsFile, ArgMatches)> {
    let words: Vec<OsString> = words.into_iter().collect();
    let usage_error = |error| suggestions::usage_error(error, program, &words);
    let mut matches = Cli::named(program).try_get_matches_from(&words).map_err(usage_error)?;
    let named = matches.get_one::<PathBuf>("config").map(PathBuf::as_path);
    let file = SettingsFile::read(named, User::current().settings_file())?;
    if !file.is_empty() {
        let command = file.defaults(Cli::named(program));
        matches = command.try_get_matches_from(&words).map_err(usage_error)?;
    }
    Ok((Cli::from_arg_matches(&matches)?, file, matches))
}
