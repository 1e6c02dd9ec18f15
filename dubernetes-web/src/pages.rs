//! Handlers that read: each asks the API for what its page shows, all at once.

use std::collections::BTreeMap;

use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dubernetes_api::ClientError;
use dubernetes_api::client::{EventsQuery, LogQuery, LogTarget};
use dubernetes_api::text::{Tone, phase_tone};
use dubernetes_api::wire::{App, LogItem, LogLine};
use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::error::chain;
use dubernetes_core::event::EventKind;
use dubernetes_core::plan::Phase;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::Deserialize;

use crate::Site;
use crate::guard::Refusal;
use crate::simulation;
use crate::views::{
    self, AppData, ErrorPage, LogsQuery, LoopData, OPTIONS, app_page, decision_page, events_page,
    loop_page, no_apps_page, overview_page, page, routes_page, simulate_page,
};

/// Events that a page reads at most.
const EVENTS: u32 = 100;
/// Decisions that a page lists at most.
const DECISIONS: u32 = 20;
/// Lines of each pod that are searched for a text.
const SEARCHED: u32 = 5000;

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Client(ClientError),
    NotFound(String),
    /// The user has entered something invalid.
    Invalid(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::NotFound(what) => {
                ErrorPage::new(StatusCode::NOT_FOUND, "Not found", &what).into_response()
            }
            Self::Invalid(what) => {
                let title = "This cannot be done";
                ErrorPage::new(StatusCode::BAD_REQUEST, title, &what).into_response()
            }
            Self::Client(error) if error.is_not_found() => {
                let text = error.to_string();
                ErrorPage::new(StatusCode::NOT_FOUND, "Not found", &text).live().into_response()
            }
            Self::Client(error) if error.is_unreachable() => {
                let title = "The orchestrator does not answer";
                ErrorPage::new(StatusCode::SERVICE_UNAVAILABLE, title, &chain(&error))
                    .help("start it with `dubernetes serve`; this page then continues by itself")
                    .live()
                    .into_response()
            }
            Self::Client(error) => {
                let status = error.problem().and_then(|p| StatusCode::from_u16(p.status).ok());
                let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
                if status.is_server_error() {
                    let title = "The orchestrator cannot answer";
                    let help = "see `dubernetes doctor`; this page continues by itself";
                    let page = ErrorPage::new(status, title, &chain(&error)).help(help);
                    return page.live().into_response();
                }
                let title = "The orchestrator refuses this";
                let mut page = ErrorPage::new(status, title, &chain(&error));
                for field in error.problem().into_iter().flat_map(|problem| &problem.errors) {
                    page = page.help(&field.message);
                    if let Some(hint) = &field.hint {
                        page = page.help(hint);
                    }
                }
                page.into_response()
            }
        }
    }
}

pub(crate) type Page = Result<Response, Failure>;

/// Parses the name of an app in a URL.
pub(crate) fn app_name(name: &str) -> Result<AppName, Failure> {
    AppName::parse(name).map_err(|_| Failure::NotFound("There is no app of this name.".to_owned()))
}

pub(crate) async fn not_found() -> Failure {
    Failure::NotFound("There is no such page.".to_owned())
}

pub(crate) async fn overview(State(site): State<Site>) -> Page {
    let client = &site.client;
    let query = EventsQuery { limit: Some(EVENTS), ..EventsQuery::default() };
    let (status, apps, events) =
        tokio::try_join!(client.status(), client.list_apps(), client.events(&query))?;
    Ok(page(&overview_page(&site.program, &status, &apps, &events, Timestamp::now())))
}

pub(crate) async fn routes(State(site): State<Site>) -> Page {
    Ok(page(&routes_page(&site.program, &site.client.routes().await?)))
}

/// Query of the page of events.
#[derive(Debug, Deserialize)]
pub(crate) struct OfEvents {
    #[serde(default)]
    app: String,
    #[serde(default, rename = "type")]
    kind: String,
}

pub(crate) async fn events(State(site): State<Site>, Query(query): Query<OfEvents>) -> Page {
    let OfEvents { app, kind } = query;
    let app = if app.is_empty() { None } else { Some(app_name(&app)?) };
    let warnings = kind == EventKind::Warning.as_str();
    let query = EventsQuery {
        app: app.clone(),
        kind: warnings.then_some(EventKind::Warning),
        limit: Some(EVENTS),
        ..EventsQuery::default()
    };
    let events = site.client.events(&query).await?;
    Ok(page(&events_page(&site.program, &events, app.as_ref(), warnings, Timestamp::now())))
}

pub(crate) async fn app(State(site): State<Site>, Path(name): Path<String>) -> Page {
    let name = app_name(&name)?;
    let client = &site.client;
    let query =
        EventsQuery { app: Some(name.clone()), limit: Some(EVENTS), ..EventsQuery::default() };
    let name = name.as_str();
    // The page is complete without it.
    let history = async { Ok(client.history(name).await.ok()) };
    let (app, pods, routes, revisions, events, why, history) = tokio::try_join!(
        client.get_app(name),
        client.pods(Some(name)),
        client.routes(),
        client.revisions(name),
        client.events(&query),
        client.why_app(name),
        history,
    )?;
    let is_settled = matches!(app.status.phase, Phase::Ready | Phase::Deleting);
    // The page is complete without it.
    let plan = if is_settled { None } else { client.forecast(name).await.ok() };
    let data = AppData { app, pods, routes, revisions, events, why, plan, history };
    let can_change = !site.guard.is_read_only() && data.app.status.phase != Phase::Deleting;
    Ok(page(&app_page(&site.program, &data, can_change, Timestamp::now())))
}

