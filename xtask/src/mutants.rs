//! Mutants: how many deliberate mistakes in the planner, the rules of the store and the route
//! table the tests find.
//!
//! `cargo mutants` builds the tests once for each mutant, and would need more than a day. Here a
//! copy of the repository holds all mutants at once, each behind a switch: see [`rewrite`].

mod rewrite;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run;
use rewrite::Mutant;

/// What is mutated.
const MUTATED: [&str; 3] =
    ["dubernetes-core/src/ingress", "dubernetes-core/src/reconcile", "dubernetes-core/src/store"];
/// The package whose tests have to find the mutants: those of the controller and of the contracts
/// take minutes, and meet the same decisions from farther away.
const TESTED: &str = "dubernetes-core";
/// The environment variable with the number of the mutant that is on.
const SWITCH: &str = "DUBERNETES_MUTANT";
/// Mutants that the tests have to find, in percent.
const REQUIRED: usize = 95;
/// Time after which the tests of a program count as hanging, which finds a mutant, too.
const LIMIT: Duration = Duration::from_secs(120);

const MODULE: &str = r#"
#[doc(hidden)]
pub mod mutant {
    /// Whether a mutant is on.
    pub fn is_on(number: usize) -> bool {
        static ON: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
        let read = || std::env::var("DUBERNETES_MUTANT").ok()?.parse().ok();
        *ON.get_or_init(|| read().unwrap_or(0)) == number
    }
}
"#;

/// What to run.
#[derive(Debug, Default)]
struct Options {
    /// Only mutants in lines that changed since this revision.
    since: Option<String>,
    /// Only mutants whose place contains this text.
    filter: Option<String>,
    /// Only each n-th mutant.
    every: usize,
}

/// Runs the tests on each mutant, and lists those that they do not find.
pub(crate) fn mutants(args: &[String]) -> Result<ExitCode> {
    let options = parse(args)?;
    let copy = run::target_folder()?.join("mutants");
    let all = write_copy(&copy.join("source"))?;
    let chosen = choose(&all, &options)?;
    println!("{} of {} mutants", chosen.len(), all.len());
    if chosen.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let testers = fastest_first(build(&copy)?)?;
    let missed = run_all(&chosen, &testers);
    for mutant in &missed {
        println!("not found: {}", describe(mutant)?);
    }
    let found = chosen.len() - missed.len();
    println!("{found} of {} mutants found", chosen.len());
    let is_enough = found * 100 >= chosen.len() * REQUIRED;
    Ok(if is_enough { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options { every: 1, ..Options::default() };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--since" => options.since = Some(value.clone()),
            "--filter" => options.filter = Some(value.clone()),
            "--every" => options.every = value.parse().context("--every takes a number")?,
            _ => bail!("unknown option: {flag}"),
        }
    }
    ensure!(options.every > 0, "--every takes a number from 1");
    Ok(options)
}

/// Copies the repository, and builds the mutants into the copy. Files that are the same already
/// are left alone, so that cargo does not build them again.
fn write_copy(source: &Path) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    let files = run::read(&mut run::command("git", ["ls-files"]))?;
    for file in files.lines() {
        let original = run::root().join(file);
        let Ok(mut bytes) = fs::read(&original) else { continue };
        if is_mutated(file) {
            let text = String::from_utf8(bytes)?;
            let rewritten = rewrite::rewrite(file, &text, &mut mutants);
            bytes = rewritten.with_context(|| format!("cannot read {file}"))?.into_bytes();
        }
        if file == "dubernetes-core/src/lib.rs" {
            bytes.extend(MODULE.as_bytes());
        }
        let target = source.join(file);
        if fs::read(&target).is_ok_and(|present| present == bytes) {
            continue;
        }
        fs::create_dir_all(target.parent().context("a file has a folder")?)?;
        fs::write(&target, bytes)?;
    }
    Ok(mutants)
}

fn is_mutated(file: &str) -> bool {
    MUTATED.iter().any(|start| file.starts_with(start))
        && file.ends_with(".rs")
        && !file.ends_with("tests.rs")
        && !file.contains("/tests/")
}

