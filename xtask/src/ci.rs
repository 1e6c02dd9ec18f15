//! All steps of CI, as CI runs them.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::engine::Engine;
use crate::test::Steps;
use crate::{demo, engines, instructions, package, run, test, tidy};

/// Profile of the program for demo and package: that of the tests. A release takes minutes more.
const PROFILE: &str = "dev";
/// Time after the start within which the tests on another engine begin. All steps have an hour.
const ENGINES_BEFORE: Duration = Duration::from_secs(12 * 60);

/// Runs all steps, also after a failure, so that one run shows everything that is wrong.
///
/// Tests come last, and with them the doc tests: their report ends with what failed in any step.
pub(crate) fn ci() -> Result<ExitCode> {
    let start = Instant::now();
    let Steps { mut failed, mut skipped } = Steps::default();
    for (name, mut command) in commands() {
        println!("\n== {name}");
        if let Err(error) = run::show(&mut command) {
            println!("{error:#}");
            failed.push(name);
        }
    }
    println!("\n== licences, sources and duplicate dependencies");
    if run::succeeds(&mut run::cargo(["deny", "--version"])) {
        let check = ["deny", "--all-features", "check", "bans", "licenses", "sources"];
        if let Err(error) = run::show(&mut run::cargo(check)) {
            println!("{error:#}");
            failed.push("deny");
        }
    } else {
        println!("skipped: cargo-deny is not installed, and building it takes minutes");
        skipped.push("licences, sources and duplicate dependencies: cargo-deny is not installed");
    }
    println!("\n== repository rules");
    if tidy::tidy()? != ExitCode::SUCCESS {
        failed.push("tidy");
    }
    println!("\n== instruction counts");
    match instructions::check() {
        Ok(None) => {}
        Ok(Some(why)) => {
            println!("skipped: {why}");
            skipped.push(why);
        }
        Err(error) => {
            println!("{error:#}");
            failed.push("instruction counts");
        }
    }
    println!("\n== demo");
    let on_engine = Engine::find().and_then(|engine| demo::run(PROFILE, Some(engine), false));
    if let Err(error) = on_engine {
        println!("{error:#}");
        failed.push("demo");
    }
    println!("\n== demo without an engine");
    if let Err(error) = demo::run(PROFILE, None, false) {
        println!("{error:#}");
        failed.push("demo without an engine");
    }
    println!("\n== package");
    match package_program() {
        Ok(why) => skipped.extend(why),
        Err(error) => {
            println!("{error:#}");
            failed.push("package");
        }
    }
    println!("\n== tests on Debian's newest Docker");
    let why = if start.elapsed() > ENGINES_BEFORE {
        Some("Debian's newest Docker: the steps before it took more than 12 minutes")
    } else {
        engines::missing()
    };
    if let Some(why) = why {
        println!("skipped: {why}");
        skipped.push(why);
    } else if let Err(error) = engines::test(engines::Kind::Docker) {
        println!("{error:#}");
        failed.push("tests on Debian's newest Docker");
    }
    println!("\n== tests");
    test::test(&[], &Steps { failed, skipped })
}

/// Packages the program, and returns what was not done.
fn package_program() -> Result<Option<&'static str>> {
    if !package::missing_tools().is_empty() {
        return Ok(Some("the package: dpkg-dev is not installed"));
    }
    package::package(package::Program::Profile(PROFILE.to_owned()))
}

/// Returns the steps that are a single command. All use the same features, to share their builds.
fn commands() -> Vec<(&'static str, Command)> {
    let clippy =
        ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    let mut docs = run::cargo([
        "doc",
        "--workspace",
        "--all-features",
        "--no-deps",
        "--document-private-items",
    ]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let mut fuzz = run::cargo(["check", "--manifest-path", "fuzz/Cargo.toml"]);
    // `cargo check` links nothing. A custom path keeps libFuzzer, which needs a C++ compiler, from
    // being built.
    fuzz.args(["--target-dir", "target"]).env("CUSTOM_LIBFUZZER_PATH", "/nowhere/libfuzzer.a");
    vec![
        ("format", run::cargo(["fmt", "--all", "--check"])),
        ("lints", run::cargo(clippy)),
        ("core alone", run::cargo(["check", "--package", "dubernetes-core"])),
        ("documentation", docs),
        ("fuzz targets", fuzz),
    ]
}
