//! Forecasts of ordinary changes.

use dubernetes_core::app::{AppSpec, Generation, PodName, RevisionId};
use dubernetes_core::forecast::{Forecast, Step, forecast};
use dubernetes_core::state::{DesiredState, ObservedState};
use dubernetes_core::store::StoredApp;
use dubernetes_testkit::build::{app, app_name};
use dubernetes_testkit::notation;
use jiff::Timestamp;

fn desired(spec: AppSpec, revision: u64) -> DesiredState {
    let first = StoredApp::first(spec, Timestamp::UNIX_EPOCH);
    let stored =
        StoredApp { generation: Generation(revision), revision: RevisionId(revision), ..first };
    let apps = [(stored.spec.name.clone(), stored)].into();
    DesiredState { apps, ..DesiredState::default() }
}

fn text(forecast: &Forecast) -> Vec<String> {
    let pod = |step: &Step| step.pod.as_ref().map_or("", PodName::as_str).to_owned();
    forecast.steps.iter().map(|s| format!("{} {} {}", s.action, pod(s), s.ready)).collect()
}

#[test]
fn first_apply_forecast_ends_ready() {
    let desired = desired(app("web", "web:1", 2), 1);
    let forecast =
        forecast(&desired, &ObservedState::default(), &app_name("web"), Timestamp::UNIX_EPOCH);
    assert!(forecast.converges, "{forecast:#?}");
    assert_eq!((forecast.fewest_ready, forecast.most_live), (0, 2));
    let last = forecast.steps.last().unwrap();
    assert_eq!((last.action.as_str(), last.ready), ("route", 2));
}

#[test]
fn update_forecast_keeps_replicas_ready_with_one_surge() {
    let scenario = notation::parse(
        "network
         app web rev=2 replicas=3 host=web.local unpinned
         web-1..3 rev=1 ready routed",
    );
    let scenario = scenario.expect("the scenario is valid");
    let web = app_name("web");
    let forecast = forecast(&scenario.desired, &scenario.observed, &web, scenario.now);
    assert!(forecast.converges, "{forecast:#?}");
    // A replica may drain while the next one starts.
    assert_eq!((forecast.fewest_ready, forecast.most_live), (3, 5), "{:#?}", text(&forecast));
    let steps = text(&forecast);
    assert_eq!(
        steps[..11],
        [
            "pull  3",
            "create web-4 3",
            "start web-4 3",
            "wait web-4 3",
            "route  4",
            "wait web-4 4",
            "create web-5 4",
            "route  3",
            "start web-5 3",
            "wait web-1 3",
            "wait web-5 3",
        ],
        "{forecast:#?}"
    );
}

#[test]
fn other_apps_affect_a_forecast_only_by_routes() {
    let mut both = desired(app("web", "web:1", 2), 1);
    both.apps.extend(desired(app("api", "api:1", 2), 1).apps);
    let (web, api, now) = (app_name("web"), app_name("api"), Timestamp::UNIX_EPOCH);
    let alone = forecast(&desired(app("web", "web:1", 2), 1), &ObservedState::default(), &web, now);
    assert_eq!(forecast(&both, &ObservedState::default(), &web, now), alone);

    let host = both.apps[&api].spec.access.clone();
    let conflicting = both.apps.get_mut(&web).expect("web is there");
    conflicting.spec.update(|spec| spec.access = host);
    assert!(!forecast(&both, &ObservedState::default(), &web, now).converges);
}

/// The smallest network has 48 addresses for replicas.
#[test]
fn forecast_avoids_addresses_of_other_apps() {
    let full = |others: u32| {
        let text = format!(
            "network 10.0.0.0/25
             app web rev=1 replicas=2 host=web.local progressing
             app api rev=1 replicas={others}
             api-1..{others} rev=1 ready"
        );
        let scenario = notation::parse(&text).expect("the scenario is valid");
        let web = app_name("web");
        forecast(&scenario.desired, &scenario.observed, &web, scenario.now)
    };
    assert!(!full(48).converges, "no address is left");
    assert!(full(46).converges, "two are left");
}
