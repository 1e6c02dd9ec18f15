//! Counts the instructions of the scenarios in `tests/benches/instructions.rs`, and compares them
//! with the counts in the repository. Unlike times, they are the same on a busy machine.
//!
//! The program is built like the tests, so that CI builds little for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::run;

const COUNTS: &str = "docs/performance/instructions.json";

/// Prints the counts beside the known ones; with `DUBERNETES_UPDATE_GOLDEN=1` they become the known
/// ones. Returns why nothing was counted, if nothing was.
///
/// # Errors
///
/// A count is more than 5 % above the known one, or there is no known one.
pub(crate) fn check() -> Result<Option<&'static str>> {
    if !run::is_installed("valgrind") {
        return Ok(Some("instruction counts: valgrind is not installed"));
    }
    let path = run::root().join(COUNTS);
    let known: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let rustc = run::read(&mut run::command("rustc", ["--version"]))?.trim().to_owned();
    let is_update = std::env::var("DUBERNETES_UPDATE_GOLDEN").is_ok_and(|value| value == "1");
    if known["rustc"] != rustc.as_str() && !is_update {
        return Ok(Some("instruction counts: those in the repository are of another rustc"));
    }
    let program = build()?;
    let mut counts = Map::new();
    let mut risen = Vec::new();
    for scenario in run::read(&mut run::command::<&str>(&program, []))?.lines() {
        let now = count(&program, scenario)?;
        // A scenario without a known count fails.
        let before = known["counts"][scenario].as_u64().unwrap_or(0);
        println!("{now:>12} instructions, {before:>12} before: {scenario}");
        // 5 % of a count, rounded down.
        if now > before + before / 20 {
            risen.push(format!("{scenario}: {now} instructions, {before} before"));
        }
        counts.insert(scenario.to_owned(), now.into());
    }
    if is_update {
        fs::write(&path, format!("{:#}\n", json!({"rustc": rustc, "counts": counts})))?;
    } else if !risen.is_empty() {
        bail!("more than 5 % above {COUNTS}:\n{}", risen.join("\n"));
    }
    Ok(None)
}

/// Builds the program, and returns its path.
fn build() -> Result<PathBuf> {
    let mut build = run::cargo(["build", "--workspace", "--all-features"]);
    build.args(["--bench", "instructions", "--message-format", "json-render-diagnostics"]);
    build.stderr(Stdio::inherit());
    let messages = run::read(&mut build)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = messages.filter(|message| message["target"]["name"] == "instructions");
    let program = built.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo names no program `instructions`")
}

/// Returns how many instructions a scenario takes.
fn count(program: &Path, scenario: &str) -> Result<u64> {
    let mut valgrind = run::command("valgrind", ["--tool=callgrind", "--collect-atstart=no"]);
    valgrind.args(["--callgrind-out-file=/dev/null", "--toggle-collect=instructions::counted*"]);
    let output = valgrind.arg(program).arg(scenario).output().context("cannot run valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if count > 0 && output.status.success() => Ok(count),
        Some(_) | None => bail!("callgrind counts nothing in `{scenario}`:\n{text}"),
    }
}