/// Query of the page of the control loop.
#[derive(Debug, Deserialize)]
pub(crate) struct OfLoop {
    #[serde(default)]
    app: String,
    /// Time of a recorded decision; now by default.
    #[serde(default)]
    at: String,
}

pub(crate) async fn control_loop(State(site): State<Site>, Query(query): Query<OfLoop>) -> Page {
    let client = &site.client;
    let apps = client.list_apps().await?;
    let wanted = match query.app.as_str() {
        "" => {
            // What needs attention first, then what is in progress.
            let rank = |app: &&App| match phase_tone(app.status.phase) {
                Tone::Bad => 0,
                Tone::Changing => 1,
                Tone::Good => 2,
            };
            apps.iter().min_by_key(rank).map(|app| app.name.clone())
        }
        name => Some(app_name(name)?),
    };
    let Some(wanted) = wanted else { return Ok(page(&no_apps_page(&site.program))) };
    let name = wanted.as_str();
    let names: Vec<_> = apps.into_iter().map(|app| app.name).collect();
    if !query.at.is_empty() {
        return decision(&site, &names, name, &query.at).await;
    }
    // The page is complete without them.
    let decisions = async { Ok(client.decisions(name, None, DECISIONS).await.unwrap_or_default()) };
    let (app, pods, routes, why, plan, decisions) = tokio::try_join!(
        client.get_app(name),
        client.pods(Some(name)),
        client.routes(),
        client.why_app(name),
        client.forecast(name),
        decisions,
    )?;
    let data = LoopData { names, app, pods, routes, plan, why, decisions };
    Ok(page(&loop_page(&site.program, &data, Timestamp::now())))
}

/// The decision about an app at a time, with those around it.
async fn decision(site: &Site, names: &[AppName], app: &str, at: &str) -> Page {
    let missing = || Failure::NotFound("There is no recorded decision of this time.".to_owned());
    let at: Timestamp = at.parse().map_err(|_| missing())?;
    let (last, found) = tokio::try_join!(
        site.client.decisions(app, None, DECISIONS),
        site.client.decisions(app, Some(at), 1),
    )?;
    let found = found.into_iter().find(|found| found.at == at).ok_or_else(missing)?;
    Ok(page(&decision_page(&site.program, names, app, &found, &last, Timestamp::now())))
}

pub(crate) async fn logs(
    State(site): State<Site>,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Page {
    let name = app_name(&name)?;
    let pods = site.client.pods(Some(name.as_str())).await?;
    let tail = if query.filter.is_empty() { views::LINES } else { SEARCHED };
    let target = log_target(&name, &query.pod)?;
    let lines = read_lines(&site, &target, tail).await?;
    Ok(page(&views::logs_page(&site.program, &name, &pods, query, &lines)))
}

/// Returns whose output is meant: that of a pod of the app, or else of all of them.
pub(crate) fn log_target(app: &AppName, pod: &str) -> Result<LogTarget, Failure> {
    if pod.is_empty() || pod == app.as_str() {
        return Ok(LogTarget::App(app.clone()));
    }
    let missing = || Failure::NotFound("The app has no pod of this name.".to_owned());
    let pod = PodName::parse(pod).map_err(|_| missing())?;
    if pod.app() == *app { Ok(LogTarget::Pod(pod)) } else { Err(missing()) }
}

async fn read_lines(
    site: &Site,
    target: &LogTarget,
    tail: u32,
) -> Result<Vec<LogLine>, ClientError> {
    let query = LogQuery { tail: Some(tail), ..LogQuery::default() };
    let mut items = site.client.logs(target, &query);
    let mut lines = Vec::new();
    while let Some(item) = items.next().await {
        match item? {
            LogItem::Line(line) => lines.push(line),
            LogItem::Note(_) => {}
        }
    }
    Ok(lines)
}

pub(crate) async fn simulate_form(State(site): State<Site>) -> Page {
    Ok(page(&simulate_page(site.guard.form_token(), None, &[], None)))
}

/// Simulates the file of a form. Changes nothing, so it also works on read-only pages.
pub(crate) async fn simulate(
    State(site): State<Site>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Page {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    site.guard.check_form(field("token"))?;
    let sent = OPTIONS.map(|option| (option, field(option.flag).trim().to_owned()));
    let words = sent.iter().flat_map(|(option, value)| {
        value.split_whitespace().map(|word| format!("--{}={word}", option.flag))
    });
    let words: Vec<_> = words.collect();
    let result = simulation::simulate(&site.executable, field("file"), &words).await;
    Ok(page(&simulate_page(site.guard.form_token(), Some(field("file")), &sent, Some(result))))
}
