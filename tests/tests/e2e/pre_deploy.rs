//! The pre-deploy hook must succeed before a new revision replaces replicas.

use dubernetes_tests::checks::SOON;
use dubernetes_tests::{busybox, e2e};

const SERVE: &str = "mkdir -p /www; echo well > /www/index.html; exec httpd -f -p 80 -h /www";

#[test]
fn failed_pre_deploy_hook_replaces_nothing_and_is_reported() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = |n: u32, command: &str| {
            let hook = format!("pre_deploy: {{ command: [/bin/sh, -c, '{command}'] }}");
            let env = format!("env: {{ N: '{n}' }}\nrollout: {{ min_ready: 1ms }}");
            busybox("web", 2, SERVE).host("web.test").with(&env).with(&hook)
        };
        let first = s.apply(&web(1, "echo migrated to $N")).await;
        assert!(first.stderr.contains("| migrated to 1"), "{}", first.stderr);
        let old = s.container_ids("web").await;
        assert_eq!(old.len(), 2, "the hook's container is left: {old:?}");

        let failed = s.try_apply(&web(2, "echo table is locked; exit 3")).await.assert_code(1);
        for part in ["hook: exit code 3", "| table is locked", "still serving: revision 1, 2 of 2"]
        {
            assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
        }
        s.wait_for_replicas("web", 2, SOON).await;
        assert_eq!(s.container_ids("web").await, old);
        let history =
            s.run(&["rollout", "history", "web", "--revision", "2"]).await.assert_success().stdout;
        assert!(history.contains("table is locked"), "{history}");

        let second = s.apply(&web(3, "echo migrated to $N")).await;
        assert!(second.stderr.contains("| migrated to 3"), "{}", second.stderr);
        assert!(s.container_ids("web").await.is_disjoint(&old));
        let events = s.event_messages().await;
        let last = |reason: &str| events.iter().rposition(|(r, _)| r == reason).unwrap();
        let hook_done = last("PreDeployed");
        let is_replacement = |(reason, message): &(String, String)| {
            reason == "Stopped" && message.contains("replaced by revision")
        };
        let first_stop = events.iter().position(is_replacement).unwrap();
        assert!(hook_done < first_stop, "{events:?}");
    });
}
