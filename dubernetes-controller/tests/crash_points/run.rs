//! Runs an operation without a fault, then with each fault at each changing call.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dubernetes_core::ingress::RouteTable;
use dubernetes_core::labels::ReplicaLabels;
use dubernetes_core::runtime::ContainerState;
use dubernetes_testkit::build::TestOrchestrator;
use dubernetes_testkit::{Behaviour, EffectFault, Effects, FakeIngress, FakeRuntime};

use crate::operation::{Operation, Step};
use crate::state::State;

/// How much longer than a clean run an operation may take with many crashes.
const OFTEN_DELAY: Duration = Duration::from_secs(30);
/// Longest time of a step that is not done.
const STEP_LIMIT: Duration = Duration::from_secs(60);
/// Until a complete revision is stable.
const STABLE: Duration = Duration::from_secs(70);
/// Until the tombstone of a deleted app is purged as well.
const SETTLE: Duration = Duration::from_secs(130);
/// A settled system makes no changing call in this time: four resyncs.
const QUIET: Duration = Duration::from_secs(60);

/// Checks one operation at all its crash points, and with many crashes.
#[expect(clippy::print_stdout, reason = "says how many runs there were")]
pub(crate) async fn check(operation: Operation) {
    let clean = Run::new(&operation).await.finish(&operation).await;
    assert_eq!(clean.problems, [""; 0], "a clean run");
    let count = clean.calls.len();
    assert!(count >= operation.min_effects, "only {count} effects: {:#?}", clean.calls);
    let mut report = String::new();
    for n in 1..=count {
        for fault in EffectFault::ALL {
            let run = Run::new(&operation).await;
            run.effects.inject(fault, move |call| call == n);
            let mut found = run.finish(&operation).await;
            if found.calls.get(..n) != clean.calls.get(..n) {
                let calls = format!("other calls than in the clean run: {:#?}", found.calls);
                found.problems.push(calls);
            }
            let what = format!("{fault:?} at {n} of {count}, `{}`", clean.calls[n - 1]);
            report += &found.problems(&what, &clean, operation.delay());
        }
    }
    // Not after each: what the user repeats would crash each time.
    let run = Run::new(&operation).await;
    run.effects.inject(EffectFault::CrashAfter, move |call| call % 2 == 0 && call <= 4 * count);
    let found = run.finish(&operation).await;
    report += &found.problems("a crash after each second effect", &clean, OFTEN_DELAY);
    assert!(report.is_empty(), "{report}");
    println!("{count} effects, {} runs, {:?} each", count * EffectFault::ALL.len() + 1, clean.took);
}

impl Finished {
    /// Describes what is wrong, if anything.
    fn problems(&self, what: &str, clean: &Self, delay: Duration) -> String {
        let mut problems = self.problems.clone();
        let longest = clean.took + delay;
        if self.took > longest {
            problems.push(format!("took {:?}, more than {longest:?}", self.took));
        }
        let difference = self.state.difference(&clean.state).to_string();
        if problems.is_empty() && difference.is_empty() {
            return String::new();
        }
        format!("{what}:\n  {}\n{difference}\n", problems.join("\n  "))
    }
}

/// One run of an operation.
struct Run {
    orchestrator: TestOrchestrator,
    effects: Effects,
    problems: Arc<Mutex<BTreeSet<String>>>,
    tables: usize,
}

/// What a run has left.
struct Finished {
    calls: Vec<String>,
    state: State,
    took: Duration,
    problems: Vec<String>,
}

impl Run {
    /// Brings an orchestrator to the beginning of the steps.
    async fn new(operation: &Operation) -> Self {
        let orchestrator = TestOrchestrator::start();
        orchestrator.ingress.set_https_port(Some(443));
        for image in ["web:1", "web:2"] {
            orchestrator.runtime.add_image(image, Behaviour::default());
        }
        let broken = Behaviour::exits(Duration::from_millis(500), 9);
        orchestrator.runtime.add_image("broken:1", broken);
        let hook = Behaviour::exits(Duration::from_secs(1), 0);
        orchestrator.runtime.set_command("migrate", hook);
        let mut run =
            Self { orchestrator, effects: Effects::default(), problems: Arc::default(), tables: 0 };
        for step in &operation.before {
            run.step(step).await;
        }
        tokio::time::sleep(STABLE).await;
        run.tables = run.orchestrator.ingress.applied().len();
        run.effects = run.orchestrator.count_effects();
        let on = &run.orchestrator;
        let (runtime, ingress) = (on.runtime.clone(), on.ingress.clone());
        let problems = Arc::clone(&run.problems);
        run.effects.check(move |call| {
            let found = violations(call, &runtime, &ingress);
            problems.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        });
        run
    }

