//! `--step` shows one action at a time, and `replay` makes the decisions of it again.

use dubernetes_tests::checks::SOON;
use dubernetes_tests::{here, whoami};

/// An update of two replicas, left after some of its steps: a plain apply brings it to its end.
#[test]
fn each_step_is_explained_and_from_every_abort_an_apply_converges() {
    here!().run(async |s| {
        for (number, steps) in [0, 1, 4, 9].into_iter().enumerate() {
            let web = whoami("web", 2).host("web.test");
            let web = web.with(&format!("env: {{ TOKEN: hunter{number} }}"));
            let path = s.file("web.yaml", &web.to_string());
            let input = "\n".repeat(steps);
            let stepped = s.run_with(&["up", "--step", &path], &input).await.succeeds();
            let shown = &stepped.stderr;
            assert!(!shown.contains(&format!("--- step {}\n", steps + 2)), "{shown}");
            for part in ["--- step 1\n", "desired   web: revision ", "\nrule      ", "\naction    "]
            {
                assert!(shown.contains(part), "{part:?} after {steps} steps: {shown}");
            }
            assert!(shown.contains(&format!("--- step {}\n", steps + 1)), "{shown}");
            s.apply(&web).await;
            s.settles("web", 2, SOON).await;
            s.share_evenly("web.test", 2).await;
        }

        let replayed = s.run(&["replay", "--last", "500"]).await.succeeds();
        let decisions = replayed.stdout.matches("the same as then\n").count();
        assert!(decisions > 20, "{}", replayed.stdout);
        for part in ["app web rev=4", "stop     web-", "create   web-", "route    web.test web-"] {
            assert!(replayed.stdout.contains(part), "{part:?}: {}", replayed.stdout);
        }
        let kept = std::fs::read_to_string(s.state_dir().join("decisions.ndjson")).unwrap();
        assert!(kept.contains("\"TOKEN\":\"masked "), "{kept}");
        assert!(!kept.contains("hunter") && !replayed.stdout.contains("hunter"), "{kept}");
        let last = s.run(&["replay", "--at", "0s"]).await.succeeds();
        assert!(replayed.stdout.ends_with(last.stdout.split_once('\n').unwrap().1));
    });
}
