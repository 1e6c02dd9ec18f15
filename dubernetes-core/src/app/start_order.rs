//! The order in which apps start, as their `after` gives it.

use std::collections::BTreeSet;

use super::rules::Problem;
use super::{AppName, AppSpec};

/// Returns the apps that wait for each other, if `name` is one of them: each after the next, and
/// the last after the first. `after` returns the apps after which an app starts.
pub fn start_cycle<'a>(
    name: &'a AppName,
    after: impl Fn(&AppName) -> &'a [AppName],
) -> Option<Vec<AppName>> {
    let mut paths = vec![vec![name]];
    let mut seen = BTreeSet::new();
    while let Some(path) = paths.pop() {
        for next in path.last().map(|last| after(last)).unwrap_or_default() {
            if next == name {
                return Some(path.into_iter().cloned().collect());
            }
            if seen.insert(next) {
                paths.push(path.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

/// Returns the problem of an app that would wait for itself, by way of others. `cycle` is a
/// [`start_cycle`] of at least two apps.
pub fn start_cycle_problem(name: &AppName, after: &[AppName], cycle: &[AppName]) -> Problem {
    let others: Vec<_> = cycle.iter().skip(1).map(|other| format!("`{other}`")).collect();
    let next = cycle.get(1);
    let index = after.iter().position(|other| Some(other) == next);
    Problem {
        path: index.map_or_else(|| "after".to_owned(), |index| format!("after.{index}")),
        message: format!(
            "`{name}` cannot start after {}, which starts after `{name}`",
            others.join(", which starts after "),
        ),
        hint: Some("remove one of these names from its `after`".to_owned()),
    }
}

/// Returns the items in an order in which each app comes after those in its `after`, as far as
/// they are among the items, and otherwise in the given order. Applied in this order, an app never
/// meets a cycle that a later item of the same list ends.
pub fn in_start_order<T>(items: Vec<T>, spec: impl Fn(&T) -> &AppSpec) -> Vec<T> {
    let mut names: BTreeSet<_> = items.iter().map(|item| spec(item).name.clone()).collect();
    let mut waiting = items;
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_first = |item: &T| spec(item).after.iter().all(|name| !names.contains(name));
        // In a cycle there is no first one.
        let first = waiting.remove(waiting.iter().position(is_first).unwrap_or(0));
        names.remove(&spec(&first).name);
        ordered.push(first);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::ImageRef;

    fn app(name: &str, after: &[&str]) -> AppSpec {
        let parse = |name: &str| AppName::parse(name).unwrap();
        let after = after.iter().map(|other| parse(other)).collect();
        AppSpec { after, ..AppSpec::new(parse(name), ImageRef::parse("web:1").unwrap()) }
    }

    #[test]
    fn app_comes_after_those_in_its_after() {
        let order = |apps: &[(&str, &[&str])]| {
            let apps = apps.iter().map(|(name, after)| app(name, after)).collect();
            let ordered = in_start_order(apps, |spec| spec);
            ordered.iter().map(|spec| spec.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(&[("a", &[]), ("b", &["a"]), ("c", &[])]), ["a", "b", "c"]);
        assert_eq!(order(&[("a", &["b", "x"]), ("b", &["c"]), ("c", &[])]), ["c", "b", "a"]);
        assert_eq!(order(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]), ["c", "a", "b"]);
    }
}
