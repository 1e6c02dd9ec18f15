//! Random changes by a user and random faults, one after the other, under load.
//!
//! `DUBERNETES_SOAK_SECONDS` sets how long, `DUBERNETES_SOAK_APPS` the number of apps, and
//! `DUBERNETES_SOAK_SEED` repeats the choices of a run. What happens is printed to standard error.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::load::{Load, Tally, print_line, setting};
use dubernetes_tests::manifest::WHOAMI;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, e2e, eventually};
use rustix::process::Signal;

const SECONDS: u64 = 25;
const APPS: u64 = 3;
/// Requests a second to each app.
const RATE: u32 = 25;
/// How long requests may still fail once what a fault hit is back.
const AFTERMATH: Duration = Duration::from_secs(1);
/// What an orchestrator may need more at the end than after its first minute of changes.
const MORE_DESCRIPTORS: usize = 16;
const MORE_KIB: u64 = 16 * 1024;

/// What happens to an app or to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    Scale,
    Update,
    Restart,
    Undo,
    AddAndDelete,
    KillOrchestrator,
    FreezeOrchestrator,
    KillReplica,
    RemoveReplica,
    EditNginx,
    KillNginx,
    Reboot,
}

impl Happening {
    const ALL: [Self; 12] = [
        Self::Scale,
        Self::Update,
        Self::Restart,
        Self::Undo,
        Self::AddAndDelete,
        Self::KillOrchestrator,
        Self::FreezeOrchestrator,
        Self::KillReplica,
        Self::RemoveReplica,
        Self::EditNginx,
        Self::KillNginx,
        Self::Reboot,
    ];

    /// Whether requests to the app that it hits, or to every app, may fail.
    fn fails_requests(self, is_of_hit_app: bool) -> bool {
        match self {
            Self::KillReplica | Self::RemoveReplica => is_of_hit_app,
            Self::KillNginx | Self::Reboot => true,
            Self::Scale
            | Self::Update
            | Self::Restart
            | Self::Undo
            | Self::AddAndDelete
            | Self::KillOrchestrator
            | Self::FreezeOrchestrator
            | Self::EditNginx => false,
        }
    }
}

struct Soak<'a> {
    s: &'a Scenario,
    random: fastrand::Rng,
    /// The replicas that each app should have.
    replicas: BTreeMap<String, u32>,
    loads: BTreeMap<String, Load>,
    /// When requests of an app may fail.
    windows: BTreeMap<String, Vec<(Duration, Duration)>>,
    changes: u32,
}

#[test]
fn random_changes_and_faults_lose_and_leak_nothing() {
    e2e!().run(async |s| {
        let seed = setting("SOAK_SEED", fastrand::u64(0..1_000_000));
        let seconds = Duration::from_secs(setting("SOAK_SECONDS", SECONDS));
        print_line(&format!("seed {seed}, {seconds:?}"));
        s.serve().await;
        let mut soak = Soak::start(s, fastrand::Rng::with_seed(seed)).await;
        let start = std::time::Instant::now();
        // Kills of the orchestrator would hide what it leaks, so they are in the first half.
        while start.elapsed() < seconds / 2 {
            soak.let_happen(&Happening::ALL).await;
        }
        let usage = Usage::of(s);
        let in_one_process = Happening::ALL.map(|happening| match happening {
            Happening::KillOrchestrator | Happening::Reboot => Happening::FreezeOrchestrator,
            other => other,
        });
        while start.elapsed() < seconds {
            soak.let_happen(&in_one_process).await;
        }
        soak.end(usage).await;
    });
}

impl<'a> Soak<'a> {
    async fn start(s: &'a Scenario, random: fastrand::Rng) -> Self {
        let names = (1..=setting("SOAK_APPS", APPS)).map(|number| format!("app{number}"));
        let replicas = names.map(|name| (name, 3)).collect();
        let mut soak = Self {
            s,
            random,
            replicas,
            loads: BTreeMap::new(),
            windows: BTreeMap::new(),
            changes: 0,
        };
        for name in soak.replicas.clone().into_keys() {
            soak.apply(&name).await;
            let load = Load::start(s.port, &format!("{name}.test"), &name, RATE);
            soak.loads.insert(name, load);
        }
        soak
    }

    /// Lets one of these happen to one of the apps, and waits until all are ready again.
    async fn let_happen(&mut self, choices: &[Happening]) {
        let happening = choices[self.random.usize(..choices.len())];
        let names: Vec<_> = self.replicas.keys().cloned().collect();
        let hit = names[self.random.usize(..names.len())].clone();
        let from: BTreeMap<_, _> =
            self.loads.iter().map(|(name, load)| (name.clone(), load.elapsed())).collect();
        print_line(&format!("{:>4} s: {happening:?} {hit}", from[&hit].as_secs()));
        self.run(happening, &hit).await;
        self.until_ready().await;
        tokio::time::sleep(AFTERMATH).await;
        for (name, from) in from {
            if happening.fails_requests(name == hit) {
                let window = (from, self.loads[&name].elapsed());
                self.windows.entry(name).or_default().push(window);
            }
        }
    }

