//! The rules against a world that fails: random apps, users' changes and faults, then a calm in which everything must
//! come to what is wanted and stay there.

#[path = "simulation/world.rs"]
mod world;

use proptest::prelude::*;
use world::{Choices, World};

/// Rounds with faults and changes.
const STORM: u32 = 30;
/// Rounds without: each replica takes about eight, one after the other.
const CALM: u32 = 400;

fn weather(choices: Vec<u8>) -> World {
    let mut world = World::new(Choices::new(choices));
    for _ in 0..STORM {
        world.user_changes_something();
        world.something_breaks();
        world.round(true);
    }
    world
}

proptest! {
    // `PROPTEST_CASES=20000` makes the run longer than the 256 cases of every day.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

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
