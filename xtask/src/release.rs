//! Everything that a release publishes: the packages of the program, the bill of materials, the
//! checksums of both, a check of the version against changes of the API, and a rehearsal of
//! publishing all crates.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use serde_json::{Value, json};

use crate::package::{self, Program};
use crate::run;

/// Writes the files of a release to `target/package`, and publishes nothing.
///
/// The bill of materials comes from `cargo sbom`, which reads `Cargo.lock`.
pub(crate) fn release(args: &[String]) -> Result<()> {
    let baseline = match args {
        [] => None,
        [flag, revision] if flag == "--baseline" => Some(revision.as_str()),
        _ => bail!("usage: cargo xtask release [--baseline REVISION]"),
    };
    let changed = run::read(&mut run::command("git", ["status", "--porcelain"]))?;
    ensure!(changed.is_empty(), "a release needs a clean checkout; these are changed:\n{changed}");
    let has_sbom = run::succeeds(&mut run::cargo(["sbom", "--version"]));
    ensure!(has_sbom, "cargo-sbom is not installed; run `cargo install --locked cargo-sbom`");
    if let Some(why) = check_version(baseline)? {
        println!("not checked: {why}");
    }
    if lacks_repository()? {
        println!("note: the crates name no `repository`, as the project has no public address");
    }
    publish_nothing()?;
    if let Some(why) = package::package(Program::Profile(run::RELEASE.to_owned()))? {
        println!("not checked: {why}");
    }
    let folder = run::target_folder()?.join("package");
    let bill = run::read(&mut run::cargo(["sbom", "--cargo-package", "dubernetes-cli"]))?;
    let name = format!("dubernetes-{}.spdx.json", env!("CARGO_PKG_VERSION"));
    fs::write(folder.join(name), bill)?;
    write_checksums(&folder)
}

/// Checks that the version allows the changes of the API since the revision `baseline`. Returns
/// what was not checked.
fn check_version(baseline: Option<&str>) -> Result<Option<&'static str>> {
    let Some(baseline) = baseline else {
        return Ok(Some("changes of the API: no revision was named by `--baseline`"));
    };
    if !run::succeeds(&mut run::cargo(["semver-checks", "--version"])) {
        return Ok(Some("changes of the API: cargo-semver-checks is not installed"));
    }
    run::show(&mut run::cargo(["semver-checks", "--workspace", "--baseline-rev", baseline]))?;
    Ok(None)
}

/// Whether a crate that is published names no repository.
fn lacks_repository() -> Result<bool> {
    let metadata = run::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata lacks `packages`")?;
    let is_published = |package: &&Value| package["publish"] != json!([]);
    Ok(packages.iter().filter(is_published).any(|package| package["repository"].is_null()))
}

/// Packages and builds every crate as `cargo publish` would.
fn publish_nothing() -> Result<()> {
    run::show(&mut run::cargo(["publish", "--workspace", "--dry-run", "--locked"]))
}

/// Writes the checksums of all files, as `sha256sum --check` reads them.
fn write_checksums(folder: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|end| end != "service") {
            names.push(path.file_name().context("a file has a name")?.to_owned());
        }
    }
    names.sort();
    let mut sums = run::command("sha256sum", ["--"]);
    let sums = run::read(sums.args(&names).current_dir(folder))?;
    fs::write(folder.join("SHA256SUMS"), &sums)?;
    print!("{sums}");
    Ok(())
}
