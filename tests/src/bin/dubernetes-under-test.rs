//! The program under test. Behaves as `dubectl` when called by that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    let is_dubectl = std::env::args_os().next().is_some_and(|name| name == "dubectl");
    dubernetes_cli::run(if is_dubectl { "dubectl" } else { "dubernetes" })
}
