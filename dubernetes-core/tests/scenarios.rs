//! Scenario files: each file under `tests/scenarios` is one behaviour of the planner.
//!
//! A file is a story (`#`) and then sections, with their text indented:
//!
//! - `given:` the input, in the notation of [`dubernetes_testkit::notation`].
//! - `ends:` with `stays NAME` for an app that does not converge even if every call succeeds and
//!   every replica becomes ready. All other apps must converge.
//! - `plan:` the exact plan as text, with the container of each action, the time of the next pass,
//!   and the status and pods of each app.
//! - `then:` optional: the forecast, with the number of ready replicas after each step.
//!
//! `DUBERNETES_UPDATE_GOLDEN=1` rewrites the last two.
#![expect(clippy::unwrap_used, reason = "what cannot be read or written fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use dubernetes_core::app::{AppName, AppSpec, CountOrPercent, Order, ParseError, PodName};
use dubernetes_core::forecast::{Forecast, forecast};
use dubernetes_core::plan::{Action, AppStatus, Plan, PodState, PodStatus};
use dubernetes_core::runtime::ContainerState;
use dubernetes_core::state::ObservedReplica;
use dubernetes_testkit::notation::{self, Scenario};

#[test]
fn every_scenario_yields_its_plan() {
    let update = std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 25, "the scenarios are missing");
    let failed: Vec<_> = files.iter().filter_map(|file| check(file, update)).collect();
    assert!(failed.is_empty(), "\n\n{}", failed.join("\n\n"));
}

/// Returns what is wrong with one scenario, if anything.
fn check(file: &PathBuf, update: bool) -> Option<String> {
    let text = fs::read_to_string(file).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let found = ScenarioFile::read(&text).and_then(|scenario| {
        scenario.check()?;
        Ok(scenario.rewritten())
    });
    match found {
        Ok(found) if update => fs::write(file, found).unwrap(),
        Ok(found) if found == text && name.ends_with(".txt") => {}
        Ok(found) => return Some(format!("{name} differs from the plan:\n{found}")),
        Err(error) => return Some(format!("{name}: {error}")),
    }
    None
}

struct ScenarioFile {
    story: String,
    sections: BTreeMap<String, String>,
    given: Scenario,
    plan: Plan,
    stays: BTreeSet<AppName>,
}

/// Names of sections, and the indentation of their text.
const SECTIONS: [&str; 4] = ["given", "ends", "plan", "then"];
const INDENT: usize = 7;

impl ScenarioFile {
    fn read(text: &str) -> Result<Self, String> {
        let (mut story, mut sections) = (String::new(), BTreeMap::<String, String>::new());
        let mut section = String::new();
        for line in text.lines() {
            if line.starts_with('#') {
                writeln!(story, "{line}").unwrap();
                continue;
            }
            let head = line.split_once(':').map(|(head, _)| head);
            if let Some(head) = head.filter(|head| SECTIONS.contains(head)) {
                section = head.to_owned();
            } else if !line.is_empty() && !line.starts_with(&" ".repeat(INDENT)) {
                return Err(format!("`{line}` is in no section"));
            }
            let line = line.get(INDENT..).unwrap_or_default();
            writeln!(sections.entry(section.clone()).or_default(), "{line}").unwrap();
        }
        if story.is_empty() {
            return Err("it has no story".to_owned());
        }
        let given = notation::parse(sections.get("given").ok_or("it has no `given:` section")?)?;
        let plan = dubernetes_core::reconcile(&given.desired, &given.observed, given.now);
        let ends = sections.get("ends").map_or("", String::as_str);
        let stays = ends
            .lines()
            .map(|line| line.strip_prefix("stays ").ok_or(format!("`{line}` is not an end")))
            .map(|name| name?.parse::<AppName>())
            .collect::<Result<_, ParseError>>()?;
        Ok(Self { story, sections, given, plan, stays })
    }

