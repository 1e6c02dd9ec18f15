//! Runs the commands in the transcripts of a document in order, and compares their output.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use regex::Regex;
use snapbox::Assert;
use tokio::process::Command;

use crate::eventually;
use crate::program::run;
use crate::scenario::Scenario;

/// Root of the repository.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Ingress port in the documents.
const PORT: &str = "8080";

/// A command in a document, with the output that the document shows.
#[derive(Debug)]
pub struct DocumentedCommand {
    /// Command line.
    pub command: String,
    /// Expected output; empty if the document shows none.
    output: String,
}

impl DocumentedCommand {
    /// Whether the command keeps running in the background.
    fn is_serve(&self) -> bool {
        self.command.starts_with("dubernetes serve")
    }
}

/// Returns the text of a file of the repository.
///
/// # Panics
///
/// If the file cannot be read.
pub fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(CHECKOUT).join(name)).unwrap()
}

/// Returns the contents of the code blocks in `language`.
///
/// # Panics
///
/// If a code block is not closed.
pub fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

/// Returns the commands of a document's `console` blocks, except blocks that start with cargo.
///
/// # Panics
///
/// If a block does not start with a command.
pub fn commands(text: &str) -> Vec<DocumentedCommand> {
    let mut all: Vec<DocumentedCommand> = Vec::new();
    for block in blocks(text, "console").iter().filter(|block| !block.starts_with("$ cargo ")) {
        assert!(block.starts_with("$ "), "{block}");
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                all.push(DocumentedCommand { command: command.to_owned(), output: String::new() });
            } else if let Some(last) = all.last_mut() {
                last.output.push_str(line);
                last.output.push('\n');
            }
        }
    }
    all
}

/// A shell session in a folder with a copy of the examples, where `dubernetes` is the program under
/// test.
#[derive(Debug)]
pub struct Session<'a> {
    scenario: &'a Scenario,
    folder: PathBuf,
}

impl<'a> Session<'a> {
    /// Creates a session for a scenario.
    ///
    /// # Panics
    ///
    /// If the examples cannot be copied.
    pub fn new(scenario: &'a Scenario) -> Self {
        let folder = scenario.folder().join("session");
        for name in ["dubernetes", "dubectl"] {
            let link = folder.join("bin").join(name);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(scenario.program(), link).unwrap();
        }
        copy(&Path::new(CHECKOUT).join("examples"), &folder.join("examples"));
        Self { scenario, folder }
    }

    /// Writes a file into the session's folder.
    ///
    /// # Panics
    ///
    /// If writing fails.
    pub fn write_file(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    /// Runs a command of a document and asserts the documented output and success or failure.
    ///
    /// # Panics
    ///
    /// If output or exit code differ.
    pub async fn run(&self, documented: &DocumentedCommand) {
        if documented.is_serve() {
            return self.serve(documented).await;
        }
        // The scenario has chosen a port already.
        if documented.command.starts_with("export DUBERNETES_HTTP_PORT=") {
            return;
        }
        let instance = format!("dubernetes.{}.", self.scenario.instance);
        let line = documented.command.replace("dubernetes.default.", &instance);
        let line = line.replace(PORT, &self.scenario.port.to_string());
        let result = run(self.shell(&line), line.clone(), "").await;
        let fails = documented.output.lines().any(|line| line.starts_with("error: "));
        assert_eq!(result.code, Some(i32::from(fails)), "`{line}`\n{}", result.stdout);
        if !documented.output.is_empty() {
            self.assert_output(&documented.command, &documented.output, &result.stdout);
        }
    }

    fn shell(&self, line: &str) -> Command {
        let environment = self.scenario.command("dubernetes", &[]);
        let mut command = std::process::Command::new("sh");
        for (name, value) in environment.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        // A terminal shows both outputs as one.
        command.args(["-c", &format!("exec 2>&1\n{line}")]).current_dir(&self.folder);
        command.stderr(Stdio::null());
        Command::from(command)
    }

    async fn serve(&self, documented: &DocumentedCommand) {
        self.scenario.serve().await;
        let Some(first) = documented.output.lines().next() else { return };
        let ready = eventually("the first line", crate::checks::SOON, async || {
            let log = std::fs::read_to_string(self.scenario.log()).unwrap();
            let line = log.lines().find(|line| line.contains("is ready:"));
            line.map(str::to_owned).ok_or(log)
        })
        .await;
        self.assert_output(&documented.command, first, &ready);
    }

    /// Compares output line by line after [`normalize`]. A line `...` matches any lines.
    fn assert_output(&self, command: &str, expected: &str, actual: &str) {
        let socket = self.scenario.state_dir().join("dubernetes.sock");
        let actual = actual
            .replace(socket.to_str().unwrap(), "/run/dubernetes/dubernetes.sock")
            .replace(self.scenario.instance.as_str(), "default")
            .replace(&self.scenario.port.to_string(), PORT);
        let text = |output: &str| format!("$ {command}\n{}", normalize(output));
        Assert::new().eq(text(&actual), text(expected));
    }
}

/// Replaces what differs between runs: times, digests of images, column widths, and which of equal
/// replicas comes first.
fn normalize(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, replacement) in [
        (r"(?m)^( +[0-9.]+s +\w+ +\w+)-\d+", "$1-N"),
        (r"(Replica: \w+)-\d+", "$1-N"),
        (r"\b[0-9]+(\.[0-9]+)?(ms|s|m|h)\b", "TIME"),
        (r"\b[0-9a-f]{12}\b", "DIGEST"),
        (r"\b(complete|stable)\b", "GOOD"),
        (r" +", " "),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, replacement).into_owned();
    }
    text
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let from = entry.as_ref().unwrap().path();
        let to = to.join(entry.unwrap().file_name());
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}
