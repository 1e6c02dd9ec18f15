//! Runs the program and the engine's command line, as users run them.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Time limit for a command, longer than any command that a test runs.
const LIMIT: Duration = Duration::from_secs(120);

/// Result of a finished command.
#[derive(Debug)]
pub struct CommandResult {
    /// Command line.
    pub line: String,
    /// Exit code; `None` if a signal ended the command.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Duration of the run.
    pub took: Duration,
}

impl CommandResult {
    /// Asserts exit code 0.
    ///
    /// # Panics
    ///
    /// If the command failed.
    #[track_caller]
    #[must_use = "inspect the output, or discard it with `let _ =`"]
    pub fn assert_success(self) -> Self {
        self.assert_code(0)
    }

    /// Asserts this exit code.
    ///
    /// # Panics
    ///
    /// If the exit code differs.
    #[track_caller]
    #[must_use = "inspect the output, or discard it with `let _ =`"]
    pub fn assert_code(self, code: i32) -> Self {
        let Self { line, stdout, stderr, took, .. } = &self;
        let found = self.code;
        assert!(
            found == Some(code),
            "`{line}` ended with {found:?}, not {code}, after {took:?}\n{stdout}{stderr}"
        );
        self
    }

    /// Parses standard output as JSON.
    ///
    /// # Panics
    ///
    /// If the output is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("`{}` wrote no JSON: {error}\n{}", self.line, self.stdout),
        }
    }

    /// Returns the words of each line of standard output.
    pub fn table(&self) -> Vec<Vec<&str>> {
        self.stdout.lines().map(|line| line.split_whitespace().collect()).collect()
    }
}

/// Runs a command to completion, with `input` on its standard input.
pub async fn run(mut command: Command, line: String, input: &str) -> CommandResult {
    let start = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let write = async move {
        // The command may exit without reading its input.
        let _ = stdin.write_all(input.as_bytes()).await;
    };
    let completed = async { tokio::join!(write, child.wait_with_output()).1 };
    let Ok(output) = tokio::time::timeout(LIMIT, completed).await else {
        panic!("`{line}` did not end within {LIMIT:?}");
    };
    let Output { status, stdout, stderr } = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let stdout = text(stdout);
    let stderr = text(stderr);
    CommandResult { line, code: status.code(), stdout, stderr, took: start.elapsed() }
}

/// Runs the engine's own command and returns its output.
///
/// # Panics
///
/// If the command fails.
pub async fn docker(arguments: &[&str]) -> String {
    try_docker(arguments).await.assert_success().stdout.trim_end().to_owned()
}

/// Runs the engine's own command.
pub async fn try_docker(arguments: &[&str]) -> CommandResult {
    let mut command = Command::new("docker");
    command.args(arguments);
    run(command, format!("docker {}", arguments.join(" ")), "").await
}
