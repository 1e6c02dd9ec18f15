//! `help`: the help of a command, as `--help` behind it gives it.

use std::iter::once;

use crate::args::{Cli, HelpArgs, explained};
use crate::report::Result;

pub(super) fn run(args: &HelpArgs, program: &'static str) -> Result {
    let words = args.command.iter().map(String::as_str);
    let words: Vec<_> = once(program).chain(words).chain(once("--help")).collect();
    match Cli::named(program).try_get_matches_from(&words) {
        // The flag is there, so that nothing but help comes of words that are a command.
        Ok(_) => Ok(()),
        Err(error) => Err(explained(error, program, &words)),
    }
}
