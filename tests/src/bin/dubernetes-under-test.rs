//! The program, built along with its tests. Called by the name `dubectl`, it is that.

use std::process::ExitCode;

fn main() -> ExitCode {
    let dubectl = std::env::args_os().next().is_some_and(|name| name == "dubectl");
    dubernetes_cli::run(if dubectl { "dubectl" } else { "dubernetes" })
}
