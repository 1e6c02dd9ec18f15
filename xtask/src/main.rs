//! Project tasks by name: `cargo xtask NAME`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tasks print for people and CI logs"
)]

mod bench;
mod ci;
mod demo;
mod engine;
mod engines;
mod generate;
mod images;
mod instructions;
mod mutants;
mod package;
mod release;
mod run;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
usage: cargo xtask TASK

tasks:
  images        build the images that the examples and tests need
  demo [--keep] run the example `whoami` behind nginx, show its answers, and clean up
  test [ARGS]   run all tests, and list the skipped ones with the reason; ARGS are passed to
                cargo nextest, or to cargo test where nextest is not installed
  engines [docker] [podman]
                run the contract of the runtime and ten end-to-end tests on Debian's newest Docker
                and Podman, unpacked and started for that; needs root
  bench [NAME…] [--runs N]
                measure the release build on this machine's engine beside baselines, and write
                docs/performance
  instructions  count the instructions of a few scenarios, and compare them with those in
                docs/performance/instructions.json
  mutants [--since REV] [--filter TEXT] [--every N]
                count the deliberate mistakes in the planner, the rules of the store and the route
                table that tests find: all, those in lines changed since a revision, those whose
                file:line contains a text, or each N-th
  package [--profile NAME | --program FILE]
                write a Debian package and a tarball with the release program, or another one,
                to target/package
  release [--baseline REVISION]
                write the packages, a bill of materials and checksums to target/package, check
                that the version allows the changes of the API since REVISION, and rehearse
                publishing all crates; needs cargo-sbom, and cargo-semver-checks for the check
  generate      write the table of keys and the scenarios in docs
  tidy          check the repository rules that no compiler checks
  ci            run all steps of CI
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match task(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task(args: &[String]) -> Result<ExitCode> {
    let (name, rest) = match args.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", args),
    };
    match (name, rest) {
        ("images", []) => images::print().map(|()| ExitCode::SUCCESS),
        ("demo", []) => demo::demo(run::RELEASE, false).map(|()| ExitCode::SUCCESS),
        ("demo", [flag]) if flag == "--keep" => {
            demo::demo(run::RELEASE, true).map(|()| ExitCode::SUCCESS)
        }
        ("test", _) => test::test(rest, &test::Steps::default()),
        ("engines", _) => engines::engines(rest).map(|()| ExitCode::SUCCESS),
        ("bench", _) => bench::bench(rest),
        ("instructions", []) => instructions::check().map(|skipped| {
            skipped.iter().for_each(|why| println!("skipped: {why}"));
            ExitCode::SUCCESS
        }),
        ("mutants", _) => mutants::mutants(rest),
        ("package", _) => package::package(package::Program::parse(rest)?).map(|skipped| {
            skipped.iter().for_each(|why| println!("skipped: {why}"));
            ExitCode::SUCCESS
        }),
        ("release", _) => release::release(rest).map(|()| ExitCode::SUCCESS),
        ("generate", []) => generate::generate().map(|()| ExitCode::SUCCESS),
        ("tidy", []) => tidy::tidy(),
        ("ci", []) => ci::ci(),
        ("help" | "--help" | "-h", _) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("unknown task: {}\n\n{HELP}", args.join(" ")),
    }
}
