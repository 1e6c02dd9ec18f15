//! Dependencies between crates: which crate may depend on which, and what the core pulls in.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::run;

/// Crates that implement a trait of the core.
pub(super) const ADAPTERS: [&str; 7] = [
    "dubernetes-docker",
    "dubernetes-process",
    "dubernetes-sqlite",
    "dubernetes-swarm",
    "dubernetes-nginx",
    "dubernetes-proxy",
    "dubernetes-tls",
];

const CORE: &str = "dubernetes-core";
const MANIFEST: &str = "dubernetes-manifest";
const CONTROLLER: &str = "dubernetes-controller";
const TESTKIT: &str = "dubernetes-testkit";
const API: &str = "dubernetes-api";
const METRICS: &str = "dubernetes-metrics";
const WEB: &str = "dubernetes-web";
const CLI: &str = "dubernetes-cli";
/// Re-exports the other crates for programs that embed them.
const FACADE: &str = "dubernetes";
const EXAMPLES: &str = "dubernetes-examples";
const TESTS: &str = "dubernetes-tests";

/// Crates that the core must not depend on, directly or indirectly: engine, database, HTTP, YAML,
/// async runtime, logging, randomness.
const FORBIDDEN_IN_CORE: [&str; 12] = [
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
/// Maximum number of crates that the core depends on, directly or indirectly.
const MAX_CORE_DEPENDENCIES: usize = 45;

/// Returns all violations.
pub(super) fn problems(root: &Path) -> Result<Vec<String>> {
    let metadata = run::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut problems = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let dependencies = package["dependencies"].as_array().context("no dependencies")?;
        for dependency in dependencies {
            // Tests and build scripts are not restricted.
            let is_normal = dependency["kind"].is_null();
            let on = dependency["name"].as_str().unwrap_or_default();
            if is_normal && !may_depend(name, on) {
                problems.push(format!("{name}: must not depend on {on}"));
            }
        }
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let text = std::fs::read_to_string(root.join(manifest))?;
        if !text.contains("[lints]\nworkspace = true") {
            problems.push(format!("{name}: Cargo.toml lacks `[lints] workspace = true`"));
        }
    }
    problems.extend(core_problems(&core_dependencies()?));
    Ok(problems)
}

/// Whether a crate of this workspace may depend on the crate `on`.
fn may_depend(name: &str, on: &str) -> bool {
    if on != FACADE && !on.starts_with("dubernetes-") {
        return true;
    }
    match name {
        CLI | TESTS | EXAMPLES | FACADE => true,
        CORE | "whoami" => false,
        "xtask" => on == MANIFEST,
        TESTKIT | METRICS => [CORE, CONTROLLER].contains(&on),
        API => [CORE, CONTROLLER, MANIFEST].contains(&on),
        // Each node of a swarm has a Docker engine.
        "dubernetes-swarm" => [CORE, "dubernetes-docker"].contains(&on),
        WEB => [CORE, API].contains(&on),
        _ => on == CORE,
    }
}

fn core_problems(dependencies: &BTreeSet<String>) -> Vec<String> {
    let forbidden = FORBIDDEN_IN_CORE.iter().filter(|name| dependencies.contains(**name));
    let mut problems: Vec<String> =
        forbidden.map(|name| format!("{CORE}: depends on {name}, directly or not")).collect();
    let count = dependencies.len();
    if count > MAX_CORE_DEPENDENCIES {
        problems.push(format!(
            "{CORE}: depends on {count} crates, the limit is {MAX_CORE_DEPENDENCIES}"
        ));
    }
    problems
}

/// Returns the names of all crates that the core depends on, without dev-dependencies.
fn core_dependencies() -> Result<BTreeSet<String>> {
    let tree = ["tree", "--package", CORE, "--edges", "normal", "--prefix", "none", "--offline"];
    let tree = run::read(run::cargo(tree).args(["--format", "{p}"]))?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    Ok(names.filter(|name| *name != CORE).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_may_depend_on_core_only() {
        assert!(may_depend("dubernetes-nginx", CORE));
        assert!(!may_depend("dubernetes-nginx", "dubernetes-docker"));
        assert!(may_depend("dubernetes-nginx", "tracing"));
    }

    #[test]
    fn dependencies_point_to_core() {
        assert!(!may_depend(CORE, CONTROLLER));
        assert!(!may_depend(CONTROLLER, MANIFEST));
        assert!(!may_depend(CONTROLLER, FACADE));
        assert!(!may_depend(API, "dubernetes-sqlite"));
        assert!(may_depend(WEB, API) && !may_depend(WEB, CONTROLLER));
        assert!(may_depend(METRICS, CONTROLLER) && !may_depend(CONTROLLER, METRICS));
        assert!(may_depend(CLI, "dubernetes-sqlite"));
        assert!(may_depend(FACADE, "dubernetes-sqlite"));
    }

    #[test]
    fn core_with_forbidden_or_too_many_dependencies_is_reported() {
        let crates = |count: usize| (0..count).map(|n| format!("crate-{n}"));
        assert!(core_problems(&crates(45).collect()).is_empty());
        let many = core_problems(&crates(46).collect());
        assert_eq!(many, ["dubernetes-core: depends on 46 crates, the limit is 45"]);
        let forbidden = core_problems(&crates(1).chain(["tokio".to_owned()]).collect());
        assert_eq!(forbidden, ["dubernetes-core: depends on tokio, directly or not"]);
    }
}
