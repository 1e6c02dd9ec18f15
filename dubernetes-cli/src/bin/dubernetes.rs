//! The program `dubernetes`. Behaves as `dubectl` when called by that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    dubernetes_cli::run(dubernetes_cli::called_name())
}
