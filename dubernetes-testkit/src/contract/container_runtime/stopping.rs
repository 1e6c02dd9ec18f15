//! Signals, and how a container stops.

use dubernetes_core::app::{Duration, Signal};
use dubernetes_core::runtime::{ContainerId, ContainerRequest, RuntimeError};

use super::harness::{ContractHarness, GRACE, must};

/// Starts a script, and waits until it has set its traps.
async fn start(
    harness: &ContractHarness<'_>,
    name: &str,
    traps: &str,
    signal: Option<Signal>,
) -> (ContainerRequest, ContainerId) {
    let script = format!("{traps}; echo ready; while :; do sleep 0.1; done");
    let request = ContainerRequest { stop_signal: signal, ..harness.script(name, &script) };
    let id = harness.launch(&request).await;
    harness.wait_for_line(&request, &id, "ready").await;
    (request, id)
}

pub(super) async fn stop_keeps_the_grace_period(harness: &ContractHarness<'_>) {
    let slow = "trap 'sleep 1; echo done; exit 9' TERM";
    let (request, id) = start(harness, "polite", slow, None).await;
    harness.stop(&id, Some(Signal::SigTerm), GRACE).await;
    assert_eq!(harness.exit_code(&id).await, 9, "a process that takes a second is not killed");
    let printed = harness.printed(&request, &id).await;
    assert!(printed.ends_with("done\n"), "the process has ended itself; seen: {printed:?}");
    harness.remove(&id).await;
}

pub(super) async fn stop_kills_after_the_grace_period(harness: &ContractHarness<'_>) {
    let (_, id) = start(harness, "stubborn", "trap '' TERM", None).await;
    harness.stop(&id, Some(Signal::SigTerm), Duration::from_secs(1)).await;
    assert_eq!(harness.exit_code(&id).await, 137, "a process that goes on is killed");
    harness.remove(&id).await;
}

const TRAPS: &str = "trap 'exit 3' INT; trap 'exit 4' TERM; trap 'exit 5' HUP; trap 'exit 6' USR1";

pub(super) async fn stop_sends_the_given_signal(harness: &ContractHarness<'_>) {
    for (name, signal, code) in [
        ("given-int", Signal::SigInt, 3),
        ("given-term", Signal::SigTerm, 4),
        ("given-hup", Signal::SigHup, 5),
    ] {
        let (_, id) = start(harness, name, TRAPS, Some(Signal::SigUsr1)).await;
        harness.stop(&id, Some(signal), GRACE).await;
        assert_eq!(harness.exit_code(&id).await, code, "the process gets {signal:?}");
        harness.remove(&id).await;
    }
}

pub(super) async fn stop_sends_the_signal_of_the_request(harness: &ContractHarness<'_>) {
    for (name, signal, code) in [("own-hup", Signal::SigHup, 5), ("own-usr1", Signal::SigUsr1, 6)] {
        let (_, id) = start(harness, name, TRAPS, Some(signal)).await;
        harness.stop(&id, None, GRACE).await;
        assert_eq!(harness.exit_code(&id).await, code, "the process gets {signal:?}");
        harness.remove(&id).await;
    }
}

/// Passes where the runtime has no signals.
pub(super) async fn signal_reaches_the_process(harness: &ContractHarness<'_>) {
    let traps = "trap 'echo got USR1' USR1; trap 'exit 5' HUP";
    let (request, id) = start(harness, "signalled", traps, None).await;
    let sent = harness.runtime.signal(&id, Signal::SigUsr1).await;
    if !matches!(sent, Err(RuntimeError::Unsupported { .. })) {
        must("send a signal", sent);
        harness.wait_for_line(&request, &id, "got USR1").await;
        must("send another signal", harness.runtime.signal(&id, Signal::SigHup).await);
        assert_eq!(harness.exit_code(&id).await, 5, "the process gets the other signal");
    }
    harness.remove(&id).await;
}