    async fn finish(mut self, operation: &Operation) -> Finished {
        let started = tokio::time::Instant::now();
        for step in &operation.steps {
            self.step(step).await;
        }
        let took = started.elapsed();
        self.sleep(if operation.deletes() { SETTLE } else { STABLE }).await;
        let calls = self.effects.calls();
        self.sleep(QUIET).await;
        let later = &self.effects.calls()[calls.len()..];
        let on = &self.orchestrator;
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !later.is_empty() {
            problems.insert(format!("not quiet: {later:?}"));
        }
        for table in &on.ingress.applied()[self.tables..] {
            problems.extend(unserved(table, operation.min_routed));
        }
        let state = State::of(on).await;
        on.kill();
        Finished { calls, state, took, problems: problems.into_iter().collect() }
    }

    /// Lets the user make one step: what is not answered is repeated.
    async fn step(&mut self, step: &Step) {
        let before = step.before(&self.orchestrator).await;
        let limit = tokio::time::Instant::now() + STEP_LIMIT;
        let mut answered = false;
        loop {
            let on = &self.orchestrator;
            let made = async {
                while !answered {
                    match step.act(on, before).await {
                        Ok(()) => answered = true,
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
                step.until_done(on, before).await;
            };
            tokio::select! {
                biased;
                () = self.effects.crashed() => {}
                () = made => return,
                () = tokio::time::sleep_until(limit) => {
                    let plan = &on.handle.snapshot().plan;
                    let text = format!("not done after {STEP_LIMIT:?}:\n{plan}");
                    self.problems.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
                    return;
                }
            }
            self.replace().await;
        }
    }

    /// Passes time, with another orchestrator after a crash.
    async fn sleep(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        loop {
            tokio::select! {
                () = self.effects.crashed() => {}
                () = tokio::time::sleep_until(end) => return,
            }
            self.replace().await;
        }
    }

    /// Ends the crashed orchestrator, and starts the next one.
    async fn replace(&mut self) {
        self.orchestrator.kill();
        // What it still tries finds no fake that answers.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.effects.revive();
        let on = &self.orchestrator;
        let next = TestOrchestrator::start_with_issuer(
            on.runtime.clone(),
            Arc::clone(&on.store),
            on.ingress.clone(),
            on.issuer.clone(),
            |builder| builder,
        );
        self.orchestrator = next;
    }
}

/// Returns what must not be after any effect.
fn violations(call: &str, runtime: &FakeRuntime, ingress: &FakeIngress) -> Vec<String> {
    let containers = runtime.containers();
    let mut found = Vec::new();
    let mut addresses = BTreeSet::new();
    for container in &containers {
        let is_running = matches!(container.state, ContainerState::Running { .. });
        if let Some(endpoint) = container.endpoint.filter(|_| is_running)
            && !addresses.insert(endpoint)
        {
            found.push(format!("{} has the address of another replica", container.name));
        }
    }
    let stopped = call.strip_prefix("Stop ").map(|name| runtime.named(name));
    if let Some(stopped) = stopped {
        let labels = ReplicaLabels::from_map(&stopped.labels);
        let address = labels.ok().and_then(|labels| labels.address);
        let served = ingress.observed();
        let mut endpoints = served.table().into_iter().flat_map(RouteTable::endpoints);
        let is_routed = endpoints.any(|endpoint| Some(endpoint.ip()) == address);
        if is_routed {
            found.push(format!("{call}, which may get requests"));
        }
    }
    found
}

/// Returns the routes of a table with too few endpoints.
fn unserved(table: &RouteTable, least: usize) -> Vec<String> {
    let few = table.routes.iter().filter(|route| route.endpoints.len() < least);
    few.map(|route| format!("{} is routed to {}", route.app, route.endpoints.len())).collect()
}
