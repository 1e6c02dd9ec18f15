//! Rules about the repository that no compiler checks. Each returns what breaks it, as lines.

mod arrows;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::run;

/// The longest file of source code, in lines.
const MAX_LINES: usize = 500;
/// Words that have no place in the pure part.
const IMPURE: [&str; 3] = ["async", "tokio", "tracing"];
/// The only module of the command line that names the adapters.
const WIRING: &str = "wiring";

/// The chore: says everything that breaks a rule.
pub(crate) fn tidy() -> Result<ExitCode> {
    let problems = problems()?;
    for problem in &problems {
        println!("{problem}");
    }
    println!("repository rules broken: {}", problems.len());
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn problems() -> Result<Vec<String>> {
    let root = run::root();
    let mut files = Vec::new();
    walk(&root, &root, &mut files)?;
    files.sort();
    let mut problems = Vec::new();
    let sources: Vec<Source> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| Source::read(&root, path))
        .collect::<Result<_>>()?;
    problems.extend(sources.iter().filter_map(too_long));
    problems.extend(sources.iter().filter_map(named_mod));
    problems.extend(sources.iter().filter_map(impure));
    problems.extend(sources.iter().filter_map(names_adapters));
    problems.extend(files.iter().filter_map(|path| unread(path, &sources)));
    problems.extend(arrows::problems(&root)?);
    Ok(problems)
}

/// A file of source code, its path relative to the root.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(path));
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), text })
    }

    /// The lines that are not comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every file of the checkout, but for what builds and version control leave there.
fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && name != "target" && name != ".git" {
            walk(root, &entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path().strip_prefix(root)?.to_path_buf());
        }
    }
    Ok(())
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let path = source.path.display();
    (lines > MAX_LINES).then(|| format!("{path}: {lines} lines; {MAX_LINES} is the limit"))
}

fn named_mod(source: &Source) -> Option<String> {
    let named = source.path.file_name().is_some_and(|name| name == "mod.rs");
    named.then(|| {
        format!("{}: a module `x` lies in `x.rs` beside the folder `x`", source.path.display())
    })
}

/// The decisions are pure: nothing in them waits, and nothing writes a log.
fn impure(source: &Source) -> Option<String> {
    let core = source.path.strip_prefix("dubernetes-core/src").ok()?;
    if !core.starts_with("reconcile") && core != Path::new("reconcile.rs") {
        return None;
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let impure = |line: &str| {
        let mut words = line.split(|c| !is_word(c));
        words.any(|word| IMPURE.contains(&word))
    };
    let (number, _) = source.code().find(|(_, line)| impure(line))?;
    let path = source.path.display();
    Some(format!("{path}:{number}: a decision is pure, without {}", IMPURE.join(", ")))
}

/// In the command line one module joins the adapters with the rest.
fn names_adapters(source: &Source) -> Option<String> {
    let cli = source.path.strip_prefix("dubernetes-cli/src").ok()?;
    if cli.starts_with(WIRING) || cli == Path::new(WIRING).with_extension("rs") {
        return None;
    }
    let adapters = arrows::ADAPTERS.map(|name| name.replace('-', "_"));
    let names = |line: &str| adapters.iter().any(|adapter| line.contains(adapter.as_str()));
    let (number, _) = source.code().find(|(_, line)| names(line))?;
    let path = source.path.display();
    Some(format!("{path}:{number}: only {WIRING}.rs names an adapter"))
}

/// A file of test data that no test reads checks nothing: a test names it, or reads its folder.
fn unread(path: &Path, sources: &[Source]) -> Option<String> {
    let mut parts = path.iter().filter_map(|part| part.to_str());
    let (package, tests, folder) = (parts.next()?, parts.next()?, parts.next()?);
    let is_data = tests == "tests" && parts.next().is_some();
    if !is_data || path.extension().is_some_and(|extension| extension == "rs") {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    let reads = |source: &&Source| {
        let whole = ["read_dir", "*."].iter().any(|sign| source.text.contains(sign));
        source.text.contains(folder) && (whole || source.text.contains(stem))
    };
    let mut readers = sources.iter().filter(|source| source.path.starts_with(package));
    match readers.find(reads) {
        Some(_) => None,
        None => Some(format!("{}: no test of {package} reads it", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn the_repository_keeps_its_rules() {
        assert_eq!(problems().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_file_over_the_limit_is_found() {
        assert!(too_long(&source("a/src/lib.rs", &"\n".repeat(501))).is_some());
        assert!(too_long(&source("a/src/lib.rs", &"\n".repeat(500))).is_none());
    }

    #[test]
    fn an_impure_decision_is_found_but_not_a_comment_about_one() {
        let found = |path, text| impure(&source(path, text));
        assert!(found("dubernetes-core/src/reconcile.rs", "use tokio::x;").is_some());
        assert!(found("dubernetes-core/src/reconcile/a.rs", "async fn a() {}").is_some());
        assert!(found("dubernetes-core/src/reconcile/a.rs", "// no async\nfn a() {}").is_none());
        assert!(found("dubernetes-core/src/controller.rs", "use tokio::x;").is_none());
    }

    #[test]
    fn only_the_wiring_names_an_adapter() {
        let found = |path| names_adapters(&source(path, "use dubernetes_docker::Docker;"));
        assert!(found("dubernetes-cli/src/commands/apply.rs").is_some());
        assert!(found("dubernetes-cli/src/wiring.rs").is_none());
        assert!(found("tests/src/lib.rs").is_none());
    }

    #[test]
    fn data_that_no_test_reads_is_found() {
        let data = Path::new("a/tests/golden/new.conf");
        let all = source("a/tests/golden.rs", "read_dir(\"tests/golden\")");
        let one = source("a/tests/golden.rs", "\"tests/golden/old.conf\"");
        let other = source("b/tests/golden.rs", "read_dir(\"tests/golden\")");
        assert_eq!(unread(data, &[all]), None);
        assert!(unread(data, &[one, other]).is_some());
    }
}
