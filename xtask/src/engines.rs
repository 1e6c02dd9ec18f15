//! Tests on other engines than this machine's: the newest Docker and Podman of Debian, each
//! unpacked into a folder and started in a network namespace of its own. Nothing is installed.

mod daemon;
mod root;

use anyhow::{Context as _, Result, bail};

use crate::engine::Engine;
use crate::{images, run};
use daemon::Daemon;

/// An engine of Debian's newest suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Docker,
    Podman,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Docker, Self::Podman];

    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Docker => {
                &["docker.io", "docker-cli", "containerd", "runc", "iptables", "iproute2", "tini"]
            }
            Self::Podman => &[
                "podman",
                "catatonit",
                "runc",
                "conmon",
                "netavark",
                "aardvark-dns",
                "iptables",
                "nftables",
                "iproute2",
                "golang-github-containers-common",
            ],
        }
    }
}

/// The contract of a runtime, and one end-to-end test for each thing that users do.
const TESTS: [&str; 11] = [
    "engine_fulfils_the_contract",
    "app_is_applied_served_listed_and_deleted",
    "killed_replica_is_replaced",
    "rollout_under_load_fails_no_request",
    "bad_versions_roll_back_to_running_revision",
    "scaling_up_and_down_fails_no_request",
    "deleted_app_leaves_only_its_volume",
    "rollout_resumes_after_orchestrator_restart",
    "draining_replica_answers_slow_requests",
    "logs_prefix_lines_with_pod_and_stream_new_lines",
    "exec_passes_stdin_output_and_exit_code",
];

/// Runs the tests on the engines of these names, or on all.
pub(crate) fn engines(names: &[String]) -> Result<()> {
    let is_known = |name: &String| Kind::ALL.iter().any(|kind| kind.name() == name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        bail!("unknown engine: {unknown}; there are docker and podman");
    }
    for kind in Kind::ALL {
        if names.is_empty() || names.iter().any(|name| name == kind.name()) {
            test(kind)?;
        }
    }
    Ok(())
}

/// Returns why the tests cannot run on other engines here.
pub(crate) fn missing() -> Option<&'static str> {
    let programs = ["apt-get", "dpkg-deb", "ip", "nsenter", "unshare"];
    if !programs.iter().all(|program| run::is_installed(program)) {
        return Some("Debian's newest Docker: it needs apt, iproute2 and util-linux");
    }
    let is_root = run::read(&mut run::command("id", ["-u"])).is_ok_and(|id| id.trim() == "0");
    (!is_root).then_some("Debian's newest Docker: it needs root")
}

/// Runs the tests on one engine.
pub(crate) fn test(kind: Kind) -> Result<()> {
    let machine = Engine::find()?;
    let images = images::ensure(machine)?;
    let root = root::ensure(kind)?;
    let daemon = Daemon::start(kind, &root)?;
    println!("{} {}", kind.name(), daemon.version()?);
    daemon.load(machine, &[images.whoami, images.busybox, &images.ingress])?;
    let names: Vec<_> = TESTS.iter().map(|name| format!("test(/{name}$/)")).collect();
    let filter = names.join(" + ");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let words = ["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"];
    let mut tests = daemon.inside(&cargo);
    // The suite moves on: a test that fails once or twice on its engines is shown as flaky.
    tests.args(words).args(["--retries", "2", "-E"]).arg(filter).current_dir(run::root());
    tests.env("DOCKER_HOST", daemon.host()).env("DUBERNETES_REQUIRE_ENGINE", "1");
    tests.env(crate::test::INGRESS_IMAGE, &images.ingress);
    run::show(&mut tests).with_context(|| format!("the tests failed on {}", kind.name()))
}