    async fn run(&mut self, happening: Happening, hit: &str) {
        let s = self.s;
        match happening {
            Happening::Scale => {
                let count = self.random.u32(1..=5);
                self.replicas.insert(hit.to_owned(), count);
                let _ = s.run(&["scale", hit, &count.to_string()]).await.assert_success();
            }
            Happening::Update => {
                self.changes += 1;
                self.apply(hit).await;
            }
            Happening::Restart => {
                let _ = s.run(&["rollout", "restart", hit]).await.assert_success();
            }
            Happening::Undo => {
                // The first revision has nothing before it.
                let _ = s.run(&["rollout", "undo", hit]).await;
            }
            Happening::AddAndDelete => {
                s.apply(&app("extra", WHOAMI, 2).host("extra.test")).await;
                let _ = s.run(&["delete", "extra"]).await.assert_success();
            }
            Happening::KillOrchestrator => {
                s.kill().await;
                s.serve().await;
            }
            Happening::Reboot => {
                s.kill().await;
                let all = s.containers().await;
                let ids = all.iter().map(|container| &*container.id.0);
                docker(&["kill"].into_iter().chain(ids).collect::<Vec<_>>()).await;
                s.serve().await;
            }
            Happening::FreezeOrchestrator => {
                s.signal(Signal::STOP);
                tokio::time::sleep(Duration::from_secs(2)).await;
                s.signal(Signal::CONT);
            }
            Happening::KillReplica => self.hit_replica(hit, &["kill"]).await,
            Happening::RemoveReplica => self.hit_replica(hit, &["rm", "-f"]).await,
            Happening::EditNginx => {
                let edit = "rm -rf /etc/nginx/dubernetes/current/hosts";
                docker(&["exec", &s.ingress(), "sh", "-c", edit]).await;
            }
            Happening::KillNginx => {
                docker(&["kill", &s.ingress()]).await;
            }
        }
    }

    /// Hits a random replica, and waits until its container does not run any more.
    async fn hit_replica(&mut self, app: &str, verb: &[&str]) {
        let running: Vec<_> = self.s.running_pods(app).await.into_values().collect();
        let id = &running[self.random.usize(..running.len())];
        docker(&[verb, &[id]].concat()).await;
        eventually("the loss of the replica is seen", SOON, async || {
            let now = self.s.running_pods(app).await;
            let started = now.values().filter(|other| !running.contains(other)).count();
            ensure(started > 0, now)
        })
        .await;
    }

    async fn apply(&self, name: &str) {
        let change = format!("env: {{ CHANGE: '{}' }}", self.changes);
        let fast = "rollout: { min_ready: 500ms, max_surge: 100% }\nstop: { drain: 5s }";
        let app = app(name, WHOAMI, self.replicas[name]).host(&format!("{name}.test"));
        self.s.apply(&app.with(&change).with(fast)).await;
    }

    /// Waits until every app has its replicas, and nothing else exists.
    async fn until_ready(&self) {
        for (name, count) in &self.replicas {
            self.s.wait_for_phase(name, "Ready", 4 * SOON).await;
            let count = usize::try_from(*count).unwrap();
            self.s.wait_for_replicas(name, count, 2 * SOON).await;
        }
        eventually("nginx answers", SOON, async || {
            let answer = self.s.get("none.test", "/").await;
            answer.map(|_| ()).map_err(|error| format!("{error:?}"))
        })
        .await;
        let all: u32 = self.replicas.values().sum();
        eventually("each container belongs to an app or is nginx", 2 * SOON, async || {
            let found = self.s.containers().await.len();
            ensure(found == usize::try_from(all).unwrap() + 1, found)
        })
        .await;
    }

    async fn end(self, before: Usage) {
        let after = Usage::of(self.s);
        for (name, load) in self.loads {
            let tally = load.stop().await;
            print_line(&format!("{name}: {tally}"));
            expect_explained(&name, &tally, self.windows.get(&name).map_or(&[], Vec::as_slice));
        }
        print_line(&format!("before {before:?}, after {after:?}"));
        assert_eq!(self.s.networks().await.len(), 1);
        assert!(after.descriptors <= before.descriptors + MORE_DESCRIPTORS, "{before:?} {after:?}");
        assert!(after.kib <= before.kib + MORE_KIB, "{before:?} {after:?}");
    }
}

fn expect_explained(name: &str, tally: &Tally, windows: &[(Duration, Duration)]) {
    assert_eq!(tally.wrong_app, 0, "{name}: another app answered");
    let kept = u32::try_from(tally.failures.len()).unwrap();
    assert_eq!(kept, tally.failed, "{name}: not every failure is known");
    let unexplained: Vec<_> = tally.failures.iter().filter(|f| !f.is_within(windows)).collect();
    assert!(unexplained.is_empty(), "{name}: {unexplained:#?}, explained: {windows:?}");
}

/// What a process uses.
#[derive(Debug)]
struct Usage {
    descriptors: usize,
    kib: u64,
}

impl Usage {
    fn of(s: &Scenario) -> Self {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", s.pid())).unwrap().count();
        Self { descriptors, kib: s.memory_kib() }
    }
}
