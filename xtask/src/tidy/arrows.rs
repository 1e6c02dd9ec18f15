//! Which crate may depend on which: all arrows point to the core.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::run;

/// The crates that implement a trait of the core.
pub(super) const ADAPTERS: [&str; 3] =
    ["dubernetes-docker", "dubernetes-sqlite", "dubernetes-nginx"];

const CORE: &str = "dubernetes-core";
const MANIFEST: &str = "dubernetes-manifest";
const CONTROLLER: &str = "dubernetes-controller";
const TESTKIT: &str = "dubernetes-testkit";
const API: &str = "dubernetes-api";
const CLI: &str = "dubernetes-cli";
/// Re-exports the crates for programs that embed them.
const FACADE: &str = "dubernetes";
const EXAMPLES: &str = "dubernetes-examples";
/// The end-to-end tests run the real parts, so they may see all of them.
const TESTS: &str = "dubernetes-tests";

/// What must not be anywhere below the core: engine, database, HTTP, and chance.
const NOT_BELOW_CORE: [&str; 12] = [
    "annotate-snippets",
    "axum",
    "bollard",
    "clap",
    "getrandom",
    "hyper",
    "rand",
    "reqwest",
    "rusqlite",
    "serde-saphyr",
    "tokio",
    "tracing",
];

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
        CLI | TESTS | EXAMPLES | FACADE => true,
        CORE | "whoami" => false,
        "xtask" => on == MANIFEST,
        TESTKIT => [CORE, CONTROLLER].contains(&on),
        API => [CORE, CONTROLLER, MANIFEST].contains(&on),
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
        assert!(!may_depend(CORE, CONTROLLER));
        assert!(!may_depend(CONTROLLER, MANIFEST));
        assert!(!may_depend("dubernetes-api", "dubernetes-sqlite"));
        assert!(may_depend(CLI, "dubernetes-sqlite"));
        assert!(may_depend("dubernetes-nginx", "tracing"));
    }
}
