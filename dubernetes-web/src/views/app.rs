//! One app: its state and cause, pods, rollout, revisions, explanation and events.

use askama::Template;
use dubernetes_api::text::{Tone, age, phase_tone, pod_tone, reason, with_next_try};
use dubernetes_api::wire::{
    App, AppPlan, EndpointState, Event, History, Pod, Revision, RolloutOutcome, Route, Why,
};
use jiff::Timestamp;

use super::charts::{ChartsView, charts};
use super::{EventRow, Frame, PlanView, State, event_rows, quoted, ready, text};

/// Number of last events.
const EVENTS: usize = 20;

/// What the page is about.
#[derive(Debug)]
pub(crate) struct AppData {
    pub(crate) app: App,
    pub(crate) pods: Vec<Pod>,
    pub(crate) routes: Vec<Route>,
    pub(crate) revisions: Vec<Revision>,
    /// Oldest first.
    pub(crate) events: Vec<Event>,
    pub(crate) why: Why,
    /// What happens next, if something does.
    pub(crate) plan: Option<AppPlan>,
    /// What it used in the last hour, if the orchestrator keeps that.
    pub(crate) history: Option<History>,
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "app.html")]
pub(crate) struct AppPage {
    frame: Frame,
    program: String,
    name: String,
    state: State,
    summary: String,
    cause: String,
    can_change: bool,
    replicas: u16,
    why: WhyView,
    rollout: RolloutView,
    pods: Vec<PodRow>,
    charts: Option<ChartsView>,
    routes: Vec<RouteRow>,
    revisions: Vec<RevisionRow>,
    events: Vec<EventRow>,
}

/// An explanation.
#[derive(Debug)]
pub(crate) struct WhyView {
    pub(crate) links: Vec<WhyLink>,
    /// Pod whose last lines are shown; may be empty.
    pub(crate) pod: String,
    pub(crate) lines: Vec<String>,
    pub(crate) help: Vec<String>,
}

/// A link of the chain.
#[derive(Debug)]
pub(crate) struct WhyLink {
    pub(crate) step: &'static str,
    pub(crate) text: String,
    pub(crate) detail: String,
}

#[derive(Debug)]
struct RolloutView {
    sentence: String,
    class: &'static str,
    failure: Option<FailureView>,
    plan: Option<PlanView>,
}

#[derive(Debug)]
struct FailureView {
    sentence: String,
    pod: String,
    lines: Vec<String>,
}

#[derive(Debug)]
struct PodRow {
    name: String,
    state: State,
    ready: &'static str,
    restarts: u32,
    revision: String,
    age: String,
    reason: String,
    probes: Vec<ProbeMark>,
}

#[derive(Debug)]
struct ProbeMark {
    class: &'static str,
    word: &'static str,
    at: String,
    text: String,
}

#[derive(Debug)]
struct RouteRow {
    url: String,
    endpoints: String,
}

#[derive(Debug)]
struct RevisionRow {
    number: String,
    is_current: bool,
    cause: String,
    image: String,
    outcome: State,
    reason: String,
    age: String,
}

/// Returns the page.
pub(crate) fn app_page(program: &str, data: &AppData, can_change: bool, now: Timestamp) -> AppPage {
    let AppData { app, pods, routes, revisions, events, why, plan, history } = data;
    let status = &app.status;
    let name = app.name.to_string();
    AppPage {
        frame: Frame {
            title: format!("{name} is {}", status.phase),
            section: "/",
            command: format!("{program} describe {}", quoted(&name)),
            live: format!("/live?app={name}"),
        },
        program: program.to_owned(),
        state: State::new(status.phase.as_str(), phase_tone(status.phase)),
        summary: summary(app, now),
        cause: text(&reason(status, now)),
        can_change,
        replicas: app.spec.replicas,
        why: why_view(why),
        rollout: rollout_view(app, plan.as_ref(), now),
        pods: pods.iter().map(|pod| pod_row(pod, now)).collect(),
        charts: history.as_ref().map(|history| charts(app, history, now)),
        routes: route_rows(app, routes),
        revisions: revisions.iter().rev().map(|revision| revision_row(revision, now)).collect(),
        events: event_rows(events, EVENTS, now),
        name,
    }
}

/// Returns what runs, in one line.
fn summary(app: &App, now: Timestamp) -> String {
    let artifact = &app.spec.artifact;
    let what = format!("{} {}", artifact.key(), text(artifact.as_str()));
    let revision = app.status.revision;
    format!("{}, revision {revision}, {what}, {} old", ready(&app.status), age(app.created_at, now))
}

