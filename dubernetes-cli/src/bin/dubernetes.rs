//! The program `dubernetes`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dubernetes_cli::run("dubernetes")
}
