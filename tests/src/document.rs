//! The transcripts of a document, run as a reader would run them, each command after the other.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use regex::Regex;
use snapbox::Assert;
use tokio::process::Command;

use crate::eventually;
use crate::program::run;
use crate::scenario::Scenario;

/// Where the documents and what they speak of stand.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The port that the documents choose.
const PORT: &str = "8080";

/// A command of a document, and what the document says comes of it.
#[derive(Debug)]
pub struct Shown {
    /// What is typed.
    pub command: String,
    /// What is then to be read; empty where the document does not show it.
    output: String,
}

impl Shown {
    /// Whether this runs beside what follows.
    fn serves(&self) -> bool {
        self.command.starts_with("dubernetes serve")
    }
}

/// The text of a document of the repository.
///
/// # Panics
///
/// If there is none.
pub fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(CHECKOUT).join(name)).unwrap()
}

/// What stands in the blocks of this language.
///
/// # Panics
///
/// If one has no end.
pub fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

/// The commands of a document, but for the blocks in which cargo builds and runs all this.
///
/// # Panics
///
/// If a block does not begin with a command.
pub fn commands(text: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for block in blocks(text, "console").iter().filter(|block| !block.starts_with("$ cargo ")) {
        assert!(block.starts_with("$ "), "{block}");
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                all.push(Shown { command: command.to_owned(), output: String::new() });
            } else if let Some(shown) = all.last_mut() {
                shown.output.push_str(line);
                shown.output.push('\n');
            }
        }
    }
    all
}

/// A reader with a checkout of the examples, at whose prompt `dubernetes` means the one under test.
#[derive(Debug)]
pub struct Reader<'a> {
    scenario: &'a Scenario,
    folder: PathBuf,
}

impl<'a> Reader<'a> {
    /// A reader of that scenario.
    ///
    /// # Panics
    ///
    /// If the examples cannot be copied.
    pub fn new(scenario: &'a Scenario) -> Self {
        let folder = scenario.folder().join("reader");
        for name in ["dubernetes", "dubectl"] {
            let link = folder.join("bin").join(name);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(scenario.program(), link).unwrap();
        }
        copy(&Path::new(CHECKOUT).join("examples"), &folder.join("examples"));
        Self { scenario, folder }
    }

    /// Writes a file into the reader's folder.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn writes(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    /// Types a command of a document and reads what the document says.
    ///
    /// # Panics
    ///
    /// If it is not so.
    pub async fn types(&self, shown: &Shown) {
        if shown.serves() {
            return self.serves(shown).await;
        }
        // The scenario has chosen a port already.
        if shown.command.starts_with("export DUBERNETES_HTTP_PORT=") {
            return;
        }
        let instance = format!("dubernetes.{}.", self.scenario.instance);
        let line = shown.command.replace("dubernetes.default.", &instance);
        let line = line.replace(PORT, &self.scenario.port.to_string());
        let ran = run(self.shell(&line), line.clone(), "").await;
        let fails = shown.output.lines().any(|line| line.starts_with("error: "));
        assert_eq!(ran.code, Some(i32::from(fails)), "`{line}`\n{}", ran.stdout);
        if !shown.output.is_empty() {
            self.compare(&shown.command, &shown.output, &ran.stdout);
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
        // A reader sees both outputs as one.
        command.args(["-c", &format!("exec 2>&1\n{line}")]).current_dir(&self.folder);
        command.stderr(Stdio::null());
        Command::from(command)
    }

    async fn serves(&self, shown: &Shown) {
        self.scenario.serve().await;
        let Some(first) = shown.output.lines().next() else { return };
        let ready = eventually("the first line", crate::checks::SOON, async || {
            let log = std::fs::read_to_string(self.scenario.log()).unwrap();
            let line = log.lines().find(|line| line.contains("is ready:"));
            line.map(str::to_owned).ok_or(log)
        })
        .await;
        self.compare(&shown.command, first, &ready);
    }

    /// Compares line by line, but for what is another one in each run; a line of `...` stands
    /// for any lines.
    fn compare(&self, command: &str, expected: &str, found: &str) {
        let socket = self.scenario.state_dir().join("dubernetes.sock");
        let found = found
            .replace(socket.to_str().unwrap(), "/run/dubernetes/dubernetes.sock")
            .replace(self.scenario.instance.as_str(), "default")
            .replace(&self.scenario.port.to_string(), PORT);
        let text = |output: &str| format!("$ {command}\n{}", steady(output));
        Assert::new().eq(text(&found), text(expected));
    }
}

/// The text without times, digests of images, the width of columns, and which of equal replicas
/// is the first one.
fn steady(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, steady) in [
        (r"(?m)^( +[0-9.]+s +\w+ +\w+)-\d+", "$1-N"),
        (r"(Replica: \w+)-\d+", "$1-N"),
        (r"\b[0-9]+(\.[0-9]+)?(ms|s|m|h)\b", "TIME"),
        (r"\b[0-9a-f]{12}\b", "DIGEST"),
        (r"\b(complete|stable)\b", "GOOD"),
        (r" +", " "),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, steady).into_owned();
    }
    text
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}
