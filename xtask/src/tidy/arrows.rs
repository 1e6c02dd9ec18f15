//! Which crate may depend on which: all arrows point to the core.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::run;

/// The crates that implement a trait of the core.
pub(super) const ADAPTERS: [&str; 3] =
    ["dubernetes-docker", "dubernetes-sqlite", "dubernetes-nginx"];

const CORE: &str = "dubernetes-core";
const CLI: &str = "dubernetes-cli";
/// The end-to-end tests run the real parts, so they may see all of them.
const TESTS: &str = "dubernetes-tests";

/// What must not be anywhere below the core: engine, database, HTTP, and chance.
const NOT_BELOW_CORE: [&str; 8] =
    ["bollard", "rusqlite", "axum", "reqwest", "hyper", "rand", "getrandom", "clap"];

/// Everything that breaks the order.
pub(super) fn problems(root: &Path) -> Result<Vec<String>> {
    let metadata = run::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let mut problems = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let dependencies = package["dependencies"].as_array().context("no dependencies")?;
        for dependency in dependencies {
            // A test may look at more than the program does.
            let is_normal = dependency["kind"].is_null();
            let on = dependency["name"].as_str().unwrap_or_default();
            if is_normal && !may_depend(name, on) {
                problems.push(format!("{name}: must not depend on {on}"));
            }
        }
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let text = std::fs::read_to_string(root.join(manifest))?;
        if !text.contains("[lints]\nworkspace = true") {
            problems.push(format!("{name}: its manifest does not take over the workspace's lints"));
        }
    }
    let below = below_core()?;
    let wrong = NOT_BELOW_CORE.iter().filter(|name| below.contains(**name));
    problems.extend(wrong.map(|name| format!("{CORE}: {name} is somewhere below it")));
    Ok(problems)
}

/// Whether a crate of ours may depend on another one of ours.
fn may_depend(name: &str, on: &str) -> bool {
    if !on.starts_with("dubernetes-") {
        return true;
    }
    match name {
        CLI | TESTS => true,
        CORE | "xtask" | "whoami" => false,
        _ => on == CORE,
    }
}

/// The names of all crates that the core is built of, without its tests.
fn below_core() -> Result<BTreeSet<String>> {
    let tree = ["tree", "--package", CORE, "--edges", "normal", "--prefix", "none", "--offline"];
    let tree = run::read(run::cargo(tree).args(["--format", "{p}"]))?;
    Ok(tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_see_the_core_and_never_each_other() {
        assert!(may_depend("dubernetes-nginx", CORE));
        assert!(!may_depend("dubernetes-nginx", "dubernetes-docker"));
        assert!(!may_depend(CORE, "dubernetes-api"));
        assert!(!may_depend("dubernetes-api", "dubernetes-sqlite"));
        assert!(may_depend(CLI, "dubernetes-sqlite"));
        assert!(may_depend("dubernetes-nginx", "tracing"));
    }
}
