//! `completion`: the script that makes a shell ask this program.

use crate::args::CompletionArgs;
use crate::complete;
use crate::output;
use crate::report::Outcome;

pub(super) fn run(args: &CompletionArgs, program: &str) -> Outcome {
    output::print_raw(&complete::script(args.shell, program)?)
}
