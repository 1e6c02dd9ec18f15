//! Routes and events of the instance.

use askama::Template;
use dubernetes_api::wire::{EndpointState, Event, Route};
use dubernetes_core::app::AppName;
use jiff::Timestamp;

use super::app::endpoints;
use super::{EventRow, Frame, event_rows, text};

/// Most events that are shown.
const EVENTS: usize = 100;

/// The page of all routes.
#[derive(Debug, Template)]
#[template(path = "routes.html")]
pub(crate) struct RoutesPage {
    frame: Frame,
    routes: Vec<RouteRow>,
}

#[derive(Debug)]
struct RouteRow {
    host: String,
    path: String,
    app: String,
    active: String,
    class: &'static str,
    endpoints: String,
}

/// Returns the page of all routes.
pub(crate) fn routes_page(program: &str, routes: &[Route]) -> RoutesPage {
    let row = |route: &Route| {
        let is_active = |state| state == EndpointState::Active;
        let active = route.endpoints.iter().filter(|end| is_active(end.state)).count();
        RouteRow {
            host: route.host.to_string(),
            path: text(route.path.as_str()),
            app: route.app.to_string(),
            active: format!("{active}/{}", route.endpoints.len()),
            class: if active == 0 { "bad" } else { "" },
            endpoints: endpoints(route),
        }
    };
    RoutesPage {
        frame: Frame {
            title: "Routes".to_owned(),
            section: "/routes",
            command: format!("{program} get routes"),
            live: "/live".to_owned(),
        },
        routes: routes.iter().map(row).collect(),
    }
}

/// The page of events.
#[derive(Debug, Template)]
#[template(path = "events.html")]
pub(crate) struct EventsPage {
    frame: Frame,
    events: Vec<EventRow>,
    app: String,
    warnings: bool,
}

/// Returns the page of events, oldest first, of one app or of all.
pub(crate) fn events_page(
    program: &str,
    events: &[Event],
    app: Option<&AppName>,
    warnings: bool,
    now: Timestamp,
) -> EventsPage {
    let app = app.map(ToString::to_string).unwrap_or_default();
    let of_app = if app.is_empty() { String::new() } else { format!(" --app {app}") };
    let kind = if warnings { " --type Warning" } else { "" };
    EventsPage {
        frame: Frame {
            title: "Events".to_owned(),
            section: "/events",
            command: format!("{program} events{of_app}{kind}"),
            live: if app.is_empty() { "/live".to_owned() } else { format!("/live?app={app}") },
        },
        events: event_rows(events, EVENTS, now),
        app,
        warnings,
    }
}
