//! Runs all tests, and reports which were skipped and why.

mod report;

use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::engine::Engine;
use crate::{images, run};
use report::Report;

/// Variable that passes the nginx image to the tests.
pub(crate) const INGRESS_IMAGE: &str = "DUBERNETES_INGRESS_IMAGE";
/// Number of concurrent tests under `cargo test`, which has no test groups. Some tests run several
/// containers.
const THREADS: &str = "3";

/// Outcome of the steps before the tests.
#[derive(Default)]
pub(crate) struct Steps {
    /// Names of failed steps.
    pub(crate) failed: Vec<&'static str>,
    /// Checks that did not run, with the reason.
    pub(crate) skipped: Vec<&'static str>,
}

/// Runs all tests, or those that `args` of the test runner select. Doc tests run only without
/// `args`.
/// The report adds what failed or was skipped in `earlier` steps.
pub(crate) fn test(args: &[String], earlier: &Steps) -> Result<ExitCode> {
    let ingress = ingress_image()?;
    let mut report = if run::succeeds(&mut run::cargo(["nextest", "--version"])) {
        nextest(&ingress, args)?
    } else {
        let mut command = run::cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
        command.args(args).env("RUST_TEST_THREADS", THREADS);
        cargo_test(with_image(&mut command, &ingress))?
    };
    if args.is_empty() {
        let doc_tests = &mut run::cargo(["test", "--doc", "--workspace", "--all-features"]);
        println!("\n== doc tests");
        report.add(cargo_test(with_image(doc_tests, &ingress))?);
    }
    earlier.failed.iter().for_each(|step| report.fail(step));
    earlier.skipped.iter().for_each(|check| report.skip(check));
    print!("\n{report}");
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the nginx image to use, or `None` without an engine.
fn ingress_image() -> Result<Option<String>> {
    if let Ok(named) = std::env::var(INGRESS_IMAGE) {
        println!("ingress image: {named}, from {INGRESS_IMAGE}");
        let engine = Engine::find()?;
        images::ensure(engine)?;
        images::ensure_authority(engine)?;
        return Ok(Some(named));
    }
    match Engine::find() {
        Ok(engine) => {
            let images = images::ensure(engine)?;
            images::ensure_authority(engine)?;
            println!("ingress image: {}", images.ingress);
            Ok(Some(images.ingress))
        }
        Err(error) => {
            println!("skipping tests that need containers: {error:#}");
            Ok(None)
        }
    }
}

fn with_image<'a>(command: &'a mut Command, ingress: &Option<String>) -> &'a mut Command {
    match ingress {
        Some(image) => command.env(INGRESS_IMAGE, image),
        None => command,
    }
}

/// Runs nextest with its output shown, and reads the results from its JUnit file.
fn nextest(ingress: &Option<String>, args: &[String]) -> Result<Report> {
    let file = run::target_folder()?.join("nextest").join("default").join("junit.xml");
    // Do not mistake the file of an earlier run for this one's.
    let _ = std::fs::remove_file(&file);
    let mut command = run::cargo(["nextest", "run", "--workspace", "--all-features"]);
    let status = with_image(command.args(args), ingress).status()?;
    Ok(match std::fs::read_to_string(&file) {
        Ok(text) => Report::from_junit(&text).or_failed(status.success(), "nextest"),
        Err(_) => Report::default().or_failed(status.success(), "building the tests"),
    })
}

/// Runs `cargo test`, shows its output and reads the results from it.
fn cargo_test(command: &mut Command) -> Result<Report> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().context("the tests have no standard error")?;
    let stdout = child.stdout.take().context("the tests have no standard output")?;
    let stderr = std::thread::spawn(move || tee(stderr, std::io::stderr()));
    let mut lines = tee(stdout, std::io::stdout());
    lines.extend(stderr.join().unwrap_or_default());
    let status = child.wait()?;
    Ok(Report::from_lines(&lines).or_failed(status.success(), "building or running the tests"))
}

/// Forwards each line as it arrives, and returns all lines.
fn tee(from: impl Read, mut to: impl Write) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        // A closed output must not stop the tests.
        let _ = writeln!(to, "{line}");
        lines.push(line);
    }
    lines
}