/// Returns an explanation as the page shows it.
pub(crate) fn why_view(why: &Why) -> WhyView {
    let links = why.chain.iter().map(|link| WhyLink {
        step: link.step.as_str(),
        text: text(&link.text),
        detail: text(&link.detail),
    });
    let output = why.output.as_ref();
    WhyView {
        links: links.collect(),
        pod: output.map(|output| output.pod.to_string()).unwrap_or_default(),
        lines: output.iter().flat_map(|output| &output.lines).map(|line| text(line)).collect(),
        help: why.help.iter().map(|help| text(help)).collect(),
    }
}

fn rollout_view(app: &App, plan: Option<&AppPlan>, now: Timestamp) -> RolloutView {
    let status = &app.status;
    let tone = outcome_tone(status.rollout);
    let paused = if status.paused { ", and paused" } else { "" };
    let counts = format!(
        "{} of {} replicas updated, {} ready{paused}",
        status.updated, status.desired, status.ready
    );
    let revision = status.revision;
    let sentence = match status.rollout {
        RolloutOutcome::Progressing => {
            format!("The rollout of revision {revision} is in progress: {counts}.")
        }
        RolloutOutcome::Complete => format!("Revision {revision} is complete: {counts}."),
        RolloutOutcome::Stable => format!("Revision {revision} is stable: {counts}."),
        RolloutOutcome::Failed => format!("The rollout of revision {revision} failed: {counts}."),
        RolloutOutcome::Superseded => {
            format!("A newer revision has replaced revision {revision}: {counts}.")
        }
    };
    let failure = status.failure.as_ref().map(|failure| FailureView {
        sentence: {
            let back = failure.back_to.map(|to| format!(" The app rolled back to revision {to}."));
            format!(
                "Revision {} failed {} ago: {}.{}",
                failure.revision,
                age(failure.at, now),
                text(&failure.reason),
                back.unwrap_or_default()
            )
        },
        pod: failure.pod.as_ref().map(ToString::to_string).unwrap_or_default(),
        lines: failure.log.iter().map(|line| text(line)).collect(),
    });
    let plan = plan.map(|plan| PlanView::new(plan, app.spec.replicas));
    RolloutView { sentence, class: super::class(tone), failure, plan }
}

fn outcome_tone(outcome: RolloutOutcome) -> Tone {
    match outcome {
        RolloutOutcome::Complete | RolloutOutcome::Stable => Tone::Good,
        RolloutOutcome::Progressing | RolloutOutcome::Superseded => Tone::Changing,
        RolloutOutcome::Failed => Tone::Bad,
    }
}

fn pod_row(pod: &Pod, now: Timestamp) -> PodRow {
    PodRow {
        name: pod.name.to_string(),
        state: State::new(pod.state.as_str(), pod_tone(pod.state, pod.ready)),
        ready: if pod.ready { "yes" } else { "no" },
        restarts: pod.restarts,
        revision: pod.revision.to_string(),
        age: pod.created_at.map(|created| age(created, now)).unwrap_or_default(),
        reason: text(&with_next_try(&pod.message, pod.next_try, now)),
        probes: pod
            .probes
            .iter()
            .map(|probe| ProbeMark {
                class: if probe.good { "good" } else { "bad" },
                word: if probe.good { "passed" } else { "failed" },
                at: age(probe.at, now),
                text: text(&probe.text),
            })
            .collect(),
    }
}

fn route_rows(app: &App, routes: &[Route]) -> Vec<RouteRow> {
    let routes: Vec<_> = routes.iter().filter(|route| route.app == app.name).collect();
    let row = |url: &String| {
        let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let is_at = |route: &&&Route| {
            let named = route.host.to_string();
            host.strip_prefix(&*named)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
        };
        let endpoints = routes.iter().find(is_at).map(|route| endpoints(route));
        RouteRow { url: text(url), endpoints: endpoints.unwrap_or_else(|| "no endpoint".into()) }
    };
    app.urls.iter().map(row).collect()
}

/// Returns the pods that receive requests, and those on the way in or out.
pub(crate) fn endpoints(route: &Route) -> String {
    if route.endpoints.is_empty() {
        return "no endpoint".to_owned();
    }
    let shown = route.endpoints.iter().map(|endpoint| match endpoint.state {
        EndpointState::Active => endpoint.pod.to_string(),
        EndpointState::Pending => format!("{} (pending)", endpoint.pod),
        EndpointState::Leaving => format!("{} (leaving)", endpoint.pod),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn revision_row(revision: &Revision, now: Timestamp) -> RevisionRow {
    let reason = revision.failure.as_ref().map(|failure| text(&failure.reason));
    RevisionRow {
        number: revision.revision.to_string(),
        is_current: revision.current,
        cause: text(&revision.cause),
        image: text(&revision.image),
        outcome: State::new(revision.outcome.as_str(), outcome_tone(revision.outcome)),
        reason: reason.unwrap_or_default(),
        age: age(revision.created_at, now),
    }
}
