//! `completion`: a static script for a shell.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionArgs};
use crate::output;
use crate::report::Outcome;

pub(super) fn run(args: &CompletionArgs, program: &str) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), program, &mut script);
    output::print_raw(&script)
}
