//! The program `dubectl`: `dubernetes` under the name that fingers know.

use std::process::ExitCode;

fn main() -> ExitCode {
    dubernetes_cli::run("dubectl")
}
