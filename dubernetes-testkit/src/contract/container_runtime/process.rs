//! What a container's own process is given, and what is known of its end.

use std::time::Duration;

use dubernetes_core::app::{Memory, Secret, User};
use dubernetes_core::runtime::{ContainerState, Exit};

use super::harness::{ContractHarness, POLL_INTERVAL, is_rejected, must_fail, words};

/// How long after an exit a lack of memory may still be reported: Docker learns of it in an event
/// of its own.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// Texts that a shell, an engine's API or a line of a file could change.
const TEXTS: [&str; 6] = ["plain", "", "two words", "a=b\nc", "\"$HOME\" 'x' \\ %s", "ü*"];

pub(super) async fn exit_code_is_kept(harness: &ContractHarness<'_>) {
    for code in [0, 7, 255] {
        let request = harness.script(&format!("exits-{code}"), &format!("exit {code}"));
        let id = harness.launch(&request).await;
        assert_eq!(harness.exit_code(&id).await, code, "the exit code is that of the process");
        let state = harness.inspect(&id).await.state;
        let is_lack = matches!(state, ContainerState::Exited(Exit { out_of_memory: true, .. }));
        assert!(!is_lack, "an exit is not reported as a lack of memory; seen: {state:?}");
        harness.remove(&id).await;
    }
}

pub(super) async fn environment_arrives(harness: &ContractHarness<'_>) {
    let mut request = harness.script("environment", &print_variables());
    for (at, text) in TEXTS.into_iter().enumerate() {
        request.env.insert(format!("TEXT_{at}"), text.to_owned());
    }
    assert_eq!(harness.run_script(&request).await, (0, expected()), "variables arrive");
}

pub(super) async fn secret_environment_arrives(harness: &ContractHarness<'_>) {
    let mut request = harness.script("secret-environment", &print_variables());
    for (at, text) in TEXTS.into_iter().enumerate() {
        request.secret_env.insert(format!("TEXT_{at}"), Secret::new(text));
    }
    assert_eq!(harness.run_script(&request).await, (0, expected()), "secret variables arrive");
}

/// Prints each variable, and that it is set.
fn print_variables() -> String {
    let variable = |at| format!(" \"${{TEXT_{at}-not set}}\"");
    format!("printf '<%s>\\n'{}", (0..TEXTS.len()).map(variable).collect::<String>())
}

fn expected() -> String {
    TEXTS.map(|text| format!("<{text}>\n")).concat()
}

pub(super) async fn arguments_follow_the_command(harness: &ContractHarness<'_>) {
    let mut request = harness.script("arguments", "printf '<%s>\\n' \"$@\"");
    // The script is followed by its own name, and by its arguments.
    request.args.push("script".to_owned());
    request.args.extend(TEXTS.map(str::to_owned));
    assert_eq!(harness.run_script(&request).await, (0, expected()), "arguments arrive");
}

pub(super) async fn host_name_is_set(harness: &ContractHarness<'_>) {
    let printed = harness.run_script(&harness.script("own-host-name", "uname -n")).await;
    assert_eq!(printed, (0, "own-host-name\n".to_owned()), "the host name is that of the request");
}

pub(super) async fn process_runs_as_user(harness: &ContractHarness<'_>) {
    let mut request = harness.script("own-user", "id -u; id -g");
    request.options.user = User::parse("1234:5678").ok();
    let printed = harness.run_script(&request).await;
    assert_eq!(printed, (0, "1234\n5678\n".to_owned()), "user and group are those of the request");
}

/// Passes where the planner chooses addresses.
pub(super) async fn chosen_port_is_passed_on(harness: &ContractHarness<'_>) {
    if harness.network.is_some() {
        return;
    }
    let mut request = harness.script("own-port", "echo $PORT; exec sleep 86400");
    request.env.insert("PORT".to_owned(), "1".to_owned());
    let id = harness.start(&request).await;
    let Some(endpoint) = harness.inspect(&id).await.endpoint else {
        panic!("a running container has an endpoint")
    };
    harness.wait_for_line(&request, &id, &endpoint.port().to_string()).await;
    harness.remove(&id).await;
}

pub(super) async fn unknown_command_fails_the_start(harness: &ContractHarness<'_>) {
    let mut request = harness.request("unknown-command");
    request.command = words(&["/no/such/command"]);
    let id = harness.create(&request).await;
    // Some engines notice at the start, others when the process fails afterwards.
    if let Err(error) = harness.runtime.start(&id).await {
        must_fail("a failed start is `rejected`", Err::<(), _>(error), is_rejected);
    }
    harness.wait_for(&id, "shows its failed start", has_failed).await;
    harness.remove(&id).await;
}

fn has_failed(state: &ContainerState) -> bool {
    matches!(
        state,
        ContainerState::StartFailed { code: 126..=128, .. }
            | ContainerState::Exited(Exit { code: 126..=128, .. })
    )
}

pub(super) async fn failed_container_is_listed_and_removed(harness: &ContractHarness<'_>) {
    let mut request = harness.request("fails");
    request.command = words(&["/no/such/command"]);
    let id = harness.create(&request).await;
    // Either answer is right, see the check before.
    let _ = harness.runtime.start(&id).await;
    let failed = harness.wait_for(&id, "shows its failed start", has_failed).await;
    assert_eq!(failed.endpoint, None, "a container that does not run has no endpoint");
    assert_eq!(harness.list().await, [failed], "the failed container is listed");
    harness.remove(&id).await;
    assert_eq!(harness.list().await, [], "it can be removed");
}

pub(super) async fn lack_of_memory_is_reported(harness: &ContractHarness<'_>) {
    // A busy Docker now and then loses the event that says so.
    for name in ["greedy-1", "greedy-2", "greedy-3"] {
        if reports_lack_of_memory(harness, name).await {
            return;
        }
    }
    panic!("the lack of memory is reported, at least once in three times");
}

async fn reports_lack_of_memory(harness: &ContractHarness<'_>, name: &str) -> bool {
    let mut request = harness.script(name, "x=a; while :; do x=$x$x; done");
    request.resources.memory = Memory::parse("8Mi").ok();
    let id = harness.launch(&request).await;
    assert_eq!(harness.exit_code(&id).await, 137, "the process is killed");
    let is_reported = |state: &ContainerState| {
        matches!(state, ContainerState::Exited(Exit { out_of_memory: true, .. }))
    };
    let reported = async {
        while !is_reported(&harness.inspect(&id).await.state) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let reported = tokio::time::timeout(REPORT_LIMIT, reported).await.is_ok();
    harness.remove(&id).await;
    reported
}
