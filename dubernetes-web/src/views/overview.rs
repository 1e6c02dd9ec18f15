//! The overview: what needs attention with its cause, all apps, and the last events.

use askama::Template;
use dubernetes_api::text::{Tone, age, phase_tone, reason};
use dubernetes_api::wire::{App, EngineState, Event, IngressState, Status};
use jiff::Timestamp;

use super::{EventRow, Frame, State, event_rows, ready, text};

/// Most entries of a list of states; the table has the others.
const MOST: usize = 20;
/// Number of last events.
const EVENTS: usize = 10;

/// The page.
#[derive(Debug, Template)]
#[template(path = "overview.html")]
pub(crate) struct OverviewPage {
    frame: Frame,
    headline: String,
    attention: Vec<Item>,
    changing: Vec<Item>,
    /// Number of further entries.
    more_attention: usize,
    more_changing: usize,
    apps: Vec<AppRow>,
    events: Vec<EventRow>,
    instance: String,
}

/// Something that is not as desired.
#[derive(Debug)]
struct Item {
    /// App to link to; empty for the instance.
    app: String,
    name: String,
    state: State,
    ready: String,
    cause: String,
}

#[derive(Debug)]
struct AppRow {
    name: String,
    state: State,
    ready: String,
    revision: String,
    url: String,
    host: String,
    more_hosts: usize,
    age: String,
}

/// Returns the page. `events` is oldest first.
pub(crate) fn overview_page(
    program: &str,
    status: &Status,
    apps: &[App],
    events: &[Event],
    now: Timestamp,
) -> OverviewPage {
    let of_tone = |tone: Tone| {
        let items = apps.iter().filter(|app| phase_tone(app.status.phase) == tone);
        items.map(|app| app_item(app, now)).collect::<Vec<_>>()
    };
    let instance = instance_items(status);
    let bad = of_tone(Tone::Bad);
    let mut changing = of_tone(Tone::Changing);
    let headline = headline(apps.len(), bad.len(), changing.len(), instance.len());
    let mut attention: Vec<Item> = instance.into_iter().chain(bad).collect();
    let more_attention = attention.len().saturating_sub(MOST);
    let more_changing = changing.len().saturating_sub(MOST);
    attention.truncate(MOST);
    changing.truncate(MOST);
    OverviewPage {
        frame: Frame {
            title: headline.clone(),
            section: "/",
            command: format!("{program} get apps"),
            live: "/live".to_owned(),
        },
        headline,
        attention,
        changing,
        more_attention,
        more_changing,
        apps: apps.iter().map(|app| app_row(app, now)).collect(),
        events: event_rows(events, EVENTS, now),
        instance: status.instance.to_string(),
    }
}

/// Returns the state of everything in one sentence.
fn headline(apps: usize, bad: usize, changing: usize, instance: usize) -> String {
    let noun = if apps == 1 { "app" } else { "apps" };
    match (apps, bad, changing) {
        _ if instance > 0 && bad == 0 => "The orchestrator needs attention".to_owned(),
        (0, _, _) => "No apps yet".to_owned(),
        (_, 0, 0) if apps == 1 => "The app is ready".to_owned(),
        (_, 0, 0) => format!("All {apps} apps are ready"),
        (_, 0, _) => format!("{changing} of {apps} {noun} in progress"),
        (_, 1, _) => format!("1 of {apps} {noun} needs attention"),
        _ => format!("{bad} of {apps} {noun} need attention"),
    }
}

fn app_item(app: &App, now: Timestamp) -> Item {
    let status = &app.status;
    Item {
        app: app.name.to_string(),
        name: app.name.to_string(),
        state: State::new(status.phase.as_str(), phase_tone(status.phase)),
        ready: ready(status),
        cause: text(&reason(status, now)),
    }
}

/// Returns what is wrong with the instance itself.
fn instance_items(status: &Status) -> Vec<Item> {
    let item = |name: &str, word: &str, cause: &str| Item {
        app: String::new(),
        name: name.to_owned(),
        state: State::new(word, Tone::Bad),
        ready: String::new(),
        cause: text(cause),
    };
    let engine = (status.engine.state == EngineState::Away)
        .then(|| item("Engine", "Away", status.engine.reason.as_deref().unwrap_or_default()));
    let is_down = matches!(status.ingress.state, IngressState::Down | IngressState::Unknown);
    let ingress = is_down
        .then(|| item("Ingress", "Down", status.ingress.reason.as_deref().unwrap_or_default()));
    let store = status.store_problem.as_ref().map(|problem| item("Store", "Failed", problem));
    let teardown = status.teardown.as_ref().map(|text| item("Instance", "Teardown", text));
    let blocked = status.blocked.iter().map(|text| item("Instance", "Blocked", text));
    engine.into_iter().chain(ingress).chain(store).chain(teardown).chain(blocked).collect()
}

fn app_row(app: &App, now: Timestamp) -> AppRow {
    let url = app.urls.first().map(|url| text(url)).unwrap_or_default();
    AppRow {
        name: app.name.to_string(),
        state: State::new(app.status.phase.as_str(), phase_tone(app.status.phase)),
        ready: format!("{}/{}", app.status.ready, app.status.desired),
        revision: app.status.revision.to_string(),
        host: url.split_once("://").map_or("", |(_, host)| host).to_owned(),
        more_hosts: app.urls.len().saturating_sub(1),
        // A host with a wildcard is not one that a browser can open.
        url: if url.contains('*') { String::new() } else { url },
        age: age(app.created_at, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headline_says_the_worst_first() {
        for (counts, text) in [
            ((0, 0, 0, 0), "No apps yet"),
            ((1, 0, 0, 0), "The app is ready"),
            ((5, 0, 0, 0), "All 5 apps are ready"),
            ((5, 0, 2, 0), "2 of 5 apps in progress"),
            ((5, 1, 2, 0), "1 of 5 apps needs attention"),
            ((5, 2, 2, 1), "2 of 5 apps need attention"),
            ((5, 0, 2, 1), "The orchestrator needs attention"),
        ] {
            let (apps, bad, changing, instance) = counts;
            assert_eq!(headline(apps, bad, changing, instance), text);
        }
    }
}
