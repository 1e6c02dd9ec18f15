//! Downloads and unpacks Debian packages without installing them and without root.
//!
//! Uses its own package lists and cache, and an empty list of installed packages, so that apt
//! resolves every library.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::sources;
use crate::run;

/// Suite with the newest packages.
const NEWEST: &str = "sid";
/// Time limit for `apt-get update`, enough for a slow mirror. A mirror that does not answer fails
/// earlier, by `Acquire::http::Timeout`.
const UPDATE_LIMIT: Duration = Duration::from_secs(300);

/// A package suite with its own lists and cache.
#[derive(Debug)]
pub(super) struct Apt {
    folder: PathBuf,
    /// Whether to ignore the machine's own sources.
    own_sources: bool,
}

impl Apt {
    /// Whether this machine has Debian's package tools.
    pub(super) fn is_installed() -> bool {
        run::is_installed("apt-get") && run::is_installed("dpkg-deb")
    }

    /// Returns the newest suite of the machine's mirror, or the machine's own suite as a fallback.
    pub(super) fn newest() -> Result<Self> {
        let newest = Self::prepare(&run::image_target().join("apt-newest"), true)?;
        if let Some(archive) = sources::find_archive(Path::new("/etc/apt")) {
            std::fs::write(newest.sources().join("newest.sources"), archive.to_stanza(NEWEST))?;
            if newest.update() {
                return Ok(newest);
            }
        }
        println!("note: packages of {NEWEST} are not available; using the machine's own suite");
        let own = Self::prepare(&run::image_target().join("apt-own"), false)?;
        if own.update() {
            return Ok(own);
        }
        bail!("cannot read the package lists: `apt-get update` failed")
    }

    /// Downloads packages with all dependencies, and unpacks them into `root`.
    pub(super) fn extract(&self, packages: &[&str], root: &Path) -> Result<()> {
        let download = ["install", "--yes", "--download-only", "--no-install-recommends"];
        run::read(self.command("apt-get").args(download).args(packages))?;
        // Merged /usr, as on a Debian system: /bin, /sbin and /lib are links.
        for name in ["bin", "sbin", "lib", "lib64"] {
            std::fs::create_dir_all(root.join("usr").join(name))?;
            let link = root.join(name);
            if link.symlink_metadata().is_err() {
                std::os::unix::fs::symlink(format!("usr/{name}"), link)?;
            }
        }
        for entry in std::fs::read_dir(self.folder.join("cache").join("archives"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                unpack(&path, root)?;
            }
        }
        Ok(())
    }

    /// Returns the version of the package that [`Self::extract`] unpacks.
    pub(super) fn version(&self, package: &str) -> Result<(u32, u32, u32)> {
        let shown =
            run::read(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        let version = shown.lines().find_map(|line| line.strip_prefix("Version: "));
        let version = version.with_context(|| format!("{package} has no version"))?;
        parse_version(version)
            .with_context(|| format!("cannot parse version `{version}` of {package}"))
    }

    fn prepare(folder: &Path, own_sources: bool) -> Result<Self> {
        let apt = Self { folder: folder.to_path_buf(), own_sources };
        // Packages downloaded for an earlier image must not get into this one.
        let _ = std::fs::remove_dir_all(folder.join("cache"));
        for sub in ["state/lists/partial", "cache/archives/partial", "sources"] {
            std::fs::create_dir_all(folder.join(sub))?;
        }
        std::fs::write(folder.join("installed"), "")?;
        Ok(apt)
    }

    fn update(&self) -> bool {
        let update = ["update", "--error-on=any"];
        run::succeeds_within(UPDATE_LIMIT, self.command("apt-get").args(update))
    }

    fn sources(&self) -> PathBuf {
        self.folder.join("sources")
    }

    /// Returns an apt command that does not read or write the machine's own package state.
    fn command(&self, program: &str) -> Command {
        let path = |sub: &str| self.folder.join(sub).display().to_string();
        let mut options = vec![
            format!("Dir::State={}", path("state")),
            format!("Dir::State::status={}", path("installed")),
            format!("Dir::Cache={}", path("cache")),
            "Dir::Cache::archives=archives/".to_owned(),
            // Download as the current user: the account `_apt` may not have access to the folder.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
            "Acquire::https::Timeout=20".to_owned(),
            "Acquire::Retries=2".to_owned(),
        ];
        if self.own_sources {
            options.extend([
                "Dir::Etc::sourcelist=/dev/null".to_owned(),
                format!("Dir::Etc::sourceparts={}", self.sources().display()),
                "Dir::Etc::preferences=/dev/null".to_owned(),
                "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            ]);
        }
        let mut command = run::command(program, options.iter().flat_map(|o| ["-o", o]));
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        command
    }
}

/// Unpacks a package. Follows the links that [`Apt::extract`] has created.
fn unpack(package: &Path, root: &Path) -> Result<()> {
    let archive = package.with_extension("tar");
    let mut read = Command::new("dpkg-deb");
    read.arg("--fsys-tarfile").arg(package).stdout(File::create(&archive)?);
    run::show(&mut read)?;
    let mut write = Command::new("tar");
    write.args(["-x", "--keep-directory-symlink", "--no-same-owner", "-C"]).arg(root);
    run::show(write.arg("-f").arg(&archive))?;
    std::fs::remove_file(&archive)?;
    Ok(())
}

/// Parses the first three numbers of versions such as `1.30.6-2` and `1:1.38.0-3`.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let upstream = text.split_once(':').map_or(text, |(_, rest)| rest);
    let mut numbers = upstream.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_has_first_three_numbers() {
        assert_eq!(parse_version("1.30.6-2"), Some((1, 30, 6)));
        assert_eq!(parse_version("1:1.38.0-3+b1"), Some((1, 38, 0)));
        assert_eq!(parse_version("1.30"), None);
    }
}
