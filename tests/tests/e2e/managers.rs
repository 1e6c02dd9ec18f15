//! Several managers of a swarm: they share the state, and another one goes on when the one that
//! acts is killed.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dubernetes_core::app::InstanceName;
use dubernetes_core::store::Store;
use dubernetes_docker::DockerRuntime;
use dubernetes_swarm::{Attempt, Candidate, SwarmStore};
use dubernetes_testkit::contract::run_all;
use dubernetes_testkit::contract::store::StoreSubject;
use dubernetes_tests::checks::ensure;
use dubernetes_tests::load::print_line;
use dubernetes_tests::manager::Manager;
use dubernetes_tests::manifest::{BUSYBOX, Manifest, WHOAMI};
use dubernetes_tests::port::Port;
use dubernetes_tests::swarm::Swarm;
use dubernetes_tests::{Scenario, busybox, e2e, eventually, whoami};
use futures_util::FutureExt as _;

/// Checks of the contract that run side by side.
const LANES: usize = 6;
/// How long a takeover may take: Swarm needs up to 20 s for another leader.
const LONG: Duration = Duration::from_secs(80);
const REPLICAS: &str = "label=dubernetes.app=web";

async fn act(host: &str, instance: &InstanceName) -> SwarmStore {
    let manager = DockerRuntime::new(Some(host)).unwrap();
    let mut candidate = Candidate::new(&manager, instance).await.unwrap();
    match candidate.attempt().await.unwrap() {
        Attempt::Acts(store) => store,
        Attempt::StandsBy { node } => panic!("`{node}` acts"),
    }
}

/// Opens each store as another instance, and again after its holder has given it back.
fn subject(host: &str, lane: usize) -> StoreSubject {
    let last: Arc<Mutex<Option<(InstanceName, SwarmStore)>>> = Arc::default();
    let (created, number, host) = (Arc::clone(&last), AtomicUsize::new(0), host.to_owned());
    let reopen_host = host.clone();
    let create = move || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let instance = InstanceName::parse(&format!("t-store-{lane}-{number}")).unwrap();
        let (created, host) = (Arc::clone(&created), host.clone());
        async move {
            let store = act(&host, &instance).await;
            *created.lock().unwrap() = Some((instance, store.clone()));
            let store: Arc<dyn Store> = Arc::new(store);
            store
        }
        .boxed()
    };
    let reopen = move |store: Arc<dyn Store>| {
        drop(store);
        let (last, host) = (Arc::clone(&last), reopen_host.clone());
        async move {
            let (instance, store) = last.lock().unwrap().take().unwrap();
            store.release().await.unwrap();
            let store = act(&host, &instance).await;
            *last.lock().unwrap() = Some((instance, store.clone()));
            let store: Arc<dyn Store> = Arc::new(store);
            store
        }
        .boxed()
    };
    StoreSubject::new(create).reopened_by(reopen)
}

#[tokio::test(flavor = "multi_thread")]
async fn swarm_store_passes_the_store_contract() {
    let test = "swarm_store_passes_the_store_contract";
    let Some(swarm) = Swarm::start(test, 1, &[BUSYBOX]) else { return };
    let subjects: Vec<_> = (0..LANES).map(|lane| subject(&swarm.host(1), lane)).collect();
    let report = run_all(&subjects, "").await;
    report.assert_passed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance/swarm-store.json");
    report.assert_golden(&page);
}

/// Waits until one of these acts, and returns it.
async fn acting<'a, 'b>(managers: &'b [Manager<'a>]) -> &'b Manager<'a> {
    let number = eventually("a manager acts", LONG, async || {
        let mut said = String::new();
        for (number, manager) in managers.iter().enumerate() {
            let asked = manager.run(&["get", "apps"]).await;
            if asked.code == Some(0) {
                return Ok(number);
            }
            said += &asked.stderr;
        }
        Err(said)
    });
    &managers[number.await]
}

async fn wait_until_ready(manager: &Manager<'_>, replicas: &str) {
    eventually("all replicas are ready", LONG, async || {
        let apps = manager.run(&["get", "apps"]).await;
        ensure(apps.stdout.contains(replicas), format!("{}{}", apps.stdout, apps.stderr))
    })
    .await;
}

async fn wait_for_answer(manager: &Manager<'_>) -> String {
    eventually("the app answers", LONG, async || manager.get("web.test")).await
}

