//! The rules against a world that fails: random apps, users' changes and faults, then a calm in which everything must
//! come to what is wanted and stay there.

#[path = "simulation/limits.rs"]
mod limits;
#[path = "simulation/user.rs"]
mod user;
#[path = "simulation/world.rs"]
mod world;

use dubernetes_core::replay::Decision;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use world::{Choices, World};

/// Rounds with faults and changes.
const STORM: u32 = 30;
/// Rounds without: each replica takes about eight, one after the other.
const CALM: u32 = 400;

fn weather(choices: Vec<u8>) -> World {
    storm(World::new(Choices::new(choices)))
}

fn storm(mut world: World) -> World {
    for _ in 0..STORM {
        world.user_changes_something();
        world.something_breaks();
        world.nobody_acts();
        world.round(true);
    }
    world
}

/// The seeds of earlier failures are in the file beside this one, and run first.
fn config() -> ProptestConfig {
    let seeds = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(seeds)), ..ProptestConfig::default() }
}

proptest! {
    // `PROPTEST_CASES=20000` makes the run longer than the 256 cases of every day.
    #![proptest_config(config())]

    #[test]
    fn every_storm_ends_in_what_is_wanted(choices in prop::collection::vec(any::<u8>(), 600)) {
        let mut world = weather(choices);
        world.faults_end();
        let mut quiet = 0;
        for n in 0..CALM {
            // What broke in the storm may fail a revision only now.
            if n % 4 == 0 && n < 40 {
                world.user_resumes_everything();
            }
            quiet = if world.round(false) { quiet + 1 } else { 0 };
            if quiet >= 5 && n > 45 {
                break;
            }
        }
        prop_assert!(quiet >= 5, "not converged:\n{}\n{:#?}", world.last_plan, world.observed.replicas);
        world.check_converged();
    }

    #[test]
    fn every_rollout_comes_to_an_end_by_itself(choices in prop::collection::vec(any::<u8>(), 600)) {
        let mut world = weather(choices);
        world.faults_end();
        // No call fails and nobody does anything any more, so that nothing is left to wait for
        // but the deadlines, which are 10 minutes: of the revision, and of the one that came back.
        for _ in 0..CALM {
            world.round(false);
            if world.open_rollouts().is_empty() {
                break;
            }
        }
        prop_assert!(
            world.open_rollouts().is_empty(),
            "{:?}:\n{}\n{:#?}", world.open_rollouts(), world.last_plan, world.observed.replicas
        );
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(choices in prop::collection::vec(any::<u8>(), 400)) {
        let world = weather(choices);
        let plan = dubernetes_core::reconcile(&world.desired, &world.observed, world.now);
        let mut turned = world.observed.clone();
        turned.replicas.reverse();
        let same = dubernetes_core::reconcile(&world.desired, &turned, world.now);
        prop_assert_eq!(plan, same);
    }

    #[test]
    fn a_change_of_one_app_leaves_the_plan_of_the_others(choices in prop::collection::vec(any::<u8>(), 400)) {
        let mut world = weather(choices);
        let before = world.verbs_of_others("a");
        let mut changed = world.desired.clone();
        if let Some(app) = changed.apps.values_mut().find(|stored| stored.spec.name.as_str() == "a") {
            app.spec.replicas += 1;
            app.revision += 1;
        }
        world.desired = changed;
        let after = world.verbs_of_others("a");
        prop_assert_eq!(before, after);
    }
}

proptest! {
    // 42 cases of 30 rounds each are more than a thousand decisions.
    #![proptest_config(ProptestConfig { cases: config().cases / 6, ..config() })]

    #[test]
    fn decisions_that_were_kept_are_made_again(choices in prop::collection::vec(any::<u8>(), 600)) {
        let mut world = World::new(Choices::new(choices));
        world.decisions = Some(Vec::new());
        for mut decision in storm(world).decisions.unwrap_or_default() {
            // As in earnest: other values, as many different ones.
            decision.mask_environment(|value| value.replace("hunter", "masked"));
            let text = serde_json::to_string(&decision).unwrap();
            prop_assert!(!text.contains("hunter"), "{}", text);
            let read: Decision = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.replay().to_string(), decision.plan);
        }
    }
}
