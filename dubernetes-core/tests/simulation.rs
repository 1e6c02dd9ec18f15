//! Properties of the planner under random apps, user changes and faults, and in the calm after.

#[path = "simulation/certificates.rs"]
mod certificates;
#[path = "simulation/choices.rs"]
mod choices;
#[path = "simulation/exhaustive.rs"]
mod exhaustive;
#[path = "simulation/limits.rs"]
mod limits;
#[path = "simulation/user.rs"]
mod user;
#[path = "simulation/world.rs"]
mod world;

use choices::Choices;
use dubernetes_core::replay::Decision;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use world::World;

/// Passes with faults and user changes.
const FAULTY_PASSES: u32 = 30;
/// Passes without: each replica takes about eight, one after the other.
const CALM_PASSES: u32 = 400;

fn choices(count: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), count)
}

fn random_world(choices: Vec<u8>) -> World {
    inject_faults(World::new(Choices::new(choices)))
}

fn inject_faults(mut world: World) -> World {
    for _ in 0..FAULTY_PASSES {
        world.change_something();
        world.break_something();
        world.orchestrator_down();
        world.pass(true);
    }
    world
}

/// Seeds of earlier failures are in the file beside this one, and run first.
fn config() -> ProptestConfig {
    let seeds = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(seeds)), ..ProptestConfig::default() }
}

proptest! {
    // `PROPTEST_CASES=20000` runs more than the default of 256 cases.
    #![proptest_config(config())]

    #[test]
    fn any_faults_converge_to_the_desired_state(choices in choices(600)) {
        let mut world = random_world(choices);
        world.end_faults();
        let mut steady = 0;
        for n in 0..CALM_PASSES {
            // An earlier fault may fail a revision only now.
            if n % 4 == 0 && n < 40 {
                world.resume_everything();
            }
            steady = if world.pass(false) { steady + 1 } else { 0 };
            if steady >= 5 && n > 45 {
                break;
            }
        }
        prop_assert!(
            steady >= 5,
            "not converged:\n{}\n{:#?}", world.last_plan, world.observed.replicas
        );
        world.check_converged();
    }

    #[test]
    fn every_rollout_ends_without_a_user(choices in choices(600)) {
        let mut world = random_world(choices);
        world.end_faults();
        // Without faults and user changes only the deadlines are left to wait for: that of the
        // revision, and that of the rollback.
        for _ in 0..CALM_PASSES {
            world.pass(false);
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
    fn order_of_replicas_does_not_change_the_plan(choices in choices(400)) {
        let world = random_world(choices);
        let plan = dubernetes_core::reconcile(&world.desired, &world.observed, world.now);
        let mut reversed = world.observed.clone();
        reversed.replicas.reverse();
        let same = dubernetes_core::reconcile(&world.desired, &reversed, world.now);
        prop_assert_eq!(plan, same);
    }

    #[test]
    fn change_of_one_app_keeps_the_plan_of_others(choices in choices(400)) {
        let mut world = random_world(choices);
        let before = world.actions_of_others("a");
        let mut changed = world.desired.clone();
        let mut apps = changed.apps.values_mut();
        if let Some(app) = apps.find(|stored| stored.spec.name.as_str() == "a") {
            app.spec.update(|spec| spec.replicas += 1);
            app.revision = app.revision.next();
        }
        world.desired = changed;
        let after = world.actions_of_others("a");
        prop_assert_eq!(before, after);
    }
}

proptest! {
    // 42 cases of 30 passes each are more than a thousand decisions.
    #![proptest_config(ProptestConfig { cases: config().cases / 6, ..config() })]

    #[test]
    fn recorded_decisions_replay_to_the_same_plan(choices in choices(600)) {
        let mut world = World::new(Choices::new(choices));
        world.decisions = Some(Vec::new());
        for mut decision in inject_faults(world).decisions.unwrap_or_default() {
            // As in production: other values, and as many different ones.
            decision.mask_environment(|value| value.replace("hunter", "masked"));
            let text = serde_json::to_string(&decision).unwrap();
            prop_assert!(!text.contains("hunter"), "{}", text);
            let read: Decision = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.replay().to_string(), decision.plan);
        }
    }
}
