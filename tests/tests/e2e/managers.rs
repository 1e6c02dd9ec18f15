//! Several managers of a swarm: they share the state, and another one goes on when the one that
//! acts is killed.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

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
use dubernetes_tests::manifest::{BUSYBOX, WHOAMI};
use dubernetes_tests::swarm::Swarm;
use dubernetes_tests::{busybox, e2e, eventually, whoami};
use futures_util::FutureExt as _;

/// Checks of the contract that run side by side.
const LANES: usize = 6;
/// How long a takeover may take: Swarm needs up to 20 s for another leader.
const LONG: Duration = Duration::from_secs(80);

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
        for other in &others {
            let acts = format!("stands by: node `{}` acts", swarm.name(1));
            eventually("it stands by", LONG, async || {
                let asked = other.run(&["scale", "web", "7"]).await;
                ensure(asked.stderr.contains(&acts), format!("{}{}", asked.stderr, other.log()))
            })
            .await;
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
    });
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
        let mut first = [Manager::serve(s, &swarm, 1)];
        acting(&first).await;
        let second = [Manager::serve(s, &swarm, 2)];
        let _ = first[0].apply(&whoami("web", 2).host("web.test")).await;
        wait_for_answer(&first[0]).await;
        assert_eq!(ingresses(&swarm), [1, 0]);
        eventually("it stands by", LONG, async || {
            let asked = second[0].run(&["get", "apps"]).await;
            ensure(asked.stderr.contains("stands by"), format!("{}{}", asked.stdout, asked.stderr))
        })
        .await;

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
        assert_eq!(ingresses(&swarm), [0, 1]);
        let again = Manager::serve(s, &swarm, 1);
        eventually("it stands by", LONG, async || {
            let asked = again.run(&["get", "apps"]).await;
            ensure(asked.stderr.contains("stands by"), format!("{}{}", asked.stderr, again.log()))
        })
        .await;
        let apps = second[0].run(&["get", "apps"]).await.assert_success().stdout;
        assert!(apps.contains("2/2"), "{apps}");
    });
}
