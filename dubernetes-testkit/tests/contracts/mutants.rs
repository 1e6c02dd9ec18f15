//! What the tests of mutants share. A mutant is an adapter that breaks one promise.

use std::fmt::Debug;
use std::io::Write as _;

/// The share of mutants that a suite has to catch, in percent.
const SHARE: usize = 95;

/// Asserts that the suite catches the mutants. Each comes with the checks that failed.
pub(crate) fn assert_caught<D: Debug>(mutants: &[(D, Vec<String>)]) {
    let is_caught = |(_, failed): &&(D, Vec<String>)| !failed.is_empty();
    let caught = mutants.iter().filter(is_caught).count();
    let survivors = mutants.iter().filter(|mutant| !is_caught(mutant)).map(|(defect, _)| defect);
    let survivors: Vec<_> = survivors.collect();
    let line =
        format!("{caught} of {} mutants are caught; survivors: {survivors:?}\n", mutants.len());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(caught * 100 >= mutants.len() * SHARE, "{line}");
}
