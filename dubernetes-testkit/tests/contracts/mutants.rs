//! What the tests of mutants share. A mutant is an adapter that breaks one promise.

use std::fmt::Debug;

/// The share of mutants that a suite has to catch, in percent.
const SHARE: usize = 95;

/// Asserts that the suite catches the mutants. Each comes with the checks that failed.
pub(crate) fn assert_caught<D: Debug>(mutants: &[(D, Vec<String>)]) {
    let is_caught = |(_, failed): &&(D, Vec<String>)| !failed.is_empty();
    let caught = mutants.iter().filter(is_caught).count();
    let survivors: Vec<_> = mutants.iter().filter(|mutant| !is_caught(mutant)).collect();
    assert!(
        caught * 100 >= mutants.len() * SHARE,
        "{caught} of {} mutants are caught; survivors: {survivors:#?}",
        mutants.len()
    );
}
