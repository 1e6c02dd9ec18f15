//! The end of a scenario: what is told of a failed one, and how everything of it goes.
//!
//! Nothing here panics: it runs while a failed test unwinds.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use dubernetes_core::app::InstanceName;
use dubernetes_core::labels::INSTANCE;

use crate::scenario::{SCENARIO, Scenario};

/// So many of the last lines of a log are shown.
const LINES: usize = 60;

/// Tells all that may explain a failure. The test runner shows it with the failed test.
#[expect(clippy::print_stderr, reason = "only this way the test runner takes it for the test's")]
pub(crate) fn failure(scenario: &Scenario) {
    let mut text = format!("\n=== the instance {} when it failed\n", scenario.instance);
    for arguments in [
        &["status"][..],
        &["get", "apps"],
        &["get", "pods", "-o", "wide"],
        &["get", "routes", "-o", "wide"],
        &["get", "events", "-o", "wide"],
    ] {
        section(&mut text, scenario.command("dubernetes", arguments));
    }
    let plan = scenario.folder().join("files");
    let plan = plan.to_string_lossy();
    section(&mut text, scenario.command("dubernetes", &["plan", &plan]));
    let filter = format!("label={INSTANCE}={}", scenario.instance);
    section(&mut text, docker(&["ps", "-a", "--no-trunc", "--filter", &filter]));
    for name in lines(docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"])) {
        section(&mut text, docker(&["logs", "--tail", "10", &name]));
    }
    let conf = "/etc/nginx/dubernetes/current/nginx.conf";
    section(&mut text, docker(&["exec", &scenario.ingress(), "nginx", "-T", "-c", conf]));
    let log = std::fs::read_to_string(scenario.log()).unwrap_or_default();
    let log: Vec<_> = log.lines().collect();
    let tail = &log[log.len().saturating_sub(LINES)..];
    let _ = writeln!(text, "--- serve.log\n{}", tail.join("\n"));
    eprintln!("{text}");
}

/// Removes every container, network and volume of an instance, and what was made beside it.
pub(crate) fn clean_up(instance: &InstanceName) {
    let own = format!("label={INSTANCE}={instance}");
    let beside = format!("label={SCENARIO}={instance}");
    for filter in [&own, &beside] {
        remove(&["ps", "-aq", "--filter", filter], &["rm", "-f"]);
    }
    remove(&["network", "ls", "-q", "--filter", &own], &["network", "rm"]);
    remove(&["volume", "ls", "-q", "--filter", &own], &["volume", "rm", "-f"]);
    // Only the name goes, of an image that has another one.
    for tag in [format!("dubernetes-tests:{instance}"), format!("*/{instance}")] {
        let names = ["images", "--format", "{{.Repository}}:{{.Tag}}", &tag];
        remove(&names, &["rmi", "--no-prune"]);
    }
}

fn remove(list: &[&str], remove: &[&str]) {
    let found = lines(docker(list));
    if !found.is_empty() {
        let mut command = docker(remove);
        // What cannot be removed is seen on the engine; a failed test has said enough.
        let _ = command.args(found).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}

fn lines(mut command: Command) -> Vec<String> {
    let output = command.stderr(Stdio::null()).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
}

/// What a command says, under its own line.
fn section(text: &mut String, mut command: Command) {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let _ = writeln!(text, "--- {}", words.join(" "));
    match command.stdin(Stdio::null()).output() {
        Ok(output) => {
            text.push_str(&String::from_utf8_lossy(&output.stdout));
            text.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => {
            let _ = writeln!(text, "cannot be run: {error}");
        }
    }
}
