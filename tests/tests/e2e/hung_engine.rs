//! A hung engine accepts connections and never answers. The orchestrator still answers commands.

use std::time::Duration;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::{Scenario, e2e, eventually, whoami};

/// Time limit for a command that needs no answer from the engine.
const IMMEDIATE: Duration = Duration::from_secs(2);

/// Asserts that read-only commands answer immediately, and returns the output of `status`.
async fn assert_reads_are_immediate(s: &Scenario) -> String {
    let mut output = String::new();
    for command in [&["get", "apps"][..], &["why", "web"], &["version"], &["status"]] {
        // The exit code of `status` tells whether the hang was detected yet.
        let result = s.run(command).await;
        assert!(result.code == Some(0) || command == ["status"], "{}", result.stderr);
        let took = result.took;
        assert!(took < IMMEDIATE, "`{}` took {took:?}\n{}", result.line, result.stdout);
        output = result.stdout;
    }
    output
}

#[test]
fn hung_engine_delays_no_command() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let ids = s.container_ids("web").await;

        proxy.set_hung(true);
        // Before the orchestrator has detected the hang, and after.
        let _ = assert_reads_are_immediate(s).await;
        let scaled = s.apply_detached(&whoami("web", 3).host("web.test")).await;
        assert!(scaled.took < IMMEDIATE, "{:?}", scaled.took);
        eventually("the status reports the hang", 2 * SOON, async || {
            let status = assert_reads_are_immediate(s).await;
            ensure(status.contains("the container engine timed out"), status)
        })
        .await;
        s.assert_served_by("web.test", "web").await;

        proxy.set_hung(false);
        s.wait_for_phase("web", "Ready", 2 * SOON).await;
        s.wait_for_replicas("web", 3, SOON).await;
        assert!(s.container_ids("web").await.is_superset(&ids), "a running replica was replaced");
        let status = s.run(&["status"]).await.assert_success().stdout;
        assert!(status.contains("(API "), "the engine is not identified:\n{status}");
    });
}
