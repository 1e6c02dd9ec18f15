//! Every sequence of at most two faults in the first passes of each small operation.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use dubernetes_core::store::RolloutAction;
use dubernetes_testkit::build::{app, app_name, worker};

use crate::choices::{Choices, Fault, Path};
use crate::world::World;

/// Most faults of a path, and the passes in which they happen.
const LIMITS: [(u8, u32); 2] = [(2, 4), (1, 16)];
/// Longest calm until everything has converged, in passes.
const CALM_PASSES: u32 = 120;

/// The beginning: two apps, `a` with a route and `b` without.
fn begin(a: u16, b: u16) -> World {
    let mut world = World::new(Choices::Path(Path::new(0)));
    world.put(app("a", "a:1", a), false);
    world.put(worker("b", "b:1", b), false);
    world
}

fn converged(a: u16, b: u16) -> World {
    let mut world = begin(a, b);
    calm(&mut world);
    world
}

/// Passes without a fault until there is nothing to do.
fn calm(world: &mut World) {
    let mut steady = 0;
    for n in 0..CALM_PASSES {
        // An earlier fault may have failed a revision.
        if n % 8 == 0 && n < 40 {
            world.resume_everything();
        }
        steady = if world.pass(false) { steady + 1 } else { 0 };
        if steady >= 2 {
            return world.check_converged();
        }
    }
    panic!("not converged:\n{}\n{:#?}", world.last_plan, world.observed.replicas);
}

/// One pass in which faults of the path happen.
fn faulty_pass(world: &mut World) {
    let count = world.observed.replicas.len();
    let others = 2;
    let Choices::Path(path) = &mut world.choices else { return };
    match path.fault(count * Fault::ALL.len() + others) {
        0 => {}
        1 => world.replace_orchestrator(),
        2 => world.stop_ingress(),
        n => {
            let (victim, fault) = ((n - 3) / Fault::ALL.len(), (n - 3) % Fault::ALL.len());
            world.break_replica(victim, Fault::ALL[fault]);
        }
    }
    world.pass(true);
}

/// What was visited.
#[derive(Debug, Default)]
struct Visited {
    /// Passes with their choices.
    passes: usize,
    /// Different states from which the rest was calm.
    states: usize,
}

/// Walks through all faults in the first passes from a state, and checks that each ends in calm.
fn explore(start: World, faults: u8, passes: u32) -> Visited {
    let mut visited = Visited::default();
    let mut seen = BTreeSet::new();
    let mut states = vec![(start, faults)];
    for pass in 1..=passes {
        let mut next = Vec::new();
        for (state, left) in states {
            let mut path = Some(Path::new(left));
            while let Some(taken) = path {
                let mut world = state.clone();
                world.choices = Choices::Path(taken);
                faulty_pass(&mut world);
                visited.passes += 1;
                let Choices::Path(taken) = world.choices.clone() else { break };
                let left = taken.left;
                if seen.insert((left, fingerprint(&world))) {
                    if left == 0 || pass == passes {
                        visited.states += 1;
                        let mut world = world;
                        world.end_faults();
                        calm(&mut world);
                    } else {
                        next.push((world, left));
                    }
                }
                path = taken.next();
            }
        }
        states = next;
    }
    visited
}

/// Identifies a state: equal ones go on alike.
fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{:?}{:?}{}", world.desired, world.observed, world.now).hash(&mut hasher);
    hasher.finish()
}

/// Explores an operation, and checks that nothing was left out unnoticed.
#[expect(clippy::print_stdout, reason = "says how much was visited")]
fn check(start: &World, least: usize) {
    let visited = LIMITS.map(|(faults, passes)| explore(start.clone(), faults, passes));
    println!("{visited:?}");
    let states: usize = visited.iter().map(|visited| visited.states).sum();
    assert!(states >= least, "{visited:?}");
}

fn changed(a: u16, b: u16, change: impl FnOnce(&mut World)) -> World {
    let mut world = converged(a, b);
    change(&mut world);
    world
}

#[test]
fn first_deploy_survives_any_two_faults() {
    check(&begin(2, 1), 800);
}

#[test]
fn scaling_up_survives_any_two_faults() {
    check(&changed(1, 1, |world| world.put(app("a", "a:1", 3), false)), 2500);
}

#[test]
fn scaling_down_survives_any_two_faults() {
    check(&changed(3, 1, |world| world.put(app("a", "a:1", 1), false)), 1400);
}

#[test]
fn rollout_survives_any_two_faults() {
    check(&changed(2, 1, |world| world.put(app("a", "a:2", 2), false)), 2300);
}

#[test]
fn restart_survives_any_two_faults() {
    check(&changed(1, 1, |world| world.rollout_action("a", RolloutAction::Restart)), 1400);
}

#[test]
fn delete_survives_any_two_faults() {
    check(&changed(2, 1, |world| world.delete(&app_name("a"))), 900);
}
