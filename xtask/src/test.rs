//! Runs every test, and says which of them could not run and why.

mod report;

use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::engine::Engine;
use crate::{images, run};
use report::Report;

/// The variable that names the image of nginx to the tests.
const INGRESS_IMAGE: &str = "DUBERNETES_INGRESS_IMAGE";
/// How many tests run at once where the runner knows no groups: some run several containers.
const THREADS: &str = "2";

/// The chore. `args` choose tests in the runner's own way; then doc tests are left out. `skipped` is
/// what could not be checked before, with its reason, and is counted along.
pub(crate) fn test(args: &[String], skipped: &[&str]) -> Result<ExitCode> {
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
        report.add(cargo_test(with_image(doc_tests, &ingress))?);
    }
    for what in skipped {
        report.skip(what);
    }
    print!("\n{report}");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The image of nginx to use, if there is an engine that could run it.
fn ingress_image() -> Result<Option<String>> {
    if let Ok(named) = std::env::var(INGRESS_IMAGE) {
        println!("ingress image: {named}, as {INGRESS_IMAGE} says");
        images::ensure(Engine::find()?)?;
        return Ok(Some(named));
    }
    match Engine::find() {
        Ok(engine) => {
            let images = images::ensure(engine)?;
            println!("ingress image: {}", images.ingress);
            Ok(Some(images.ingress))
        }
        Err(error) => {
            println!("tests that need containers are skipped: {error:#}");
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

/// nextest shows its own progress, and leaves a file with everything that the tests have said.
fn nextest(ingress: &Option<String>, args: &[String]) -> Result<Report> {
    let file = run::target_folder()?.join("nextest").join("default").join("junit.xml");
    // The file of an earlier run must not be taken for this one's.
    let _ = std::fs::remove_file(&file);
    let mut command = run::cargo(["nextest", "run", "--workspace", "--all-features"]);
    let status = with_image(command.args(args), ingress).status()?;
    Ok(match std::fs::read_to_string(&file) {
        Ok(text) => Report::of_junit(&text).or_failed(status.success(), "nextest"),
        Err(_) => Report::default().or_failed(status.success(), "building the tests"),
    })
}

/// The standard runner's lines are shown and read.
fn cargo_test(command: &mut Command) -> Result<Report> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().context("the tests have no standard error")?;
    let stdout = child.stdout.take().context("the tests have no standard output")?;
    let other = std::thread::spawn(move || pass_on(stderr, std::io::stderr()));
    let mut lines = pass_on(stdout, std::io::stdout());
    lines.extend(other.join().unwrap_or_default());
    let status = child.wait()?;
    Ok(Report::of_lines(&lines).or_failed(status.success(), "building or running the tests"))
}

/// Writes each line on as soon as it is there, and keeps it.
fn pass_on(from: impl Read, mut to: impl Write) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        // Where nobody reads any more, the tests still count.
        let _ = writeln!(to, "{line}");
        lines.push(line);
    }
    lines
}
