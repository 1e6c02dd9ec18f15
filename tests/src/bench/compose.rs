//! Baseline `docker compose`, where the plugin is installed.

use dubernetes_core::identity::network_name;
use jiff::Timestamp;

use super::{Bench, seconds_between};
use crate::manifest::WHOAMI;
use crate::program::{self, docker};
use crate::scenario::SCENARIO;

/// A Compose project.
#[derive(Debug)]
pub(super) struct Compose {
    /// `docker compose` and its version.
    pub(super) name: String,
    file: String,
    project: String,
}

impl Compose {
    /// Writes a Compose file on the network of the instance, or returns why there is no baseline.
    pub(super) async fn find(bench: &Bench) -> Result<Self, String> {
        let mut version = tokio::process::Command::new("docker");
        version.args(["compose", "version", "--short"]);
        let found = program::run(version, "docker compose version".to_owned(), "").await;
        if found.code != Some(0) {
            return Err("`docker compose` is not measured: the plugin is not installed.".to_owned());
        }
        let instance = &bench.scenario.instance;
        let network = network_name(instance);
        let text = format!(
            "services:\n  web:\n    image: {WHOAMI}\n    labels: {{ {SCENARIO}: {instance} }}\n\
             networks:\n  default: {{ name: {network}, external: true }}\n"
        );
        let file = bench.scenario.write_file("compose.yaml", &text);
        let name = format!("docker compose {}", found.stdout.trim());
        Ok(Self { name, file, project: format!("{instance}-compose") })
    }

    /// Starts `count` containers, returns the seconds until the last one runs, and removes them.
    pub(super) async fn start(&self, bench: &Bench, count: u32) -> f64 {
        let Self { file, project, .. } = self;
        let begin = Timestamp::now();
        let scale = format!("web={count}");
        let compose = ["compose", "--project-name", project, "--file", file];
        docker(&[&compose[..], &["up", "--detach", "--scale", &scale]].concat()).await;
        let label = format!("com.docker.compose.project={project}");
        let last = bench.engine.last_start(&label).await;
        docker(&[&compose[..], &["down"]].concat()).await;
        seconds_between(begin, last)
    }
}