async fn wait_for_port(manager: &Manager<'_>, port: u16) {
    eventually("the published port answers", LONG, async || {
        let answer = manager.get_at(port, "any.test")?;
        ensure(answer.contains("db-"), answer)
    })
    .await;
}

/// Waits until a manager says that this node acts.
async fn wait_for_standby(manager: &Manager<'_>, node: &str) {
    let acts = format!("stands by: node `{node}` acts");
    eventually("it stands by", LONG, async || {
        let asked = manager.run(&["scale", "web", "7"]).await;
        ensure(asked.stderr.contains(&acts), format!("{}{}", asked.stderr, manager.log()))
    })
    .await;
}

/// Brings machine 1 back, whose manager acted when it was killed: it changes nothing.
async fn assert_killed_manager_stands_by(s: &Scenario, swarm: &mut Swarm, next: &Manager<'_>) {
    swarm.run_machine(1);
    let back = Manager::serve(s, swarm, 1);
    wait_for_standby(&back, next.node()).await;
    eventually("nothing is left on the killed machine", LONG, async || {
        let left = swarm.docker(1, &["ps", "-a", "--format", "{{.Names}} {{.Status}}"]);
        let nodes = swarm.docker(1, &["node", "ls", "--format", "{{.Status}}"]);
        ensure(left.is_empty() && !nodes.contains("Down"), format!("{left}{nodes}"))
    })
    .await;
    let replicas = swarm.replicas("web");
    let names: BTreeSet<_> = replicas.iter().flatten().collect();
    assert_eq!((names.len(), replicas.concat().len()), (6, 6), "{replicas:?}");
    assert!(back.get("web.test").is_err(), "it routes nothing");
    let answer = wait_for_answer(next).await;
    assert!(answer.contains("web-"), "{answer}");
    let doctor = back.run(&["doctor"]).await.stdout;
    let acts = format!("node `{}` acts", next.node());
    assert_eq!(doctor.matches(&acts).count(), 2, "of the orchestrator and of the state: {doctor}");
}

#[test]
fn another_manager_goes_on_when_the_acting_one_is_killed() {
    e2e!().run(async |s| {
        let test = "another_manager_goes_on_when_the_acting_one_is_killed";
        let images = [WHOAMI, BUSYBOX, s.ingress_image()];
        let Some(mut swarm) = Swarm::start_managers(test, 3, &images) else { return };
        let first = [Manager::serve(s, &swarm, 1)];
        acting(&first).await;
        let others = [Manager::serve(s, &swarm, 2), Manager::serve(s, &swarm, 3)];
        let web = whoami("web", 6).host("web.test");
        let _ = first[0].apply(&web).await;
        let _ = first[0].apply(&busybox("client", 3, "exec sleep 86400")).await;
        wait_for_answer(&first[0]).await;
        let port = Port::take();
        let ports = format!("args: [--port, '5432']\nports: ['0.0.0.0:{}:5432']", port.number);
        let _ = first[0].apply(&whoami("db", 2).with(&ports)).await;
        wait_for_port(&first[0], port.number).await;
        for other in &others {
            wait_for_standby(other, &swarm.name(1)).await;
        }

        swarm.kill(1);
        let killed = Instant::now();
        let next = acting(&others).await;
        let acts = killed.elapsed();
        wait_for_answer(next).await;
        let answers = killed.elapsed();
        wait_until_ready(next, "6/6").await;
        let ready = killed.elapsed();
        let _ = next.apply(&web.clone().with("env: { A: b }")).await;
        let changed = killed.elapsed();
        print_line(&format!(
            "manager killed: another one acts after {acts:.1?}, the app answers after \
             {answers:.1?}, all replicas are ready after {ready:.1?}, changed after {changed:.1?}"
        ));
        let history = next.run(&["rollout", "history", "web"]).await.assert_success().stdout;
        assert!(history.lines().count() >= 3, "both revisions are known: {history}");
        let answer = wait_for_answer(next).await;
        assert!(answer.contains("web-"), "{answer}");
        let counts: Vec<_> = swarm.replicas("web").iter().map(Vec::len).collect();
        assert_eq!((counts[0], counts[1] + counts[2]), (0, 6), "{counts:?}");
        // Names lead to the new ingress, also in containers that were started with the former one.
        for pod in ["client-1", "client-2", "client-3"] {
            eventually("the app answers at its name", LONG, async || {
                let asked = next.run(&["exec", pod, "--", "wget", "-qO-", "http://web/"]).await;
                ensure(asked.stdout.contains("web-"), format!("{pod}: {}", asked.stderr))
            })
            .await;
        }
        print_line(&format!("names lead to the new ingress after {:.1?}", killed.elapsed()));
        wait_for_port(next, port.number).await;
        assert_killed_manager_stands_by(s, &mut swarm, next).await;
    });
}

