//! A command that has to succeed before a new revision replaces anything.

use dubernetes_tests::checks::SOON;
use dubernetes_tests::{busybox, here};

const SERVE: &str = "mkdir -p /www; echo well > /www/index.html; exec httpd -f -p 80 -h /www";

#[test]
fn a_command_that_fails_replaces_nothing_and_says_why() {
    here!().run(async |s| {
        s.serve().await;
        let web = |n: u32, command: &str| {
            let before = format!("pre_deploy: {{ command: [/bin/sh, -c, '{command}'] }}");
            let env = format!("env: {{ N: '{n}' }}\nrollout: {{ min_ready: 1ms }}");
            busybox("web", 2, SERVE).host("web.test").with(&env).with(&before)
        };
        let first = s.apply(&web(1, "echo migrated to $N")).await;
        assert!(first.stderr.contains("| migrated to 1"), "{}", first.stderr);
        let old = s.ids("web").await;
        assert_eq!(old.len(), 2, "nothing is left of the command: {old:?}");

        let failed = s.try_apply(&web(2, "echo table is locked; exit 3")).await.fails(1);
        for part in
            ["pre_deploy: exit code 3", "| table is locked", "still serving: revision 1, 2 of 2"]
        {
            assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
        }
        s.settles("web", 2, SOON).await;
        assert_eq!(s.ids("web").await, old);
        let told = s.run(&["rollout", "history", "web", "--revision", "2"]).await.succeeds().stdout;
        assert!(told.contains("table is locked"), "{told}");

        let second = s.apply(&web(3, "echo migrated to $N")).await;
        assert!(second.stderr.contains("| migrated to 3"), "{}", second.stderr);
        assert!(s.ids("web").await.is_disjoint(&old));
        let events = s.events().await;
        let last = |reason: &str| events.iter().rposition(|(r, _)| r == reason).unwrap();
        let done = last("PreDeployed");
        let replaced = |(reason, message): &(String, String)| {
            reason == "Stopped" && message.contains("replaced by revision")
        };
        let first_stop = events.iter().position(replaced).unwrap();
        assert!(done < first_stop, "{events:?}");
    });
}
