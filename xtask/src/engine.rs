//! The container engine's command line.

mod provide;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run;

pub(crate) use provide::provide;

/// Label of every image that a task builds.
const BUILD_LABEL: &str = "dubernetes.build=xtask";

/// An engine that is known to answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engine {
    program: &'static str,
}

impl Engine {
    /// Returns the first of `docker` and `podman` that is installed and reaches an engine.
    pub(crate) fn find() -> Result<Self> {
        let mut causes = Vec::new();
        for program in ["docker", "podman"] {
            if !run::is_installed(program) {
                causes.push(format!("{program} is not installed"));
                continue;
            }
            match run::read(&mut run::command(program, ["version"])) {
                Ok(_) => return Ok(Self { program }),
                Err(error) => causes.push(format!("{error:#}")),
            }
        }
        bail!("no container engine answers: {}", causes.join("; "))
    }

    /// Returns a command of the engine.
    pub(crate) fn command<const N: usize>(self, args: [&str; N]) -> Command {
        run::command(self.program, args)
    }

    /// Whether the engine has this image.
    pub(crate) fn has(self, image: &str) -> bool {
        run::succeeds(&mut self.command(["image", "inspect", image]))
    }

    /// Returns the value of an image's label; `None` if the image or the label is missing.
    pub(crate) fn label(self, image: &str, key: &str) -> Option<String> {
        let format = format!("{{{{ index .Config.Labels {key:?} }}}}");
        let value =
            run::read(&mut self.command(["image", "inspect", "-f", &format, image])).ok()?;
        let value = value.trim();
        (!value.is_empty() && value != "<no value>").then(|| value.to_owned())
    }

    /// Returns the images of this name that a task has built, newest first.
    pub(crate) fn built_images(self, name: &str) -> Result<Vec<String>> {
        let name = format!("reference={name}");
        let label = format!("label={BUILD_LABEL}");
        let format = "{{.Repository}}:{{.Tag}}";
        let list = ["images", "--format", format, "--filter", &name, "--filter", &label];
        let list = run::read(&mut self.command(list))?;
        // Podman prefixes local images with `localhost/`.
        Ok(list.lines().map(|line| line.trim_start_matches("localhost/").to_owned()).collect())
    }

    /// Builds a one-layer image from a folder. All files belong to root.
    ///
    /// `docker import` needs no builder, but cannot set the stop signal.
    pub(crate) fn build(self, root: &Path, image: &str, instructions: &[String]) -> Result<()> {
        let context = root.with_extension("context");
        std::fs::create_dir_all(&context)?;
        let layer = context.join("layer.tar");
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--owner=0", "--group=0", "--sort=name", "-c", "-C"]);
        run::read(tar.arg(root).arg("-f").arg(&layer).arg("."))?;
        let mut file = "FROM scratch\nADD layer.tar /\n".to_owned();
        for instruction in instructions {
            file.push_str(instruction);
            file.push('\n');
        }
        std::fs::write(context.join("Dockerfile"), file)?;
        let mut build = self.command(["build", "--label", BUILD_LABEL, "--tag", image]);
        let built = run::read(build.arg(&context));
        // Delete the copy of the layer, which is as large as the image.
        let _ = std::fs::remove_dir_all(&context);
        built.map(drop)
    }
}