    /// Checks what holds of every scenario.
    fn check(&self) -> Result<(), String> {
        let Scenario { desired, observed, now } = &self.given;
        let mut reversed = observed.clone();
        reversed.replicas.reverse();
        if dubernetes_core::reconcile(desired, &reversed, *now) != self.plan {
            return Err("the plan depends on the order of the replicas".to_owned());
        }
        if self.plan.requeue_at().is_some_and(|at| at <= *now) {
            return Err("the next pass is due at once".to_owned());
        }
        desired.apps.keys().try_for_each(|name| self.check_end(name))?;
        for name in desired.tombstones.keys().filter(|name| !desired.apps.contains_key(*name)) {
            let steps = forecast(desired, observed, name, *now).steps;
            let removed = steps.iter().filter(|step| step.action == "remove").count();
            if removed != self.of(name).count() {
                return Err(format!("`{name}` is not removed: {steps:#?}"));
            }
        }
        Ok(())
    }

    fn check_end(&self, name: &AppName) -> Result<(), String> {
        let end = self.forecast(name);
        if end.converges == self.stays.contains(name) {
            return Err(format!("`{name}` does not end as stated: {:#?}", end.steps));
        }
        let stored = &self.given.desired.apps[name];
        let want = u32::from(stored.spec.replicas);
        let is_direct = self.given.observed.port_support.why_direct(&stored.spec).is_some();
        let (extra, missing) = limits(&stored.spec, is_direct);
        let live = count(self.of(name).filter(|r| is_live(r)));
        if end.most_live > live.max(want + extra) {
            return Err(format!("`{name}` has {} replicas at one time", end.most_live));
        }
        let ready = count(
            self.of(name)
                .filter(|r| r.labels.revision > stored.deleted_through && self.is_serving(r)),
        );
        if end.fewest_ready < ready.min(want.saturating_sub(missing)) {
            return Err(format!("`{name}` drops to {} ready replicas", end.fewest_ready));
        }
        Ok(())
    }

    fn forecast(&self, name: &AppName) -> Forecast {
        forecast(&self.given.desired, &self.given.observed, name, self.given.now)
    }

    fn of(&self, name: &AppName) -> impl Iterator<Item = &ObservedReplica> {
        self.given.observed.replicas.iter().filter(move |r| r.labels.app == *name)
    }

    fn is_serving(&self, replica: &ObservedReplica) -> bool {
        let table = self.given.observed.ingress.table();
        replica.is_running()
            && replica.readiness.failure().is_none()
            && table.zip(replica.endpoint).is_some_and(|(table, endpoint)| table.holds(endpoint))
    }

    /// The file with its golden sections rewritten.
    fn rewritten(&self) -> String {
        let mut text = self.story.clone();
        for name in SECTIONS {
            let lines = match (name, self.sections.get(name)) {
                ("plan", _) => self.planned(),
                ("then", Some(_)) => self.steps(),
                (_, Some(lines)) => lines.clone(),
                (_, None) => continue,
            };
            for (n, line) in lines.trim_end().lines().enumerate() {
                let head = if n == 0 { format!("{name}:") } else { String::new() };
                writeln!(text, "{}", format!("{head:INDENT$}{line}").trim_end()).unwrap();
            }
        }
        text
    }

    fn planned(&self) -> String {
        let mut text = String::new();
        let plan = self.plan.to_string();
        for (n, line) in plan.lines().enumerate() {
            let container = self.plan.actions.get(n).and_then(|p| self.container(&p.action));
            match container {
                Some(container) => writeln!(text, "{line} ({container})").unwrap(),
                None => writeln!(text, "{line}").unwrap(),
            }
        }
        if let Some(at) = self.plan.requeue_at() {
            writeln!(text, "look     in {:#}", at.duration_since(self.given.now)).unwrap();
        }
        for (name, status) in &self.plan.statuses {
            text.push_str(&status_line(name, status));
        }
        text
    }

