//! Several machines: the engines of a swarm, updates without a lost request, and lost nodes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_docker::DockerRuntime;
use dubernetes_swarm::SwarmRuntime;
use dubernetes_testkit::contract::container_runtime::{Facts, RuntimeSubject};
use dubernetes_testkit::contract::run_all;
use dubernetes_tests::checks::ensure;
use dubernetes_tests::load::{Load, print_line};
use dubernetes_tests::manifest::{BUSYBOX, WHOAMI};
use dubernetes_tests::sshd::Sshd;
use dubernetes_tests::swarm::Swarm;
use dubernetes_tests::{Scenario, busybox, e2e, eventually, whoami};

/// Checks of the contract that run side by side.
const LANES: usize = 3;
/// How long a change of nodes may take: Swarm gives a node up after 15 s.
const LONG: Duration = Duration::from_secs(90);

fn runtime(swarm: &Swarm) -> SwarmRuntime {
    let manager = DockerRuntime::new(Some(&swarm.host(1))).unwrap();
    let workers = [2, 3].map(|number| (swarm.name(number), swarm.host(number)));
    let runtime = SwarmRuntime::new(manager);
    workers.iter().fold(runtime, |runtime, (name, host)| runtime.with_node(name, host).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn swarm_passes_the_runtime_contract() {
    let Some(swarm) = Swarm::start("swarm_passes_the_runtime_contract", 3, &[BUSYBOX]) else {
        return;
    };
    let subjects: Vec<_> = (0..LANES).map(|lane| subject(&swarm, lane)).collect();
    let report = run_all(&subjects, "").await;
    report.assert_passed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance/swarm.json");
    report.assert_golden(&page);
}

fn subject(swarm: &Swarm, lane: usize) -> RuntimeSubject {
    let instance = |name| InstanceName::parse(&format!("t-swarm-{name}{lane}")).unwrap();
    let facts = Facts {
        instance: instance("a"),
        other_instance: instance("b"),
        image: ImageRef::parse(BUSYBOX).unwrap().into(),
        missing_image: ImageRef::parse("localhost:1/no/such/image:1").unwrap().into(),
        real_commands: true,
        folder: "/contract".to_owned(),
        // Its containers are not reached from this process.
        web_server: None,
        volume: Some(format!("t-swarm-volume{lane}")),
    };
    let (one, second) = (Arc::new(runtime(swarm)), Arc::new(runtime(swarm)));
    RuntimeSubject { runtime: one, second: Some(second), facts }
}

/// Starts a swarm, and the scenario's orchestrator on its manager.
async fn serve(s: &Scenario, test: &str) -> Option<Swarm> {
    let swarm = Swarm::start(test, 3, &[WHOAMI, BUSYBOX, s.ingress_image()])?;
    let settings = swarm.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    s.serve_with(&settings).await;
    swarm.forward(s.port).await;
    Some(swarm)
}

/// Waits until the replicas of `web` are ready, and spread over machines as `is_spread` says.
async fn wait_for_spread(
    s: &Scenario,
    swarm: &Swarm,
    what: &str,
    is_spread: impl Fn(&[usize]) -> bool,
) {
    eventually(what, LONG, async || {
        let apps = s.run(&["get", "apps"]).await.stdout;
        let replicas = swarm.replicas("web");
        let counts: Vec<_> = replicas.iter().map(Vec::len).collect();
        let names: BTreeSet<_> = replicas.iter().flatten().collect();
        let is_done = is_spread(&counts)
            && counts.iter().sum::<usize>() == names.len()
            && apps.contains("6/6");
        ensure(is_done, format!("{replicas:?}\n{apps}"))
    })
    .await;
}

/// Kills machine 3: only requests in progress are lost, and its replicas are replaced.
async fn assert_killed_node_is_replaced(s: &Scenario, swarm: &mut Swarm) {
    let load = Load::start(s.port, "web.test", "web", 200);
    load.wait_for_requests(100).await;
    let killed = load.elapsed();
    swarm.kill(3);
    wait_for_spread(s, swarm, "replicas are replaced", |c| c[0] + c[1] == 6).await;
    let replaced = load.elapsed();
    load.wait_for_requests(100).await;
    let tally = load.stop().await;
    let lost = tally.cut_posts(&[(killed, replaced)]);
    print_line(&format!(
        "node lost: {} of {} requests failed, replaced after {:.1?}, slowest {:.1?}",
        tally.failed,
        tally.sent,
        replaced - killed,
        tally.latency_quantile(1000)
    ));
    assert!(lost <= 10, "more than those in progress: {tally:?}");
    tally.assert_no_failures_except(400, &[(killed, replaced)]);
}

/// Cuts machine 2 off and connects it again: its replicas are replaced, and none is left twice.
async fn assert_cut_node_is_replaced(s: &Scenario, swarm: &Swarm) {
    let load = Load::start(s.port, "web.test", "web", 200);
    load.wait_for_requests(100).await;
    let cut = load.elapsed();
    swarm.set_link(2, "down");
    eventually("replicas are replaced", LONG, async || {
        let counts: Vec<_> = swarm.replicas("web").iter().map(Vec::len).collect();
        let apps = s.run(&["get", "apps"]).await.stdout;
        let is_done = counts[0] + counts[2] == 6 && counts[1] > 0 && apps.contains("6/6");
        ensure(is_done, format!("{counts:?}\n{apps}"))
    })
    .await;
    let nodes = s.run(&["get", "nodes"]).await.assert_success().stdout;
    assert!(nodes.contains("NotReady"), "{nodes}");
    let replaced = load.elapsed();
    swarm.set_link(2, "up");
    wait_for_spread(s, swarm, "no surplus is left", |c| c[0] + c[2] == 6 && c[1] == 0).await;
    let tally = load.stop().await;
    print_line(&format!(
        "node cut off: {} of {} requests failed, replaced after {:.1?}, slowest {:.1?}",
        tally.failed,
        tally.sent,
        replaced - cut,
        tally.latency_quantile(1000)
    ));
    assert!(tally.cut_posts(&[(cut, replaced)]) <= 10, "more than those in progress: {tally:?}");
    tally.assert_no_failures_except(400, &[(cut, replaced)]);
}

#[test]
fn replicas_spread_and_survive_update_lost_node_and_drain() {
    e2e!().run(async |s| {
        let test = "replicas_spread_and_survive_update_lost_node_and_drain";
        let Some(mut swarm) = serve(s, test).await else { return };
        let web = whoami("web", 6).host("web.test");
        s.apply(&web).await;
        wait_for_spread(s, &swarm, "two replicas are on each node", |c| c == [2, 2, 2]).await;

        let load = Load::start(s.port, "web.test", "web", 200);
        s.apply(&web.clone().with("env: { A: b }")).await;
        wait_for_spread(s, &swarm, "the new replicas are spread", |c| c.iter().sum::<usize>() == 6)
            .await;
        load.wait_for_requests(50).await;
        let tally = load.stop().await;
        tally.assert_no_failures(400);
        assert_eq!(tally.revisions(), ["1", "2"]);

        assert_killed_node_is_replaced(s, &mut swarm).await;

        let load = Load::start(s.port, "web.test", "web", 200);
        swarm.run_machine(3);
        eventually("nothing is left of the lost replicas", LONG, async || {
            let left = swarm.docker(3, &["ps", "-aq"]);
            let nodes = swarm.docker(1, &["node", "ls", "--format", "{{.Status}}"]);
            ensure(left.is_empty() && !nodes.contains("Down"), format!("{left}{nodes}"))
        })
        .await;
        wait_for_spread(s, &swarm, "all replicas stay", |c| c[0] + c[1] == 6).await;
        load.stop().await.assert_no_failures(100);

        assert_cut_node_is_replaced(s, &swarm).await;

        let load = Load::start(s.port, "web.test", "web", 200);
        swarm.docker(1, &["node", "update", "--availability", "drain", &swarm.name(3)]);
        wait_for_spread(s, &swarm, "the drained node is empty", |c| c[0] + c[1] == 6).await;
        load.wait_for_requests(50).await;
        load.stop().await.assert_no_failures(200);

        let _ = s.run(&["down", "--yes"]).await.assert_success();
        for number in 1..=3 {
            assert_eq!(swarm.docker(number, &["ps", "-aq"]), "", "machine {number}");
            let networks = swarm.docker(number, &["network", "ls", "--format", "{{.Name}}"]);
            assert!(!networks.contains("dubernetes"), "machine {number}: {networks}");
        }
    });
}

#[test]
fn apps_of_all_nodes_find_each_other_by_name() {
    e2e!().run(async |s| {
        let test = "apps_of_all_nodes_find_each_other_by_name";
        let Some(swarm) = serve(s, test).await else { return };
        s.apply(&busybox("client", 3, "exec sleep 86400")).await;
        assert_eq!(swarm.replicas("client").iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        // A later app, of which running containers learn.
        s.apply(&whoami("web", 2).with("port: 80")).await;
        for number in 1..=3 {
            let pod = format!("client-{number}");
            eventually("the app answers", LONG, async || {
                let asked = s.run(&["exec", &pod, "--", "wget", "-qO-", "http://web/"]).await;
                let says = format!("{}{}", asked.stdout, asked.stderr);
                ensure(asked.stdout.contains("web-"), says)
            })
            .await;
        }
    });
}

#[test]
fn engines_are_reached_over_ssh_and_again_after_a_cut() {
    e2e!().run(async |s| {
        let Some(sshd) = Sshd::start(s).await else { return };
        let test = "engines_are_reached_over_ssh_and_again_after_a_cut";
        let Some(swarm) = Swarm::start(test, 2, &[WHOAMI, s.ingress_image()]) else { return };
        let socket = swarm.host(2);
        let socket = socket.strip_prefix("unix://").unwrap();
        let node = format!("{}=ssh://server{socket}", swarm.name(2));
        let mut settings = swarm.settings();
        settings.retain(|(name, _)| *name != "DUBERNETES_NODE");
        settings.extend([("DUBERNETES_NODE", node), ("DUBERNETES_SSH", sshd.client())]);
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        s.serve_with(&settings).await;
        s.apply(&whoami("web", 4).host("web.test")).await;
        assert_eq!(swarm.replicas("web").iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);

        sshd.cut();
        swarm.docker(2, &["kill", &swarm.replicas("web")[1][0]]);
        eventually("the killed replica is replaced", LONG, async || {
            let counts: Vec<_> = swarm.replicas("web").iter().map(Vec::len).collect();
            let apps = s.run(&["get", "apps"]).await.stdout;
            ensure(counts == [2, 2] && apps.contains("4/4"), format!("{counts:?}\n{apps}"))
        })
        .await;
        assert!(sshd.connections() >= 2, "it has connected again");
        // So that it removes the sockets of its connections.
        s.terminate().await;
    });
}
