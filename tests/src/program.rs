//! The program and the engine's command, run as people run them.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// No command of a test takes as long.
const LIMIT: Duration = Duration::from_secs(120);

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// What was typed.
    pub line: String,
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Ran {
    /// It succeeded.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[track_caller]
    #[must_use = "what it wrote may be of interest; `let _ =` says that it is not"]
    pub fn succeeds(self) -> Self {
        self.fails(0)
    }

    /// It ended with this code.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[track_caller]
    #[must_use = "what it wrote may be of interest; `let _ =` says that it is not"]
    pub fn fails(self, code: i32) -> Self {
        let Self { line, stdout, stderr, took, .. } = &self;
        let found = self.code;
        assert!(
            found == Some(code),
            "`{line}` ended with {found:?}, not {code}, after {took:?}\n{stdout}{stderr}"
        );
        self
    }

    /// What it wrote is JSON.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("`{}` wrote no JSON: {error}\n{}", self.line, self.stdout),
        }
    }

    /// The words of each line on standard output.
    pub fn table(&self) -> Vec<Vec<&str>> {
        self.stdout.lines().map(|line| line.split_whitespace().collect()).collect()
    }
}

/// Runs a command to its end, with `input` on its standard input.
pub(crate) async fn run(mut command: Command, line: String, input: &str) -> Ran {
    let start = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let write = async move {
        // A command that does not read it is free to end before.
        let _ = stdin.write_all(input.as_bytes()).await;
    };
    let both = async { tokio::join!(write, child.wait_with_output()).1 };
    let Ok(output) = tokio::time::timeout(LIMIT, both).await else {
        panic!("`{line}` did not end within {LIMIT:?}");
    };
    let Output { status, stdout, stderr } = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(stdout), text(stderr));
    Ran { line, code: status.code(), stdout, stderr, took: start.elapsed() }
}

/// Runs the engine's own command; it succeeds.
///
/// # Panics
///
/// If it does not.
pub async fn docker(arguments: &[&str]) -> String {
    let mut command = Command::new("docker");
    command.args(arguments);
    let ran = run(command, format!("docker {}", arguments.join(" ")), "").await;
    ran.succeeds().stdout.trim_end().to_owned()
}
