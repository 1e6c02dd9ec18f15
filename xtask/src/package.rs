//! Builds the Debian package and the tarball.
//!
//! The tools are those of Debian itself: `dpkg-deb` builds the package from a folder. `cargo-deb`
//! would do the same, and takes minutes to build.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::run;

/// Programs that are needed.
const TOOLS: [&str; 6] = ["dpkg", "dpkg-deb", "dpkg-shlibdeps", "gzip", "strip", "tar"];
/// Files of the repository in the folder of documentation.
const DOCUMENTS: [&str; 12] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "SECURITY.md",
    "docs/commands.md",
    "docs/file.md",
    "docs/limits.md",
    "docs/network.md",
    "docs/operating.md",
    "docs/runtimes.md",
    "docs/tutorial.md",
];
/// Scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// The unit of systemd.
const UNIT: &str = "packaging/dubernetes.service";
/// Exposure that `systemd-analyze security` may find, in tenths: 0 to 100.
const MAX_EXPOSURE: &str = "32";

/// The program to package.
#[derive(Debug)]
pub(crate) enum Program {
    /// Built with this profile of cargo.
    Profile(String),
    /// Already built.
    File(PathBuf),
}

impl Program {
    /// Parses the arguments of the task. The default is the program of a release.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        match args {
            [] => Ok(Self::Profile(run::RELEASE.to_owned())),
            [flag, name] if flag == "--profile" => Ok(Self::Profile(name.clone())),
            [flag, path] if flag == "--program" => Ok(Self::File(std::path::absolute(path)?)),
            _ => bail!("usage: cargo xtask package [--profile NAME | --program FILE]"),
        }
    }

    /// Builds the program, unless that was done, and returns its path.
    fn build(self) -> Result<PathBuf> {
        match self {
            Self::Profile(profile) => run::build_program(&profile, "dubernetes"),
            Self::File(path) => Ok(path),
        }
    }
}

/// Returns the tools that this machine lacks.
pub(crate) fn missing_tools() -> Vec<&'static str> {
    TOOLS.into_iter().filter(|tool| !run::is_installed(tool)).collect()
}

/// Packages the program. Returns what was not checked.
pub(crate) fn package(program: Program) -> Result<Option<&'static str>> {
    let missing = missing_tools();
    ensure!(missing.is_empty(), "install {}, such as by `dpkg-dev`", missing.join(", "));
    let program = program.build()?;
    let package = Package::new(run::target_folder()?.join("package"))?;
    package.stage(&program)?;
    let skipped = package.check_unit()?;
    package.write_deb()?;
    package.write_tarball()?;
    Ok(skipped)
}

/// A package in the making.
struct Package {
    folder: PathBuf,
    version: String,
    architecture: String,
    /// Time of all files, in seconds since 1970.
    epoch: String,
}

