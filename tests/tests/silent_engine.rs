//! An engine that hangs takes connections and answers nothing. Who asks the orchestrator is
//! answered all the same.

use std::time::Duration;

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::{Scenario, eventually, here, whoami};

/// What no answer of a command may take.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Commands that look are answered at once; what `status` says.
async fn looks_are_answered(s: &Scenario) -> String {
    let mut said = String::new();
    for command in [&["get", "apps"][..], &["why", "web"], &["version"], &["status"]] {
        let ran = s.run(command).await.succeeds();
        assert!(ran.took < AT_ONCE, "`{}` took {:?}\n{}", ran.line, ran.took, ran.stdout);
        said = ran.stdout;
    }
    said
}

#[test]
fn an_engine_that_hangs_delays_no_answer() {
    here!().run(async |s| {
        let door = s.through_a_door().await;
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let ids = s.ids("web").await;

        door.set_silent(true);
        // Before anybody has noticed, and afterwards.
        let _ = looks_are_answered(s).await;
        let more = s.apply_detached(&whoami("web", 3).host("web.test")).await;
        assert!(more.took < AT_ONCE, "{:?}", more.took);
        eventually("the status tells it", 2 * SOON, async || {
            let status = looks_are_answered(s).await;
            expect(status.contains("did not finish in time"), status)
        })
        .await;
        s.answers("web.test", "web").await;

        door.set_silent(false);
        s.is_in("Ready", "web", 2 * SOON).await;
        s.settles("web", 3, SOON).await;
        assert!(s.ids("web").await.is_superset(&ids), "nothing that ran was touched");
        let status = s.run(&["status"]).await.succeeds().stdout;
        assert!(status.contains("(API "), "who the engine is, is known again:\n{status}");
    });
}
