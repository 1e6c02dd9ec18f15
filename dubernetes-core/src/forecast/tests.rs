//! What is foreseen for the ordinary changes.

use super::*;
use crate::app::{AppSpec, ImageRef};
use crate::state::EngineStatus;
use crate::store::StoredApp;
use crate::testing::build::{app, app_name};

fn desired(spec: AppSpec, revision: u64) -> DesiredState {
    let first = StoredApp::first(spec, Timestamp::UNIX_EPOCH);
    let stored = StoredApp { generation: revision, revision, ..first };
    let apps = [(stored.spec.name.clone(), stored)].into();
    DesiredState { apps, ..DesiredState::default() }
}

fn text(forecast: &Forecast) -> Vec<String> {
    let pod = |step: &Step| step.pod.clone().unwrap_or_default();
    forecast.steps.iter().map(|s| format!("{} {} {}", s.action, pod(s), s.ready)).collect()
}

#[test]
fn a_first_apply_goes_from_nothing_to_ready() {
    let desired = desired(app("web", "web:1", 2), 1);
    let forecast =
        forecast(&desired, &ObservedState::default(), &app_name("web"), Timestamp::UNIX_EPOCH);
    assert!(forecast.converges, "{forecast:#?}");
    assert_eq!((forecast.fewest_ready, forecast.most_live), (0, 2));
    let last = forecast.steps.last().unwrap();
    assert_eq!((last.action.as_str(), last.ready), ("route", 2));
}

#[test]
fn an_update_keeps_all_ready_and_has_one_more() {
    let app = app_name("web");
    let first = desired(crate::testing::build::app("web", "web:1", 3), 1);
    let mut world =
        PredictedState::new(&first, &ObservedState::default(), &app, Timestamp::UNIX_EPOCH);
    let mut scratch = Forecast::default();
    for _ in 0..50 {
        let plan = world.plan();
        take_actions(&mut world, &plan, &mut scratch);
        world.take_routes(&plan);
        take_waits(&mut world, &plan, &mut scratch);
    }
    let mut spec = crate::testing::build::app("web", "web:2", 3);
    spec.image = ImageRef::parse("web:2").unwrap();
    let observed = world.into_observed();
    assert_eq!(observed.engine, EngineStatus::Reachable);
    let forecast = forecast(&desired(spec, 2), &observed, &app, Timestamp::UNIX_EPOCH);
    assert!(forecast.converges, "{forecast:#?}");
    assert_eq!((forecast.fewest_ready, forecast.most_live), (3, 4), "{:#?}", text(&forecast));
    let steps = text(&forecast);
    assert_eq!(
        steps[..10],
        [
            "pull  3",
            "create web-4 3",
            "start web-4 3",
            "wait web-4 3",
            "route  4",
            "wait web-4 4",
            "route  3",
            "wait web-1 3",
            "stop web-1 3",
            "remove web-1 3",
        ],
        "{forecast:#?}"
    );
}

#[test]
fn other_apps_do_not_show_but_for_the_route_and_the_addresses_that_they_have() {
    let mut both = desired(app("web", "web:1", 2), 1);
    both.apps.extend(desired(app("api", "api:1", 2), 1).apps);
    let (web, api, now) = (app_name("web"), app_name("api"), Timestamp::UNIX_EPOCH);
    let alone = forecast(&desired(app("web", "web:1", 2), 1), &ObservedState::default(), &web, now);
    assert_eq!(forecast(&both, &ObservedState::default(), &web, now), alone);

    let host = both.apps[&api].spec.access.clone();
    both.apps.get_mut(&web).unwrap().spec.access = host;
    assert!(!forecast(&both, &ObservedState::default(), &web, now).converges);

    // The smallest network has room for 48 replicas.
    let mut world = PredictedState::new(&both, &ObservedState::default(), &api, now);
    let mut scratch = Forecast::default();
    for _ in 0..4 {
        let plan = world.plan();
        take_actions(&mut world, &plan, &mut scratch);
    }
    let mut full = world.into_observed();
    let network = full.network.as_mut().unwrap();
    network.subnet = "10.0.0.0/25".parse().unwrap();
    let taken = full.replicas[0].clone();
    full.replicas = (16..64)
        .map(|n| {
            let mut replica = taken.clone();
            replica.labels.address = [10, 0, 0, n].into();
            replica
        })
        .collect();
    let alone = desired(app("web", "web:1", 2), 1);
    assert!(!forecast(&alone, &full, &web, now).converges, "no address is left");
    full.replicas.truncate(46);
    assert!(forecast(&alone, &full, &web, now).converges, "two are");
}
