//! Repository rules that no compiler checks. Each rule returns its violations as lines of text.

mod arrows;
mod cli;
mod links;
mod prose;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::run;

/// Maximum length of a source file, in lines.
const MAX_LINES: usize = 500;
/// Words that must not occur in the pure part of the core.
const IMPURE_WORDS: [&str; 3] = ["async", "tokio", "tracing"];

/// Prints every violation, and fails if there is one.
pub(crate) fn tidy() -> Result<ExitCode> {
    let problems = problems()?;
    for problem in &problems {
        println!("{problem}");
    }
    println!("tidy: {} problems", problems.len());
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn problems() -> Result<Vec<String>> {
    let root = run::root();
    let mut paths = Vec::new();
    walk(&root, &root, &mut paths)?;
    paths.sort();
    let texts: Vec<TextFile> = paths
        .iter()
        .filter(|path| ["rs", "md", "toml"].iter().any(|extension| has_extension(path, extension)))
        .map(|path| TextFile::read(&root, path))
        .collect::<Result<_>>()?;
    let sources: Vec<&TextFile> =
        texts.iter().filter(|file| has_extension(&file.path, "rs")).collect();
    let mut problems = Vec::new();
    for source in &sources {
        problems.extend(too_long(source));
        problems.extend(named_mod(source));
        problems.extend(impure(source));
        problems.extend(cli::names_adapter(source));
        problems.extend(cli::imports_verb(source));
    }
    problems.extend(paths.iter().filter_map(|path| unread_data(path, &sources)));
    problems.extend(texts.iter().flat_map(prose::problems));
    let read = |path: &Path| match root.join(path) {
        path if has_extension(&path, "md") => std::fs::read_to_string(path).ok(),
        path => path.exists().then(String::new),
    };
    problems.extend(texts.iter().flat_map(|file| links::problems(file, &read)));
    problems.extend(arrows::problems(&root)?);
    Ok(problems)
}

/// A text file, with its path relative to the repository root.
#[derive(Debug)]
struct TextFile {
    path: PathBuf,
    text: String,
}

impl TextFile {
    fn read(root: &Path, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(path));
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), text })
    }

    /// Returns all lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Returns the lines of Rust code that are not comments, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|other| other == extension)
}

/// Collects all files of the checkout, without build output and version control.
fn walk(root: &Path, folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && name != "target" && name != ".git" {
            walk(root, &entry.path(), paths)?;
        } else if kind.is_file() {
            paths.push(entry.path().strip_prefix(root)?.to_path_buf());
        }
    }
    Ok(())
}

/// Splits a line of code into identifiers and keywords.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn too_long(source: &TextFile) -> Option<String> {
    let lines = source.text.lines().count();
    let path = source.path.display();
    (lines > MAX_LINES).then(|| format!("{path}: {lines} lines, the limit is {MAX_LINES}"))
}

fn named_mod(source: &TextFile) -> Option<String> {
    let is_mod = source.path.file_name().is_some_and(|name| name == "mod.rs");
    let path = source.path.display();
    is_mod.then(|| format!("{path}: put module `x` into `x.rs` beside the folder `x`"))
}

/// `reconcile` is pure: no async code and no logging.
fn impure(source: &TextFile) -> Option<String> {
    let core = source.path.strip_prefix("dubernetes-core/src").ok()?;
    if !core.starts_with("reconcile") && core != Path::new("reconcile.rs") {
        return None;
    }
    let is_impure = |line: &str| words(line).any(|word| IMPURE_WORDS.contains(&word));
    let (number, _) = source.code().find(|(_, line)| is_impure(line))?;
    let path = source.path.display();
    Some(format!("{path}:{number}: `reconcile` is pure; remove {}", IMPURE_WORDS.join(", ")))
}

/// Whether the file is test data: anything but Rust code in a subfolder of a package's `tests`.
fn is_test_data(path: &Path) -> bool {
    let mut parts = path.iter().skip(1);
    parts.next().is_some_and(|part| part == "tests")
        && parts.count() > 1
        && !has_extension(path, "rs")
}

/// Test data must be used: a test of its package names the file, or reads the whole folder.
fn unread_data(path: &Path, sources: &[&TextFile]) -> Option<String> {
    if !is_test_data(path) {
        return None;
    }
    let mut parts = path.iter().filter_map(|part| part.to_str());
    let package = parts.next()?;
    let folder = parts.nth(1)?;
    let stem = path.file_stem()?.to_str()?;
    let is_read = sources.iter().filter(|source| source.path.starts_with(package)).any(|source| {
        let names = |text: &&str| source.text.contains(text);
        names(&folder) && [stem, "read_dir", "*."].iter().any(names)
    });
    (!is_read).then(|| format!("{}: no test of {package} reads this file", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn repository_has_no_problems() {
        assert_eq!(problems().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn file_over_limit_is_reported() {
        assert!(too_long(&file("a/src/lib.rs", &"\n".repeat(501))).is_some());
        assert!(too_long(&file("a/src/lib.rs", &"\n".repeat(500))).is_none());
    }

    #[test]
    fn impure_code_is_reported_and_comment_is_not() {
        let found = |path, text| impure(&file(path, text));
        assert!(found("dubernetes-core/src/reconcile.rs", "use tokio::x;").is_some());
        assert!(found("dubernetes-core/src/reconcile/a.rs", "async fn a() {}").is_some());
        assert!(found("dubernetes-core/src/reconcile/a.rs", "// no async\nfn a() {}").is_none());
        assert!(found("dubernetes-core/src/controller.rs", "use tokio::x;").is_none());
    }

    #[test]
    fn unread_test_data_is_reported() {
        let data = Path::new("a/tests/golden/new.conf");
        let reads_folder = file("a/tests/golden.rs", "read_dir(\"tests/golden\")");
        let reads_other = file("a/tests/golden.rs", "\"tests/golden/old.conf\"");
        let other_package = file("b/tests/golden.rs", "read_dir(\"tests/golden\")");
        assert_eq!(unread_data(data, &[&reads_folder]), None);
        assert!(unread_data(data, &[&reads_other, &other_package]).is_some());
    }

    #[test]
    fn test_data_excludes_code_and_files_beside_tests() {
        assert!(is_test_data(Path::new("a/tests/golden/new.md")));
        assert!(!is_test_data(Path::new("a/tests/golden/new.rs")));
        assert!(!is_test_data(Path::new("a/tests/new.md")));
        assert!(!is_test_data(Path::new("tests/Cargo.toml")));
    }
}