    /// Describes the container of an action, as far as the text of the plan does not.
    fn container(&self, action: &Action) -> Option<String> {
        let (id, more) = match action {
            Action::Create(replica) => {
                let labels = &replica.labels;
                let consecutive_restarts = match labels.consecutive_restarts {
                    consecutive_restarts if consecutive_restarts == labels.restarts => {
                        String::new()
                    }
                    consecutive_restarts => format!(" streak {consecutive_restarts}"),
                };
                let own = format!("id-of-{}:{}", labels.app, labels.revision);
                let image = match &replica.request.image {
                    image if *image == own => String::new(),
                    image => format!(" {image}"),
                };
                return Some(format!(
                    "{}{consecutive_restarts}{image}",
                    revision_and_restarts(&replica.request.name)
                ));
            }
            Action::Start { id } | Action::Remove { id } => (id, String::new()),
            Action::Stop { id, signal, grace, .. } => {
                let signal = signal.map(|signal| format!(" {}", signal.as_str()));
                (id, format!("{} {grace}", signal.unwrap_or_default()))
            }
            Action::CreatePreDeploy(hook) => return Some(hook.request.name.clone()),
            Action::CreateOneOff(one_off) => return Some(one_off.request.name.clone()),
            Action::EnsureNetwork
            | Action::EnsureImage { .. }
            | Action::PurgeTombstone { .. }
            | Action::RecordRollout { .. }
            | Action::ClearEviction { .. }
            | Action::RemoveIngress
            | Action::RemoveNetwork
            | Action::IssueCertificate { .. }
            | Action::DropCertificate { .. }
            | Action::FinishTeardown => return None,
        };
        let replica = self.given.observed.replicas.iter().find(|r| r.id == *id);
        let name = replica.map_or("unknown", |r| &r.name);
        Some(format!("{}{more}", revision_and_restarts(name)))
    }

    fn steps(&self) -> String {
        let mut text = String::new();
        for name in self.given.desired.apps.keys() {
            for step in self.forecast(name).steps {
                let pod = step.pod.as_ref().map_or(name.as_str(), PodName::as_str);
                let line = format!("{:<8} {pod:<12} {}", step.action, step.reason);
                writeln!(text, "{line:<60} {} ready", step.ready).unwrap();
            }
        }
        if text.is_empty() { "nothing\n".to_owned() } else { text }
    }
}

/// Replicas that may be live above the wanted number, terminating ones included, and replicas that
/// may be missing.
fn limits(spec: &AppSpec, is_direct: bool) -> (u32, u32) {
    let rollout = &spec.rollout;
    let share = |share: CountOrPercent, up: u32| match share {
        CountOrPercent::Count(count) => u32::from(count),
        CountOrPercent::Percent(percent) => {
            (u32::from(spec.replicas) * u32::from(percent) + up) / 100
        }
    };
    let lone_writer = spec.replicas == 1 && spec.volumes.iter().any(|volume| !volume.read_only);
    let stops_first = match rollout.order {
        _ if is_direct => true,
        Some(order) => order == Order::StopFirst,
        None => lone_writer,
    };
    let surge = match rollout.max_surge {
        _ if stops_first => 0,
        Some(surge) => share(surge, 99),
        None => share(CountOrPercent::Percent(25), 99).max(1),
    };
    let terminating = match rollout.max_terminating {
        _ if stops_first => 0,
        Some(terminating) => share(terminating, 99),
        None => surge,
    };
    let missing = share(rollout.max_unavailable, 0);
    (surge + terminating, if surge == 0 { missing.max(1) } else { missing })
}

fn status_line(name: &AppName, status: &AppStatus) -> String {
    let AppStatus { phase, desired, ready, updated, revision, message, .. } = status;
    let mut text = format!("{:<8} {name:<12} {phase} {ready}/{desired}", "status");
    write!(text, " updated {updated} rev {revision}").unwrap();
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    let pods: Vec<_> = status.pods.iter().map(pod).collect();
    let pods = match &pods[..] {
        [] => "none".to_owned(),
        [first, .., last] if pods.len() > 16 => format!("{first} to {last}"),
        _ => pods.join(", "),
    };
    format!("{text}{message}\n{:<8} {name:<12} {pods}\n", "pods")
}

fn pod(pod: &PodStatus) -> String {
    let not = if pod.state == PodState::Running && !pod.ready { " not ready" } else { "" };
    let limits = if pod.changed_limits.is_some() { " with changed limits" } else { "" };
    format!("{} r{} {}{not}{limits}", pod.name, pod.revision, pod.state)
}

/// The end of a container's name, such as `r2` or `r2.1`.
fn revision_and_restarts(name: &str) -> String {
    name.splitn(4, '.').last().unwrap_or_default().to_owned()
}

fn is_live(replica: &ObservedReplica) -> bool {
    replica.is_running()
        || matches!(replica.state, ContainerState::Created | ContainerState::Paused)
}

fn count<'a>(replicas: impl Iterator<Item = &'a ObservedReplica>) -> u32 {
    u32::try_from(replicas.count()).unwrap()
}
