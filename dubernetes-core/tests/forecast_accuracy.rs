//! A forecast is accurate: random changes of healthy apps, once as a forecast, and once applied by
//! the controller to fakes in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_core::app::{AppSpec, CountOrPercent, Order, PreDeploy, Volume};
use dubernetes_core::forecast::{Forecast, forecast};
use dubernetes_core::store::{Change, ExistingApp, PutApp, Store as _, decide_put};
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::{TestOrchestrator, app, app_name, worker};
use proptest::prelude::*;

/// Working images that an app moves between.
const IMAGES: [&str; 3] = ["web:1", "web:2", "web:3"];

/// Any healthy app.
fn spec() -> impl Strategy<Value = AppSpec> {
    let share = || {
        prop_oneof![
            (0..3_u16).prop_map(CountOrPercent::Count),
            (0..=100_u8).prop_map(CountOrPercent::Percent)
        ]
    };
    let order = prop::option::of(prop::sample::select(Order::ALL.to_vec()));
    let shape = (prop::sample::select(IMAGES.to_vec()), 0..6_u16, any::<bool>(), any::<bool>());
    let rollout = (prop::option::of(share()), share(), order, 0..4_u8);
    (shape, rollout)
        .prop_map(|((image, replicas, routed, writes), (surge, missing, order, rare))| {
            let make = if routed { app } else { worker };
            let mut spec = make("web", image, replicas);
            if writes {
                spec.volumes = vec![Volume::parse("data:/data").unwrap()];
            }
            if rare == 0 {
                let command = vec!["migrate".to_owned()];
                spec.pre_deploy = Some(PreDeploy { command, timeout: PreDeploy::TIMEOUT });
            }
            spec.rollout.order = order;
            spec.rollout.max_unavailable = missing;
            if order != Some(Order::StopFirst) {
                spec.rollout.max_surge = surge;
            }
            spec
        })
        .prop_filter("a valid specification", |spec| spec.check().is_ok())
}

/// Every changing call of one pod, in order.
type Calls = BTreeMap<String, Vec<String>>;

/// How often each call is made.
fn verbs(calls: &Calls) -> BTreeMap<&str, usize> {
    let mut verbs = BTreeMap::new();
    for call in calls.values().flatten() {
        *verbs.entry(call.as_str()).or_default() += 1;
    }
    verbs
}

/// Whether a rollout replaces one replica at a time.
fn one_at_a_time(spec: &AppSpec) -> bool {
    let rollout = &spec.rollout;
    let none = CountOrPercent::Count(0);
    match (rollout.order, rollout.max_surge, rollout.max_unavailable) {
        (Some(Order::StopFirst), _, missing) => {
            missing == none || missing == CountOrPercent::Count(1)
        }
        (_, None | Some(CountOrPercent::Count(1)), missing) => missing == none,
        (_, Some(surge), missing) => surge == none && missing == CountOrPercent::Count(1),
    }
}

/// The calls that are predicted.
fn predicted(forecast: &Forecast) -> Calls {
    let mut calls = Calls::new();
    for step in &forecast.steps {
        let changing = ["create", "start", "stop", "remove"].contains(&step.action.as_str());
        if let Some(pod) = step.pod.clone().filter(|_| changing) {
            calls.entry(pod.into()).or_default().push(step.action.clone());
        }
    }
    calls
}

/// The calls that were made, from lines such as `create dubernetes.default.web-1.r1`.
fn made(journal: &[String]) -> Calls {
    let mut calls = Calls::new();
    for line in journal {
        let Some((call, name)) = line.split_once(' ') else { continue };
        let Some(name) = name.strip_prefix("dubernetes.default.") else { continue };
        let pod = match name.split_once('.') {
            Some(("web", rest)) if rest.starts_with("pre-deploy") => "web-pre-deploy",
            Some((pod, _)) => pod,
            None => continue,
        };
        calls.entry(pod.to_owned()).or_default().push(call.to_owned());
    }
    calls
}

/// Does what `plan` of the API does: the decision of the store and a forecast, without an effect.
async fn predict(orchestrator: &TestOrchestrator, spec: &AppSpec) -> Option<Forecast> {
    let name = app_name("web");
    let snapshot = orchestrator.handle.snapshot();
    let mut desired = snapshot.desired.clone();
    let present = orchestrator.store.get(&name).await.unwrap();
    let revisions = orchestrator.store.revisions(&name).await.unwrap();
    let before = ExistingApp::Live { app: &present, revisions: &revisions };
    let now = snapshot.at.unwrap();
    let decided = decide_put(before, [], &PutApp::new(spec.clone(), now)).unwrap();
    if decided.put.change == Change::Unchanged {
        return None;
    }
    desired.revisions.insert(name.clone(), revisions);
    desired.apps.insert(name.clone(), decided.put.app);
    Some(forecast(&desired, &snapshot.observed, &name, now))
}

async fn transition(from: AppSpec, to: AppSpec) -> Result<(), TestCaseError> {
    let orchestrator = TestOrchestrator::start();
    for image in IMAGES {
        orchestrator.runtime.add_image(image, Behaviour::default());
    }
    // The pre-deploy hook succeeds.
    orchestrator.runtime.set_command("migrate", Behaviour::exits(Duration::from_millis(300), 0));
    orchestrator.apply(&from).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let Some(forecast) = predict(&orchestrator, &to).await else { return Ok(()) };
    prop_assert!(forecast.converges, "{forecast:#?}");
    orchestrator.runtime.take_journal();
    let tables = orchestrator.ingress.applied().len();
    orchestrator.apply(&to).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let journal = orchestrator.runtime.take_journal();
    let (predicted, made) = (predicted(&forecast), made(&journal));
    if one_at_a_time(&to) {
        prop_assert_eq!(&predicted, &made, "{:#?}\n{:#?}", forecast, journal);
    }
    // If two replicas are replaced at once, timing decides which ordinal is free next.
    prop_assert_eq!(verbs(&predicted), verbs(&made), "{:#?}\n{:#?}", forecast, journal);
    // If the app is routed before and after, at least the predicted number is always routed.
    if !from.access.is_empty() && !to.access.is_empty() {
        for table in &orchestrator.ingress.applied()[tables..] {
            let routed = table.routes.iter().map(|route| route.endpoints.len()).min();
            let routed = u32::try_from(routed.unwrap_or(0)).unwrap();
            prop_assert!(routed >= forecast.fewest_ready, "{routed}: {forecast:#?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(500),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn forecast_matches_the_controller(from in spec(), to in spec()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(transition(from, to))?;
    }
}
