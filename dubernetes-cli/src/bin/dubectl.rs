//! The program `dubectl`: `dubernetes` under a name like `kubectl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dubernetes_cli::run("dubectl")
}
