//! `completion`: prints the script that makes a shell complete commands.

use crate::args::CompletionArgs;
use crate::complete;
use crate::output;
use crate::report::Result;

pub(super) fn run(args: &CompletionArgs, program: &str) -> Result {
    output::print_raw(&complete::script(args.shell, program)?)
}
