//! Diagnostics of a failed scenario, and cleanup.
//!
//! Nothing here panics, because it runs while a failed test unwinds.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use dubernetes_core::app::InstanceName;
use dubernetes_core::labels::INSTANCE;

use crate::scenario::{SCENARIO, Scenario};

/// Number of log lines to print.
const LOG_LINES: usize = 60;

/// Prints everything that may explain a failure. The test runner shows it with the failed test.
#[expect(clippy::print_stderr, reason = "the test runner captures only the print macros")]
pub(crate) fn print_failure(scenario: &Scenario) {
    let mut text = format!("\n=== instance {} at the time of the failure\n", scenario.instance);
    for arguments in [
        &["status"][..],
        &["get", "apps"],
        &["get", "pods", "-o", "wide"],
        &["get", "routes", "-o", "wide"],
        &["get", "events", "-o", "wide"],
    ] {
        append_output(&mut text, scenario.command("dubernetes", arguments));
    }
    let plan = scenario.folder().join("files");
    let plan = plan.to_string_lossy();
    append_output(&mut text, scenario.command("dubernetes", &["plan", &plan]));
    let filter = format!("label={INSTANCE}={}", scenario.instance);
    append_output(&mut text, docker(&["ps", "-a", "--no-trunc", "--filter", &filter]));
    for name in output_lines(docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"])) {
        append_output(&mut text, docker(&["logs", "--tail", "10", &name]));
    }
    let conf = "/etc/nginx/dubernetes/current/nginx.conf";
    append_output(&mut text, docker(&["exec", &scenario.ingress(), "nginx", "-T", "-c", conf]));
    let log = std::fs::read_to_string(scenario.log()).unwrap_or_default();
    let log: Vec<_> = log.lines().collect();
    let tail = &log[log.len().saturating_sub(LOG_LINES)..];
    let _ = writeln!(text, "--- serve.log\n{}", tail.join("\n"));
    eprintln!("{text}");
}

/// How often to look for what a killed orchestrator's last call still creates.
const CLEAN_UPS: usize = 20;
/// Time between two looks. An engine finishes a call whose client is gone.
const CLEAN_UP_INTERVAL: Duration = Duration::from_millis(100);

/// Removes every container, network and volume of an instance, and what the test created besides.
pub(crate) fn clean_up(instance: &InstanceName) {
    let owned = format!("label={INSTANCE}={instance}");
    let created_by_test = format!("label={SCENARIO}={instance}");
    for _ in 0..CLEAN_UPS {
        let mut found = 0;
        for filter in [&owned, &created_by_test] {
            found += remove(&["ps", "-aq", "--filter", filter], &["rm", "-f"]);
        }
        found += remove_networks(&owned);
        if found == 0 {
            break;
        }
        std::thread::sleep(CLEAN_UP_INTERVAL);
    }
    remove(&["volume", "ls", "-q", "--filter", &owned], &["volume", "rm", "-f"]);
    // This only removes the tag if the image has another one.
    for tag in [format!("dubernetes-tests:{instance}"), format!("*/{instance}")] {
        let names = ["images", "--format", "{{.Repository}}:{{.Tag}}", &tag];
        remove(&names, &["rmi", "--no-prune"]);
    }
}

/// Removes the networks that match a filter, and returns how many there were. An engine may list an
/// endpoint of a container that it removed during its start; such an endpoint blocks the removal.
fn remove_networks(filter: &str) -> usize {
    let networks = output_lines(docker(&["network", "ls", "-q", "--filter", filter]));
    for network in &networks {
        let names = "{{range .Containers}}{{.Name}} {{end}}";
        let names = output_lines(docker(&["network", "inspect", "--format", names, network]));
        for name in names.iter().flat_map(|line| line.split_whitespace()) {
            run_silently(docker(&["network", "disconnect", "-f", network, name]));
        }
        run_silently(docker(&["network", "rm", network]));
    }
    networks.len()
}

/// Removes what the command `list` prints, and returns how many there were.
fn remove(list: &[&str], remove: &[&str]) -> usize {
    let found = output_lines(docker(list));
    if !found.is_empty() {
        let mut command = docker(remove);
        command.args(&found);
        run_silently(command);
    }
    found.len()
}

/// Runs a command and ignores its result: CI reports what is left on the engine.
fn run_silently(mut command: Command) {
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}

fn output_lines(mut command: Command) -> Vec<String> {
    let output = command.stderr(Stdio::null()).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
}

/// Appends a command line and its output.
fn append_output(text: &mut String, mut command: Command) {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let _ = writeln!(text, "--- {}", words.join(" "));
    match command.stdin(Stdio::null()).output() {
        Ok(output) => {
            text.push_str(&String::from_utf8_lossy(&output.stdout));
            text.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => {
            let _ = writeln!(text, "cannot run: {error}");
        }
    }
}