/// Starts an app whose state is in a file of machine 1, and takes the instance over with a state in
/// the swarm.
async fn adopt_from_file<'a>(
    s: &'a Scenario,
    swarm: &Swarm,
    app: &Manifest,
    arguments: &[&str],
) -> Manager<'a> {
    let mut former = [Manager::serve_with(s, swarm, 1, "sqlite", &[])];
    acting(&former).await;
    let _ = former[0].apply(app).await;
    let ids = || [1, 2].map(|number| swarm.docker(number, &["ps", "-q", "--filter", REPLICAS]));
    let before = ids();
    former[0].terminate();

    let mut refused = Manager::serve(s, swarm, 1);
    assert_eq!(refused.wait().code(), Some(1));
    let log = refused.log();
    assert!(log.contains("the swarm has no state of it") && log.contains("--adopt"), "{log}");
    let adopted = [Manager::serve_with(s, swarm, 1, "swarm", &[arguments, &["--adopt"]].concat())];
    acting(&adopted).await;
    let _ = adopted[0].apply(app).await;
    assert_eq!(ids(), before, "the replicas go on");
    let [adopted] = adopted;
    adopted
}

fn ingresses(swarm: &Swarm) -> [usize; 2] {
    let list = ["ps", "-aq", "--filter", "label=dubernetes.component=ingress"];
    [1, 2].map(|number| swarm.docker(number, &list).lines().count())
}

#[test]
fn manager_that_is_stopped_hands_over_at_once_and_the_ingress_moves() {
    e2e!().run(async |s| {
        let test = "manager_that_is_stopped_hands_over_at_once_and_the_ingress_moves";
        let images = [WHOAMI, s.ingress_image()];
        let Some(swarm) = Swarm::start_managers(test, 2, &images) else { return };
        let web = whoami("web", 2).host("web.test");
        let https = Port::take();
        let with_https = ["--https-port", &https.number.to_string()];
        let serve = |number| Manager::serve_with(s, &swarm, number, "swarm", &with_https);
        let mut first = [adopt_from_file(s, &swarm, &web, &with_https).await];
        let mut second = [serve(2)];
        let shop = whoami("shop", 2).with("access: { host: shop.test, tls: internal }");
        let _ = first[0].apply(&shop).await;
        let certificate = async |manager: &Manager<'_>| {
            let ask = async || manager.certificate(https.number, "shop.test");
            eventually("the app answers over HTTPS", LONG, ask).await
        };
        let issued = certificate(&first[0]).await;
        wait_for_answer(&first[0]).await;
        assert_eq!(ingresses(&swarm), [1, 0]);
        wait_for_standby(&second[0], &swarm.name(1)).await;

        let start = Instant::now();
        first[0].terminate();
        acting(&second).await;
        let acts = start.elapsed();
        wait_for_answer(&second[0]).await;
        let answers = start.elapsed();
        print_line(&format!(
            "manager stopped: another one acts after {acts:.1?}, the app answers after \
             {answers:.1?}"
        ));
        assert!(acts < Duration::from_secs(10), "it waited for the lease: {acts:?}");
        assert_eq!(certificate(&second[0]).await, issued, "no other certificate is issued");
        assert_eq!(ingresses(&swarm), [0, 1]);
        let mut again = serve(1);
        wait_for_standby(&again, &swarm.name(2)).await;
        let apps = second[0].run(&["get", "apps"]).await.assert_success().stdout;
        assert!(apps.contains("2/2"), "{apps}");

        let doctor = second[0].run(&["doctor"]).await.stdout;
        assert!(doctor.contains(&format!("node `{}` acts", swarm.name(2))), "{doctor}");
        let backup = second[0].run(&["backup", "backup.tar"]).await;
        assert!(backup.code == Some(1) && backup.stderr.contains("in the swarm"), "{backup:?}");
        let _ = second[0].run(&["down", "--yes"]).await.assert_success();
        again.terminate();
        second[0].terminate();
        assert_eq!(swarm.docker(2, &["config", "ls"]).lines().count(), 1, "its heading alone");
    });
}
