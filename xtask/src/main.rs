//! Project chores by name: `cargo xtask NAME`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore is run by a person or by CI, who read what it prints"
)]

mod ci;
mod demo;
mod engine;
mod generate;
mod images;
mod run;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
usage: cargo xtask CHORE

chores:
  images        build the images that the examples and tests need, and say which nginx is used
  demo [--keep] run the example `whoami` behind nginx and show its answers; then take all away again
  test [ARGS]   run every test, also those that need an engine, and say which were skipped and why;
                ARGS choose tests, in the words of cargo nextest (or of cargo test without it)
  generate      write the table of keys in README.md
  tidy          check the rules about this repository that no compiler checks
  ci            run the steps of CI, one to one
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match chore(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore(args: &[String]) -> Result<ExitCode> {
    let (name, rest) = match args.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", args),
    };
    match (name, rest) {
        ("images", []) => images::print().map(|()| ExitCode::SUCCESS),
        ("demo", []) => demo::demo(false).map(|()| ExitCode::SUCCESS),
        ("demo", [flag]) if flag == "--keep" => demo::demo(true).map(|()| ExitCode::SUCCESS),
        ("test", _) => test::test(rest, &[]),
        ("generate", []) => generate::generate().map(|()| ExitCode::SUCCESS),
        ("tidy", []) => tidy::tidy(),
        ("ci", []) => ci::ci(),
        ("help" | "--help" | "-h", _) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("no chore is called like this: {}\n\n{HELP}", args.join(" ")),
    }
}