fn choose(all: &[Mutant], options: &Options) -> Result<Vec<Mutant>> {
    let changed = match &options.since {
        Some(revision) => Some(changed_lines(revision)?),
        None => None,
    };
    let is_chosen = |mutant: &&Mutant| {
        let lines = changed.as_ref().map(|changed| changed.get(&mutant.file));
        let place = format!("{}:{}", mutant.file, mutant.line);
        lines.is_none_or(|lines| lines.is_some_and(|lines| lines.contains(&mutant.line)))
            && options.filter.as_ref().is_none_or(|text| place.contains(text))
    };
    Ok(all.iter().filter(is_chosen).step_by(options.every).cloned().collect())
}

/// Returns the lines that were added or changed since a revision, by file.
fn changed_lines(revision: &str) -> Result<BTreeMap<String, Vec<usize>>> {
    let args = ["diff", "--unified=0", "--no-prefix", revision, "--"];
    let diff = run::read(run::command("git", args).args(MUTATED.map(|start| format!("{start}*"))))?;
    let mut changed: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut file = String::new();
    for line in diff.lines() {
        if let Some(name) = line.strip_prefix("+++ ") {
            name.clone_into(&mut file);
        } else if let Some(hunk) = line.strip_prefix("@@ ") {
            let added = hunk.split(' ').nth(1).and_then(|added| added.strip_prefix('+'));
            let added = added.with_context(|| format!("cannot read {line}"))?;
            let (first, count) = added.split_once(',').unwrap_or((added, "1"));
            let (first, count): (usize, usize) = (first.parse()?, count.parse()?);
            changed.entry(file.clone()).or_default().extend(first..first + count);
        }
    }
    Ok(changed)
}

/// A program with tests.
#[derive(Debug)]
struct Tester {
    program: PathBuf,
    /// A folder outside the repository, in which a property that fails finds no file for its seed.
    folder: PathBuf,
}

impl Tester {
    /// Whether a test fails if a mutant is on.
    fn finds(&self, number: usize) -> bool {
        let mut command = run::command(&self.program, ["--quiet"]);
        command
            .current_dir(&self.folder)
            .env(SWITCH, number.to_string())
            .env("PROPTEST_MAX_SHRINK_ITERS", "0");
        !run::succeeds_within(LIMIT, &mut command)
    }
}

/// Builds the tests of the copy, and returns their programs.
fn build(copy: &Path) -> Result<Vec<Tester>> {
    let folder = std::env::temp_dir();
    let mut build = run::cargo(["test", "--no-run", "--all-features", "--message-format=json"]);
    build.args(["--package", TESTED]);
    build.current_dir(copy.join("source")).env("CARGO_TARGET_DIR", copy.join("target"));
    // The switches are not in the style of the house.
    build.env("RUSTFLAGS", "--cap-lints=allow");
    let mut testers = Vec::new();
    for line in run::read(&mut build)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let Some(program) = message["executable"].as_str()
            && message["profile"]["test"] == true
        {
            testers.push(Tester { program: program.into(), folder: folder.clone() });
        }
    }
    ensure!(!testers.is_empty(), "cargo built no tests");
    Ok(testers)
}

/// Runs all tests without a mutant, and sorts them by the time that they take.
fn fastest_first(testers: Vec<Tester>) -> Result<Vec<Tester>> {
    let mut timed = Vec::new();
    for tester in testers {
        let began = Instant::now();
        ensure!(!tester.finds(0), "without a mutant, {} fails", tester.program.display());
        timed.push((began.elapsed(), tester));
    }
    timed.sort_by_key(|(time, _)| *time);
    Ok(timed.into_iter().map(|(_, tester)| tester).collect())
}

/// Returns the mutants that no test finds.
fn run_all(mutants: &[Mutant], testers: &[Tester]) -> Vec<Mutant> {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let work = || {
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !testers.iter().any(|tester| tester.finds(mutant.number)) {
                let mut missed = missed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                missed.push(mutant.clone());
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        (0..workers).for_each(|_| drop(scope.spawn(work)));
    });
    println!("{} s", began.elapsed().as_secs());
    let mut missed = missed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    missed.sort_by_key(|mutant| mutant.number);
    missed
}

fn describe(mutant: &Mutant) -> Result<String> {
    let Mutant { file, line, change, .. } = mutant;
    let text = fs::read_to_string(run::root().join(file))?;
    let code = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
    Ok(format!("{file}:{line}: {change}: {code}"))
}
