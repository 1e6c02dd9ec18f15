//! `--step`: shows each step before it is done, and waits for a line of standard input.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use dubernetes_controller::{Approval, Approver, NextStep, PendingStep, Snapshot};
use dubernetes_core::error::one_line;
use dubernetes_core::forecast::forecast;
use dubernetes_core::plan::Planned;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::output::{Cell, Table, style};
use crate::report;

/// So many of the steps that follow are shown.
const AHEAD: usize = 3;

/// Asks the user. Every line is a yes, but `c`, which is one to all that follow, and `q`; at the
/// end of the input it is as with `q`.
#[derive(Debug)]
pub(crate) struct Prompt {
    lines: Mutex<mpsc::UnboundedReceiver<String>>,
    count: AtomicU32,
    /// The host's port on which the ingress listens.
    http_port: u16,
    quit: CancellationToken,
}

impl Prompt {
    /// Begins to read standard input. The ingress listens on this port.
    pub(crate) fn start(http_port: u16) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        // A thread of its own: nothing ends a read but its end.
        std::thread::spawn(move || {
            for line in io::stdin().lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let (count, quit) = (AtomicU32::new(0), CancellationToken::new());
        Self { lines: Mutex::new(lines), count, http_port, quit }
    }

    /// Returns once the user wants to leave.
    pub(crate) async fn quit_requested(&self) {
        self.quit.cancelled().await;
    }
}

#[async_trait]
impl Approver for Prompt {
    async fn approve(&self, step: PendingStep) -> Approval {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        report::print_line(&text(&step, number, self.http_port));
        if io::stdin().is_terminal() {
            report::print_line(
                "Enter: do it   c: go on without stopping   q: quit and leave all as it is",
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

fn text(step: &PendingStep, number: u32, http_port: u16) -> String {
    let seen = &step.seen;
    let (reason, action) = match &step.next {
        NextStep::Act(planned) => (
            planned.reason.to_string(),
            format!("{} {}", planned.action.verb(), planned.action.object()),
        ),
        NextStep::Route(_) => {
            let routes = routes(seen, http_port);
            ("the ingress serves other routes".to_owned(), format!("route {routes}"))
        }
    };
    let mut out = format!("--- step {number}\n");
    block(&mut out, "desired", &desired(seen));
    block(&mut out, "observed", &observed(seen));
    block(&mut out, "rule", &[reason]);
    block(&mut out, "action", &[action]);
    block(&mut out, "then", &then(step));
    out.truncate(out.trim_end().len());
    out
}

fn block(out: &mut String, title: &str, lines: &[String]) {
    let none = ["nothing".to_owned()];
    let lines = if lines.is_empty() { &none } else { lines };
    for (at, line) in lines.iter().enumerate() {
        let title = if at == 0 { title } else { "" };
        out.push_str(&format!(
            "{}{title:<10}{}{line}\n",
            style::NOTE.render(),
            style::NOTE.render_reset()
        ));
    }
}

fn desired(seen: &Snapshot) -> Vec<String> {
    let apps = seen.desired.apps.values().map(|stored| {
        let spec = &stored.spec;
        format!(
            "{}: revision {}, replicas {}, image {}",
            spec.name, stored.revision, spec.replicas, spec.image
        )
    });
    let gone = seen.desired.tombstones.keys().map(|name| format!("{name}: deleted"));
    apps.chain(gone).collect()
}

fn observed(seen: &Snapshot) -> Vec<String> {
    let mut table = Table::new(&["POD", "REVISION", "STATE", "READY", "MESSAGE"]);
    let pods: Vec<_> = seen.plan.statuses.values().flat_map(|status| &status.pods).collect();
    for pod in &pods {
        table.push(vec![
            Cell::new(&pod.name),
            Cell::new(pod.revision.to_string()),
            Cell::styled(pod.state.as_str(), style::pod(pod.state, pod.ready)),
            Cell::new(if pod.ready { "yes" } else { "no" }),
            Cell::new(&pod.message),
        ]);
    }
    if pods.is_empty() {
        return vec!["no pod".to_owned()];
    }
    table.render(true, None).lines().map(str::to_owned).collect()
}

fn routes(seen: &Snapshot, http_port: u16) -> String {
    let routes = seen.plan.routes.routes.iter().map(|route| {
        let pods: Vec<_> = route.endpoints.iter().map(|endpoint| endpoint.pod.as_str()).collect();
        let pods = if pods.is_empty() { "no ready replica".to_owned() } else { pods.join(", ") };
        format!("{} -> {pods}", route.url(http_port))
    });
    let routes: Vec<_> = routes.collect();
    if routes.is_empty() { "to nothing".to_owned() } else { routes.join("; ") }
}

/// What else could be done now, what follows from the step, and what is waited for.
fn then(step: &PendingStep) -> Vec<String> {
    let plan = &step.seen.plan;
    let own = match &step.next {
        NextStep::Act(planned) => Some(&**planned),
        NextStep::Route(_) => None,
    };
    let others = plan.actions.iter().filter(|planned| Some(*planned) != own);
    let mut lines: Vec<String> = others.take(AHEAD).map(|p| one_line(&p.to_string())).collect();
    if let Some(planned) = own.filter(|_| lines.is_empty()) {
        lines.extend(follows(&step.seen, planned));
    }
    lines.extend(plan.waiting.iter().map(|waiting| one_line(&waiting.to_string())));
    lines.extend(plan.blocked.iter().map(|blocked| one_line(&blocked.to_string())));
    lines
}

/// What the same rules will do after an action, if all goes well.
fn follows(seen: &Snapshot, planned: &Planned) -> Vec<String> {
    let (Some(app), Some(at)) = (&planned.app, seen.at) else { return Vec::new() };
    let foreseen = forecast(&seen.desired, &seen.observed, app, at);
    let (verb, pod) = (planned.action.verb(), planned.action.pod());
    let mut steps = foreseen.steps.iter();
    let found = steps.any(|step| step.action == verb && step.pod.as_deref() == pod);
    let shown = steps.filter(|_| found).take(AHEAD).map(|step| {
        let pod = step.pod.as_deref().unwrap_or(app.as_str());
        one_line(&format!("{:<8} {pod:<12} {}", step.action, step.reason))
    });
    shown.collect()
}
