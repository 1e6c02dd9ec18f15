//! Builds the release program and the images, and runs the benchmark of package
//! `dubernetes-tests`.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::engine::Engine;
use crate::{images, run};

/// Runs the benchmark in place of this process, so that Ctrl-C reaches it and the shell waits until
/// it has cleaned up. Returns only if it cannot start.
pub(crate) fn bench(args: &[String]) -> Result<ExitCode> {
    let images = images::ensure(Engine::find()?)?;
    // One command each: built together, the program would get features that only the tests use.
    for bin in [["dubernetes-cli", "dubernetes"], ["dubernetes-tests", "bench"]] {
        let [package, bin] = bin;
        run::show(&mut run::cargo(["build", "--release", "--package", package, "--bin", bin]))?;
    }
    let release = run::target_folder()?.join("release");
    let mut bench = run::command(release.join("bench"), args);
    bench.env("DUBERNETES_INGRESS_IMAGE", images.ingress);
    bench.env("DUBERNETES_PROGRAM", release.join("dubernetes"));
    Err(bench.exec()).context("cannot start the benchmark")
}
