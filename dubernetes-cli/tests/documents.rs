//! The documentation says what the program accepts: every command in it has flags that exist, and
//! every file in it is valid. What commands do is tested end to end.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dubernetes_manifest::Source;

/// Returns README.md and the pages of the documentation, with their names.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|end| end == "md");
    let mut paths: Vec<_> = docs.filter(is_page).collect();
    paths.push(root.join("README.md"));
    paths.sort();
    assert!(paths.len() > 10, "the documentation is missing");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Returns the code blocks of a page in one of these languages.
fn blocks<'a>(page: &'a str, languages: &[&str]) -> Vec<&'a str> {
    let mut parts = page.split("\n```").skip(1);
    let mut found = Vec::new();
    while let (Some(block), Some(_prose)) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap();
        if languages.contains(&language) {
            found.push(text);
        }
    }
    found
}

/// Returns the commands of a page that start with `dubernetes`: in code blocks of shells, and in
/// running text.
fn commands(page: &str) -> Vec<String> {
    let scripts = blocks(page, &["sh"]).join("\n").replace("\\\n", " ");
    let sessions = blocks(page, &["console"]).join("\n");
    let typed = sessions.lines().filter_map(|line| line.strip_prefix("$ "));
    let parts = scripts.lines().chain(typed).flat_map(|line| line.split(['|', ';', '#', '>']));
    let quoted = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let words = parts.chain(quoted).map(str::trim).filter(|text| text.starts_with("dubernetes "));
    words.map(str::to_owned).collect()
}

/// Returns what the program says against a command, if anything. It prints help instead of running
/// the command, after it has read all flags before that.
fn problem(command: &str) -> Option<String> {
    let words = command.split_whitespace().skip(1).take_while(|word| *word != "--");
    let words = words.filter(|word| !word.contains('…')).map(|word| word.trim_matches('\''));
    let mut program = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    let output = program.args(words).arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(text)
}

#[test]
fn commands_have_flags_that_exist() {
    let mut count = 0;
    for (page, text) in pages() {
        for command in commands(&text) {
            if let Some(problem) = problem(&command) {
                panic!("{page}: `{command}`\n{problem}");
            }
            count += 1;
        }
    }
    assert!(count > 40, "only {count} commands were found");
    assert!(problem("dubernetes apply --no-such-flag").is_some());
}

#[test]
fn files_are_valid() {
    let mut count = 0;
    for (page, text) in pages() {
        for block in blocks(&text, &["yaml"]) {
            // A part of a file is shown alone.
            let is_whole = block.starts_with("name:");
            let head = if is_whole { "" } else { "name: web\nimage: web:1\n" };
            let source = Source { name: page.clone(), text: format!("{head}{block}").into() };
            if let Err(problems) = dubernetes_manifest::parse(&[source]) {
                panic!("{page}: {problems}");
            }
            count += 1;
        }
    }
    assert!(count > 8, "only {count} files were found");
}
