//! `--step`: shows each step before it is carried out, and waits for a line of standard input.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use dubernetes_controller::{Approval, Approver, NextStep, PendingStep, Snapshot};
use dubernetes_core::app::PodName;
use dubernetes_core::error::one_line;
use dubernetes_core::forecast::forecast;
use dubernetes_core::ingress::UrlPorts;
use dubernetes_core::plan::Planned;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::output::{Cell, Table};
use crate::{report, style};

/// Number of following steps to show.
const STEPS_AHEAD: usize = 3;

/// Asks the user for approval. `c` approves all further steps, `q` or the end of the input quits,
/// and any other line approves one step.
#[derive(Debug)]
pub(crate) struct Prompt {
    lines: Mutex<mpsc::UnboundedReceiver<String>>,
    count: AtomicU32,
    /// Port on which the ingress listens.
    ports: UrlPorts,
    quit: CancellationToken,
}

impl Prompt {
    /// Starts to read standard input.
    pub(crate) fn start(ports: UrlPorts) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        // A blocking read cannot be cancelled, so it gets its own thread.
        std::thread::spawn(move || {
            for line in io::stdin().lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            lines: Mutex::new(lines),
            count: AtomicU32::new(0),
            ports,
            quit: CancellationToken::new(),
        }
    }

    /// Resolves when the user quits.
    pub(crate) async fn quit_requested(&self) {
        self.quit.cancelled().await;
    }
}

#[async_trait]
impl Approver for Prompt {
    async fn approve(&self, step: PendingStep) -> Approval {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        report::print_line(&describe(&step, number, self.ports));
        if io::stdin().is_terminal() {
            report::print_line(
                "Enter: run this step   c: continue without asking   q: quit, leaving all as it is",
            );
        }
        let line = self.lines.lock().await.recv().await;
        match line.as_deref().map(str::trim) {
            Some("c") => Approval::Always,
            None | Some("q") => {
                self.quit.cancel();
                std::future::pending().await
            }
            Some(_) => Approval::Once,
        }
    }
}

fn describe(step: &PendingStep, number: u32, ports: UrlPorts) -> String {
    let snapshot = &step.seen;
    let (reason, action) = match &step.next {
        NextStep::Act(planned) => {
            (planned.reason.to_string(), format!("{} {}", planned.action.verb(), planned.object()))
        }
        NextStep::Route(_) => {
            let routes = describe_routes(snapshot, ports);
            ("the ingress serves other routes".to_owned(), format!("route {routes}"))
        }
    };
    let mut out = format!("--- step {number}\n");
    push_block(&mut out, "desired", &describe_desired(snapshot));
    push_block(&mut out, "observed", &describe_observed(snapshot));
    push_block(&mut out, "rule", &[reason]);
    push_block(&mut out, "action", &[action]);
    push_block(&mut out, "then", &describe_next(step));
    out.truncate(out.trim_end().len());
    out
}

fn push_block(out: &mut String, title: &str, lines: &[String]) {
    let none = ["nothing".to_owned()];
    let lines = if lines.is_empty() { &none } else { lines };
    for (index, line) in lines.iter().enumerate() {
        let title = if index == 0 { title } else { "" };
        out.push_str(&format!("{0}{title:<10}{0:#}{line}\n", style::NOTE));
    }
}

fn describe_desired(snapshot: &Snapshot) -> Vec<String> {
    let apps = snapshot.desired.apps.values().map(|stored| {
        let spec = &stored.spec;
        format!(
            "{}: revision {}, replicas {}, image {}",
            spec.name, stored.revision, spec.replicas, spec.artifact
        )
    });
    let deleted = snapshot.desired.tombstones.keys().map(|name| format!("{name}: deleted"));
    apps.chain(deleted).collect()
}

fn describe_observed(snapshot: &Snapshot) -> Vec<String> {
    let mut table = Table::new(&["POD", "REVISION", "STATE", "READY", "MESSAGE"]);
    let pods: Vec<_> = snapshot.plan.statuses.values().flat_map(|status| &status.pods).collect();
    for pod in &pods {
        table.push(vec![
            Cell::new(&pod.name),
            Cell::new(pod.revision.to_string()),
            Cell::styled(pod.state.as_str(), style::pod_state(pod.state, pod.ready)),
            Cell::new(if pod.ready { "yes" } else { "no" }),
            Cell::new(&pod.message),
        ]);
    }
    if pods.is_empty() {
        return vec!["no pods".to_owned()];
    }
    table.render(true, None).lines().map(str::to_owned).collect()
}

fn describe_routes(snapshot: &Snapshot, ports: UrlPorts) -> String {
    let table = &snapshot.plan.routes.table;
    let routes = table.routes.iter().map(|route| {
        let pods: Vec<_> = route.endpoints.iter().map(|endpoint| endpoint.pod.as_str()).collect();
        let pods = if pods.is_empty() { "no ready replica".to_owned() } else { pods.join(", ") };
        format!("{} -> {pods}", route.url(table, ports))
    });
    let routes: Vec<_> = routes.collect();
    if routes.is_empty() { "to nothing".to_owned() } else { routes.join("; ") }
}

/// Describes other actions of the plan, or else the steps that follow; then waits and blocks.
fn describe_next(step: &PendingStep) -> Vec<String> {
    let plan = &step.seen.plan;
    let own = match &step.next {
        NextStep::Act(planned) => Some(&**planned),
        NextStep::Route(_) => None,
    };
    let others = plan.actions.iter().filter(|planned| Some(*planned) != own);
    let others = others.take(STEPS_AHEAD);
    let mut lines: Vec<String> = others.map(|p| one_line(&p.to_string())).collect();
    if let Some(planned) = own.filter(|_| lines.is_empty()) {
        lines.extend(forecast_after(&step.seen, planned));
    }
    lines.extend(plan.waiting.iter().map(|waiting| one_line(&waiting.to_string())));
    lines.extend(plan.blocked.iter().map(|blocked| one_line(&blocked.to_string())));
    lines
}

/// Returns the next steps after an action, if every call succeeds.
fn forecast_after(snapshot: &Snapshot, planned: &Planned) -> Vec<String> {
    let (Some(app), Some(at)) = (&planned.app, snapshot.at) else { return Vec::new() };
    let forecast = forecast(&snapshot.desired, &snapshot.observed, app, at);
    let verb = planned.action.verb();
    let pod = planned.pod.as_ref();
    let mut steps = forecast.steps.iter();
    let found = steps.any(|step| step.action == verb && step.pod.as_ref() == pod);
    let shown = steps.filter(|_| found).take(STEPS_AHEAD).map(|step| {
        let pod = step.pod.as_ref().map_or(app.as_str(), PodName::as_str);
        one_line(&format!("{:<8} {pod:<12} {}", step.action, step.reason))
    });
    shown.collect()
}