impl Package {
    fn new(folder: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let architecture = run::read(&mut run::command("dpkg", ["--print-architecture"]))?;
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            // Without a repository, as in an unpacked archive, any fixed time will do.
            Err(_) => run::read(&mut run::command("git", ["log", "-1", "--format=%ct"]))
                .unwrap_or_else(|_| "0".to_owned()),
        };
        Ok(Self {
            folder,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            architecture: architecture.trim().to_owned(),
            epoch: epoch.trim().to_owned(),
        })
    }

    /// Returns the folder that becomes the root of the file system.
    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn usr(&self) -> PathBuf {
        self.root().join("usr")
    }

    /// Puts all files where they belong.
    fn stage(&self, program: &Path) -> Result<()> {
        let usr = self.usr();
        let bin = usr.join("bin/dubernetes");
        write(&bin, &fs::read(program)?, 0o755)?;
        run::show(run::command("strip", ["--strip-unneeded"]).arg(&bin))?;
        symlink("dubernetes", usr.join("bin/dubectl"))?;
        let unit = fs::read(run::root().join(UNIT))?;
        write(&usr.join("lib/systemd/system/dubernetes.service"), &unit, 0o644)?;
        self.stage_manual(&bin)?;
        for name in ["dubernetes", "dubectl"] {
            for (shell, path) in [
                ("bash", format!("bash-completion/completions/{name}")),
                ("zsh", format!("zsh/vendor-completions/_{name}")),
                ("fish", format!("fish/vendor_completions.d/{name}.fish")),
            ] {
                let script = run::read(&mut run::command(
                    usr.join("bin").join(name),
                    ["completion", shell],
                ))?;
                write(&usr.join("share").join(path), script.as_bytes(), 0o644)?;
            }
        }
        let documents = usr.join("share/doc/dubernetes");
        for name in DOCUMENTS {
            write(&documents.join(name), &fs::read(run::root().join(name))?, 0o644)?;
        }
        let copyright = "Dubernetes is licensed under the MIT licence, or, at your choice, the \
                         Apache License 2.0: LICENSE-MIT and LICENSE-APACHE in this folder.\n";
        write(&documents.join("copyright"), copyright.as_bytes(), 0o644)?;
        let settings = fs::read(run::root().join("packaging/config.yaml"))?;
        write(&documents.join("examples/config.yaml"), &settings, 0o644)
    }

    fn stage_manual(&self, program: &Path) -> Result<()> {
        let folder = self.usr().join("share/man/man1");
        fs::create_dir_all(&folder)?;
        run::show(run::command(program, ["man", "--out"]).arg(&folder))?;
        let pages = fs::read_dir(&folder)?.collect::<std::io::Result<Vec<_>>>()?;
        for page in &pages {
            fs::set_permissions(page.path(), fs::Permissions::from_mode(0o644))?;
            run::show(run::command("gzip", ["-9n"]).arg(page.path()))?;
        }
        symlink("dubernetes.1.gz", folder.join("dubectl.1.gz"))?;
        Ok(())
    }

    /// Checks the unit where systemd is installed, also if it does not run.
    fn check_unit(&self) -> Result<Option<&'static str>> {
        if !run::is_installed("systemd-analyze") {
            return Ok(Some("the unit: systemd-analyze is not installed"));
        }
        // The program has another place here.
        let unit = self.folder.join("dubernetes.service");
        let text = fs::read_to_string(run::root().join(UNIT))?;
        let bin = self.usr().join("bin/dubernetes");
        fs::write(&unit, text.replace("/usr/bin/dubernetes", &bin.display().to_string()))?;
        run::show(run::command("systemd-analyze", ["verify", "--man=no"]).arg(&unit))?;
        let threshold = format!("--threshold={MAX_EXPOSURE}");
        let security = ["security", "--offline=true", "--no-pager", threshold.as_str()];
        run::read(run::command("systemd-analyze", security).arg(&unit))?;
        Ok(None)
    }

    fn write_deb(&self) -> Result<()> {
        let control = self.root().join("DEBIAN");
        for name in SCRIPTS {
            let script = fs::read(run::root().join("packaging/deb").join(name))?;
            write(&control.join(name), &script, 0o755)?;
        }
        let text = self.control()?;
        write(&control.join("control"), text.as_bytes(), 0o644)?;
        let name = format!("dubernetes_{}_{}.deb", self.version, self.architecture);
        let mut build = run::command("dpkg-deb", ["--build", "--root-owner-group"]);
        build.arg(self.root()).arg(self.folder.join(name));
        run::show(build.env("SOURCE_DATE_EPOCH", &self.epoch))
    }

    fn control(&self) -> Result<String> {
        let depends = self.find_libraries()?;
        let size = run::read(
            run::command("du", ["--summarize", "--apparent-size", "-k"]).arg(self.usr()),
        )?;
        let size = size.split_whitespace().next().context("du printed nothing")?;
        let Self { version, architecture, .. } = self;
        Ok(format!(
            "Package: dubernetes\n\
             Version: {version}\n\
             Architecture: {architecture}\n\
             Maintainer: The Dubernetes contributors <dubernetes@localhost>\n\
             Installed-Size: {size}\n\
             Depends: {depends}, init-system-helpers, passwd\n\
             Recommends: docker.io (>= 20.10) | docker-ce\n\
             Section: admin\n\
             Priority: optional\n\
             Description: declarative container orchestrator for one machine with Docker\n \
             Small YAML files specify the apps. Dubernetes runs their containers, replaces\n \
             replicas that exit, updates apps one replica at a time behind an nginx of its\n \
             own, and explains every step.\n"
        ))
    }

    /// Returns the packages with the libraries that the program needs, such as `libc6 (>= 2.34)`.
    fn find_libraries(&self) -> Result<String> {
        // The tool expects the folder of a source package.
        let source = self.folder.join("source");
        let stanzas = b"Source: dubernetes\n\nPackage: dubernetes\nArchitecture: any\n";
        write(&source.join("debian/control"), stanzas, 0o644)?;
        let mut find = Command::new("dpkg-shlibdeps");
        find.arg("-O").arg(self.usr().join("bin/dubernetes")).current_dir(&source);
        let found = run::read(&mut find)?;
        let depends = found.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
        Ok(depends.context("dpkg-shlibdeps found no library")?.to_owned())
    }

    /// Writes the content of `/usr` with one folder around it.
    fn write_tarball(&self) -> Result<()> {
        let name = format!("dubernetes-{}-{}", self.version, self.architecture);
        let tar = self.folder.join(format!("{name}.tar"));
        let mut pack = run::command("tar", ["--create", "--sort=name", "--format=gnu"]);
        pack.args(["--owner=0", "--group=0", "--numeric-owner", "--mode=go-w"]);
        pack.arg(format!("--mtime=@{}", self.epoch)).arg(format!("--transform=s,^\\.,{name},S"));
        pack.arg("--file").arg(&tar).arg("--directory").arg(self.usr()).arg(".");
        run::show(&mut pack)?;
        run::show(run::command("gzip", ["-9nf"]).arg(&tar))?;
        println!("wrote {}.gz", tar.display());
        Ok(())
    }
}

/// Writes a file with these permissions, and the folders above it.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}
