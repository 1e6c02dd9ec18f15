//! A change before it is confirmed: its plan, and the form that carries it out.

use askama::Template;
use dubernetes_api::text::{plan_heading, plan_summary, refusal};
use dubernetes_api::wire::{AppPlan, Change};
use dubernetes_core::app::Generation;

use super::{Frame, text};

/// The steps of a plan.
#[derive(Debug)]
pub(crate) struct PlanView {
    /// What changes; without control characters.
    pub(crate) heading: String,
    /// Why an apply would be refused; may be empty.
    pub(crate) refused: String,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) summary: String,
    pub(crate) converges: bool,
}

/// A step of a plan.
#[derive(Debug)]
pub(crate) struct StepRow {
    /// Number of the action; empty for what is no action.
    pub(crate) number: String,
    pub(crate) action: String,
    pub(crate) pod: String,
    pub(crate) reason: String,
    pub(crate) ready: u32,
    /// Whether it takes away replicas that are ready now and wanted.
    pub(crate) is_low: bool,
}

impl PlanView {
    /// Returns the plan of an app that shall have `replicas`.
    pub(crate) fn new(plan: &AppPlan, replicas: u16) -> Self {
        let mut number = 0;
        // What is ready now shall stay so, as far as it is wanted.
        let floor = plan.forecast.steps.first().map_or(0, |step| step.ready);
        let floor = floor.min(u32::from(replicas));
        let steps = plan.forecast.steps.iter().map(|step| {
            let is_action = !matches!(step.action.as_str(), "wait" | "blocked");
            number += u32::from(is_action);
            StepRow {
                number: if is_action { number.to_string() } else { String::new() },
                action: text(&step.action),
                pod: step.pod.as_ref().map(ToString::to_string).unwrap_or_default(),
                reason: text(&step.reason),
                ready: step.ready,
                is_low: step.ready < floor,
            }
        });
        let memory = plan.most_memory.as_ref();
        let memory = memory.map(|most| format!(" (at most {} of memory)", text(most)));
        Self {
            heading: text(&plan_heading(plan)),
            refused: plan.refused.as_ref().map(refusal).unwrap_or_default(),
            steps: steps.collect(),
            summary: plan_summary(plan, replicas, &memory.unwrap_or_default()),
            converges: plan.forecast.converges,
        }
    }
}

/// A change to preview.
#[derive(Debug)]
pub(crate) struct Preview {
    /// The app.
    pub(crate) app: String,
    /// What is done, such as `Scale web to 5 replicas`.
    pub(crate) title: String,
    /// Last part of the path.
    pub(crate) path: &'static str,
    /// Command that does the same.
    pub(crate) command: String,
    /// What a user should know before.
    pub(crate) note: &'static str,
    /// Fields of the form.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// Generation of the app that the plan is for.
    pub(crate) generation: Generation,
    /// Number of replicas that the plan leads to.
    pub(crate) replicas: u16,
    /// Whether the app changed since an earlier preview.
    pub(crate) is_renewed: bool,
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "change.html")]
pub(crate) struct ChangePage {
    frame: Frame,
    preview: Preview,
    plan: PlanView,
    is_unchanged: bool,
    token: String,
}

/// Returns the page. `token` is that of the form.
pub(crate) fn change_page(preview: Preview, plan: &AppPlan, token: &str) -> ChangePage {
    ChangePage {
        frame: Frame {
            title: preview.title.clone(),
            section: "/",
            command: preview.command.clone(),
            live: String::new(),
        },
        plan: PlanView::new(plan, preview.replicas),
        is_unchanged: plan.change == Change::Unchanged,
        token: token.to_owned(),
        preview,
    }
}
