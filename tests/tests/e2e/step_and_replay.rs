//! `up --step` asks before each action, and `replay` repeats the recorded decisions.

use dubernetes_tests::checks::SOON;
use dubernetes_tests::{e2e, whoami};

#[test]
fn step_mode_explains_each_step_and_apply_finishes_after_abort() {
    e2e!().run(async |s| {
        for (number, steps) in [0, 1, 4, 9].into_iter().enumerate() {
            let web = whoami("web", 2).host("web.test");
            let web = web.with(&format!("env: {{ TOKEN: hunter{number} }}"));
            let path = s.write_file("web.yaml", &web.to_string());
            // Confirm this many steps of an update of two replicas; then end of input aborts it.
            let input = "\n".repeat(steps);
            let stepped = s.run_with(&["up", "--step", &path], &input).await.assert_success();
            let shown = &stepped.stderr;
            assert!(!shown.contains(&format!("--- step {}\n", steps + 2)), "{shown}");
            for part in ["--- step 1\n", "desired   web: revision ", "\nrule      ", "\naction    "]
            {
                assert!(shown.contains(part), "{part:?} after {steps} steps: {shown}");
            }
            assert!(shown.contains(&format!("--- step {}\n", steps + 1)), "{shown}");
            s.apply(&web).await;
            s.wait_for_replicas("web", 2, SOON).await;
            s.wait_for_balance("web.test", 2).await;
        }

        let replayed = s.run(&["replay", "--last", "500"]).await.assert_success();
        let decisions = replayed.stdout.matches("same as recorded\n").count();
        assert!(decisions > 20, "{}", replayed.stdout);
        for part in ["app web rev=4", "stop     web-", "create   web-", "route    web.test web-"] {
            assert!(replayed.stdout.contains(part), "{part:?}: {}", replayed.stdout);
        }
        let journal = std::fs::read_to_string(s.state_dir().join("decisions.ndjson")).unwrap();
        assert!(journal.contains("\"TOKEN\":\"masked "), "{journal}");
        assert!(!journal.contains("hunter") && !replayed.stdout.contains("hunter"), "{journal}");
        let last = s.run(&["replay", "--at", "0s"]).await.assert_success();
        assert!(replayed.stdout.ends_with(last.stdout.split_once('\n').unwrap().1));
    });
}
