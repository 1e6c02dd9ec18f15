//! The steps of CI, one to one: what passes here passes there.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::engine::Engine;
use crate::{demo, run, test, tidy};

/// Runs every step, even after one has failed, so that one run shows all that is wrong.
pub(crate) fn ci() -> Result<ExitCode> {
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for (name, mut command) in commands() {
        println!("\n== {name}");
        if let Err(error) = run::show(&mut command) {
            println!("{error:#}");
            failed.push(name);
        }
    }
    println!("\n== licences, sources and doubled dependencies");
    if run::succeeds(&mut run::cargo(["deny", "--version"])) {
        let check = ["deny", "--all-features", "check", "bans", "licenses", "sources"];
        if let Err(error) = run::show(&mut run::cargo(check)) {
            println!("{error:#}");
            failed.push("deny");
        }
    } else {
        println!("not checked: cargo-deny is not installed, and building it takes minutes");
        skipped.push("licences, sources and doubled dependencies: cargo-deny is not installed");
    }
    println!("\n== repository rules");
    if tidy::tidy()? != ExitCode::SUCCESS {
        failed.push("tidy");
    }
    println!("\n== the demo");
    if Engine::find().is_err() {
        println!("not shown: no engine answers");
    } else if let Err(error) = demo::demo(false) {
        println!("{error:#}");
        failed.push("demo");
    }
    if !failed.is_empty() {
        // Here, because the last line belongs to the tests.
        println!("\nfailed steps before the tests: {}", failed.join(", "));
    }
    println!("\n== tests");
    let tested = test::test(&[], &skipped)?;
    Ok(if failed.is_empty() { tested } else { ExitCode::FAILURE })
}

/// The steps that are one command. They share their builds: the same features everywhere.
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
    // A check links nothing, so libFuzzer itself is not built: it would want a C++ compiler.
    fuzz.args(["--target-dir", "target"]).env("CUSTOM_LIBFUZZER_PATH", "/nowhere/libfuzzer.a");
    vec![
        ("format", run::cargo(["fmt", "--all", "--check"])),
        ("lints", run::cargo(clippy)),
        ("the core alone", run::cargo(["check", "--package", "dubernetes-core"])),
        ("documentation", docs),
        ("fuzz targets", fuzz),
    ]
}
